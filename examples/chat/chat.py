"""A chat over several processes that know nothing of each other but what drover passes on. Standard library and examples/clients/python.

  POST /say    a line, to everybody on every worker
  GET  /wait   the next line, whichever worker it was said on (204 after 25 s of silence)
  GET  /       what was said in the last hour
"""

import http.server
import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients", "python"))
import drover_channel  # noqa: E402

PATIENCE = 25.0  # seconds
HOUR = 3600.0

channel = drover_channel.connect()
news = threading.Condition()
last = None  # the line that was said last, anywhere
heard = 0


def on_said(message):
    """From any worker, this one too: a broadcast reaches all of the pool."""
    global last, heard
    with news:
        last = message["data"]
        heard += 1
        news.notify_all()
    channel.metrics({"heard": heard})


def say(text):
    number = channel.state.incr("said")  # exact over all workers: so numbers are given once
    line = {"number": number, "text": text, "worker": channel.worker}
    if number is None or not channel.state.set(f"line:{number:08}", line, expires=HOUR):
        return None
    channel.send("said", line, broadcast=True)
    return line


def wait():
    with news:
        before = heard
        news.wait_for(lambda: heard != before, PATIENCE)
        return last if heard != before else None


def history():
    lines = channel.state.all("line:") or {}
    return [lines[key] for key in sorted(lines)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):  # the name is the standard library's
        if self.path == "/wait":
            line = wait()
            self.answer(204 if line is None else 200, line)
        else:
            self.answer(200, {"worker": channel.worker, "lines": history()})

    def do_POST(self):
        line = say(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode("utf-8", "replace"))
        self.answer(503 if line is None else 200, line)

    def answer(self, status, value):
        body = b"" if status == 204 else (json.dumps(value, ensure_ascii=False) + "\n").encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


channel.on("said", on_said)
channel.on("count", lambda message: heard)  # drover request chat.1 count
channel.report_every(5)
http.server.ThreadingHTTPServer((os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))), Handler).serve_forever()
