"""Clients of every manner at once, and a judge of both sides: each byte that a client got, and each that a worker got, is of its exchange."""

import collections
import os
import random
import re
import socket
import threading

from conformance_case import steady
from isolation_marks import BROKEN, WHOLE, Exchange, answer_fields, derived, interim, stray
from processes import read
from raw_http import Connection, Truncated

OWN = re.compile(rb"(50[234]) [A-Za-z -]+\n[ -~]*\nrequest ([0-9a-f]{32})\n")
DATE = re.compile(rb"Date: [^\r]*\r\n")
TARGET = re.compile(rb"[A-Z]+ /([0-9a-f]{32})/")
MANNERS = ("orderly",) * 6 + ("cuts-request", "leaves-at-once", "leaves-inside", "resets-inside")


class Wrong(Exception):
    """A byte of somebody else, or one that nobody sent."""


def same(expected, got, where):
    if expected != got:
        at = next((i for i, (a, b) in enumerate(zip(expected, got)) if a != b), min(len(expected), len(got)))
        raise Wrong(f"{where}: {len(got)} bytes for {len(expected)}, different from byte {at}: {got[max(0, at - 20):at + 80]!r} for "
                    f"{expected[max(0, at - 20):at + 80]!r}")


class Isolation:
    """`clients` threads, each with so many connections by its own seeded dice; then wrong, counts."""

    def __init__(self, port, clients, connections, seed):
        self.port, self.connections = port, connections
        self.lock = threading.Lock()
        self.exchanges, self.counts, self.wrong = {}, collections.Counter(), []
        self.strays, self.overtaken = {}, set()
        self.threads = [threading.Thread(target=self.client, args=(random.Random(f"{seed} {n}"),), daemon=True) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def join(self, seconds=150):
        for thread in self.threads:
            thread.join(seconds)
            if thread.is_alive():
                self.accuse("a client hangs")
        return self

    def accuse(self, what):
        with self.lock:
            self.wrong.append(what)

    def note(self, what):
        with self.lock:
            self.counts[what] += 1

    def new(self, rng):
        plan = rng.choice(WHOLE * 2 + BROKEN)
        method = "GET" if plan == "switch" else rng.choice(("GET", "GET", "POST", "PUT", "HEAD"))
        size = rng.choice((0, 1, 100, rng.randrange(20_000), rng.randrange(60_000)))
        length = rng.choice((1, 100, rng.randrange(1, 20_000), rng.randrange(1, 150_000))) if method in ("POST", "PUT") or plan == "switch" else 0
        exchange = Exchange(f"{rng.getrandbits(128):032x}", plan, method, size, length, rng.random() < 0.5)
        with self.lock:
            self.exchanges[exchange.mark] = exchange
            if plan == "late-stray":
                self.strays[derived(exchange.mark, "stray").encode()] = exchange.mark
        return exchange

    def client(self, rng):
        for _ in range(self.connections):
            try:
                with Connection(self.port, timeout=60) as connection:
                    self.connection(rng, connection)
            except Wrong as wrong:
                self.accuse(str(wrong))
            except TimeoutError:
                self.accuse("nothing came for a minute")
            except OSError:
                self.note("ended")
            except Exception as error:  # what can't be read at all is wrong, too
                self.accuse(repr(error))

    def connection(self, rng, connection):
        manner, line = rng.choice(MANNERS), [self.new(rng) for _ in range(rng.randrange(1, 6))]
        if manner != "orderly":
            return self.rude(rng, connection, manner, line)
        if rng.random() < 0.4:  # pipelined
            line = [each for each in line if each.plan != "switch"]
            self.send(rng, connection, b"".join(each.request() for each in line))
            going = True
            for each in line:
                going = going and self.answered(connection, each)
        else:
            going = True
            for each in line:
                if going:
                    self.send(rng, connection, each.request())
                    going = self.answered(connection, each)
        if going:
            connection.sock.shutdown(socket.SHUT_WR)
        same(b"", connection.rest(), f"behind the last answer, {line[-1:]}")
        return None

    def rude(self, rng, connection, manner, line):
        """One that leaves: in the midst of its last request, at once behind it, or in the midst of the answer."""
        each = line[0]
        raw = each.request()
        if manner == "cuts-request":
            each.finished = False
            raw = raw[:rng.randrange(len(raw))]
        self.send(rng, connection, raw)
        if manner.endswith("inside"):
            connection.sock.recv(rng.randrange(1, 2000), socket.MSG_PEEK)
        if manner == "resets-inside" or rng.random() < 0.3:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.note(manner)

    def send(self, rng, connection, data):
        """In pieces; whoever was answered early may find nobody who reads."""
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(4)))
        try:
            for begin, end in zip([0, *cuts], [*cuts, len(data)]):
                connection.send(data[begin:end])
        except (ConnectionResetError, BrokenPipeError):
            pass

    def answered(self, connection, exchange):
        """Reads one answer and compares each byte. False: the connection is at its end."""
        try:
            head = connection.until(b"\r\n\r\n") + b"\r\n\r\n"
            if exchange.plan == "interim" and head.startswith(b"HTTP/1.1 103"):
                same(interim(exchange.mark), head, f"the hints of {exchange}")
                head = connection.until(b"\r\n\r\n") + b"\r\n\r\n"
            status = int(head[9:12])
        except Truncated:
            self.cut(exchange, connection.buffer)
            return False
        if status in (502, 503, 504):
            return self.own_answer(connection, exchange, head)
        going = not head.endswith(b"\r\nConnection: close\r\n\r\n")
        if self.overtook(connection, exchange, head):
            return going
        form = self.framed(exchange, head)
        if exchange.plan == "switch":
            return self.tunnel(connection, exchange)
        try:
            self.content(connection, exchange, form)
        except Truncated:
            self.note("cut")
            return False
        self.note(exchange.plan)
        return going

    def overtook(self, connection, exchange, head):
        """Bytes that a worker sent just when a request came to it: they look like its answer to everybody. The worker must have said so."""
        lines = head.split(b"\r\n")
        owner = self.strays.get(lines[1].removeprefix(b"X-Mark: "))
        if owner is None:
            return False
        expected, _, content = stray(owner).partition(b"\r\n\r\n")
        same(expected + b"\r\n", DATE.sub(b"", head, count=1).replace(b"\r\nConnection: close\r\n\r\n", b"\r\n\r\n")[:-2], f"in the place of {exchange}")
        if exchange.method != "HEAD":
            same(content, connection.exactly(len(content)), f"in the place of {exchange}")
        with self.lock:
            self.overtaken.add((owner, exchange.mark))
        self.note("overtaken")
        return True

    def cut(self, exchange, had):
        """Ended before or inside a head: what came is the beginning of one, ours or drover's."""
        if exchange.plan == "interim":
            had = had.removeprefix(interim(exchange.mark))
        if had and not any(line.startswith(had[:12]) for line in (b"HTTP/1.1 200", b"HTTP/1.1 502", b"HTTP/1.1 103", b"HTTP/1.1 204", b"HTTP/1.1 304")):
            raise Wrong(f"{had[:100]!r} for {exchange}")
        self.note("no-answer")

    def own_answer(self, connection, exchange, head):
        body = connection.exactly(int(re.search(rb"\r\nContent-Length: (\d+)\r\n", head)[1])) if exchange.method != "HEAD" else b""
        ident = re.search(rb"\r\nX-Request-ID: ([0-9a-f]{32})\r\n", head)[1]
        told = OWN.fullmatch(body)
        if b"X-Mark" in head or (body and (told is None or told[2] != ident or told[1] != head[9:12])):
            raise Wrong(f"{head + body!r} for {exchange}")
        self.note(head[9:12].decode())
        return b"\r\nConnection: close\r\n" not in head

    def framed(self, exchange, head):
        """Compares a worker's head; how its content is framed."""
        line = {"none": b"204 No Content", "not-modified": b"304 Not Modified", "switch": b"101 Switching Protocols"}.get(exchange.plan, b"200 OK")
        forms = [b""] if exchange.plan in ("none", "switch") else [b"Content-Length: 99\r\n"] if exchange.plan == "not-modified" else \
            [b"Content-Length: %d\r\n" % exchange.size, b"Transfer-Encoding: chunked\r\n"]
        forms += [b""] if exchange.method == "HEAD" else []
        upgrade = b"Upgrade: x\r\nConnection: Upgrade\r\n" if exchange.plan == "switch" else b""
        plain = DATE.sub(b"", head, count=1).replace(b"\r\nConnection: close\r\n\r\n", b"\r\n\r\n")
        for form in forms:
            if plain == b"HTTP/1.1 " + line + b"\r\n" + answer_fields(exchange.mark) + form + upgrade + b"\r\n":
                return form
        raise Wrong(f"{head!r} for {exchange}")

    def content(self, connection, exchange, form):
        expected, got = exchange.content(), b""
        try:
            if form.startswith(b"Transfer") and exchange.method != "HEAD":
                while size := int(connection.until(b"\r\n"), 16):
                    part = connection.exactly(size + 2)
                    same(expected[len(got):len(got) + size] + b"\r\n", part, f"a chunk of {exchange}")
                    got += part[:-2]
                trailer = connection.until(b"\r\n")
                if trailer:
                    same(b"X-Trailer: " + derived(exchange.mark, "answer-trailer").encode(), trailer, f"the trailer of {exchange}")
                    same(b"\r\n", connection.exactly(2), f"the end of {exchange}")
            else:
                while len(got) < len(expected):
                    part = connection.buffer[:len(expected) - len(got)]
                    connection.buffer = connection.buffer[len(part):]
                    got += part
                    if len(got) < len(expected) and not connection.fill():
                        raise Truncated("inside the content")
        except Truncated:
            same(expected[:len(got)], got, f"the beginning of the content of {exchange}")
            raise
        same(expected, got, f"the content of {exchange}")

    def tunnel(self, connection, exchange):
        sender = threading.Thread(target=self.say, args=(connection, exchange.tunnel()), daemon=True)
        sender.start()
        same(exchange.content(), connection.rest(), f"the tunnel of {exchange}")
        sender.join()
        self.note("switch")
        connection.ended = True
        return False

    @staticmethod
    def say(connection, data):
        try:
            connection.send(data)
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Judge:
    """Reads what the workers wrote down, connection by connection: nothing but requests of ours, each whole but the last."""

    def __init__(self, folder, exchanges, overtaken=frozenset()):
        self.exchanges, self.wrong, self.seen = exchanges, [], collections.Counter()
        told = {tuple(line.split()) for line in read(os.path.join(folder, "overtaken")).decode().splitlines()}
        self.wrong += [f"{exchanges[mark]} has bytes sent behind {exchanges[owner]}" for owner, mark in overtaken - told]
        for name in sorted(os.listdir(folder)):
            if name.endswith(".bin"):
                with open(os.path.join(folder, name), "rb") as file:
                    data = file.read()
                try:
                    while data:
                        data = self.request(data)
                except Wrong as wrong:
                    self.wrong.append(f"{name}: {wrong}")
        for mark, count in self.seen.items():
            if count > 1 and exchanges[mark].method == "POST":
                self.wrong.append(f"{exchanges[mark]} was sent {count} times")

    def request(self, data):
        """Takes one request off; what is left of the connection."""
        mark = TARGET.match(data)
        exchange = self.exchanges.get(mark[1].decode()) if mark else None
        if exchange is None:
            raise Wrong(f"no request of ours: {data[:200]!r}")
        head, _, rest = data.partition(b"\r\n\r\n")
        same(exchange.forwarded(), steady(head + b"\r\n\r\n"), f"the head of {exchange}")
        self.seen[exchange.mark] += 1
        if exchange.plan == "switch":
            same(exchange.tunnel()[:len(rest)], rest, f"the tunnel of {exchange}")
            return b""
        left = self.chunked(exchange, rest) if exchange.length and exchange.chunked else self.counted(exchange, rest)
        if left is None:
            return b""
        if not exchange.finished:
            raise Wrong(f"whole, though its client did not send it whole: {exchange}")
        return left

    @staticmethod
    def counted(exchange, rest):
        body = exchange.body()
        same(body[:len(rest)], rest[:len(body)], f"the content of {exchange}")
        return rest[len(body):] if len(rest) >= len(body) else None

    @staticmethod
    def chunked(exchange, rest):
        body, at = exchange.body(), 0
        while True:
            line, end, behind = rest.partition(b"\r\n")
            if not end:
                return None
            size = int(line, 16)
            if size == 0:
                tail = f"X-Trailer: {exchange.trailer()}\r\n\r\n".encode()
                same(str(len(body)), str(at), f"ends too early: {exchange}")
                same(tail[:len(behind)], behind[:len(tail)], f"the trailer of {exchange}")
                return behind[len(tail):] if len(behind) >= len(tail) else None
            part = behind[:size]
            same(body[at:at + len(part)], part, f"the content of {exchange}")
            same(b"\r\n"[:max(0, len(behind) - size)], behind[size:size + 2], f"the end of a chunk of {exchange}")
            at += size
            if len(behind) < size + 2:
                return None
            rest = behind[size + 2:]
