"""Every kind of traffic, each answer bound to its request: what comes back can be checked to the byte. mixed_worker.py FOLDER

GET  /get?ID&BYTES        BYTES of ID's own pattern, with Content-Length; /chunked?ID&BYTES the same in chunks
PUT, POST /up?ID          ID and the body's sha256; each execution is a line "METHOD ID" in FOLDER/executed
GET  /ws?ID with Upgrade  101, then each byte comes back, after a greeting "hello ID;"
"""

import hashlib
import http.server
import os
import socketserver
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from mixed_pattern import pattern  # noqa: E402

FOLDER = sys.argv[1]
PIECE = 64 * 1024


def note_execution(line):
    descriptor = os.open(os.path.join(FOLDER, "executed"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, line.encode() + b"\n")
    os.close(descriptor)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        path, _, query = self.path.partition("?")
        ident, _, size = query.partition("&")
        if path == "/ws":
            return self.echo(ident)
        body = pattern(ident, int(size))
        self.send_response(200)
        if path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(body), PIECE):
                piece = body[at:at + PIECE]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def take(self):
        ident = self.path.partition("?")[2]
        left = int(self.headers["Content-Length"])
        digest = hashlib.sha256()
        while left:
            block = self.rfile.read1(min(left, 1 << 20))
            if not block:
                return self.close_connection_now()
            digest.update(block)
            left -= len(block)
        note_execution(f"{self.command} {ident}")
        answer = f"{ident} {digest.hexdigest()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_PUT = take

    def close_connection_now(self):
        self.close_connection = True

    def echo(self, ident):
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        self.wfile.write(b"hello %s;" % ident.encode())
        while data := self.rfile.read1(65536):
            self.wfile.write(data)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # a client that leaves is no news


Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
