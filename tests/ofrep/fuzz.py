#!/usr/bin/env python3
"""Lets schemathesis loose on OFREP as it is published, against a running `flagforge serve`. Fails on a server error, or on
an answer that OFREP does not allow.

    tests/ofrep/fuzz.py            a short run
    tests/ofrep/fuzz.py --long     50,000 requests or more

OFREP's description is not part of the project: it is read from ofrep/openapi.yaml in the folder that FLAGFORGE_CONFORMANCE
names. Schemathesis comes from PyPI into target/api-tools, once.
"""

import os
import pathlib
import re
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "api"))

import flags  # noqa: E402
from fuzz_tools import tried  # noqa: E402
from program import ROOT, Api, built_program, free_port, started  # noqa: E402

SHORT, SHORT_REQUESTS = 300, 600
LONG, LONG_REQUESTS = 26_000, 50_000
KEYS = ["plain-boolean", "split-number", "own-string", "error-object", "no-such-flag", "flag-\U0001f388"]


def amended(text):
    """OFREP's own schema of a success can be met by no answer with a value: a value fits its type, and `codeDefaultFlag`,
    which asks for nothing, fits beside it, where exactly one may. So one of them, or more, is asked for here."""
    values = r"oneOf:(\s+- \$ref: \"#/components/schemas/booleanFlag\")"
    text, count = re.subn(values, r"anyOf:\1", text)
    if count != 1:
        raise SystemExit("OFREP's description is another one than the one known here")
    # Half of the requests ask for flags that exist, so that they reach further than a 404.
    known = "\n".join(f'              - "{key}"' for key in KEYS)
    path = r"(description: The unique identifier \(key\) of the feature flag\n\s+schema:\n)\s+type: string\n"
    named = rf"\1            anyOf:\n            - enum:\n{known}\n            - type: string\n"
    text, count = re.subn(path, named, text)
    if count != 1:
        raise SystemExit("OFREP's description has no parameter `key` as it is known here")
    return text


def main():
    long = "--long" in sys.argv[1:]
    data = os.environ.get("FLAGFORGE_CONFORMANCE") or ROOT.parent / "shared" / "conformance"
    published = pathlib.Path(data) / "ofrep" / "openapi.yaml"
    if not published.exists():
        print(f"SKIPPED: OFREP's description is not at {published}")
        return
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        schema = pathlib.Path(folder, "openapi.yaml")
        schema.write_text(amended(published.read_text()))
        port, data = free_port(), os.path.join(folder, "data")
        process = started(built_program(long), data, port)
        try:
            base = f"http://127.0.0.1:{port}"
            headers = flags.define(Api(base, pathlib.Path(data, "admin.key").read_text().strip()), "default")["acme as server"]
            bounds = (LONG, LONG_REQUESTS) if long else (SHORT, SHORT_REQUESTS)
            # Of two operations, two workers begin at the same moment and in the same place, where CPython 3.11 now and then fails
            # ("AST constructor recursion depth mismatch").
            failed |= not tried(schema, base, headers, *bounds, workers=1)
            if process.poll() is not None:
                print(f"flagforge ended with {process.returncode}")
                failed = True
        finally:
            process.kill()
            process.wait()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
