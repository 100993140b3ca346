"""A server that takes its listening socket from systemd's protocol: LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES. One request at a time, blocking.
/order BODY: appends the body to the file `orders`; /: what it was told."""

import json
import os
import socket
import sys

assert int(os.environ["LISTEN_PID"]) == os.getpid(), os.environ["LISTEN_PID"]
count = int(os.environ["LISTEN_FDS"])
names = os.environ["LISTEN_FDNAMES"].split(":")
assert len(names) == count
listener = socket.socket(fileno=3)
told = {name: os.environ.get(name) for name in ("PORT", "HOST", "SOCKET", "DROVER_CHANNEL_FD", "LISTEN_FDNAMES")}
told["blocking"] = os.get_blocking(3)


def read_request(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return None, b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head.split(b" ")[1].decode(), body


while True:
    connection, _ = listener.accept()
    with connection:
        path, body = read_request(connection)
        if path == "/order":
            with open("orders", "a", encoding="ascii") as file:
                file.write(f"{body.decode()} {os.getpid()}\n")
        elif path == "/exit":
            sys.exit(3)
        answer = json.dumps({"pid": os.getpid(), **told}).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(answer) + answer)
