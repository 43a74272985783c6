#!/usr/bin/env python3
"""Holds what runs the relay on Kubernetes against Kubernetes' own schemas, and against the relay: each setting that is set there
is one that it reads, each probe an address that it has, and each port one that it listens on. Nothing is run.

    tests/kubernetes.py

The schemas come from the registry of Python packages into target/kubernetes, once.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASE = ROOT / "infra" / "kubernetes" / "relay"
TOOLS = ROOT / "target" / "kubernetes"
PACKAGES = ["kubernetes-validate==1.35.0", "PyYAML==6.0.3"]
VERSION = "1.34"


def in_its_own_environment():
    if pathlib.Path(sys.prefix) == TOOLS:
        return
    python = TOOLS / "bin" / "python"
    if not list(TOOLS.glob("lib/*/site-packages/kubernetes_validate")):
        subprocess.run([sys.executable, "-m", "venv", TOOLS], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    raise SystemExit(subprocess.run([python, *sys.argv]).returncode)


def faults_of_relay(deployment):
    relay = "".join(path.read_text() for path in (ROOT / "relay" / "src").glob("*.rs"))
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    settings = {entry["name"]: entry.get("value") for entry in container["env"]}
    yield from (f"the relay reads no {name}" for name in settings if f'"{name}"' not in relay)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    listens = {"http": settings.get("FLAGFORGE_LISTEN", ""), "operation": settings.get("FLAGFORGE_OPERATION_LISTEN", "")}
    for name, address in listens.items():
        if not address.endswith(f":{ports[name]}"):
            yield f"it listens on {address} and not on the port `{name}`"
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
        asks = container[probe]["httpGet"]
        if asks["port"] not in ports or f'"{asks["path"]}"' not in relay:
            yield f"the {probe} asks {asks}"
    drains = int(re.search(r"drain_within: Duration::from_secs\((\d+)\)", relay).group(1))
    waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    if pod["terminationGracePeriodSeconds"] <= waits + drains:
        yield f"it is killed before it has drained: {waits} s and {drains} s are to fit"
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    if settings.get("FLAGFORGE_CACHE_DIR") not in mounts:
        yield "its cache is in no volume, and it may write nowhere else"


def main():
    import kubernetes_validate
    import yaml

    documents = {path.name: yaml.safe_load(path.read_text()) for path in BASE.glob("*.yaml")}
    kustomization = documents.pop("kustomization.yaml")
    faults = []
    if sorted(kustomization["resources"]) != sorted(documents):
        faults.append(f"kustomization.yaml lists {kustomization['resources']}, and there are {sorted(documents)}")
    labels = documents["deployment.yaml"]["spec"]["template"]["metadata"]["labels"]
    for name, document in documents.items():
        try:
            kubernetes_validate.validate(document, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            faults.append(f"{name}: {'.'.join(map(str, error.path))}: {error.message}")
        selector = document["spec"].get("selector")
        if selector is not None and not (selector.get("matchLabels", selector)).items() <= labels.items():
            faults.append(f"{name}: it selects {selector}, and pods have {labels}")
    faults.extend(faults_of_relay(documents["deployment.yaml"]))
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(documents)} documents held against Kubernetes {VERSION} and the relay, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    in_its_own_environment()
    raise SystemExit(main())
