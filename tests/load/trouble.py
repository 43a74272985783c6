#!/usr/bin/env python3
"""What a relay answers in trouble: a run of some minutes, which ends at the first answer that is not what it should be.

    tests/load/trouble.py                all of it
    tests/load/trouble.py dark lying     these

    dark     its origin is gone; it is killed (SIGKILL) and begins again without one; the origin comes back
    lying    its origin answers with changed bytes, garbage, an earlier root, errors, silence
    disk     its cache's disk is full, and has room again
    clock    its clock is set ten minutes forward and back                                        (needs libfaketime)
    names    the name of its origin is no longer found, and is again                              (needs root: a mount of its own)
    gone     those who listen are there no more, and nothing says so                              (needs root: a network of its own)

Through all of it, it has to answer the last good configuration and how old that is, to say in /metrics that it is not current, and to
be current again by itself. What cannot be run on this machine is said to be skipped.
"""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "api"))

from proxy import Proxy  # noqa: E402
from program import ROOT, Api, built_program, free_port, pinned, started  # noqa: E402

FLAG = "/v1/orgs/default/environments/prod/flags/f"
FAKETIME = [pathlib.Path(folder) / "libfaketime.so.1" for folder in ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime")]
# The address of those who are there no more, and how many they are.
AWAY, LISTENERS, INSIDE = "10.9.0.9", 20, "FLAGFORGE_TROUBLE_INSIDE"
# A relay polls every 30 s, and waits longer after failures.
PATIENCE = 120
# What an answer's age may differ from what it should be: a poll, and a busy machine.
AGE_SLACK = 40


class Skipped(Exception):
    pass


class World:
    """`flagforge serve`, a proxy, and a relay behind it."""

    def __init__(self, program, relay, folder):
        self.program, self.binary, self.folder = program, relay, folder
        self.origin, self.listen, self.operation = free_port(), free_port(), free_port()
        self.cache, self.process, self.control = folder / "cache", None, None
        self.cache.mkdir()
        self.begin_control()
        self.roots = pinned(folder / "serve.txt")
        self.api = Api(f"http://127.0.0.1:{self.origin}", (folder / "data" / "admin.key").read_text().strip())
        self.api.call("PUT", "/v1/orgs/default/flags/f", {"class": "release", "type": "boolean"})
        self.key = self.api.call("POST", "/v1/orgs/default/keys", {"kind": "server", "envs": ["prod"]})["key"]
        self.relay_key = self.api.call("POST", "/v1/orgs/default/keys", {"kind": "relay"})["key"]
        self.proxy = Proxy(self.origin)

    def begin_control(self):
        with (self.folder / "serve.txt").open("a") as out:
            self.control = started(self.program, self.folder / "data", self.origin, said=out)

    def end_control(self):
        self.control.kill()
        self.control.wait(10)

    def begin(self, port, host="127.0.0.1", before=(), **more):
        connection = f"flagforge+http://{self.relay_key}@{host}:{port}/default/prod?roots={self.roots}"
        environment = {**os.environ, "FLAGFORGE_CONNECTION": connection, "FLAGFORGE_LISTEN": f"127.0.0.1:{self.listen}", "FLAGFORGE_CACHE_DIR": str(self.cache),
                       "FLAGFORGE_OPERATION_LISTEN": f"127.0.0.1:{self.operation}", **more}
        log = (self.folder / "relay.log").open("a")
        self.process = subprocess.Popen([*before, self.binary], env=environment, stdout=log, stderr=log)

    def end(self):
        if self.process:
            self.process.kill()
            self.process.wait(10)

    def turn(self, on):
        self.api.call("POST", f"{FLAG}/{'enable' if on else 'kill'}")

    def asked(self):
        head = {"Authorization": f"Bearer {self.key}", "FlagForge-Tenant": "acme", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.listen}/ofrep/v1/evaluate/flags/f", b'{"context":{}}', head)
        with urllib.request.urlopen(request, timeout=5) as answer:
            told = json.loads(answer.read())
        return told["value"], told["metadata"]["ageSeconds"]

    def measured(self, name, labels=True):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.operation}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        labels = r"\{[^}]*\}" if labels else ""
        return float(re.search(rf"^flagforge_relay_{name}{labels} (\S+)$", text, re.MULTILINE)[1])

    def sees(self, value, what, age=AGE_SLACK):
        """Waits until it answers this, and no older than so."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                told = self.asked()
                if told[0] is value and told[1] <= age:
                    return
            except (OSError, urllib.error.URLError) as error:
                told = error
            if time.monotonic() > until:
                raise SystemExit(f"{what}: {value} was to be answered, and it is {told}\n{(self.folder / 'relay.log').read_text()[-3000:]}")
            time.sleep(0.5)

    def holds(self, value, seconds, what, since, aged=True):
        """For so long every answer is this one, as old as it says, and nobody is told that it is current."""
        until, answers = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            told, age = self.asked()
            really = time.monotonic() - since
            if told is not value or (aged and abs(age - really) > AGE_SLACK):
                raise SystemExit(f"{what}: {told} of {age} s was answered, and {value} of {really:.0f} s was good")
            answers += 1
            time.sleep(0.2)
        return answers


def dark(world):
    world.turn(True)
    world.begin(world.origin)
    world.sees(True, "at the start")
    since = time.monotonic()
    world.end_control()
    answers = world.holds(True, 60, "without an origin", since)
    if world.measured("ready") != 0:
        raise SystemExit("without an origin it calls itself current")
    world.end()
    world.begin(world.origin)
    world.sees(True, "from its cache", age=time.monotonic() - since + AGE_SLACK)
    answers += world.holds(True, 20, "from its cache", since)
    world.begin_control()
    world.turn(False)
    began = time.monotonic()
    world.sees(False, "with its origin again")
    return f"{answers} answers without an origin, 20 s of them by a new process from its cache; current {time.monotonic() - began:.0f} s after the origin was back"


def lying(world):
    world.turn(True)
    world.begin(world.proxy.port)
    world.sees(True, "at the start")
    path = "/data/v1/default/prod/relay"
    head = {"Authorization": f"Bearer {world.relay_key}"}
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{world.origin}{path}", headers=head)) as answer:
        earlier = answer.read()
    world.turn(False)
    world.sees(False, "after a change")
    is_root = lambda path: path.split("?")[0].rsplit("/", 1)[1] in ("relay", "environment")
    flipped = lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    lies = {
        "changed bytes of roots": lambda path, status, data: (status, flipped(data) if is_root(path) else data),
        "an earlier root": lambda path, status, data: (status, earlier if is_root(path) else data),
        "garbage": lambda path, status, data: (200, b"<html>maintenance</html>"),
        "errors": lambda path, status, data: (503, b""),
        "silence": lambda path, status, data: None,
    }
    told = []
    for name, lie in lies.items():
        since, world.proxy.lie = time.monotonic(), lie
        world.turn(True)
        answers = world.holds(False, 60, name, since)
        if world.measured("ready") != 0:
            raise SystemExit(f"{name}: it calls itself current\n{(world.folder / 'relay.log').read_text()[-6000:]}")
        world.proxy.lie, began = None, time.monotonic()
        world.sees(True, f"after {name}")
        told.append(f"{name}: {answers} answers, current {time.monotonic() - began:.0f} s after it")
        world.turn(False)
        world.sees(False, "after a change")
    return "; ".join(told)


def disk(world):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", world.cache], stderr=subprocess.DEVNULL)
    if mounted.returncode != 0:
        raise Skipped("a small file system cannot be mounted")
    filler = world.cache / "filler"
    try:
        world.turn(True)
        world.begin(world.origin)
        world.sees(True, "at the start")
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 512):
                    pass
            except OSError:
                pass
        for on in (False, True, False):
            world.turn(on)
            world.sees(on, "with a full disk")
        # What it began to write is no good, and what was there before is.
        world.end()
        world.end_control()
        world.begin(world.origin)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                kept = world.asked()[0]
                break
            except (OSError, urllib.error.URLError):
                time.sleep(0.5)
        else:
            raise SystemExit("a relay does not begin from the cache of a full disk")
        world.begin_control()
        world.sees(False, "with its origin again")
        filler.unlink()
        world.turn(True)
        world.sees(True, "with room again")
        # It writes at a change, and when what it has was confirmed.
        time.sleep(35)
        world.end_control()
        world.end()
        world.begin(world.origin)
        world.sees(True, "from the cache that has room again", age=PATIENCE)
        world.begin_control()
        return f"changes arrived with a full disk; a new process began from it without its origin (with {kept}, an earlier good configuration); with room again the newest was kept"
    finally:
        world.end()
        subprocess.run(["umount", "-l", world.cache], check=False)


def clock(world):
    library = next((path for path in FAKETIME if path.exists()), None)
    if not library:
        raise Skipped("libfaketime is not installed")
    setting = world.folder / "clock"
    setting.write_text("+0")
    world.turn(True)
    world.begin(world.origin, LD_PRELOAD=str(library), FAKETIME_TIMESTAMP_FILE=str(setting), FAKETIME_NO_CACHE="1", DONT_FAKE_MONOTONIC="1")
    world.sees(True, "at the start")
    for name, jump, on in (("ten minutes forward", "+600", False), ("back", "+0", True), ("ten minutes back", "-600", False), ("forward again", "+0", True)):
        setting.write_text(jump)
        world.holds(not on, 5, name, time.monotonic(), aged=False)
        world.turn(on)
        world.sees(on, name)
    return "ten minutes forward, back, ten minutes back and forward again: every answer was good, changes arrived, and the age was small again after each"


def names(world):
    hosts = world.folder / "hosts"
    there, gone = f"127.0.0.1 localhost\n127.0.0.1 origin.flagforge.test\n", "127.0.0.1 localhost\n"
    hosts.write_text(there)
    script = 'mount --bind "$0" /etc/hosts && exec "$@"'
    if subprocess.run(["unshare", "-m", "sh", "-c", script, hosts, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        raise Skipped("no mounts of its own for a process")
    world.turn(True)
    world.begin(world.origin, host="origin.flagforge.test", before=["unshare", "-m", "sh", "-c", script, hosts])
    world.sees(True, "at the start")
    # The file stays the same one, or the mount would not see it.
    hosts.write_text(gone)
    since = time.monotonic()
    world.end_control()
    world.begin_control()
    world.turn(False)
    answers = world.holds(True, 60, "without names", since)
    hosts.write_text(there)
    began = time.monotonic()
    world.sees(False, "with names again")
    return f"{answers} answers without names; current {time.monotonic() - began:.0f} s after there were names again"


def gone(world):
    """Run again in a network of its own, whose only interface is its loopback. There those who listen have an address that can be taken
    away: what is sent to them vanishes, and nothing comes back."""
    network = f"ip link set lo up && ip addr add {AWAY}/32 dev lo && exec \"$@\""
    if os.environ.get(INSIDE) is None:
        if subprocess.run(["unshare", "-n", "sh", "-c", network, "sh", "true"], stderr=subprocess.DEVNULL).returncode != 0:
            raise Skipped("no network of its own for a process")
        again = ["unshare", "-n", "sh", "-c", network, "sh", sys.executable, __file__, "gone"]
        told = subprocess.run(again, env={**os.environ, INSIDE: "yes"}, check=True, stdout=subprocess.PIPE, text=True).stdout
        return re.search(r"\| gone \| (.*) \|", told)[1]
    world.turn(True)
    world.begin(world.origin)
    world.sees(True, "at the start")
    head = {"Authorization": f"Bearer {world.key}", "FlagForge-Tenant": "acme", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{world.listen}/ofrep/v1/evaluate/flags", b'{"context":{}}', head)
    with urllib.request.urlopen(request, timeout=5) as answer:
        path = json.loads(answer.read())["eventStreams"][0]["endpoint"]["requestUri"]
    listeners = []
    for _ in range(LISTENERS):
        listener = socket.create_connection(("127.0.0.1", world.listen), 5, (AWAY, 0))
        listener.sendall(f"GET {path} HTTP/1.1\r\nhost: relay\r\n\r\n".encode())
        if not listener.recv(12).endswith(b"200"):
            raise SystemExit("a stream was refused")
        listeners.append(listener)
    open_streams = lambda: world.measured("streams", labels=False)
    if open_streams() != LISTENERS:
        raise SystemExit(f"{open_streams()} streams are open, and not {LISTENERS}")
    subprocess.run(["ip", "addr", "del", f"{AWAY}/32", "dev", "lo"], check=True)
    subprocess.run(["ip", "route", "add", "blackhole", f"{AWAY}/32"], check=True)
    began = time.monotonic()
    while open_streams() > 0:
        if time.monotonic() - began > PATIENCE:
            raise SystemExit(f"{open_streams()} streams are held for listeners that are gone")
        time.sleep(0.5)
    took = time.monotonic() - began
    world.sees(True, "after they were gone")
    return f"{LISTENERS} streams whose listeners vanished without a word were given up {took:.0f} s later"


TROUBLES = {"dark": dark, "lying": lying, "disk": disk, "clock": clock, "names": names, "gone": gone}


def main():
    chosen = sys.argv[1:] or list(TROUBLES)
    if any(word not in TROUBLES for word in chosen):
        raise SystemExit(__doc__)
    relay = os.environ.get("FLAGFORGE_RELAY")
    if not relay:
        subprocess.run(["cargo", "build", "--release", "--package", "flagforge-relay"], cwd=ROOT, check=True)
        relay = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "flagforge-relay"
    program = built_program(not os.environ.get("FLAGFORGE_CLI"))
    print("| trouble | result |\n|---|---|", flush=True)
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="flagforge-trouble-") as scratch:
            world = World(program, relay, pathlib.Path(scratch))
            try:
                print(f"| {name} | {TROUBLES[name](world)} |", flush=True)
            except Skipped as why:
                print(f"| {name} | SKIPPED: {why} |", flush=True)
            finally:
                world.end()
                world.end_control()


if __name__ == "__main__":
    main()
