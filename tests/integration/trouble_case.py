"""Clusters of workers/trouble_worker.py."""

import os
import threading

from drover_case import HERE, DroverCase
from raw_http import Truncated

TROUBLE = os.path.join(HERE, "workers", "trouble_worker.py")


class TroubleCase(DroverCase):
    def trouble(self, workers=3, binary=None, env=None, tables=None, wait=True, **keys):
        cluster = self.cluster(binary)
        pool = {"command": ["python3", TROUBLE], "workers": workers, "restart": {"max": 0, "delay": "100ms"}, **keys}
        if env:
            pool["env"] = env
        first = 20000 + os.getpid() % 8000
        tables = {"cluster": {"ports": f"{first}-{first + 399}"}, **(tables or {})}  # many deaths, and a freed port rests for a minute
        return cluster.configure({"shop": pool}, **tables).start(ready=wait)

    def worker(self, cluster, slot):
        return next(worker for worker in cluster.workers() if worker["slot"] == slot)

    def slot_of(self, cluster, pid):
        return next(worker["slot"] for worker in cluster.workers() if worker["pid"] == pid)

    def background(self, cluster, method, path, **options):
        """Asks from a thread of its own; .result() gives the answer, or the exception that came instead."""
        return Asking(lambda: cluster.fetch(method, path, **options))


class Asking:
    def __init__(self, ask):
        self.answer = None
        self.thread = threading.Thread(target=self.run, args=(ask,), daemon=True)
        self.thread.start()

    def run(self, ask):
        try:
            self.answer = ask()
        except (OSError, Truncated) as error:
            self.answer = error

    def over(self):
        return not self.thread.is_alive()

    def result(self, seconds=30):
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "no answer"
        return self.answer
