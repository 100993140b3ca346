"""A small HTTP server with a leak and other bad habits, that tells its supervisor how it is. Standard library only.

  /          leaks LEAK_KIB and answers
  /health    its memory as JSON: drover's probe
  /slow      answers after a second
  /fail      answers 503
  /deadlock  waits for a lock that nobody gives back: the worker hangs
  /crash     dies of SIGABRT with the request inside
"""

import faulthandler
import http.server
import json
import os
import signal
import socket
import sys
import threading
import time

LEAK = int(os.environ.get("LEAK_KIB", "32")) * 1024
WATCHDOG_EVERY = 2.0  # seconds: well within two probe intervals

leaked = []
requests = 0
lock = threading.Lock()  # every answer takes it: who never gives it back stops all of them


def notify(text):
    """One datagram to NOTIFY_SOCKET (sd_notify). Without a supervisor: nothing."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.setblocking(False)  # a supervisor that is busy must not hold us up
        try:
            channel.sendto(text.encode(), "\0" + path[1:] if path.startswith("@") else path)
        except OSError as error:
            print(f"notify: {error}", file=sys.stderr)


def memory():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    disable_nagle_algorithm = True

    def do_GET(self):  # the name is the standard library's
        path = self.path.split("?")[0]
        if path == "/health":
            self.answer(200, {"memory": memory(), "ready": True, "status": f"{requests} requests, {len(leaked)} leaks"})
        elif path == "/fail":
            self.answer(503, {"error": "as asked"})
        elif path == "/crash":
            os.abort()
        elif path == "/deadlock":
            lock.acquire()
            self.work()
        else:
            if path == "/slow":
                time.sleep(1)
            self.work()

    def work(self):
        global requests
        with lock:
            requests += 1
            leaked.append(os.urandom(1) * LEAK)
        self.answer(200, {"message": os.environ.get("GREETING", "Hello"), "worker": os.environ.get("DROVER_WORKER"), "pid": os.getpid(), "memory": memory()})

    def answer(self, status, body):
        data = (json.dumps(body) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """No line for each request: drover keeps the worker's last 20 lines for its obituary, and they should say something."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def watchdog():
    while True:
        time.sleep(WATCHDOG_EVERY)
        notify(f"WATCHDOG=1\nSTATUS={requests} requests, {memory() // 2**20} MiB")


def main():
    faulthandler.register(signal.SIGQUIT, all_threads=True)  # hang.signal: print every thread's stack, go on
    server = Server((os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080"))), Handler)

    def stop(*_):
        notify("STOPPING=1")
        threading.Thread(target=server.shutdown).start()  # not from here: serve_forever() runs in this very thread

    signal.signal(signal.SIGTERM, stop)
    time.sleep(float(os.environ.get("WARM_UP_SECONDS", "0")))  # caches, connections, classes
    print(os.environ.get("BANNER", "no banner"), flush=True)
    threading.Thread(target=watchdog, daemon=True).start()
    notify("READY=1\nSTATUS=warm")
    server.serve_forever(poll_interval=0.1)
    server.server_close()


if __name__ == "__main__":
    main()
