"""Where things are, what is said while they happen, and how long they may take."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "localstack" / ".run"
PACKAGES = RUN / "packages"
STACK_FILE = RUN / "stack.json"

_started = time.monotonic()


class Failed(Exception):
    """Something a person must see to. The text says what, and where to look."""


def say(text):
    print(f"[{time.monotonic() - _started:6.1f}s] {text}", file=sys.stderr, flush=True)


def command(words, seconds, *, cwd=ROOT, env=None, quiet=False):
    """Runs a program to its end. Answers what it printed when `quiet`, and raises `Failed` when it fails or takes too long."""
    words = [str(word) for word in words]
    pipe = subprocess.PIPE if quiet else None
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdout=pipe if quiet else sys.stderr,
            stderr=pipe,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
            text=True,
        )
    except FileNotFoundError as missing:
        raise Failed(f"`{words[0]}` is not installed") from missing
    except subprocess.TimeoutExpired as late:
        raise Failed(f"`{' '.join(words[:3])} …` took longer than {seconds} s") from late
    if done.returncode != 0:
        said = f":\n{done.stdout}{done.stderr}" if quiet else ", see above"
        raise Failed(f"`{' '.join(words[:3])} …` failed with {done.returncode}{said}")
    return done.stdout


def wait_until(ready, seconds, what):
    """Asks every tenth of a second. `what` says, in a failure, what did not happen."""
    until = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > until:
            raise Failed(f"{what} within {seconds} s")
        time.sleep(0.1)


def main(run):
    """Runs a script's body: problems become a line and an exit code, not a stack trace."""
    try:
        run()
    except Failed as failed:
        say(f"failed: {failed}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
