"""The real program, as tests in Python start and call it."""

import json
import os
import pathlib
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


class Api:
    def __init__(self, base, key):
        self.base, self.key = base, key

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            error.add_note(error.read().decode(errors="replace"))
            raise
        return json.loads(text) if text else None


def started(program, data, port, *arguments, said=subprocess.DEVNULL):
    process = subprocess.Popen(
        [program, "serve", "--data", data, "--listen", f"127.0.0.1:{port}", *arguments],
        stdout=said, stderr=subprocess.DEVNULL)
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1).close()
            return process
        except OSError:
            time.sleep(0.1)
    process.kill()
    raise SystemExit("flagforge does not answer")


def pinned(said):
    """The root keys that a started program has printed, which it does a moment after it answers."""
    for _ in range(100):
        found = re.search(r"roots=(\S+)", said.read_text())
        if found:
            return found[1]
        time.sleep(0.1)
    raise SystemExit("flagforge printed no connection string")


def built_program(long, *features):
    """The `flagforge` program: a named one, or built here with these features; at length an optimized one."""
    named = os.environ.get("FLAGFORGE_CLI")
    if named and not long:
        return named
    build = ["cargo", "build", "--package", "flagforge-cli", "--features", ",".join(features), "--message-format", "json"]
    messages = subprocess.run(build + (["--release"] if long else []), cwd=ROOT, check=True, stdout=subprocess.PIPE)
    built = [json.loads(line).get("executable") for line in messages.stdout.splitlines()]
    return [path for path in built if path][-1]
