"""The emulator on port 4566: LocalStack where Docker runs and an account's token is set, MiniStack everywhere else."""

import json
import os
import platform
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from . import venv
from .ground import RUN, Failed, command, say, wait_until

PORT = 4566
ENDPOINT = f"http://127.0.0.1:{PORT}"
REGION = "us-east-1"

MINISTACK = ("ministack==1.5.33", "cryptography==50.0.2")
# The community image has no HTTP APIs (API Gateway v2); this one has, and asks for an account.
LOCALSTACK_IMAGE = "localstack/localstack-pro:4.14"
LOCALSTACK_TOKEN = "LOCALSTACK_AUTH_TOKEN"
CONTAINER = "flagforge-localstack"

PID_FILE = RUN / "emulator.pid"
KIND_FILE = RUN / "emulator.kind"
LOG_FILE = RUN / "emulator.log"
SERVE = Path(__file__).with_name("serve_ministack.py")

START_SECONDS = 60
CONTAINER_START_SECONDS = 300
STOP_SECONDS = 20
DOCKER_SECONDS = 20


def credentials():
    """What a program needs to talk to the emulator. It takes any key; this one is nobody's."""
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": ENDPOINT,
    }


def kind():
    """`localstack` or `ministack`: which one runs, or would be started here."""
    if KIND_FILE.exists():
        return KIND_FILE.read_text().strip()
    chosen = os.environ.get("FLAGFORGE_EMULATOR")
    if chosen in ("localstack", "ministack"):
        return chosen
    if chosen:
        raise Failed("FLAGFORGE_EMULATOR is localstack or ministack")
    return "localstack" if os.environ.get(LOCALSTACK_TOKEN) and _docker_answers() else "ministack"


def runs_functions_natively():
    """Whether functions are started as processes of this machine, rather than in a container of Lambda's."""
    return kind() == "ministack"


def invoke_url(api_id):
    """Where an HTTP API answers; the `*.execute-api.localhost` names do not resolve everywhere."""
    return f"{ENDPOINT}/_aws/execute-api/{api_id}/$default"


def socket_url(url):
    """The same for a WebSocket API: `<scheme>://<id>.execute-api.…/<stage>` is the address that Terraform is told."""
    host, stage = url.split("://", 1)[1].rsplit("/", 1)
    return f"ws://127.0.0.1:{PORT}/_aws/execute-api/{host.split('.')[0]}/{stage}"


def healthy():
    path = "/_ministack/health" if kind() == "ministack" else "/_localstack/health"
    try:
        with urllib.request.urlopen(ENDPOINT + path, timeout=2) as answer:
            return answer.status == 200 and json.load(answer) is not None
    except (OSError, ValueError, urllib.error.URLError):
        return False


def start():
    """Starts the emulator, unless ours is up already. Answers whether it is a new one, which knows nothing."""
    RUN.mkdir(parents=True, exist_ok=True)
    if _is_ours() and healthy():
        say(f"the emulator is up already ({kind()}, {ENDPOINT})")
        return False
    if _is_ours():
        # It hangs, or is on its way up or down; what it holds can be made again.
        stop()
    if _port_answers():
        raise Failed(f"something else listens on 127.0.0.1:{PORT}; stop it first")
    # What was kept of a stack that is gone would only mislead.
    _forget()
    chosen = kind()
    say(f"starting {chosen} on {ENDPOINT}")
    KIND_FILE.write_text(chosen)
    try:
        if chosen == "localstack":
            _start_localstack()
        else:
            _start_ministack()
    except Failed:
        stop()
        raise
    return True


def stop():
    """Stops what `start` started, by its recorded id, and waits until it is gone."""
    if KIND_FILE.exists() and kind() == "localstack":
        command(["docker", "rm", "--force", "--volumes", CONTAINER], STOP_SECONDS * 3, quiet=True)
    elif _is_ours():
        pid = int(PID_FILE.read_text())
        say(f"stopping the emulator (pid {pid})")
        _end_session(pid)
    _forget()


def _start_ministack():
    venv.ensure(MINISTACK)
    temporary = RUN / "tmp"
    temporary.mkdir(exist_ok=True)
    env = {
        # Functions inherit it: nothing of this machine's, least of all its AWS settings, may leak into them.
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        **credentials(),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(PORT),
        "MINISTACK_HOST": "localhost",
        "MINISTACK_REGION": REGION,
        "LAMBDA_EXECUTOR": "local",
        # Signatures are checked, and every function is held to its role's policy.
        "AUTH": "true",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "TMPDIR": str(temporary),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with LOG_FILE.open("wb") as log:
        child = subprocess.Popen(
            [venv.program("python"), SERVE],
            env=env,
            cwd=RUN,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A session of its own: it outlives this script, and its functions can be ended with it.
            start_new_session=True,
        )
    PID_FILE.write_text(str(child.pid))

    def ready():
        if child.poll() is not None:
            raise Failed(f"the emulator ended at once; see {LOG_FILE}")
        return healthy()

    wait_until(ready, START_SECONDS, f"the emulator did not answer (see {LOG_FILE})")


def _start_localstack():
    if not os.environ.get(LOCALSTACK_TOKEN):
        raise Failed(f"LocalStack serves HTTP APIs to accounts only: set {LOCALSTACK_TOKEN}, or let MiniStack do it")
    words = ["docker", "run", "--detach", "--name", CONTAINER, "--env", LOCALSTACK_TOKEN]
    words += ["--publish", f"127.0.0.1:{PORT}:{PORT}"]
    # The socket lets it start a container for each function.
    words += ["--volume", "/var/run/docker.sock:/var/run/docker.sock"]
    command(words + [LOCALSTACK_IMAGE], CONTAINER_START_SECONDS, quiet=True)
    wait_until(healthy, CONTAINER_START_SECONDS, f"`docker logs {CONTAINER}` may say why: no answer")


def _docker_answers():
    # The client alone proves nothing: ask the engine.
    if not shutil.which("docker"):
        return False
    try:
        words = ["docker", "info"]
        return subprocess.run(words, capture_output=True, timeout=DOCKER_SECONDS).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _port_answers():
    try:
        urllib.request.urlopen(ENDPOINT, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _is_ours():
    """Whether the recorded process lives and is the emulator: ids are used again."""
    if KIND_FILE.exists() and kind() == "localstack":
        return True
    try:
        pid = int(PID_FILE.read_text())
        words = ["ps", "-o", "args=", "-p", str(pid)]
        if platform.system() == "Linux":
            return SERVE.name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        return SERVE.name in subprocess.run(words, capture_output=True, text=True, timeout=10).stdout
    except (OSError, ValueError):
        return False


def _end_session(pid):
    # The emulator leads a session of its own, and its functions are in it: end it first, so that it can tidy up.
    for ending in (signal.SIGTERM, signal.SIGKILL):
        _signal(os.kill, pid, ending)
        until = time.monotonic() + STOP_SECONDS
        while time.monotonic() < until and _is_ours():
            time.sleep(0.1)
        if not _is_ours():
            break
    _signal(os.killpg, pid, signal.SIGKILL)


def _signal(send, pid, ending):
    try:
        send(pid, ending)
    except ProcessLookupError:
        pass


def _forget():
    for path in (PID_FILE, KIND_FILE):
        path.unlink(missing_ok=True)
    shutil.rmtree(RUN / "tmp", ignore_errors=True)
