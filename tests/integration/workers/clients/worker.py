"""A worker that does as it is told over HTTP, with the Python client library: a POST's body is an order {"op": …}, its answer JSON. The workers
of the other languages beside it understand the same orders:

  send {type, data, to}     broadcast {type, data}     request {type, data, to, timeout (ms)} → {ok, data, error}
  received → every message for which there is no handler of its own     late → answers that came too late
  report {memory, cpu}      metrics {data}             fork → true if a forked child could send nothing
  close, connected (this one only)
  get {key, value: otherwise}   set {key, value}   delete {key}   all {key: prefix}   incr {key, times} → the last sum
  cas {key, expected, value}    subscribe {key: prefix}     changes → [[key, value, old] …]

and answer requests: echo {data, by}, fail (an error), slow (after `data` ms), ask-back (asks its asker for an echo)."""

import http.server
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ["DROVER_SOURCE"], "examples", "clients", "python"))
import drover_channel  # noqa: E402

RECEIVED, CHANGES = [], []
channel = drover_channel.connect()


def fail(_message):
    raise RuntimeError("not today")


def slow(message):
    time.sleep(message["data"] / 1000)
    return "at last"


def ask_back(message):
    answer = channel.request("echo", "from a handler", to=message["worker"])
    return {"ok": answer.ok, "data": answer.data}


def fork():
    child = os.fork()
    if child == 0:
        os._exit(1 if channel.send("from-a-fork") or channel.state.incr("forked") is not None else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def sockets_of_a_child():
    """What a program that is started finds of the channel: nothing."""
    script = "for fd in /proc/self/fd/*; do readlink $fd; done | grep -c socket; echo ${DROVER_CHANNEL_FD-none}"
    return subprocess.run(["sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
                          text=True).stdout.split()


def incr(key, times):
    last = None
    for _ in range(times):
        last = channel.state.incr(key)
    return last


def execute(order):
    op = order.pop("op")
    if op == "request":
        return channel.request(order["type"], order.get("data"), to=order.get("to"), timeout=order.get("timeout", 5000) / 1000)._asdict()
    absent = drover_channel.ABSENT
    return {
        "send": lambda: channel.send(order["type"], order.get("data"), to=order.get("to")),
        "broadcast": lambda: channel.send(order["type"], order.get("data"), broadcast=True),
        "received": lambda: list(RECEIVED),
        "late": lambda: channel.late,
        "report": lambda: channel.report(order["memory"], order["cpu"]),
        "report_every": lambda: channel.report_every(order["seconds"]),
        "metrics": lambda: channel.metrics(order["data"]),
        "fork": fork,
        "close": channel.close,
        "connected": lambda: channel.connected,
        "sockets_of_a_child": sockets_of_a_child,
        "get": lambda: channel.state.get(order["key"], order.get("value")),
        "set": lambda: channel.state.set(order["key"], order["value"]),
        "delete": lambda: channel.state.delete(order["key"]),
        "all": lambda: channel.state.all(order["key"]),
        "incr": lambda: incr(order["key"], order["times"]),
        "cas": lambda: channel.state.compare_and_set(order["key"], order.get("expected", absent), order.get("value", absent)),
        "subscribe": lambda: channel.state.subscribe(lambda *change: CHANGES.append(change), order["key"]),
        "changes": lambda: list(CHANGES),
    }[op]()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):  # the name is the standard library's
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = json.dumps(execute(json.loads(body)) if body else "fine").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, *_):
        pass


channel.on("*", lambda message: RECEIVED.append(message))
channel.on("echo", lambda message: {"data": message["data"], "by": "python"})
channel.on("fail", fail)
channel.on("slow", slow)
channel.on("ask-back", ask_back)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
