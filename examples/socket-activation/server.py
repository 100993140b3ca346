"""A threaded HTTP server on a socket that somebody else has opened: systemd's protocol, which drover speaks, too. Standard library only.

LISTEN_FDS says how many there are, from descriptor 3 on; LISTEN_PID for which process they are meant, so that a child that inherits the
variables doesn't take them for its own. Without them it opens a port by itself."""

import http.server
import json
import os
import signal
import socket
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # the name is the standard library's
        body = (json.dumps({"message": "Hello from a socket that was there already", "pid": os.getpid(), "path": self.path}) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # what is under way is finished before the process ends

    def __init__(self):
        super().__init__(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Handler, bind_and_activate=False)
        if os.environ.get("LISTEN_PID") == str(os.getpid()) and int(os.environ.get("LISTEN_FDS", "0")) >= 1:
            self.socket.close()
            self.socket = socket.socket(fileno=3)
            self.server_address = self.socket.getsockname()
        else:
            self.server_bind()
            self.server_activate()
        # Several processes wait on one socket: who finds that another was quicker must not wait in accept(), deaf to everything else.
        self.socket.setblocking(False)

    def get_request(self):
        connection, address = super().get_request()
        connection.settimeout(10)  # a client that says nothing must not hold up the end
        return connection, address


def notify(text):
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(text.encode(), "\0" + path[1:] if path.startswith("@") else path)


server = Server()
# Not in the handler itself: shutdown() waits for serve_forever(), which the handler has interrupted.
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
notify("READY=1")
server.serve_forever()
server.server_close()  # waits for the threads
