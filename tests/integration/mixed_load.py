"""GET, POST, PUT, uploads, downloads and tunnels at once, each byte of each answer checked against its request."""

import hashlib
import random
import uuid

from load import Clients
from mixed_pattern import pattern
from raw_http import Connection, NoAnswer, Truncated, request

SMALL = 2_000
LARGE = 1_500_000


class Wrong(Exception):
    """Bytes that nobody asked for: the one thing that must never happen."""


def whole(expected, got):
    if got != expected:
        same = next((i for i, (a, b) in enumerate(zip(expected, got)) if a != b), min(len(expected), len(got)))
        raise Wrong(f"{len(got)} bytes instead of {len(expected)}, different from byte {same}: {got[same:same + 60]!r}")


def beginning(expected, got):
    """Of an answer that was visibly cut: what came must be right all the same."""
    whole(expected[:len(got)], got)


class MixedLoad(Clients):
    """`failures`: idempotent requests that failed though no byte of an answer had come."""
    KINDS = ("get", "chunked", "put", "post", "download", "upload", "tunnel")

    def __init__(self, port, clients=2, seed=1):
        self.wrong = []
        super().__init__(port, [(kind, random.Random(f"{seed} {kind} {i}")) for kind in self.KINDS for i in range(clients)])

    def note(self, what):
        with self.lock:
            self.counts[what] += 1

    def run(self, kind, rng):
        while not self.ending.is_set():
            try:
                with Connection(self.port, timeout=30) as connection:
                    for _ in range(rng.randrange(1, 12)):
                        if self.ending.is_set() or not getattr(self, kind)(connection, rng):
                            break
            except Wrong as error:
                self.note("wrong")
                self.wrong.append(f"{kind}: {error}")
            except OSError as error:
                self.failed(kind, repr(error))

    def failed(self, kind, what):
        self.note(f"{kind}-failed")
        if kind in ("get", "chunked", "put", "download"):
            self.failures.append(f"{kind}: {what}")

    def ask(self, connection, kind, data, expected, method="GET"):
        """True: answered and right, and the connection may be used on."""
        try:
            answer = connection.exchange(data, method)
        except NoAnswer:
            self.failed(kind, "the connection ended without an answer")
            return False
        except Truncated as cut:
            if cut.response is None or cut.response.status != 200:
                self.failed(kind, f"the head was cut: {cut}")
            else:
                beginning(expected, cut.response.body)
                self.note(f"{kind}-cut")
            return False
        except OSError as error:
            self.failed(kind, repr(error))
            return False
        if answer.status != 200:
            self.failed(kind, f"{answer}")
            return answer.get("Connection", "").lower() != "close"
        whole(expected, answer.body)
        self.note(f"{kind}-served")
        return answer.get("Connection", "").lower() != "close"

    def fetch(self, connection, kind, path, size):
        ident = uuid.uuid4().hex
        return self.ask(connection, kind, request(target=f"/{path}?{ident}&{size}"), pattern(ident, size))

    def get(self, connection, rng):
        return self.fetch(connection, "get", "get", rng.randrange(SMALL))

    def chunked(self, connection, rng):
        return self.fetch(connection, "chunked", "chunked", rng.randrange(100 * SMALL))

    def download(self, connection, rng):
        return self.fetch(connection, "download", rng.choice(("get", "chunked")), LARGE)

    def send_up(self, connection, kind, method, size):
        ident = uuid.uuid4().hex
        body = pattern(ident, size)
        expected = f"{ident} {hashlib.sha256(body).hexdigest()}".encode()
        return self.ask(connection, kind, request(method, f"/up?{ident}", body=body), expected, method)

    def put(self, connection, rng):
        return self.send_up(connection, "put", "PUT", rng.randrange(1, SMALL))

    def post(self, connection, rng):
        return self.send_up(connection, "post", "POST", rng.randrange(1, SMALL))

    def upload(self, connection, rng):
        return self.send_up(connection, "upload", "POST", rng.randrange(LARGE))

    def tunnel(self, connection, rng):
        ident = uuid.uuid4().hex
        connection.send(request(target=f"/ws?{ident}", headers=[("Connection", "Upgrade"), ("Upgrade", "echo")]))
        expected = f"hello {ident};".encode()
        try:
            if connection.head().status != 101:
                self.note("tunnel-refused")
                return False
            whole(expected, connection.exactly(len(expected)))
            for _ in range(20):
                data = rng.randbytes(rng.randrange(1, 5000))
                connection.send(data)
                whole(data, connection.exactly(len(data)))
        except (Truncated, OSError):
            self.note("tunnel-cut")
            return False
        self.note("tunnel-served")
        return False
