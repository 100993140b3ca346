"""A server over a database file: GET / is its list of things. While a migration goes on it would fail; drover lets nobody in meanwhile."""

import json
import os
import sqlite3
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DB = os.environ["DB"]


def things():
    with sqlite3.connect(DB) as db:
        db.execute("CREATE TABLE IF NOT EXISTS things (name TEXT)")
        return [name for (name,) in db.execute("SELECT name FROM things ORDER BY name")]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        try:
            status, answer = 200, {"pid": os.getpid(), "things": things()}
        except sqlite3.Error as error:
            status, answer = 500, {"pid": os.getpid(), "error": str(error)}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


Server((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
