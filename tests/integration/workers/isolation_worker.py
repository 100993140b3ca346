"""A worker that does what the target says (isolation_marks.py) and keeps every byte it gets: isolation_worker.py FOLDER PORT [answer|record].

FOLDER/PID-N.bin  every byte of connection N; FOLDER/once-MARK: that exchange was left once already
FOLDER/overtaken  MARK MARK: behind an answer stray bytes were sent on an idle connection, and the request that then came on it
answer, record    lies now and then, to prove that it is noticed: gives another exchange's answer, writes down another one's body
"""

import os
import random
import select
import signal
import socket
import sys
import threading
from dataclasses import replace

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from isolation_marks import Exchange, answer, derived, stray  # noqa: E402

FOLDER, LIE = sys.argv[1], sys.argv[3] if len(sys.argv) > 3 else ""
EVERY = 5  # one in so many is a lie


class Ended(Exception):
    pass


class Talk:
    last = None  # the exchange before, of any connection
    count = 0

    def __init__(self, sock, number):
        self.sock, self.buffer = sock, b""
        self.file = open(os.path.join(FOLDER, f"{os.getpid()}-{number}.bin"), "wb", buffering=0)

    def fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise Ended
        if LIE == "record" and Talk.last and len(data) > 2000 and self.now():
            self.file.write(data[:1000] + Talk.last.mark.encode() + data[1032:])
        else:
            self.file.write(data)
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self.fill()
        part, self.buffer = self.buffer.split(mark, 1)
        return part

    def skip(self, count):
        while len(self.buffer) < count:
            count -= len(self.buffer)
            self.buffer = b""
            self.fill()
        self.buffer = self.buffer[count:]

    def read_head(self):
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        _, mark, plan, size = target.split("/")
        return Exchange(mark, plan, method, int(size), int(fields.get("content-length", 0)), "transfer-encoding" in fields)

    def read_body(self, exchange):
        if not exchange.chunked:
            return self.skip(exchange.length)
        while size := int(self.until(b"\r\n"), 16):
            self.skip(size + 2)
        while self.until(b"\r\n"):
            pass
        return None

    def end(self, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        raise Ended

    def first_time(self, exchange):
        try:
            os.close(os.open(os.path.join(FOLDER, f"once-{exchange.mark}"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            return False
        return True

    def tunnel(self, exchange):
        data = answer(exchange, False) + exchange.content()
        self.sock.sendall(data)
        self.sock.shutdown(socket.SHUT_WR)
        while True:
            self.fill()

    def serve(self):
        while True:
            exchange = self.read_head()
            rng, plan = random.Random(derived(exchange.mark, "worker")), exchange.plan
            if plan == "switch":
                self.tunnel(exchange)
            data = self.words(exchange, plan == "chunked" or (plan.startswith("cut") and rng.random() < 0.5))
            if plan.startswith("early"):
                self.sock.sendall(data)
            if plan in ("early-close", "early-reset"):
                self.end(plan == "early-reset")
            if plan not in ("leave-once", "reset-once", "leave") or rng.random() < 0.5:
                self.read_body(exchange)
            if plan == "leave" or (plan in ("leave-once", "reset-once") and self.first_time(exchange)):
                self.end(plan == "reset-once")
            if plan.startswith("cut"):
                self.sock.sendall(data[:rng.randrange(len(data))])
                self.end(plan == "cut-reset")
            if not plan.startswith("early"):
                self.sock.sendall(data + (stray(exchange.mark) if plan == "stray" else b""))
            if plan == "until-end":
                self.end()
            if plan == "late-stray" and not select.select([self.sock], [], [], rng.random() / 200)[0]:
                self.sock.sendall(stray(exchange.mark))
                self.note(f"{exchange.mark} {self.read_head().mark}")  # nobody can tell these bytes from its answer any more
                self.end()

    @staticmethod
    def note(line):
        descriptor = os.open(os.path.join(FOLDER, "overtaken"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(descriptor, line.encode() + b"\n")
        os.close(descriptor)

    def words(self, exchange, chunked):
        other, Talk.last = Talk.last, exchange
        if LIE == "answer" and other is not None and exchange.plan == "length" and self.now():
            return answer(replace(exchange, mark=other.mark), chunked)
        return answer(exchange, chunked)

    @staticmethod
    def now():
        Talk.count += 1
        return Talk.count % EVERY == 0


def run(talk):
    try:
        talk.serve()
    except (Ended, OSError):
        pass
    finally:
        talk.sock.close()
        talk.file.close()


def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    listener = socket.create_server(("127.0.0.1", int(sys.argv[2])), backlog=1024)
    number = 0
    while True:
        sock, _ = listener.accept()
        number += 1
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=run, args=(Talk(sock, number),), daemon=True).start()


if __name__ == "__main__":
    main()
