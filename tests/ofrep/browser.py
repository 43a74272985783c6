"""The web provider in a real Chromium: a page on one origin, FlagForge on another."""

import http.server
import json
import os
import pathlib
import queue
import shutil
import subprocess
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
NAMES = ["chromium", "chromium-browser", "google-chrome", "chrome"]
CHANGES = 1_000
FLIPS = 6
# What a kill switch may take from the call until the page has it.
WITHIN_SECONDS = 1.0
# Its stream breaks, it comes back by lot within 17 s, and finds nobody maybe, once.
BACK_WITHIN_SECONDS = 60


def found():
    """The browser that `FLAGFORGE_CHROMIUM` names, or the machine has."""
    return os.environ.get("FLAGFORGE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def served(modules, given, told):
    """Serves the page, and hears what it sees."""
    types = {".html": "text/html", ".mjs": "text/javascript", ".js": "text/javascript"}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, body, kind):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            path = self.path.split("?")[0]
            if path == "/given":
                return self.answer(json.dumps(given).encode(), "application/json")
            root, rest = (modules, path[len("/modules/"):]) if path.startswith("/modules/") else (HERE, path[1:])
            file = (root / rest).resolve()
            if file.suffix not in types or not file.is_file():
                return self.send_error(404)
            self.answer(file.read_bytes(), types[file.suffix])

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.put((time.monotonic(), json.loads(body)))
            self.answer(b"", "text/plain")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def run(browser, modules, given, flip, restart):
    """Opens the page; answers the checks that held and those that did not. `flip(on)` throws the switch over REST;
    `restart()` kills the server and starts it again."""
    told = queue.Queue()
    server = served(modules, {**given, "changes": CHANGES}, told)
    profile = tempfile.mkdtemp()
    page = subprocess.Popen(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", f"--user-data-dir={profile}",
         f"http://127.0.0.1:{server.server_port}/page.html"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def hear(wanted, within):
        ends = time.monotonic() + within
        while True:
            at, what = told.get(timeout=max(0.01, ends - time.monotonic()))
            if "thrown" in what:
                raise AssertionError(what["thrown"])
            if wanted(what):
                return at, what

    try:
        hear(lambda what: what.get("seen") is True, 60)
        _, report = hear(lambda what: "changes" in what, 300)
        took = []
        for number in range(FLIPS):
            begun = time.monotonic()
            flip(number % 2 == 1)
            at, _ = hear(lambda what: what.get("seen") is (number % 2 == 1), 10)
            took.append(at - begun)
        # The last flip left it on. What happens while the page is cut off is told when it is back.
        restart()
        begun = time.monotonic()
        flip(False)
        back, _ = hear(lambda what: what.get("seen") is False, BACK_WITHIN_SECONDS)
    except (queue.Empty, AssertionError) as error:
        return [], [f"the page: {error!r}"]
    finally:
        page.kill()
        page.wait()
        server.shutdown()
        shutil.rmtree(profile, ignore_errors=True)
    shown = ", ".join(f"{seconds * 1000:.0f}" for seconds in took)
    print(f"a switch thrown over REST was seen by the page after {shown} ms; {CHANGES} changes of context, "
          f"{report['notModified']} answered with 304, {report['wrong']} wrongly; "
          f"{report['foreign']['same']} of 100 bodies again with their tag 304, under another tenant's key {report['foreign']['notModified']}; "
          f"after a kill -9 and a start the page was told after {back - begun:.1f} s")
    checks = {
        # The machine has others to serve: one may be late.
        "a switch is seen within a second": sorted(took)[-2] < WITHIN_SECONDS,
        "no wrong 304": report["wrong"] == 0,
        "304s at all": report["notModified"] > CHANGES / 10,
        "told after a restart": True,
        "another tenant's tag": report["foreign"]["notModified"] == 0 and report["foreign"]["same"] == 100,
    }
    return [name for name, held in checks.items() if held], [name for name, held in checks.items() if not held]
