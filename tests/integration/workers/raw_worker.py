"""A worker that keeps every byte it gets and answers by script: raw_worker.py FOLDER [PORT] (else $PORT).

FOLDER/PID-N.bin    every byte of connection N of process PID (no file for a connection without a byte)
FOLDER/events       a JSON line per request, appended before it is answered
FOLDER/script.json  {path: [[action, ...], ...]}, read afresh for each request; other paths get a JSON description of the request
"""

import collections
import hashlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from processes import wait_consumed  # noqa: E402

FOLDER = sys.argv[1]


def append(name, data):
    descriptor = os.open(os.path.join(FOLDER, name), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, data)
    os.close(descriptor)


def mark(name):
    append(name, b"")


def wait_for(name):
    while not os.path.exists(os.path.join(FOLDER, name)):
        time.sleep(0.005)


class Closed(Exception):
    pass


class Client:
    """One connection; each action of a script is a method."""

    def __init__(self, sock, number, listener):
        self.sock, self.number, self.listener = sock, number, listener
        self.file = f"{os.getpid()}-{number}.bin"
        self.buffer = b""
        self.body = b""

    def fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise Closed
        append(self.file, data)
        self.buffer += data

    def until(self, end):
        while end not in self.buffer:
            self.fill()
        part, self.buffer = self.buffer.split(end, 1)
        return part

    def exactly(self, count):
        while len(self.buffer) < count:
            self.fill()
        part, self.buffer = self.buffer[:count], self.buffer[count:]
        return part

    def read_head(self):
        head = self.until(b"\r\n\r\n")
        self.head_bytes = len(head) + 4
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        self.headers = [line.split(": ", 1) for line in lines[1:]]
        self.body, self.trailers, self.body_read = b"", [], False

    def header(self, name):
        return ", ".join(value for key, value in self.headers if key.lower() == name)

    def do_body(self):
        """Reads the request's body."""
        if self.body_read:
            return
        self.body_read = True
        if self.header("transfer-encoding").lower() == "chunked":
            while True:
                size = int(self.until(b"\r\n").split(b";")[0], 16)
                if size == 0:
                    break
                self.body += self.exactly(size)
                self.until(b"\r\n")
            while line := self.until(b"\r\n"):
                self.trailers.append(line.decode("latin-1").split(": ", 1))
        else:
            self.body = self.exactly(int(self.header("content-length") or 0))

    def do_send(self, text):
        self.sock.sendall(text.encode("latin-1"))

    def do_repeat(self, count, text):
        data = text.encode("latin-1")
        for _ in range(count):
            self.sock.sendall(data)

    def do_pieces(self, count, text, pause):
        """An answer that takes its time, so that a crash can meet it half-way."""
        for _ in range(count):
            self.do_send(text)
            time.sleep(pause)

    def do_drip(self, text):
        """Sends byte by byte, each only after the last has been read."""
        for byte in text.encode("latin-1"):
            self.sock.sendall(bytes([byte]))
            wait_consumed(self.sock)

    def do_mark(self, name):
        mark(name)

    def do_wait(self, name):
        wait_for(name)

    def do_await(self, name):
        """Until another connection says so: at once, unlike "wait"."""
        EVENTS[name].wait()

    def do_set(self, name):
        EVENTS[name].set()

    def do_mark_if_asked(self, name):
        if select.select([self.sock], [], [], 0)[0]:
            mark(name)

    def do_close(self):
        raise Closed

    def do_leave_once(self, name):
        """The first who comes here leaves a mark and ends the connection without an answer."""
        try:
            os.close(os.open(os.path.join(FOLDER, name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            return
        raise Closed

    def do_reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        raise Closed

    def do_await_end(self, name):
        """Reads until the peer ends the connection, then leaves a mark."""
        try:
            while True:
                self.fill()
        except OSError:
            pass
        except Closed:
            pass
        mark(name)
        raise Closed

    def do_glance(self):
        """Reads what is there already, without waiting for more."""
        self.sock.setblocking(False)
        try:
            self.fill()
        except BlockingIOError:
            pass
        self.sock.setblocking(True)

    def do_flood(self, name):
        """Sends for ever; leaves a mark once the peer has cut the connection."""
        try:
            while True:
                self.sock.sendall(bytes(65536))
        except OSError:
            mark(name)
            raise

    def do_echo(self, last):
        """A tunnel: sends back what comes; after the peer's end of input says `last` and closes."""
        self.sock.sendall(self.buffer)
        while True:
            data = self.sock.recv(65536)
            if not data:
                break
            append(self.file, data)
            self.sock.sendall(data)
        self.sock.sendall(last.encode("latin-1"))
        raise Closed

    def do_unlisten(self):
        """The process lives on, but nobody listens: new connections are refused."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def do_clog(self):
        """Fills the accept queue and stops accepting: further connection attempts are never answered."""
        CLOGGED.set()
        self.listener.listen(0)
        address = self.listener.getsockname()
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            KEPT.append(filler)

    def do_kill(self, number):
        os.kill(os.getpid(), number)

    def do_exit(self, code):
        os._exit(code)

    def do_burn(self, seconds, megabytes):
        """Uses CPU time and keeps memory, then answers."""
        until = time.process_time() + seconds
        KEPT.append(b"m" * (megabytes << 20))
        while time.process_time() < until:
            pass
        self.do_describe()

    def do_describe(self):
        self.do_body()
        answer = json.dumps({
            "method": self.method, "target": self.target, "version": self.version, "headers": self.headers, "trailers": self.trailers,
            "length": len(self.body), "sha": hashlib.sha256(self.body).hexdigest(), "pid": os.getpid(), "connection": self.number,
            "worker": os.environ.get("DROVER_WORKER"), "pool": os.environ.get("DROVER_POOL")}).encode()
        self.respond(answer)

    def respond(self, answer):
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n".encode()
        self.sock.sendall(head if self.method == "HEAD" else head + answer)

    def do_process(self):
        """What the process was given: environment, folder, user, mask, signals, descriptors."""
        umask = os.umask(0)
        os.umask(umask)
        with open("/proc/self/status", encoding="ascii") as status:
            lines = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
        self.respond(json.dumps({
            "environment": dict(os.environ), "folder": os.getcwd(), "umask": umask, "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
            "blocked": lines["SigBlk"], "ignored": lines["SigIgn"], "group": os.getpgid(0), "stdin": os.readlink("/proc/self/fd/0")}).encode())

    def serve(self):
        while True:
            self.read_head()
            append("events", json.dumps({"pid": os.getpid(), "connection": self.number, "method": self.method, "target": self.target,
                                         "bytes": self.head_bytes, "at": time.time()}).encode() + b"\n")
            for action, *arguments in script().get(self.target.split("?")[0], [["describe"]]):
                getattr(self, "do_" + action)(*arguments)
            self.do_body()
            if self.header("connection").lower() == "close":
                raise Closed


def script():
    try:
        with open(os.path.join(FOLDER, "script.json"), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {"/.process": [["process"]]}


def run(client):
    try:
        client.serve()
    except (Closed, OSError):
        pass
    finally:
        client.sock.close()


CLOGGED = threading.Event()
KEPT = []
EVENTS = collections.defaultdict(threading.Event)


def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[2] if len(sys.argv) > 2 else os.environ["PORT"])))
    listener.listen(1024)
    number = 0
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            signal.pause()
            continue
        number += 1
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=run, args=(Client(sock, number, listener),), daemon=True).start()
        if CLOGGED.is_set():
            signal.pause()


if __name__ == "__main__":
    main()
