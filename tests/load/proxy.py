"""What stands between a relay and its origin, and may lie."""

import http.client
import http.server
import threading
import time


class Proxy:
    """What stands between a relay and its origin. `lie` takes path, status and body of an answer, and gives another."""

    def __init__(self, origin):
        self.lie, proxy = None, self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.passed_on("GET", None)

            def do_POST(self):
                self.passed_on("POST", self.rfile.read(int(self.headers.get("content-length", 0))))

            def passed_on(self, method, body):
                # No stream of announcements here, so that what is asked is asked by polls.
                if "/stream" in self.path:
                    return self.answer(404, [], b"")
                upstream = http.client.HTTPConnection("127.0.0.1", origin, timeout=30)
                headers = {key: value for key, value in self.headers.items() if key.lower() not in ("host", "content-length", "prefer")}
                if proxy.lie:
                    headers.pop("If-None-Match", None)
                    headers.pop("if-none-match", None)
                upstream.request(method, self.path, body, headers)
                answer = upstream.getresponse()
                status, data = answer.status, answer.read()
                kept = [(key, value) for key, value in answer.getheaders() if key.lower() in ("content-type", "etag")]
                if proxy.lie:
                    told = proxy.lie(self.path, status, data)
                    if told is None:
                        # Nothing, for longer than anybody waits.
                        time.sleep(15)
                        self.close_connection = True
                        return
                    status, data, kept = *told, []
                self.answer(status, kept, data)

            def answer(self, status, headers, data):
                self.send_response(status)
                for key, value in headers:
                    self.send_header(key, value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
