"""Building the functions, in one pass, as zips that Terraform uploads."""

import os
import platform
import shutil

from . import emulator, venv
from .ground import PACKAGES, ROOT, Failed, command, say

CARGO_LAMBDA = "cargo-lambda==1.9.2"
# The compiler that links for Lambda's glibc from any machine; a hundred megabytes.
ZIG = "ziglang==0.17.0"
BUILD_SECONDS = 2400

NAMES = tuple(sorted(path.parent.name for path in ROOT.glob("functions/*/Cargo.toml")))


def architecture():
    """Terraform's word for what this machine's functions are built for."""
    return "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"


def build(*, release=False):
    """Builds all functions with one call of cargo, so that what they share is built once.

    For the emulator that is cargo's `dev` profile, and, where functions run as processes of this machine, this
    machine's own linker: so `cargo test --target <triple>` in the same target folder shares every crate of the AWS SDK.
    """
    native = emulator.runs_functions_natively() and platform.system() == "Linux" and not release
    compiler = "cargo" if native else "cargo-zigbuild"
    words = _cargo_lambda(with_zig=not native)
    words += ["build", "--locked", "--compiler", compiler, "--output-format", "zip"]
    words += ["--lambda-dir", PACKAGES]
    words += ["--arm64"] if architecture() == "arm64" else ["--x86-64"]
    words += ["--release"] if release else []
    for name in NAMES:
        words += ["--package", name]
    say(f"building {', '.join(NAMES)} ({'release' if release else 'dev'}, {compiler})")
    path = f"{venv.BIN}{os.pathsep}{os.environ['PATH']}"
    command(words, BUILD_SECONDS, env={"PATH": path})
    for name in NAMES:
        package = PACKAGES / name / "bootstrap.zip"
        if not package.is_file():
            raise Failed(f"cargo lambda did not write {package}")
        say(f"{name}: {package.stat().st_size / 1e6:.1f} MB")


def _cargo_lambda(*, with_zig):
    if shutil.which("cargo-lambda"):
        return ["cargo", "lambda"]
    # Without its dependencies, which are zig: a build with this machine's linker does not use it.
    venv.ensure((CARGO_LAMBDA,), without_dependencies=True)
    if with_zig:
        venv.ensure((ZIG,))
    return ["cargo", "lambda"]
