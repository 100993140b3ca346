#!/usr/bin/env python3
"""Says who it is: "SLOT PID". Of the slot that TEST_ODD names, answers come as TEST_ODD_WAY says: "slow" or "503".

/public, /private and /max-age answer with such a Cache-Control.
"""

import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOT = os.environ["DROVER_WORKER"]
ODD = os.environ.get("TEST_ODD_WAY", "") if os.environ.get("TEST_ODD") == SLOT else ""
SLOW_SECONDS = 1
CACHE = {"/public": "max-age=60, public", "/private": "private", "/max-age": "max-age=60"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if ODD == "slow":
            time.sleep(SLOW_SECONDS)
        body = f"{SLOT} {os.getpid()}".encode()
        self.send_response(503 if ODD == "503" else 200)
        self.send_header("Content-Length", str(len(body)))
        if self.path in CACHE:
            self.send_header("Cache-Control", CACHE[self.path])
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
