#!/usr/bin/env python3
"""How much a relay answers over OFREP on this machine, beside a peer that answers the same: a load run, not a test.

    tests/load/load.py                                    the relay alone
    tests/load/load.py --peer unleash-edge                beside Unleash's edge, in turns, in the same run
    tests/load/load.py --seconds 3 --rounds 1             shorter
    tests/load/load.py --plain                            flags that are on for everybody

It needs `wrk` (how much) and `oha` (how long an answer takes at 70 % of what it gets at most). The peer was built by
`cargo install unleash-edge@19.15.1 --no-default-features --locked`, with SWAGGER_UI_DOWNLOAD_URL=file://<the archive in the crate utoipa-swagger-ui-vendored>. Both sides hold the same flags: off for most countries, and
on for half of the users of two, so that every answer depends on who asks; 256 users ask in turns, over 64 connections. The generator runs on
the same processors. Processor time is the server's own, from /proc.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "api"))

from program import ROOT, Api, built_program, free_port, pinned, started  # noqa: E402

USERS = 256
CONNECTIONS = 64
COUNTRIES = ["at", "ch", "de", "fr"]
TICKS = os.sysconf("SC_CLK_TCK")


def name(number):
    return f"checkout-flag-{number:04}"


def user(number):
    return f"user-{number:05}", COUNTRIES[number % len(COUNTRIES)]


def ours_defined(api, org, flags, plain):
    """So many flags; the keys of a relay and of a service that asks."""
    api.call("PUT", f"/v1/orgs/{org}/tenants/acme", {"attributes": {"plan": "gold"}})
    split = {"split": {"unit": "user.key", "salt": "s", "hash": "xxh3", "buckets": 100,
                       "ranges": [{"from": 0, "until": 50, "variant": "on"}, {"from": 50, "until": 100, "variant": "off"}]}}
    test = {"attribute": "user.country", "operator": "one-of", "values": ["de", "at"]}
    state = {"enabled": True, "off": {"variant": "off"}, "fallthrough": {"variant": "off"},
             "rules": [{"id": "half", "serve": split, "when": {"test": test}}]}
    if plain:
        state = {"enabled": True, "off": {"variant": "off"}, "fallthrough": {"variant": "on"}}
    for number in range(flags):
        api.call("PUT", f"/v1/orgs/{org}/flags/{name(number)}", {"class": "release", "type": "boolean", "clientVisible": True})
        api.call("PUT", f"/v1/orgs/{org}/environments/prod/flags/{name(number)}", state)
    relay = api.call("POST", f"/v1/orgs/{org}/keys", {"kind": "relay"})["key"]
    return relay, api.call("POST", f"/v1/orgs/{org}/keys", {"kind": "server", "envs": ["prod"]})["key"]


def theirs_defined(flags, plain):
    constraint = {"contextName": "country", "operator": "IN", "values": ["de", "at"]}
    strategy = {"name": "flexibleRollout", "constraints": [constraint],
                "parameters": {"rollout": "50", "stickiness": "userId", "groupId": "s"}}
    if plain:
        strategy = {"name": "default", "constraints": [], "parameters": {}}
    features = [{"name": name(number), "type": "release", "enabled": True, "strategies": [strategy], "project": "default"}
                for number in range(flags)]
    return {"version": 2, "features": features}


class Server:
    def __init__(self, who, process, base, requests, *beside):
        self.who, self.process, self.base, self.requests, self.beside = who, process, base, requests, beside

    def processor_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident(self):
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith(("VmRSS", "VmHWM"))}

    def stop(self):
        for process in (self.process, *self.beside):
            process.terminate()
            process.wait(30)


def answers(base, check):
    for _ in range(300):
        try:
            if check():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{base} does not answer")


def sent(base, request):
    method, path, headers, body = request
    asked = urllib.request.Request(base + path, body.encode() if body else None, headers, method=method)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return answer.headers, answer.read()


def ours(relay, program, flags, plain, folder):
    """A relay, and what is asked of it: everything, everything again with the tag at hand, and one flag."""
    data, origin, port, log = folder / f"data-{flags}", free_port(), free_port(), open(folder / f"relay-{flags}.log", "w")
    said = folder / f"serve-{flags}.txt"
    with said.open("w") as out:
        control = started(program, data, origin, said=out)
    org = "default"
    api = Api(f"http://127.0.0.1:{origin}", (data / "admin.key").read_text().strip())
    roots = pinned(said)
    relay_key, server_key = ours_defined(api, org, flags, plain)
    connection = f"flagforge+http://{relay_key}@127.0.0.1:{origin}/{org}/prod?roots={roots}"
    environment = {**os.environ, "FLAGFORGE_CONNECTION": connection, "FLAGFORGE_LISTEN": f"127.0.0.1:{port}",
                   "FLAGFORGE_REQUESTS_PER_SECOND_OF_A_KEY": "1000000", "FLAGFORGE_REQUESTS_PER_SECOND_OF_A_TENANT": "1000000"}
    process = subprocess.Popen([relay], env=environment, stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"
    head = {"Authorization": f"Bearer {server_key}", "FlagForge-Tenant": "acme", "Content-Type": "application/json"}
    path = "/ofrep/v1/evaluate/flags"
    bodies = [json.dumps({"context": {"targetingKey": key, "country": country}}) for key, country in map(user, range(USERS))]
    requests = {"all": [("POST", path, head, body) for body in bodies],
                "one": [("POST", f"{path}/{name(7)}", head, body) for body in bodies]}
    answers(base, lambda: sent(base, requests["all"][0]))
    tags = [sent(base, request)[0]["ETag"] for request in requests["all"]]
    requests["same"] = [("POST", path, {**head, "If-None-Match": tag}, body) for tag, body in zip(tags, bodies)]
    return Server("relay", process, base, requests, control)


def theirs(peer, flags, plain, folder):
    """Unleash's edge without an upstream, and the same asked of it."""
    port, file = free_port(), folder / f"features-{flags}.json"
    file.write_text(json.dumps(theirs_defined(flags, plain)))
    token = "default:development.0123456789abcdef"
    log = open(folder / f"peer-{flags}.log", "w")
    command = [peer, "-i", "127.0.0.1", "-p", str(port), "-w", "2", "offline", "-b", file, "-t", token]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"
    head = {"Authorization": token, "Content-Type": "application/json"}
    bodies = [json.dumps({"userId": key, "properties": {"country": country}}) for key, country in map(user, range(USERS))]
    requests = {"all": [("POST", "/api/frontend/all", head, body) for body in bodies],
                "one": [("POST", f"/api/frontend/features/{name(7)}", head, body) for body in bodies]}
    answers(base, lambda: sent(base, requests["all"][0]))
    # It gives no tag to hold: the whole answer again.
    requests["same"] = requests["all"]
    return Server("peer", process, base, requests)


