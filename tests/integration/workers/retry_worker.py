"""A server whose first copy turns bad when the file named on its command line appears: retry_worker.py PORT FILE. What stands in the file says
how: refuse (nobody listens any more), silent (its queue of new connections is full), reset, close (before the first byte of an answer). All
copies write down what they got, a line each, in FILE.got."""

import os
import socket
import struct
import sys
import threading
import time

PORT, FILE = int(sys.argv[1]), sys.argv[2]
FIRST = os.environ["DROVER_WORKER"] == "1"


def listen(backlog):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", PORT))
    server.listen(backlog)
    return server


def mode():
    try:
        with open(FILE, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def serve(client):
    data = b""
    while b"\r\n\r\n" not in data:
        part = client.recv(65536)
        if not part:
            return client.close()
        data += part
    with open(FILE + ".got", "a", encoding="latin-1") as got:
        got.write(f"{os.environ['DROVER_WORKER']} {data.decode('latin-1')!r}\n")
    how = mode() if FIRST else ""
    if how == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif how != "close":
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    return client.close()


def turn_bad(server):
    while mode() not in ("refuse", "silent"):
        time.sleep(0.01)
    if mode() == "silent":  # those that wait are more than it takes, once nobody accepts any more
        falls_silent.set()
        socket.create_connection(("127.0.0.1", PORT))  # for whoever sits in accept()
        silent.wait()
        server.listen(0)
        filling = [socket.socket() for _ in range(8)]
        for each in filling:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", PORT))
        os.rename(FILE, FILE + ".done")
        time.sleep(3600)
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    os.rename(FILE, FILE + ".done")


falls_silent, silent = threading.Event(), threading.Event()
server = listen(64)
if FIRST:
    threading.Thread(target=turn_bad, args=(server,), daemon=True).start()
while True:
    try:
        client, _ = server.accept()
        if falls_silent.is_set():
            silent.set()
            time.sleep(3600)
    except OSError:
        time.sleep(3600)
    threading.Thread(target=serve, args=(client,), daemon=True).start()
