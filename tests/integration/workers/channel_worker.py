"""An HTTP server that does with its channel whatever a request asks for; the test speaks to it at its own endpoint.

POST /send          the body, as it is, onto the channel
POST /flood?N       the body again and again, until N bytes are written or the channel breaks; answers at once
GET  /flooded       how many bytes the last flood has written, and whether it is over
GET  /received      all lines that have come, as JSON (a line that is none: as text)
POST /forget        those lines
POST /reading?0     reads the channel no more; ?1: again
POST /descriptor    the body with a descriptor of /dev/null
POST /close         closes the channel
POST /last          the body onto the channel, and ends in the same moment
GET  /environment   what drover has said
"""

import http.server
import json
import os
import socket
import threading

CHANNEL = socket.socket(fileno=int(os.environ["DROVER_CHANNEL_FD"]))
os.set_inheritable(CHANNEL.fileno(), False)
received = []
may_read = threading.Event()
may_read.set()
writing = threading.Lock()
flooded = {"bytes": 0, "over": True}
ECHO = os.environ.get("CHANNEL_ECHO") == "1"


def send(data):
    with writing:
        CHANNEL.sendall(data)


def echo(message):
    """Answers what asks."""
    if isinstance(message, dict) and "id" in message and message.get("type") != "response":
        send(json.dumps({"type": "response", "originalId": message["id"], "data": message.get("data"), "error": None}).encode() + b"\n")


def read_channel():
    rest = b""
    while True:
        may_read.wait()
        try:
            data = CHANNEL.recv(65536)
        except OSError:
            return
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            try:
                received.append(json.loads(line))
            except ValueError:
                received.append(line.decode(errors="replace"))
            if ECHO:
                echo(received[-1])


def flood(body, size):
    piece = body * max(1, 65536 // len(body))
    try:
        while flooded["bytes"] < size:
            send(piece)
            flooded["bytes"] += len(piece)
    except OSError:
        pass
    flooded["over"] = True


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, value=None):
        text = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/received":
            self.answer(list(received))
        elif path == "/flooded":
            self.answer(flooded)
        elif path == "/environment":
            self.answer({name: value for name, value in os.environ.items() if name.startswith(("DROVER_", "NODE_"))})
        else:
            self.answer(os.environ["DROVER_WORKER"])

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, argument = self.path.partition("?")
        if path == "/send":
            send(body)
        elif path == "/flood":
            flooded.update(bytes=0, over=False)
            threading.Thread(target=flood, args=(body, int(argument)), daemon=True).start()
        elif path == "/forget":
            received.clear()
        elif path == "/reading":
            (may_read.set if argument == "1" else may_read.clear)()
        elif path == "/descriptor":
            with open(os.devnull, "rb") as null:
                socket.send_fds(CHANNEL, [body], [null.fileno()])
        elif path == "/close":
            CHANNEL.shutdown(socket.SHUT_RDWR)
            CHANNEL.close()
        elif path == "/last":
            send(body)
            os._exit(3)
        self.answer()


threading.Thread(target=read_channel, daemon=True).start()
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
server.daemon_threads = True
server.serve_forever()
