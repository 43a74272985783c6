"""Schemathesis: where it is, and how a description is tried with it."""

import re
import subprocess
import sys

from program import ROOT

TOOLS = ROOT / "target" / "api-tools"
VERSION = "4.32.5"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def schemathesis():
    """The program, from PyPI, once."""
    python = TOOLS / "py"
    program = python / "bin" / "schemathesis"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", python], check=True)
        subprocess.run([python / "bin" / "pip", "install", "-q", f"schemathesis=={VERSION}"], check=True)
    return program


def tried(schema, base, headers, examples, least, workers):
    """Tries a description on a server. Whether nothing was wrong, and at least so many requests were made."""
    headers = [part for header in headers.items() for part in ("-H", ": ".join(header))]
    run = [schemathesis(), "run", schema, "--url", base, *headers, "--checks", CHECKS, "--max-examples", str(examples),
           "--workers", str(workers), "--seed", "1", "--phases", "examples,coverage,fuzzing"]
    done = subprocess.run(run, cwd=schema.parent, stdout=subprocess.PIPE, text=True)
    print(re.sub(r"(?s)^.*?(?=={3,} FAILURES|={3,} SUMMARY)", "", done.stdout)[:12_000])
    found = re.search(r"(\d+) generated", done.stdout)
    generated = int(found.group(1)) if found else 0
    if generated < least:
        print(f"only {generated} requests were made: that tests too little")
    return done.returncode == 0 and generated >= least
