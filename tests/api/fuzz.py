#!/usr/bin/env python3
"""Lets schemathesis loose on a running `flagforge serve`, with keys and with things that exist, and holds the
description to Spectral. Fails on a server error, or on an answer that the description does not allow.

    tests/api/fuzz.py            a short run
    tests/api/fuzz.py --long     50,000 requests or more

Both tools come from the registries into target/api-tools, once.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request

from fuzz_tools import TOOLS, tried
from program import ROOT, Api, built_program, free_port, started

SPECTRAL = "6.16.3"
# Examples for each of about a hundred operations; the least requests that a run must come to.
SHORT, SHORT_REQUESTS = 10, 3_000
LONG, LONG_REQUESTS = 600, 50_000
# What would end the run for everything after it: the operator's own doors are tried on an organization apart.
KNOWN = {
    "org": ["demo"], "env": ["dev", "prod"], "role": ["fuzzed"], "list": ["included", "excluded"],
    "scope": ["environment"], "number": ["1", "2"], "part": ["0"],
}


def spectral():
    """The linter, from npm, once; `None` without npm."""
    node = TOOLS / "node"
    program = node / "node_modules" / ".bin" / "spectral"
    if shutil.which("npm") and not program.exists():
        node.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--silent", "--prefix", node, f"@stoplight/spectral-cli@{SPECTRAL}"]
        subprocess.run(install, check=True)
    return program if program.exists() else None


def names_of(api):
    """Things that exist, so that requests reach further than the first 404."""
    org = "/v1/orgs/demo"
    keys = lambda path: [item["key"] for item in api.call("GET", org + path)["items"]]
    api.call("PUT", org + "/groups/fuzzed", {"description": "for the fuzzer"})
    api.call("PUT", org + "/roles/fuzzed", {"permissions": ["kill"]})
    api.call("PUT", org + "/environments/prod/segments/fuzzed", {})
    api.call("POST", "/v1/orgs", {"key": "apart"})
    spare = [api.call("POST", org + "/keys", {"kind": "server"})["record"]["id"] for _ in range(3)]
    # Schemathesis deletes as well; what it deletes, it also makes again by `PUT`.
    return {**KNOWN, "flag": keys("/flags")[:3] + ["fuzzed"], "tenant": keys("/tenants")[:2] + ["fuzzed"],
            "group": ["fuzzed"], "segment": ["fuzzed"], "id": spare}


def narrowed(description, names):
    """The description, whose paths name things that exist."""
    for path, item in description["paths"].items():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                known = names.get(parameter["name"]) if parameter["in"] == "path" else None
                if known:
                    apart = ["apart"] if path.startswith("/v1/operator") else known
                    parameter["schema"] = {"type": "string", "enum": apart}
    return description


def main():
    long = "--long" in sys.argv[1:]
    linter = spectral()
    program = built_program(long)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        if linter:
            ruleset = pathlib.Path(folder) / "spectral.yaml"
            ruleset.write_text('extends: ["spectral:oas"]\n')
            committed = ROOT / "shared" / "platform" / "openapi.json"
            lint = [linter, "lint", committed, "--ruleset", ruleset, "--fail-severity", "error"]
            failed |= subprocess.run(lint).returncode != 0
        else:
            print("SKIPPED: Spectral, because npm is not installed")
        port, data = free_port(), os.path.join(folder, "data")
        process = started(program, data, port, "--demo")
        try:
            base = f"http://127.0.0.1:{port}"
            key = pathlib.Path(data, "admin.key").read_text().strip()
            names = names_of(Api(base, key))
            with urllib.request.urlopen(base + "/openapi.json", timeout=30) as answer:
                description = narrowed(json.load(answer), names)
            schema = pathlib.Path(folder, "openapi.json")
            schema.write_text(json.dumps(description))
            bounds = (LONG, LONG_REQUESTS) if long else (SHORT, SHORT_REQUESTS)
            failed |= not tried(schema, base, {"Authorization": f"Bearer {key}"}, *bounds, workers=2)
            if process.poll() is not None:
                print(f"flagforge ended with {process.returncode}")
                failed = True
        finally:
            process.kill()
            process.wait()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
