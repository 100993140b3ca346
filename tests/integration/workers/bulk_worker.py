"""Large bodies, nothing kept: GET /down?BYTES sends a pattern, POST /up tells length and sha256. bulk_worker.py FOLDER

FOLDER/sent and FOLDER/got hold the bytes passed so far; POST /hold reads on only once FOLDER/go exists; GET /quiet?BYTES is /down."""

import hashlib
import http.server
import os
import socketserver
import sys
import threading
import time

FOLDER = sys.argv[1]
BLOCK = bytes(range(256)) * 1024


def note(name, value):
    new = os.path.join(FOLDER, f"{name}.{threading.get_ident()}")
    with open(new, "w", encoding="ascii") as file:
        file.write(str(value))
    os.replace(new, os.path.join(FOLDER, name))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0

    def do_GET(self):
        path, _, size = self.path.partition("?")
        left = int(size or 0)
        chunked = path == "/chunked"
        self.send_response(200)
        self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(left))))
        self.end_headers()
        sent = 0
        while left:
            block = memoryview(BLOCK)[:min(left, len(BLOCK))]
            if chunked:
                self.connection.sendall(b"%x\r\n%s\r\n" % (len(block), block))
            else:
                self.connection.sendall(block)
            left -= len(block)
            sent += len(block)
            if sent % (len(BLOCK) * 4) == 0:
                note("sent", sent)
        if chunked:
            self.connection.sendall(b"0\r\n\r\n")

    def blocks(self):
        """The request's body, block by block, whichever way it is framed."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            left = int(self.headers["Content-Length"])
            while left:
                block = self.rfile.read1(min(left, 1 << 20))
                if not block:
                    raise ConnectionError("cut short")
                left -= len(block)
                yield block
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b""):
            pass

    def do_POST(self):
        digest, got = hashlib.sha256(), 0
        if self.path == "/hold":
            note("holding", 1)
            while not os.path.exists(os.path.join(FOLDER, "go")):
                time.sleep(0.005)
        for block in self.blocks():
            digest.update(block)
            got += len(block)
        answer = f"{got} {digest.hexdigest()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        """A client that left is no news."""


if __name__ == "__main__":
    Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
