"""A virtual environment of our own, so that nothing is installed into the machine's Python."""

import os
import sys

from .ground import RUN, Failed, command, say

VENV = RUN / "venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
INSTALL_SECONDS = 600


def program(name):
    return BIN / name


def ensure(requirements, *, without_dependencies=False):
    """Installs pinned requirements once; a stamp of what was installed makes a repeat free."""
    stamp = VENV / f"{'+'.join(requirements).replace('=', '-')}.installed"
    if stamp.exists():
        return
    if not program("python").exists():
        say("making a virtual environment")
        command([sys.executable, "-m", "venv", VENV], INSTALL_SECONDS, quiet=True)
    say(f"installing {', '.join(requirements)}")
    words = [program("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if without_dependencies:
        words.append("--no-deps")
    try:
        command(words + list(requirements), INSTALL_SECONDS, quiet=True)
    except Failed as failed:
        raise Failed(f"{failed}\nAre Python's venv module and a package index there?") from failed
    stamp.touch()
