#!/usr/bin/env python3
"""Asks a running `flagforge serve` with the OFREP clients that people use, each at a pinned version, and holds what they
answer against what was configured. What a client does in its own way is named here, and told in docs/ofrep.md.

    tests/ofrep/clients.py

The clients come from the registries into target/ofrep-clients, once. A browser is used where there is one.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "api"))

import browser  # noqa: E402
import flags  # noqa: E402
from answers import held  # noqa: E402
from program import ROOT, Api, built_program, free_port, started  # noqa: E402

TOOLS = ROOT / "target" / "ofrep-clients"
NPM = ["@openfeature/ofrep-web-provider@0.4.3", "@openfeature/ofrep-provider@0.1.3", "@openfeature/web-sdk@1.10.0",
       "@openfeature/server-sdk@1.23.0", "@openfeature/core@1.12.0"]
PYPI = ["openfeature-provider-ofrep==0.3.0", "openfeature-sdk==0.10.0"]
# The least checks that a run must come to.
CHECKS = 400


def installed():
    python, node = TOOLS / "py", TOOLS / "node"
    if not (python / "lib").exists() or not list(python.glob("lib/*/site-packages/openfeature/contrib/provider/ofrep")):
        subprocess.run([sys.executable, "-m", "venv", python], check=True)
        subprocess.run([python / "bin" / "pip", "install", "-q", *PYPI], check=True)
    if not (node / "node_modules" / "@openfeature" / "ofrep-provider").exists():
        node.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", node, *NPM], check=True)
    rust = ["cargo", "build", "--quiet", "--locked", "--manifest-path", HERE / "rust" / "Cargo.toml", "--target-dir", TOOLS / "rust",
            "--message-format", "json"]
    built = subprocess.run(rust, check=True, stdout=subprocess.PIPE).stdout.splitlines()
    built = [path for path in (json.loads(line).get("executable") for line in built) if path]
    return {
        "npm ofrep-provider": (["node", HERE / "client.mjs", "server"], node),
        "npm ofrep-web-provider": (["node", HERE / "client.mjs", "web"], node),
        "PyPI openfeature-provider-ofrep": ([python / "bin" / "python", HERE / "client.py"], HERE),
        "crate open-feature-ofrep": ([built[-1]], HERE),
    }


def asked(command, folder, given):
    done = subprocess.run(command, cwd=folder, input=json.dumps(given), stdout=subprocess.PIPE, text=True, timeout=300)
    if done.returncode != 0:
        raise SystemExit(f"{command} ended with {done.returncode}")
    return {result["id"]: result for result in json.loads(done.stdout)}


def wanted(client, case):
    """What the client has to make of the answer: fields of its result, after its own manner."""
    expect, default = case["expect"], case["default"]
    web, node = client == "npm ofrep-web-provider", client == "npm ofrep-provider"
    rust = client == "crate open-feature-ofrep"
    error = expect.get("error")
    if web and expect.get("whole"):
        # It holds no flags then, and its start was refused.
        error = "PROVIDER_FATAL" if expect.get("fatal") else None
        return {"value": default, "refused": True, **({"error": error} if error else {})}
    if expect.get("own") and node:
        # It takes an answer without a value for no answer.
        error = "GENERAL"
    if rust:
        if expect.get("own") or error == "TYPE_MISMATCH" or isinstance(expect.get("value"), list):
            error = "PARSE_ERROR"
        elif error in ("TARGETING_KEY_MISSING", "GENERAL") and not expect.get("fatal"):
            error = "INVALID_CONTEXT"
    if error:
        return {"value": default, "error": error}
    if expect.get("own"):
        return {"value": default, "error": None, "reason": expect["reason"]}
    reason = "STATIC" if rust else expect["reason"]
    if rust and isinstance(expect["value"], dict) and expect["value"]:
        # It has no null.
        return {"value": {**expect["value"], "names": ["a", ""]}, "variant": expect["variant"], "reason": reason, "error": None}
    return {"value": expect["value"], "variant": expect["variant"], "reason": reason, "error": None}


def main():
    clients = installed()
    with tempfile.TemporaryDirectory() as folder:
        port, data = free_port(), str(pathlib.Path(folder, "data"))
        program = built_program(False)
        process = started(program, data, port)

        def restart():
            nonlocal process
            process.kill()
            process.wait()
            process = started(program, data, port)

        try:
            base = f"http://127.0.0.1:{port}"
            api = Api(base, pathlib.Path(data, "admin.key").read_text().strip())
            asks = flags.define(api, "default")
            api.call("PUT", "/v1/orgs/default/flags/kill-me", {"class": "release", "type": "boolean", "clientVisible": True})
            flip = lambda on: api.call("POST", f"/v1/orgs/default/environments/prod/flags/kill-me/{'enable' if on else 'kill'}")
            flip(True)
            cases = flags.cases()
            count, wrong = 0, []
            for client, (command, where) in clients.items():
                results = asked(command, where, {"base": base, "asks": asks, "cases": cases})
                checks, faults = held(client, cases, results, lambda case: wanted(client, case))
                print(f"{client}: {len(cases)} questions, {checks} checks held, {len(faults)} did not")
                count += checks
                wrong += faults
            if browser.found():
                given = {"base": base, "headers": asks["acme in a page"], "others": asks["globex in a page"]}
                modules = TOOLS / "node" / "node_modules"
                checks, faults = browser.run(browser.found(), modules, given, flip, restart)
                count += len(checks)
                wrong += faults
            else:
                print("SKIPPED: the web provider in a browser, because there is no Chromium (FLAGFORGE_CHROMIUM names one)")
            if process.poll() is not None:
                wrong.append(f"flagforge ended with {process.returncode}")
        finally:
            process.kill()
            process.wait()
    print("\n".join(wrong[:40]))
    print(f"{count} checks held, {len(wrong)} did not")
    sys.exit(1 if wrong or count < CHECKS else 0)


if __name__ == "__main__":
    main()