def script(folder, server, what):
    """The requests in turns, as wrk wants them: written once, before it begins."""
    lines = ["local requests = {}"]
    for method, path, headers, body in server.requests[what]:
        table = ", ".join(f"[{json.dumps(key)}] = {lua(value)}" for key, value in headers.items())
        lines.append(f"requests[#requests + 1] = wrk.format({lua(method)}, {lua(path)}, {{{table}}}, {lua(body)})")
    # wrk.format needs the host, which is known in init.
    made = "\n".join(lines[1:])
    text = f"""local requests = {{}}
local turn = 0
function init()
{made}
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
function done(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %d %d %d %d\\n", summary.requests, summary.duration, summary.bytes,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout, summary.errors.status,
    latency:percentile(50), latency:percentile(99), latency.max))
end
"""
    file = folder / f"{server.who}-{what}.lua"
    file.write_text(text)
    return file


def lua(text):
    return "[==[" + text + "]==]"


def pressed(folder, server, what, seconds):
    """As much as it takes, over 64 connections."""
    file, before, began = script(folder, server, what), server.processor_seconds(), time.monotonic()
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", file, server.base]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    took, used = time.monotonic() - began, server.processor_seconds() - before
    line = next(line for line in out.splitlines() if line.startswith("RESULT"))
    requests, micros, size, broken, refused, p50, p99, longest = map(int, line.split()[1:])
    if broken or refused:
        raise SystemExit(f"{server.who} {what}: {broken} broken, {refused} refused")
    return {"rate": requests / micros * 1e6, "bytes": size / requests, "p50": p50 / 1e3, "p99": p99 / 1e3,
            "processors": used / took, "micros": used / requests * 1e6, **server.resident()}


