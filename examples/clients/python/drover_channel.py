"""The channel between a Python program and drover, in one file; standard library only, Python 3.7 or later.

    import drover_channel
    channel = drover_channel.connect()         # always gives one; without drover it does nothing

    channel.ready()                            # for pools with ready.notify
    channel.report_every(5)                    # memory and CPU of this process, from now on
    channel.metrics({"orders": 17})            # drover_worker_reported{pool,worker,name="orders"}

    channel.send("news", {"text": "hi"}, to=3)             # to worker 3 of this pool; "shop.3", "shop" (all of it)
    channel.send("news", {"text": "hi"}, broadcast=True)   # to all of this pool, this one too
    channel.on("price", lambda message: prices[message["data"]["item"]])    # what it returns is the response
    answer = channel.request("price", {"item": "tea"}, to=2, timeout=2.0)
    if answer: use(answer.data)
    else: log(answer.error)

    channel.state.set("rate", 1.25, expires=60.0)
    channel.state.get("rate", default=1.0)
    channel.state.incr("visits")               # the sum, exact over all workers of the pool
    channel.state.subscribe(lambda key, value, old: ..., prefix="cart:")

Nothing here raises because drover is not there, goes away or does not answer: what can't be sent is False, a request gives an Answer that
says why, state calls give their default, False or None, and the reason is logged to the logger "drover". Wrong use raises (TypeError,
ValueError): a value that is no JSON, say.

Threads. Any thread may call anything. One thread reads and writes the channel, so that no call waits for drover except those that want an
answer. Handlers run one after another on a second thread: they may call everything here; what takes long belongs elsewhere. Set them
right after connect(): a message that comes before its handler is not kept.

Processes. A channel belongs to the process that called connect(): the descriptor is closed on exec and DROVER_CHANNEL_FD is taken out of the
environment, so that programs it starts know nothing of it. In a child made by fork() it does nothing. A server that forks its own workers
(gunicorn, uWSGI) should call connect() in one of these processes only: the channel is one stream, and two readers would tear its lines apart.
"""

import collections
import json
import logging
import math
import os
import queue
import select
import socket
import threading
import time

MAX_LINE = 1 << 20  # drover throws longer ones away
MAX_READ = 2 << 20  # what drover passes on is a little longer than what was sent
MAX_OUTBOX = 4 << 20  # bytes that wait while drover does not read; more is not taken
MAX_WAITING = 1000  # requests without an answer yet, and messages that wait for their handler
ABSENT = object()  # for compare_and_set: no value

log = logging.getLogger("drover")


class Answer(collections.namedtuple("Answer", "ok data error")):
    """Of a request. True if it was answered without error; else `error` says what is wrong, in words or as the other worker sent it."""

    __slots__ = ()

    def __bool__(self):
        return self.ok


class _Waiter:
    def __init__(self):
        self.done = threading.Event()
        self.answer = None

    def end(self, answer):
        self.answer = answer
        self.done.set()


