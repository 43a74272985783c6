#!/usr/bin/env python3
"""Asks a running `flagforge serve` with the flagd providers that people use, each at a pinned version, and holds what they
answer against what was configured. What a provider does in its own way is named here, and told in docs/flagd.md.

    tests/flagd/clients.py

The providers come from the registries into target/flagd-clients, once.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "api"), str(HERE.parent / "ofrep")]

import flags  # noqa: E402
from answers import held  # noqa: E402
from program import ROOT, Api, built_program, free_port, started  # noqa: E402

TOOLS = ROOT / "target" / "flagd-clients"
NPM = ["@openfeature/flagd-provider@0.16.1", "@openfeature/server-sdk@1.23.0", "@openfeature/core@1.12.0", "@grpc/grpc-js@1.14.0"]
PYPI = ["openfeature-provider-flagd==0.6.1", "openfeature-sdk==0.10.0"]
# The least checks that a run must come to, and the least answers of one that evaluates by itself that are held beside the relay's.
CHECKS, BESIDE = 6_000, 280
# What a refusal's code is called by the providers, who know no other words.
ERRORS = {"INVALID_CONTEXT": "TYPE_MISMATCH", "TARGETING_KEY_MISSING": "GENERAL"}
# Reasons in OFREP's words, and in flagd's.
REASONS = {"STATIC": "DEFAULT", "UNKNOWN": "STALE"}
# Upon which a provider that evaluates by itself gives up at once: it is asked nothing before it has flags.
FATAL = ["UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_ARGUMENT"]
RPC, IN_PROCESS = "rpc", "in-process"


def installed():
    python, node = TOOLS / "py", TOOLS / "node"
    if not list(python.glob("lib/*/site-packages/openfeature/contrib/provider/flagd")):
        subprocess.run([sys.executable, "-m", "venv", python], check=True)
        subprocess.run([python / "bin" / "pip", "install", "-q", *PYPI], check=True)
    if not (node / "node_modules" / "@openfeature" / "flagd-provider").exists():
        node.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", node, *NPM], check=True)
    providers = {
        "npm flagd-provider": (["node", HERE / "client.mjs"], node),
        "PyPI openfeature-provider-flagd": ([python / "bin" / "python", HERE / "client.py"], HERE),
    }
    return [(name, way, [*command, way], where) for name, (command, where) in providers.items() for way in (RPC, IN_PROCESS)]


def selector(headers):
    """What the headers say, as a provider can send it."""
    key = headers.get("X-API-Key") or headers["Authorization"].removeprefix("Bearer ")
    named = {"key": key, "tenant": headers.get("FlagForge-Tenant"), "environment": headers.get("FlagForge-Environment")}
    return "/".join(f"{name}={value}" for name, value in named.items() if value)


def asked(command, folder, given):
    done = subprocess.run(command, cwd=folder, input=json.dumps(given), stdout=subprocess.PIPE, text=True, timeout=300)
    if done.returncode != 0:
        raise SystemExit(f"{command} ended with {done.returncode}")
    answer = json.loads(done.stdout)
    return {result["id"]: result for result in answer["results"]}, answer["kill"]


def wanted(case):
    """What a provider has to make of the answer."""
    expect, default = case["expect"], case["default"]
    error = expect.get("error")
    if isinstance(expect.get("value"), list):
        # The protocol has no place for it.
        error = "TYPE_MISMATCH"
    if error:
        return {"value": default, "error": ERRORS.get(error, error)}
    reason = REASONS.get(expect["reason"], expect["reason"])
    if expect.get("own"):
        return {"value": default, "error": None, "reason": "DEFAULT"}
    return {"value": expect["value"], "variant": expect["variant"], "reason": reason, "error": None}


def wanted_in_process(provider, case):
    """The same of one that has definitions: of the tenant that its selector names, whatever a context says."""
    expect, default = case["expect"], case["default"]
    kind = case["flag"].split("-")[0]
    if case["ask"] in ("context", "nobody", "elsewhere"):
        return {"value": default, "error": "PROVIDER_FATAL"}
    if kind in ("rule", "split", "error") or case["flag"].endswith("-list"):
        # They hang on the user, are errors, or have no type in flagd: there is no definition.
        return {"value": default, "error": "FLAG_NOT_FOUND"}
    if provider.startswith("PyPI") and case["type"] == "number" and case["flag"] == "plain-boolean":
        # Python's booleans are numbers, and so it takes them.
        return {"value": 1.0, "variant": "on", "error": None}
    if expect.get("error") == "INVALID_CONTEXT":
        expect = {"value": True, "variant": "on"}
    if "error" in expect:
        return {"value": default, "error": expect["error"]}
    if expect.get("own"):
        return {"value": default, "error": None, "reason": "DEFAULT"}
    return {"value": expect["value"], "variant": expect["variant"], "reason": "STATIC", "error": None}


def beside(client, cases, own, relays):
    """What a provider made of definitions, held beside what the relay answered it."""
    count, wrong = 0, []
    for case in cases:
        mine, theirs = own[case["id"]], relays[case["id"]]
        if mine.get("error") or case["expect"].get("error"):
            continue
        count += 1
        if [mine.get("value"), mine.get("variant")] != [theirs.get("value"), theirs.get("variant")] and not case["expect"].get("own"):
            wrong.append(f"{client}: {case} is {mine}, and the relay says {theirs}")
    if count < BESIDE:
        wrong.append(f"{client}: {count} answers of its own to hold beside the relay's")
    return wrong


def killed(client, kill):
    """The kill switch, which was on before."""
    want = {"before": True, "after": False, "told": True, "flags": ["kill-me"]}
    if client == "npm flagd-provider, rpc":
        # It opens its stream without the selector, so it is told of no change; it asks each time.
        want |= {"told": False, "flags": []}
    return [f"{client}: the kill has {field} {kill[field]!r}" for field, value in want.items() if kill[field] != value]


def main():
    clients = installed()
    with tempfile.TemporaryDirectory() as folder:
        port, data = free_port(), str(pathlib.Path(folder, "data"))
        process = started(built_program(False, "flagd"), data, port)
        try:
            base = f"http://127.0.0.1:{port}"
            admin = pathlib.Path(data, "admin.key").read_text().strip()
            api = Api(base, admin)
            asks = {name: selector(headers) for name, headers in flags.define(api, "default").items()}
            api.call("PUT", "/v1/orgs/default/flags/kill-me", {"class": "release", "type": "boolean", "clientVisible": True})
            switch = "/v1/orgs/default/environments/prod/flags/kill-me/"
            kill = {"url": f"{base}{switch}kill", "key": admin, "ask": "acme in a page"}
            cases = flags.cases()
            count, wrong = 0, []
            of_relay = {}
            for provider, way, command, where in clients:
                client = f"{provider}, {way}"
                api.call("POST", f"{switch}enable")
                given = {"port": port, "asks": asks, "cases": cases, "kill": kill, "fatal": FATAL if way == IN_PROCESS else []}
                results, seen = asked(command, where, given)
                if way == RPC:
                    of_relay[provider] = results
                    checks, faults = held(client, cases, results, wanted)
                else:
                    checks, faults = held(client, cases, results, lambda case: wanted_in_process(provider, case))
                    faults += beside(client, cases, results, of_relay[provider])
                faults += killed(client, seen)
                print(f"{client}: {len(cases)} questions, {checks} checks held, {len(faults)} did not")
                count += checks
                wrong += faults
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
