"""Open-loop GETs: one each 1/rate seconds, whatever became of the earlier ones, so that a stall is felt by every request that it holds
up. Each on a connection of its own or on one of those kept alive. A request's time counts from the moment it was due."""

import asyncio
import collections
import threading
import time


class OpenLoop:
    def __init__(self, port, rate=200, path="/", keep_alive=True, timeout=90):
        self.port, self.rate, self.keep_alive, self.timeout = port, rate, keep_alive, timeout
        self.path = path if callable(path) else lambda: path
        self.counts = collections.Counter()
        self.times = []     # (seconds since the start, latency) of those that were answered by 200
        self.failures = []  # (seconds since the start, what) of those of which no byte had come
        self.idle = []
        self.ending = False
        self.thread = threading.Thread(target=lambda: asyncio.run(self.run()), daemon=True)
        self.began = time.monotonic()
        self.thread.start()

    def stop(self):
        self.ending = True
        self.thread.join(self.timeout + 30)
        assert not self.thread.is_alive(), "the open loop does not end"
        return self

    def quantile(self, part):
        ordered = sorted(latency for _, latency in self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else None

    async def run(self):
        tasks = set()
        number = 0
        while not self.ending:
            due = self.began + number / self.rate
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self.ask(due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
        if tasks:
            await asyncio.wait(tasks, timeout=self.timeout)
        for _, writer in self.idle:
            writer.close()

    def failed(self, due, what):
        self.counts["failed"] += 1
        if len(self.failures) < 50:
            self.failures.append((round(due - self.began, 3), what))

    async def ask(self, due):
        try:
            status, reused = await asyncio.wait_for(self.exchange(), self.timeout)
        except asyncio.TimeoutError:
            return self.failed(due, f"no answer within {self.timeout} s")
        except CutShort as cut:
            self.counts["begun and cut"] += 1
            return None
        except (OSError, asyncio.IncompleteReadError) as error:
            return self.failed(due, repr(error))
        self.counts[status] += 1
        if status == 200:
            self.times.append((due - self.began, time.monotonic() - due))
        else:
            self.failed(due, f"status {status}")
        return None

    async def exchange(self):
        reader, writer, reused = await self.connect()
        try:
            kept = "keep-alive" if self.keep_alive else "close"
            writer.write(f"GET {self.path()} HTTP/1.1\r\nHost: shop\r\nConnection: {kept}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as cut:
            writer.close()
            if reused and not cut.partial:  # the server's right with an idle connection; a client asks again
                self.counts["asked again"] += 1
                return await self.fresh()
            if cut.partial:
                raise CutShort from cut
            raise
        except OSError:
            writer.close()
            if reused:
                self.counts["asked again"] += 1
                return await self.fresh()
            raise
        return await self.finish(reader, writer, head), reused

    async def fresh(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {self.path()} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".encode())
        return await self.finish(reader, writer, await reader.readuntil(b"\r\n\r\n")), False

    async def connect(self):
        while self.keep_alive and self.idle:
            reader, writer = self.idle.pop()
            if not reader.at_eof():
                return reader, writer, True
            writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        return reader, writer, False

    async def finish(self, reader, writer, head):
        """Reads the body by its Content-Length; the connection is kept if both sides want to."""
        text = head.decode("latin-1").lower()
        length = next((int(line.split(":")[1]) for line in text.split("\r\n") if line.startswith("content-length:")), 0)
        try:
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as cut:
            writer.close()
            raise CutShort from cut
        if self.keep_alive and "connection: close" not in text:
            self.idle.append((reader, writer))
        else:
            writer.close()
        return int(text.split(" ", 2)[1])


class CutShort(Exception):
    """The answer had begun."""