class Channel:
    """Made by connect()."""

    def __init__(self, sock=None):
        self.worker = f"{os.environ.get('DROVER_POOL', '')}.{os.environ.get('DROVER_WORKER', '')}" if sock else ""  # "shop.3"
        self.late = 0  # answers that came after their time
        self.state = State(self)
        self._lock = threading.Lock()  # guards _socket, _outbox, _outbox_bytes, _waiting, _number
        self._socket = sock
        self._outbox = collections.deque()
        self._outbox_bytes = 0
        self._waiting = {}
        self._number = 0
        self._parts, self._length, self._skipping = [], 0, False  # the line that is being read
        self._handlers = {}
        self._tasks = queue.Queue(MAX_WAITING)
        self._report_every, self._report_next, self._cpu = None, 0.0, (0.0, 0.0)
        if sock:
            self._wake_in, self._wake_out = socket.socketpair()
            self._wake_out.setblocking(False)
            threading.Thread(target=self._run, name="drover channel", daemon=True).start()
            threading.Thread(target=self._serve, name="drover handlers", daemon=True).start()

    # -- what a server calls

    @property
    def connected(self):
        return self._socket is not None

    def send(self, type, data=None, to=None, broadcast=False):
        """To other workers, or to nobody in particular: then it is an event for whoever follows `drover events`."""
        return self._write(_message(type, data, to, broadcast))

    def request(self, type, data=None, *, to, timeout=5.0):
        """Asks one worker and waits for its Answer, for at most `timeout` seconds (drover itself waits for 60 at most)."""
        return self._ask({**_message(type, data, to, False), "timeout": int(timeout * 1000)}, timeout)

    def on(self, type, handler):
        """handler(message) for messages of that type, "*": of all others, "disconnect": drover has gone, "state:sync": a key of the shared state
        was changed by another worker. What it returns answers a request; what it raises, too."""
        self._handlers[type] = handler

    def report(self, memory=None, cpu=None, **more):
        """memory in bytes, cpu in percent of one core. Whoever has begun to report should go on: silence counts as illness."""
        figures = {"memory": memory, "cpu": cpu, "uptime": time.monotonic() - _started, **more}
        return self._write({"type": "health", "data": {name: value for name, value in figures.items() if value is not None}})

    def report_every(self, seconds):
        """Memory and CPU of this process, by the channel's own thread; the first time after that many seconds."""
        now = time.monotonic()
        self._report_every, self._report_next, self._cpu = seconds, now + seconds, (now, time.process_time())
        self._wake()

    def metrics(self, figures):
        """Numbers by name. Those that are not finite are left out."""
        return self._write({"type": "metrics", "data": {name: value for name, value in figures.items() if math.isfinite(value)}})

    def ready(self):
        return self._write({"type": "ready"})

    def error(self, text):
        """Counted as an error of this worker."""
        return self._write({"type": "error", "error": str(text)})

    # -- out

    def _write(self, message):
        """One line, whole or not at all. Never waits: what the socket does not take goes out when it does."""
        if not self.connected:
            return False
        # Half a surrogate pair is no UTF-8: a question mark instead.
        line = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
        if len(line) > MAX_LINE:
            log.error("a message of %d bytes is not sent: at most %d", len(line), MAX_LINE)
            return False
        line += b"\n"
        with self._lock:
            if self._socket is None or (self._outbox and self._outbox_bytes + len(line) > MAX_OUTBOX):
                return False
            idle = not self._outbox
            self._outbox.append(line)
            self._outbox_bytes += len(line)
            left = idle and self._flush()
        if left:
            self._wake()
        return True

    def _flush(self):
        """With the lock held. True: something is left."""
        while self._outbox and self._socket is not None:
            line = self._outbox[0]
            try:
                # The flag, not O_NONBLOCK: that would be shared with every process that has the descriptor.
                sent = self._socket.send(line, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:  # drover is gone; the reading thread finds out and tidies up
                self._outbox.clear()
                self._outbox_bytes = 0
                return False
            self._outbox_bytes -= sent
            if sent == len(line):
                self._outbox.popleft()
            else:
                self._outbox[0] = memoryview(line)[sent:]
        return False

    def _ask(self, message, timeout=5.0):
        waiter = _Waiter()
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                return Answer(False, None, f"{MAX_WAITING} requests wait already")
            self._number += 1
            number = self._number
            self._waiting[number] = waiter
        try:
            if not self._write({**message, "id": number}):
                return Answer(False, None, "not sent: drover is not there, or does not read, or it is too long")
            if not waiter.done.wait(timeout):
                return Answer(False, None, f"no answer within {timeout} s")
            return waiter.answer
        finally:
            with self._lock:
                self._waiting.pop(number, None)

    # -- the channel's own thread

    def _wake(self):
        if self.connected:
            try:
                self._wake_out.send(b"!")
            except OSError:  # it is full: the thread wakes anyhow; or closed: there is no thread any more
                pass

    def _run(self):
        poll = select.poll()
        poll.register(self._wake_in, select.POLLIN)
        sock = self._socket
        while True:
            with self._lock:
                left = bool(self._outbox)
            poll.register(sock, select.POLLIN | (select.POLLOUT if left else 0))
            pause = None if self._report_every is None else max(0, self._report_next - time.monotonic()) * 1000
            ready = dict(poll.poll(pause))
            if self._wake_in.fileno() in ready:
                self._wake_in.recv(4096)
            if ready.get(sock.fileno(), 0) & ~select.POLLOUT and not self._read(sock):
                break
            with self._lock:
                self._flush()
            self._report_if_due()
        self._end()

    def _read(self, sock):
        try:
            data = sock.recv(256 * 1024, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        if not data:
            return False
        *ends, rest = data.split(b"\n")
        for end in ends:
            if not self._skipping:
                self._line(b"".join(self._parts) + end)
            self._parts, self._length, self._skipping = [], 0, False
        self._parts.append(rest)
        self._length += len(rest)
        if self._length > MAX_READ:  # thrown away up to its end
            self._parts, self._length, self._skipping = [], 0, True
        return True

    def _line(self, line):
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(message, dict) or str(message.get("cmd", "")).startswith("NODE_"):
            return
        if message.get("type") == "response":
            error = message.get("error")
            with self._lock:
                waiter = self._waiting.pop(message.get("originalId"), None) if isinstance(message.get("originalId"), int) else None
            if waiter is None:
                self.late += 1
            elif error is None:
                waiter.end(Answer(True, message.get("data"), None))
            else:
                waiter.end(Answer(False, None, error.get("message", error) if isinstance(error, dict) else error))
            return
        try:
            self._tasks.put_nowait(message)
        except queue.Full:
            log.warning("a message is lost: %d wait for their handlers", MAX_WAITING)
            self._respond(message, None, "this worker is too busy")

    def _report_if_due(self):
        now = time.monotonic()
        if self._report_every is None or now < self._report_next:
            return
        self._report_next = now + self._report_every
        (before, used), self._cpu = self._cpu, (now, time.process_time())
        self.report(_memory(), round(100 * (self._cpu[1] - used) / (now - before), 1))

    def _end(self):
        """Drover has closed the channel, or close() was called."""
        with self._lock:
            sock, self._socket = self._socket, None
            waiting, self._waiting = self._waiting, {}
            self._outbox.clear()
        if sock:
            sock.close()
        self._wake_in.close()
        self._wake_out.close()
        for waiter in waiting.values():
            waiter.end(Answer(False, None, "drover has gone"))
        self._tasks.put({"type": "disconnect"})
        self._tasks.put(None)

    # -- the handlers' thread

    def _serve(self):
        while True:
            message = self._tasks.get()
            if message is None:
                return
            try:
                self._handle(message)
            except Exception:  # a handler's fault must not end the others
                log.exception("in the handler of %r", message.get("type"))

    def _handle(self, message):
        if message.get("type") == "state:change":
            self.state._changed(message.get("data") or {})
            return
        handler = self._handlers.get(message.get("type")) or self._handlers.get("*")
        if message.get("type") == "state:sync":
            handler = self._handlers.get("state:sync")
        if handler is None:
            self._respond(message, None, f"{self.worker} has no handler for messages of type {message.get('type')!r}")
            return
        try:
            data = handler(message)
        except Exception as error:
            self._respond(message, None, f"{type(error).__name__}: {error}")
            raise
        self._respond(message, data, None)

    def _respond(self, message, data, error):
        if message.get("id") is not None:
            self._write({"type": "response", "originalId": message["id"], "data": data, "error": None if error is None else {"message": error}})

    def close(self):
        """Says good-bye; drover sees the end of the channel, and nothing else happens to this worker."""
        with self._lock:
            if self._socket is not None:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:  # drover was quicker
                    pass

    def _forked(self):
        """In the child: the parent's channel goes on without us. Its lock may be held by a thread that does not exist here."""
        self._lock = threading.Lock()
        self._waiting, self._outbox = {}, collections.deque()
        if self._socket is not None:
            for each in (self._socket, self._wake_in, self._wake_out):
                each.close()
            self._socket = None


class State:
    """Keys and JSON values that all workers of the pool share; drover holds them, also while workers die and are replaced."""

    def __init__(self, channel):
        self._channel = channel
        self._subscribers = []

    def get(self, key, default=None):
        answer = self._ask("get", key=key)
        value = answer.data.get("value") if answer else None
        return default if value is None else value

    def set(self, key, value, expires=None):
        """expires: seconds from now. True if it is set."""
        return bool(self._ask("set", key=key, value=value, **_expires(expires)))

    def delete(self, key):
        return bool(self._ask("delete", key=key))

    def all(self, prefix=""):
        """A dictionary, asked for in as many pieces as it takes; None if a piece could not be had."""
        found, after = {}, ""
        while True:
            answer = self._ask("all", prefix=prefix, after=after)
            if not answer:
                return None
            found.update(answer.data["values"])
            if not answer.data.get("more"):
                return found
            after = answer.data["after"]

    def incr(self, key, by=1, expires=None):
        """The sum; None if it could not be had: then it may or may not have been added."""
        answer = self._ask("incr", key=key, by=by, **_expires(expires))
        return answer.data["value"] if answer else None

    def compare_and_set(self, key, expected, value, expires=None):
        """Sets `value` if the present one is `expected` (ABSENT: there is none; value ABSENT: removes it). True if so, False if not, None if
        nobody answered."""
        members = {name: given for name, given in (("expected", expected), ("value", value)) if given is not ABSENT}
        answer = self._ask("cas", key=key, **members, **_expires(expires))
        return answer.data["success"] if answer else None

    def subscribe(self, handler, prefix=""):
        """handler(key, value, old_value) for each change by anybody of a key that begins with `prefix`; None: no value."""
        self._subscribers.append((prefix, handler))
        return bool(self._ask("subscribe", prefix=os.path.commonprefix([each for each, _ in self._subscribers])))

    def _ask(self, what, **members):
        answer = self._channel._ask({"type": f"state:{what}", "data": members})
        if not answer and self._channel.connected:
            log.warning("state:%s %s: %s", what, members.get("key", ""), answer.error)
        return answer

    def _changed(self, data):
        for prefix, handler in list(self._subscribers):
            if data.get("key", "").startswith(prefix):
                handler(data["key"], data.get("value"), data.get("oldValue"))


def _message(type, data, to, broadcast):
    message = {"type": type, "data": data}
    if to is not None:
        message["target"] = to
    if broadcast:
        message["broadcast"] = True
    return message


def _expires(seconds):
    return {} if seconds is None else {"expires": int(seconds * 1000)}  # drover: milliseconds


def _memory():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


_started = time.monotonic()
_channel = None
_connecting = threading.Lock()


def connect():
    """This process's channel; the same at each call."""
    global _channel
    with _connecting:
        if _channel is None:
            _channel = Channel(_socket(os.environ.pop("DROVER_CHANNEL_FD", "")))
            os.register_at_fork(after_in_child=_channel._forked)
        return _channel


def _socket(number):
    """The inherited descriptor, if it is one of ours: the number may be left over from a process long ago."""
    if not number.isdigit():
        return None
    try:
        sock = socket.socket(fileno=os.dup(int(number)))  # os.dup: close-on-exec
    except OSError:
        return None
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        sock.close()
        return None
    os.close(int(number))
    return sock
