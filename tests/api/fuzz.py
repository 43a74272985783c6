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
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ROOT / "target" / "api-tools"
SCHEMATHESIS = "4.32.5"
SPECTRAL = "6.16.3"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Examples for each of about a hundred operations; the least requests that a run must come to.
SHORT, SHORT_REQUESTS = 10, 3_000
LONG, LONG_REQUESTS = 600, 50_000
# What would end the run for everything after it: the operator's own doors are tried on an organization apart.
KNOWN = {
    "org": ["demo"], "env": ["dev", "prod"], "role": ["fuzzed"], "list": ["included", "excluded"],
    "scope": ["environment"], "number": ["1", "2"], "part": ["0"],
}


def tools():
    python = TOOLS / "py"
    if not (python / "bin" / "schemathesis").exists():
        subprocess.run([sys.executable, "-m", "venv", python], check=True)
        subprocess.run([python / "bin" / "pip", "install", "-q", f"schemathesis=={SCHEMATHESIS}"], check=True)
    node = TOOLS / "node"
    spectral = node / "node_modules" / ".bin" / "spectral"
    if shutil.which("npm") and not spectral.exists():
        node.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--silent", "--prefix", node, f"@stoplight/spectral-cli@{SPECTRAL}"]
        subprocess.run(install, check=True)
    return python / "bin" / "schemathesis", spectral if spectral.exists() else None


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
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return json.loads(text) if text else None


def started(program, data, port):
    process = subprocess.Popen(
        [program, "serve", "--demo", "--data", data, "--listen", f"127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1).close()
            return process
        except OSError:
            time.sleep(0.1)
    process.kill()
    raise SystemExit("flagforge does not answer")


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


def built_program(long):
    """The `flagforge` program: a named one, or built here; at length an optimized one."""
    named = os.environ.get("FLAGFORGE_CLI")
    if named and not long:
        return named
    build = ["cargo", "build", "--package", "flagforge-cli", "--message-format", "json"]
    messages = subprocess.run(build + (["--release"] if long else []), cwd=ROOT, check=True, stdout=subprocess.PIPE)
    built = [json.loads(line).get("executable") for line in messages.stdout.splitlines()]
    return [path for path in built if path][-1]


def main():
    long = "--long" in sys.argv[1:]
    schemathesis, spectral = tools()
    program = built_program(long)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        if spectral:
            ruleset = pathlib.Path(folder) / "spectral.yaml"
            ruleset.write_text('extends: ["spectral:oas"]\n')
            committed = ROOT / "shared" / "platform" / "openapi.json"
            lint = [spectral, "lint", committed, "--ruleset", ruleset, "--fail-severity", "error"]
            failed |= subprocess.run(lint).returncode != 0
        else:
            print("SKIPPED: Spectral, because npm is not installed")
        port, data = free_port(), os.path.join(folder, "data")
        process = started(program, data, port)
        try:
            base = f"http://127.0.0.1:{port}"
            key = pathlib.Path(data, "admin.key").read_text().strip()
            names = names_of(Api(base, key))
            with urllib.request.urlopen(base + "/openapi.json", timeout=30) as answer:
                description = narrowed(json.load(answer), names)
            schema = pathlib.Path(folder, "openapi.json")
            schema.write_text(json.dumps(description))
            run = [schemathesis, "run", schema, "--url", base, "-H", f"Authorization: Bearer {key}",
                   "--checks", CHECKS, "--max-examples", str(LONG if long else SHORT), "--workers", "2",
                   "--seed", "1", "--phases", "examples,coverage,fuzzing"]
            done = subprocess.run(run, cwd=folder, stdout=subprocess.PIPE, text=True)
            print(re.sub(r"(?s)^.*?(?=={3,} FAILURES|={3,} SUMMARY)", "", done.stdout)[:12_000])
            failed |= done.returncode != 0
            found = re.search(r"(\d+) generated", done.stdout)
            generated = int(found.group(1)) if found else 0
            if generated < (LONG_REQUESTS if long else SHORT_REQUESTS):
                print(f"only {generated} requests were made: that tests too little")
                failed = True
            if process.poll() is not None:
                print(f"flagforge ended with {process.returncode}")
                failed = True
        finally:
            process.kill()
            process.wait()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
