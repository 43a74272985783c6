"""Terraform on the emulator: finding the provider, applying, destroying, reading outputs."""

import json
import os
import time
from pathlib import Path

from .ground import ROOT, RUN, Failed, command, say

ENVIRONMENT = ROOT / "infra" / "envs" / "local"
DATA = RUN / "terraform"
STATE = RUN / "terraform.tfstate"
VARIABLES = RUN / "terraform.tfvars.json"
CONFIG = RUN / "terraform.rc"

PROVIDER = Path("registry.terraform.io/hashicorp/aws")
MIRROR_VARIABLE = "FLAGFORGE_TERRAFORM_MIRROR"

INIT_SECONDS = 600
APPLY_SECONDS = 900
VALIDATE_SECONDS = 120
# A search of folders for optional software and shared data: bounded, as some hold very much.
SEARCH_FOLDERS = ("/opt", "/usr/local/share", "/usr/share", "/usr/local/lib", "/usr/lib", "/var/lib", "/srv")
SEARCH_DEPTH = 3
SEARCH_SECONDS = 10


def init():
    config = _config()
    DATA.mkdir(parents=True, exist_ok=True)
    # It may name the hashes of another mirror's packages; versions are pinned in main.tf.
    (ENVIRONMENT / ".terraform.lock.hcl").unlink(missing_ok=True)
    say("terraform init")
    _terraform(["init", "-input=false", "-reconfigure"], INIT_SECONDS, config)


def validate(folder):
    """Holds a configuration against the provider's schemas, without a state and without asking anybody."""
    config, data = _config(), RUN / f"terraform-{folder.name}"
    data.mkdir(parents=True, exist_ok=True)
    lock = folder / ".terraform.lock.hcl"
    say(f"terraform validate {folder.relative_to(ROOT)}")
    try:
        _terraform(["init", "-input=false", "-backend=false"], INIT_SECONDS, config, folder, data)
        _terraform(["validate"], VALIDATE_SECONDS, config, folder, data)
    finally:
        lock.unlink(missing_ok=True)


def apply(variables, *, only=None):
    VARIABLES.write_text(json.dumps(variables, indent=2))
    say(f"terraform apply {only or ''}".rstrip())
    words = ["apply", "-input=false", "-auto-approve", f"-var-file={VARIABLES}"]
    _terraform(words + ([f"-target={only}"] if only else []), APPLY_SECONDS)


def destroy():
    if not (STATE.exists() and VARIABLES.exists()):
        return
    say("terraform destroy")
    words = ["destroy", "-input=false", "-auto-approve", f"-var-file={VARIABLES}"]
    _terraform(words, APPLY_SECONDS)


def outputs():
    text = _terraform(["output", "-json"], 60)
    return {name: output["value"] for name, output in json.loads(text).items()}


def resources():
    """Everything that was applied, whichever module made it."""
    return list(_resources(json.loads(_terraform(["show", "-json"], 60))["values"]["root_module"]))


def _resources(module):
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from _resources(child)


def forget():
    """Drops the state of a stack whose emulator is gone."""
    for path in RUN.glob("terraform.tfstate*"):
        path.unlink()


def _terraform(words, seconds, config=None, folder=ENVIRONMENT, data=DATA):
    env = {"TF_DATA_DIR": str(data), "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
    env["TF_CLI_ARGS"] = "-no-color"
    config = config or (CONFIG if CONFIG.exists() else None)
    if config:
        env["TF_CLI_CONFIG_FILE"] = str(config)
    elif not Path(os.environ.get("TF_CLI_CONFIG_FILE", "/")).exists():
        # Terraform warns at every call about a file that does not exist.
        env["TF_CLI_CONFIG_FILE"] = os.devnull
    # Terraform's many lines are shown only when it fails.
    return command(["terraform", *words], seconds, cwd=folder, env=env, quiet=True)


def _config():
    """A CLI configuration that names a folder with the provider; `None` where the machine's own, or the registry, will do."""
    CONFIG.unlink(missing_ok=True)
    theirs = os.environ.get("TF_CLI_CONFIG_FILE")
    if theirs and Path(theirs).is_file():
        return None
    mirror = _mirror()
    if mirror is None:
        return None
    say(f"terraform's provider is in {mirror}")
    CONFIG.write_text(
        "provider_installation {\n"
        f"  filesystem_mirror {{\n    path = {json.dumps(str(mirror))}\n    include = [\"{PROVIDER}\"]\n  }}\n"
        f"  direct {{\n    exclude = [\"{PROVIDER}\"]\n  }}\n"
        "}\n"
    )
    return CONFIG


def _mirror():
    named = os.environ.get(MIRROR_VARIABLE)
    if named:
        if not (Path(named) / PROVIDER).is_dir():
            raise Failed(f"{MIRROR_VARIABLE} names {named}, which holds no {PROVIDER}")
        return Path(named)
    home = Path.home()
    likely = [os.environ.get("TF_PLUGIN_CACHE_DIR")]
    likely += [home / ".terraform.d" / "plugins", home / ".terraform.d" / "plugin-cache"]
    likely += [home / ".local/share/terraform/plugins"]
    for folder in filter(None, likely):
        if (Path(folder) / PROVIDER).is_dir():
            return Path(folder)
    return _search()


def _search():
    until = time.monotonic() + SEARCH_SECONDS
    level = [Path(folder) for folder in SEARCH_FOLDERS]
    for _ in range(SEARCH_DEPTH + 1):
        below = []
        for folder in level:
            if time.monotonic() > until:
                return None
            if (folder / PROVIDER).is_dir():
                return folder
            below += _folders(folder)
        level = below
    return None


def _folders(folder):
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
