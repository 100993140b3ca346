"""Workers killed under every kind of traffic at once: no wrong byte, no answer crossed, no idempotent request lost, what is cut is seen to
be cut. DROVER_SOAK=300 makes it the five minutes of docs/PERFORMANCE.md."""

import collections
import os
import random
import signal
import sys
import threading
import time

from drover_case import DroverCase, main
from mixed_load import MixedLoad
from processes import wait_until

WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "workers", "mixed_worker.py")
KILLS_PER_MINUTE = 24


class Trust(DroverCase):
    def test_KillsUnderMixedLoad_CorruptAndLoseNothing(self):
        seconds = int(os.environ.get("DROVER_SOAK", "15"))
        cluster = self.cluster()
        folder = cluster.path("mixed")
        os.mkdir(folder)
        cluster.configure({"shop": {"command": [sys.executable, WORKER, folder], "workers": 4,
                                    "restart": {"max": 0, "delay": "100ms"}}}).start()
        wait_until(lambda: all(worker["lifecycle"] == "running" for worker in cluster.workers()), 20, "four workers run")
        load, rng, rhythm = MixedLoad(cluster.port()), random.Random(5), threading.Event()
        began, kills = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            slot = rng.randrange(1, 5)
            worker = wait_until(lambda: next((w for w in cluster.workers() if w["slot"] == slot and w["lifecycle"] == "running"), None), 20,
                                f"shop.{slot} runs")
            os.kill(worker["pid"], signal.SIGKILL)
            kills += 1
            rhythm.wait(max(0.0, kills * 60 / KILLS_PER_MINUTE - (time.monotonic() - began)))
        load.stop()
        print(f"\n{kills} kills in {seconds} s: {dict(sorted(load.counts.items()))}, retries {cluster.metric('drover_retries_total')}")
        self.assertEqual(load.wrong, [], "bytes that nobody asked for")
        self.assertEqual(load.failures, [], "idempotent requests that failed before a byte of an answer")
        with open(os.path.join(folder, "executed"), encoding="ascii") as file:
            executed = collections.Counter(line.strip() for line in file if line.startswith("POST "))
        self.assertEqual([line for line, count in executed.items() if count > 1], [], "POSTs that were repeated")
        for kind in MixedLoad.KINDS:
            self.assertGreater(load.counts[f"{kind}-served"], 0, kind)
        self.assertEqual(cluster.metric("drover_claims_after_close_total"), 0)
        self.assertEqual(cluster.metric("drover_worker_exits_total", reason="KILL"), kills)


if __name__ == "__main__":
    main()
