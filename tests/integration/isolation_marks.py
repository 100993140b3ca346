"""What belongs to which exchange: from one mark of 128 bits follow the request, the worker's answer and the stray bytes behind it, each byte."""

import hashlib
import random
from dataclasses import dataclass

# What the worker does with a request; the client reads it as a wish, its target says it.
WHOLE = ("length", "chunked", "until-end", "interim", "none", "not-modified", "stray", "late-stray", "early", "early-close", "leave-once", "reset-once", "switch")
BROKEN = ("cut", "cut-reset", "leave", "early-reset")


def derived(mark, what):
    return hashlib.sha256(f"{what} {mark}".encode()).hexdigest()[:32]


def pattern(mark, size):
    """`size` bytes, the mark in each 40 of them, no two places alike."""
    blocks = b"".join(b"%s.%06x;" % (mark.encode(), n) for n in range(size // 40 + 1))
    return blocks[:size]


@dataclass
class Exchange:
    mark: str
    plan: str
    method: str
    size: int          # of the answer's content
    length: int        # of the request's content
    chunked: bool      # the request's framing
    finished: bool = True   # does the client mean to send it whole?

    @property
    def target(self):
        return f"/{self.mark}/{self.plan}/{self.size}"

    def body(self):
        return pattern(self.mark, self.length)

    def trailer(self):
        return derived(self.mark, "trailer")

    def head(self, framing, own=b""):
        fields = f"{self.method} {self.target} HTTP/1.1\r\nHost: {self.mark}.test\r\nX-Mark: {self.mark}\r\nCookie: m={self.mark}\r\n".encode()
        return fields + framing + own

    def request(self):
        """What the client sends."""
        if self.plan == "switch":
            return self.head(b"Connection: Upgrade\r\nUpgrade: x\r\n\r\n")
        if not self.length:
            return self.head(b"\r\n")
        body = self.body()
        if not self.chunked:
            return self.head(b"Content-Length: %d\r\n\r\n" % len(body)) + body
        return self.head(b"Transfer-Encoding: chunked\r\n\r\n") + chunks(random.Random(self.mark), body, self.trailer())

    def forwarded(self):
        """The head that the worker gets, but for what <steady> takes out."""
        own = (f"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: {self.mark}.test\r\nX-Forwarded-Proto: http\r\nX-Request-ID: <id>\r\n"
               "X-Request-Start: t=<ms>\r\nVia: 1.1 drover\r\n").encode()
        if self.plan == "switch":
            return self.head(b"", own + b"Upgrade: x\r\nConnection: Upgrade\r\n\r\n")
        if self.length and self.chunked:
            return self.head(b"", own + b"Transfer-Encoding: chunked\r\n\r\n")
        return self.head(b"Content-Length: %d\r\n" % self.length if self.length else b"", own + b"\r\n")

    def content(self):
        """The content of the answer."""
        return b"" if self.method == "HEAD" or self.plan in ("none", "not-modified") else pattern(derived(self.mark, "answer"), self.size)

    def tunnel(self):
        """What the client says in the tunnel; the worker says content()."""
        return pattern(derived(self.mark, "tunnel"), self.length)


def chunks(rng, body, trailer):
    parts = []
    while body:
        size = min(len(body), rng.randrange(1, 3000))
        parts.append(b"%x\r\n%s\r\n" % (size, body[:size]))
        body = body[size:]
    return b"".join(parts) + b"0\r\nX-Trailer: " + trailer.encode() + b"\r\n\r\n"


def answer_fields(mark):
    return f"X-Mark: {derived(mark, 'answer')}\r\nSet-Cookie: m={derived(mark, 'answer')}\r\n".encode()


def interim(mark):
    return b"HTTP/1.1 103 Early Hints\r\nX-Mark: " + derived(mark, "interim").encode() + b"\r\n\r\n"


def answer(exchange, chunked):
    """The bytes that the worker sends for it, whole."""
    mark, content, fields = exchange.mark, exchange.content(), answer_fields(exchange.mark)
    if exchange.plan == "switch":
        return b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"Upgrade: x\r\nConnection: Upgrade\r\n\r\n"
    if exchange.plan == "none":
        return b"HTTP/1.1 204 No Content\r\n" + fields + b"\r\n"
    if exchange.plan == "not-modified":
        return b"HTTP/1.1 304 Not Modified\r\n" + fields + b"Content-Length: 99\r\n\r\n"
    if exchange.plan == "until-end":
        return b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n" + content
    if chunked:
        body = b"" if exchange.method == "HEAD" else chunks(random.Random(mark + "answer"), content, derived(mark, "answer-trailer"))
        return b"HTTP/1.1 200 OK\r\n" + fields + b"Transfer-Encoding: chunked\r\n\r\n" + body
    first = interim(mark) if exchange.plan == "interim" else b""
    return first + b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: %d\r\n\r\n" % exchange.size + content


def stray(mark):
    """An answer that nobody asked for."""
    text = pattern(derived(mark, "stray"), 80)
    return b"HTTP/1.1 200 OK\r\nX-Mark: %s\r\nContent-Length: %d\r\n\r\n%s" % (derived(mark, "stray").encode(), len(text), text)