def held(server, what, seconds):
    """How long an answer takes where 70 % are asked for of what this generator gets at most, which itself takes more than wrk: from the
    instant at which it should have been asked for."""
    method, path, headers, body = server.requests[what][0]
    command = ["oha", "--no-tui", "--output-format", "json", "-z", f"{seconds}s", "-c", str(CONNECTIONS), "-m", method, "-d", body,
               "--disable-compression"]
    for key, value in headers.items():
        command += ["-H", f"{key}: {value}"]
    ask = lambda *more: json.loads(subprocess.run([*command, *more, server.base + path], check=True, stdout=subprocess.PIPE, text=True).stdout)
    rate = ask()["summary"]["requestsPerSec"] * 0.7
    out = ask("-q", str(int(rate)), "--latency-correction")
    return {"reached": out["summary"]["requestsPerSec"], "p50": out["latencyPercentiles"]["p50"] * 1e3, "p99": out["latencyPercentiles"]["p99"] * 1e3}


def middle(rows, field):
    return statistics.median(row[field] for row in rows)


def told(flags, what, servers, rounds, seconds, folder):
    titles = {"all": f"all of {flags} flags", "same": f"the same, nothing new, of {flags}", "one": f"one of {flags} flags"}
    found = {server.who: [] for server in servers}
    for _ in range(rounds):
        for server in servers:
            found[server.who].append(pressed(folder, server, what, seconds))
    for server in servers:
        rows = found[server.who]
        rate = middle(rows, "rate")
        late = held(server, what, seconds) if shutil.which("oha") else {"reached": 0, "p50": 0, "p99": 0}
        cells = [titles[what], server.who, f"{rate:,.0f}", f"{middle(rows, 'micros'):.1f}", f"{middle(rows, 'processors'):.2f}", f"{middle(rows, 'p99'):.1f}",
                 f"{late['reached']:,.0f}", f"{late['p50']:.1f}", f"{late['p99']:.1f}", f"{middle(rows, 'bytes'):,.0f}", f"{rows[-1]['VmRSS']:.0f} / {rows[-1]['VmHWM']:.0f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="the program `unleash-edge`")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flags", type=int, nargs="*", default=[100, 1000])
    parser.add_argument("--what", nargs="*", default=["all", "same", "one"])
    parser.add_argument("--plain", action="store_true", help="flags that are on for everybody")
    given = parser.parse_args()
    relay = os.environ.get("FLAGFORGE_RELAY")
    if not relay:
        # As images carry it.
        subprocess.run(["cargo", "build", "--profile", "shipped", "--package", "flagforge-relay"], cwd=ROOT, check=True)
        relay = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "shipped" / "flagforge-relay"
    with tempfile.TemporaryDirectory(prefix="flagforge-load-") as scratch:
        folder, program = pathlib.Path(scratch), built_program(not os.environ.get("FLAGFORGE_CLI"))
        print("| what | of | requests/s | µs of processor each | processors used | p99 ms | at 70 %: requests/s | p50 ms | p99 ms | bytes | MB now / at most |")
        print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
        for flags in given.flags:
            servers = []
            try:
                if given.peer:
                    servers.append(theirs(given.peer, flags, given.plain, folder))
                servers.append(ours(relay, program, flags, given.plain, folder))
                for what in given.what:
                    told(flags, what, servers, given.rounds, given.seconds, folder)
            finally:
                for server in servers:
                    server.stop()


if __name__ == "__main__":
    main()
