"""A legacy server of the simplest kind: serves one connection to its end, then accepts the next. sequential_worker.py FILE SECONDS

Appends to FILE a JSON line per request, in order, with the times of its arrival and its answer; and a line {"overlap": N} whenever
another connection waits to be accepted although its client has not ended connection N."""

import json
import os
import select
import signal
import socket
import sys
import time

ESTABLISHED = 1


def still_open(sock):
    """The client has not ended this connection: nothing but ESTABLISHED says so."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED


def look_for_overlap(listener, sock, connection, report):
    if select.select([listener], [], [], 0)[0] and still_open(sock):
        report({"overlap": connection})


def serve(listener, sock, connection, report, seconds):
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            select.select([sock, listener], [], [])
            look_for_overlap(listener, sock, connection, report)
            data = sock.recv(65536)
            if not data:
                return
            buffer += data
        head, buffer = buffer.split(b"\r\n\r\n", 1)
        target = head.split(b" ", 2)[1].decode()
        arrived = time.time()
        time.sleep(seconds)  # the work
        look_for_overlap(listener, sock, connection, report)
        report({"target": target, "connection": connection, "arrived": arrived, "answered": time.time()})
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(target), target.encode()))


def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=1024)
    connection = 0
    with open(sys.argv[1], "a", encoding="utf-8") as file:

        def report(line):
            file.write(json.dumps(line) + "\n")
            file.flush()

        while True:
            sock, _ = listener.accept()
            connection += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                serve(listener, sock, connection, report, float(sys.argv[2]))
            except OSError:
                pass
            sock.close()


if __name__ == "__main__":
    main()
