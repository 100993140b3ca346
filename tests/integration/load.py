"""Clients in numbers: threads that ask again and again and sort what comes back, by what a user would have seen."""

import collections
import hashlib
import threading
import time
import uuid

from raw_http import Connection, NoAnswer, Truncated, request


class Clients:
    """Threads that ask until stop(); `jobs` are their run()'s arguments."""

    def __init__(self, port, jobs):
        self.port = port
        self.counts = collections.Counter()
        self.failures = []
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=job, daemon=True) for job in jobs]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"
        return self


class Load(Clients):
    """GETs of one path and POSTs with unique ids, each on a connection of its own or kept alive, until stop()."""

    def __init__(self, port, getters=6, posters=2, path="/", digest=None, keep=5):
        self.path, self.digest, self.keep = path, digest, keep
        super().__init__(port, [(self.get,)] * getters + [(self.post,)] * posters)

    def note(self, what, failure=None):
        with self.lock:
            self.counts[what] += 1
            if failure and len(self.failures) < 20:
                self.failures.append(failure)

    def run(self, ask):
        while not self.ending.is_set():
            try:
                with Connection(self.port, timeout=30) as connection:
                    for _ in range(self.keep):
                        if self.ending.is_set() or not ask(connection):
                            break
            except OSError as error:
                self.note("refused", f"{time.time():.3f} {error!r}")

    def get(self, connection):
        """True while the connection can be used on. A begun answer that is cut must be seen as cut: counted apart."""
        began = time.time()
        try:
            answer = connection.exchange(request(target=self.path))
        except NoAnswer:
            self.note("get-failed", f"{began:.3f} no answer")
            return False
        except Truncated as cut:
            if cut.response is None or cut.response.status != 200:
                self.note("get-failed", f"{began:.3f} head cut: {cut}")
            else:
                self.note("get-begun-and-cut")
            return False
        except OSError as error:
            self.note("get-failed", f"{began:.3f} {error!r}")
            return False
        if answer.status != 200:
            self.note("get-failed", f"{began:.3f} {answer}")
        elif self.digest and hashlib.sha256(answer.body).hexdigest() != self.digest:
            self.note("get-silently-broken", f"{began:.3f} {len(answer.body)} bytes that are not the resource")
        else:
            self.note("get-served")
        return answer.get("Connection", "").lower() != "close"

    def post(self, connection):
        ident = uuid.uuid4().hex
        try:
            answer = connection.exchange(request("POST", f"/order?{ident}", body=ident.encode()))
        except (Truncated, OSError):
            self.note("post-lost")
            return False
        self.note("post-served" if answer.status == 200 else f"post-{answer.status}")
        return answer.get("Connection", "").lower() != "close"


def crowd(count, action):
    """Runs action(number) in `count` threads that begin together; the results in order, exceptions among them."""
    barrier, results = threading.Barrier(count), [None] * count

    def run(number):
        barrier.wait()
        try:
            results[number] = action(number)
        except Exception as error:  # each thread's own fate is a result
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return results
