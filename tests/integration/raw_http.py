"""An HTTP/1 client that hides nothing: raw bytes out, every byte of the answer kept, truncation told apart from completion."""

import socket


class Truncated(Exception):
    """The connection ended before the message did; what had arrived is kept."""

    def __init__(self, what, response=None):
        super().__init__(what)
        self.response = response


class NoAnswer(Truncated):
    """The connection ended before one byte of an answer."""


class Response:
    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.head = head
        self.version, status, *reason = lines[0].split(" ", 2)
        self.status = int(status)
        self.reason = reason[0] if reason else ""
        self.headers = [tuple(part.strip() if n else part for n, part in enumerate(line.split(":", 1))) for line in lines[1:] if line]
        self.body = b""
        self.trailers = []
        self.interim = []

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return ", ".join(values) if values else default

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.headers} {len(self.body)} bytes {self.body[:80]!r}>"


class Connection:
    def __init__(self, port, timeout=15, receive_buffer=None):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.ended = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def fill(self):
        """Reads once. False: the peer has ended the connection, orderly or not."""
        if self.ended:
            return False
        try:
            data = self.sock.recv(256 * 1024)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        self.buffer += data
        self.ended = not data
        return bool(data)

    def until(self, mark, response=None):
        while mark not in self.buffer:
            if not self.fill():
                raise Truncated(f"ended before {mark!r}; had {self.buffer[:200]!r}", response)
        part, self.buffer = self.buffer.split(mark, 1)
        return part

    def exactly(self, count, response=None):
        parts, have = [], 0
        while True:
            part = self.buffer[:count - have]
            self.buffer = self.buffer[len(part):]
            parts.append(part)
            have += len(part)
            if have == count:
                return b"".join(parts)
            if not self.fill():
                if response is not None:
                    response.body += b"".join(parts)
                raise Truncated(f"{have} of {count} bytes", response)

    def head(self):
        if not self.buffer and not self.fill():
            raise NoAnswer("closed without an answer")
        return Response(self.until(b"\r\n\r\n"))

    def response(self, method="GET", keep_interim=True):
        """The next final response; 1xx before it are in .interim. Raises Truncated where the message is cut."""
        interim = []
        answer = self.head()
        while keep_interim and 100 <= answer.status < 200 and answer.status != 101:
            interim.append(answer)
            answer = self.head()
        answer.interim = interim
        if method == "HEAD" or answer.status in (101, 204, 304) or answer.status < 200:
            return answer
        if "chunked" in (answer.get("Transfer-Encoding") or "").lower():
            self.chunks(answer)
        elif answer.get("Content-Length") is not None:
            answer.body = self.exactly(int(answer.get("Content-Length")), answer)
        else:
            while self.fill():
                pass
            answer.body, self.buffer = self.buffer, b""
        return answer

    def chunks(self, answer):
        body = bytearray()
        try:
            while size := int(self.until(b"\r\n", answer).split(b";")[0], 16):
                body += self.exactly(size, answer)
                assert self.exactly(2, answer) == b"\r\n", "chunk without its line end"
        finally:
            answer.body = bytes(body) + answer.body  # of a cut chunk, exactly() has kept the part that came
        while True:
            line = self.until(b"\r\n", answer)
            if not line:
                return
            name, value = line.decode("latin-1").split(":", 1)
            answer.trailers.append((name, value.strip()))

    def rest(self):
        """Everything up to the end of the connection: b"" when it was closed and nothing more came."""
        while self.fill():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def exchange(self, data, method="GET"):
        self.send(data)
        return self.response(method)


def request(method="GET", target="/", headers=(), body=b"", host="test", version="1.1", close=False):
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body and not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def fetch(port, method="GET", target="/", headers=(), body=b"", timeout=30, **more):
    """One request on a connection of its own."""
    with Connection(port, timeout) as connection:
        return connection.exchange(request(method, target, headers, body, close=True, **more), method)


def chunked(*parts, trailers=""):
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n" + trailers.encode() + b"\r\n"
