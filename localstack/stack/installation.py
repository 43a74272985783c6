"""What makes an applied stack an installation: a root key, an operator's key, and a trust document."""

import base64
import hashlib
import json
import os
import re
import secrets
import time
import urllib.error
import urllib.request
from pathlib import Path

from .ground import ROOT, RUN, STACK_FILE, Failed, command, say
from . import emulator

ROOT_KEY = RUN / "root.pem"
OPERATOR_KEY = RUN / "operator.key"
NOTIFIED_KEY = RUN / "notified.key"
ONLINE_KEY = RUN / "online.pem"
TRUST = RUN / "trust.json"

# The operator's key belongs to no organization; the id only has the form of one.
OPERATOR_ID = "operator.local"
# The organization whose roots the queue of infra/envs/local rings for.
NOTIFIED = "notified"
CLI_SECONDS = 1200
TRUST_SECONDS = 60


def operator_key():
    """The operator's key, made once: `ff_mgmt_<id>_<secret>`, readable by its owner only."""
    if not OPERATOR_KEY.exists():
        _write_secret(OPERATOR_KEY, f"ff_mgmt_{OPERATOR_ID}_{secrets.token_urlsafe(32)}")
    return OPERATOR_KEY.read_text().strip()


def operator_variable():
    """What Terraform is told of the operator's key: not the key."""
    _, _, key_id, secret = operator_key().split("_", 3)
    return {"id": key_id, "secret_sha256": hashlib.sha256(secret.encode()).hexdigest()}


def trust(public_key_pem):
    """Signs a trust document for this online key with the offline root key, unless that is done already."""
    if TRUST.exists() and ONLINE_KEY.exists() and ONLINE_KEY.read_text() == public_key_pem:
        return
    say("signing the trust document")
    ONLINE_KEY.write_text(public_key_pem)
    words = [_cli(), "trust", "create", "--root-key", ROOT_KEY, "--create"]
    words += ["--online-key", ONLINE_KEY, "--number", "1", "--out", TRUST]
    command(words, 60, quiet=True)


def root_thumbprint():
    """The root key's RFC 7638 thumbprint, which is all that readers pin."""
    payload = json.loads(TRUST.read_text())["payload"]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    (root,) = claims["roots"]
    members = {name: root[name] for name in ("crv", "kty", "x", "y")}
    digest = hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def install_trust(url):
    """Hands the document to the API, as its operator. A function that starts may need more than one try."""
    until = time.monotonic() + TRUST_SECONDS
    while True:
        try:
            _as_operator("PUT", f"{url}/v1/trust", TRUST.read_bytes())
            return
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            problem = f"PUT {url}/v1/trust answered {error.code}: {said}"
            if error.code < 500:
                raise Failed(problem) from error
        except OSError as error:
            problem = f"PUT {url}/v1/trust: {error}"
        if time.monotonic() > until:
            raise Failed(problem)
        time.sleep(0.5)


def found_notified(url):
    """Founds the organization that the queue rings for, unless it is there, and keeps its admin's key."""
    try:
        body = json.dumps({"key": NOTIFIED}).encode()
        founded = json.loads(_as_operator("POST", f"{url}/v1/orgs", body))
        _write_secret(NOTIFIED_KEY, founded["adminKey"])
    except urllib.error.HTTPError as error:
        if error.code != 409 or not NOTIFIED_KEY.exists():
            raise Failed(f"POST {url}/v1/orgs answered {error.code}: {error.read().decode(errors='replace')}") from error


def _as_operator(method, url, body):
    request = urllib.request.Request(url, data=body, method=method)
    request.add_header("Authorization", f"Bearer {operator_key()}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=TRUST_SECONDS) as answer:
        return answer.read()


def url(outputs):
    """Where the API and the data plane answer."""
    return emulator.invoke_url(outputs["api_id"])


def write_stack(outputs):
    """The file that tests and people read to find the stack."""
    stack = {
        "url": url(outputs),
        "endpoint": emulator.ENDPOINT,
        "emulator": emulator.kind(),
        "region": emulator.REGION,
        "operatorKey": operator_key(),
        "roots": [root_thumbprint()],
        "bucket": outputs["bucket"],
        "table": outputs["table"],
        "signingKey": outputs["key_arn"],
        "changesTopic": outputs["changes_topic"],
        "rootsTopic": outputs["roots_topic"],
        "eventsTopic": outputs["events_topic"],
        "deadLetters": outputs["dead_letters"],
        "distribution": outputs["distribution"],
        "pushUrl": emulator.socket_url(outputs["websocket_url"]),
        "connectionsTable": outputs["connections_table"],
        "notified": {"org": NOTIFIED, "adminKey": NOTIFIED_KEY.read_text(), "queue": outputs["notices_queue"]},
        "env": emulator.credentials(),
    }
    _write_secret(STACK_FILE, json.dumps(stack, indent=2) + "\n")
    return stack


def _cli():
    """The `flagforge` program: a named one, or built here."""
    named = os.environ.get("FLAGFORGE_CLI")
    if named:
        return named
    say("building the flagforge program")
    words = ["cargo", "build", "--package", "flagforge-cli", "--message-format", "json-render-diagnostics"]
    for line in command(words, CLI_SECONDS, quiet=True).splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "flagforge":
            return message["executable"]
    raise Failed("cargo did not say where it put the flagforge program")


def _write_secret(path, text):
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
