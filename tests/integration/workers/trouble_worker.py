"""A worker that misbehaves on demand; a thread per connection, kept alive. Listens on $PORT.

/                 200 at once                     /slow?SECONDS     200 after that time
/leak?MIB         keeps that much more memory     /spin?SECONDS     computes, holding up nobody but itself
/hold?SECONDS     200 after that time, in which every other request waits, too
/lock             never answers: waits for a lock that is held for ever; after it every request but /, /pid does
/wedge            never answers, and nothing is accepted or answered from here on: every thread waits
/die?SIGNAL       kills itself (SEGV …)           /exit?CODE        ends
/status?CODE      answers with it                 /pid              its process id
/agent            the text of the file $TROUBLE_AGENT: words of an agent check, or "up"

TROUBLE_NOTIFY="ready" sends READY=1 once it listens, "watchdog" also WATCHDOG=1 each $TROUBLE_BEAT seconds until /silence.
TROUBLE_START: seconds before it listens. TROUBLE_BROKEN: a file; while it exists the worker ends with 7 at its start.
TROUBLE_BAD="SLOT:FILE": while the file exists the worker of that slot answers everything with 502. TROUBLE_BALLAST: MiB held from the start."""

import http.server
import os
import signal
import socket
import socketserver
import sys
import threading
import time

LOCK = threading.Lock()
LOCK.acquire()
HELD = threading.Lock()
KEPT = []
BAD_SLOT, _, BAD_FILE = os.environ.get("TROUBLE_BAD", "").partition(":")
wedged = threading.Event()
silent = threading.Event()
locked = threading.Event()


def notify(text):
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(text.encode(), path.replace("@", "\0", 1))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        path, _, query = self.path.partition("?")
        argument = query.split("&")[0]
        if wedged.is_set() or (locked.is_set() and path not in ("/", "/pid")):
            LOCK.acquire()
        with HELD:
            if path == "/hold":
                time.sleep(float(argument))
        status, body = 200, b"fine\n"
        if BAD_SLOT == os.environ.get("DROVER_WORKER") and os.path.exists(BAD_FILE):
            path, status = "/bad", 502
        if path == "/slow":
            time.sleep(float(argument))
        elif path == "/leak":
            KEPT.append(bytearray(os.urandom(4096)) * (int(argument) * 256))
        elif path == "/spin":
            end = time.monotonic() + float(argument)
            while time.monotonic() < end:
                sum(range(1000))
        elif path == "/lock":
            locked.set()
            LOCK.acquire()
        elif path == "/wedge":
            wedged.set()
            LOCK.acquire()
        elif path == "/die":
            os.kill(os.getpid(), getattr(signal, "SIG" + argument))
            time.sleep(60)
        elif path == "/exit":
            print("last words: asked to end", flush=True)
            os._exit(int(argument))
        elif path == "/status":
            status = int(argument)
        elif path == "/pid":
            body = str(os.getpid()).encode()
        elif path == "/silence":
            silent.set()
        elif path == "/agent":
            try:
                with open(os.environ["TROUBLE_AGENT"], "rb") as file:
                    body = file.read()
            except OSError:
                body = b"up\n"
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_):
        """A client that left is no news."""


def beat():
    while not silent.wait(float(os.environ.get("TROUBLE_BEAT", "0.2"))):
        notify("WATCHDOG=1")


def main():
    if os.path.exists(os.environ.get("TROUBLE_BROKEN", "/nonexistent")):
        print("no database here", file=sys.stderr, flush=True)
        sys.exit(7)
    ballast = int(os.environ.get("TROUBLE_BALLAST", "0"))
    KEPT.append(bytearray(os.urandom(4096)) * (ballast * 256))
    time.sleep(float(os.environ.get("TROUBLE_START", "0")))
    server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    kind = os.environ.get("TROUBLE_NOTIFY")
    if kind:
        notify("READY=1\nSTATUS=at your service")
    if kind == "watchdog":
        threading.Thread(target=beat, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
