"""Retries: for each reason one, counted under it; none for want of budget, counted too; X-Request-Start is drover's own, each time."""

import os
import re
import sys
import time

from drover_case import HERE, DroverCase, main
from processes import read, wait_until

WORKER = os.path.join(HERE, "workers", "retry_worker.py")


class Retries(DroverCase):
    def start(self, **pool):
        cluster = self.cluster()
        self.file = cluster.path("mode")
        cluster.configure({"shop": {"command": [sys.executable, WORKER, "${PORT}", self.file], "workers": 2, "outlier": {"errors": 0, "ratio": "0%"},
                                    "health": {"interval": "10m"}, "timeouts": {"connect": "200ms"}, **pool}}, proxy={"threads": 1})
        return cluster.start()

    def turn_bad(self, cluster, how):
        cluster.write("mode.new", how)
        os.rename(cluster.path("mode.new"), self.file)
        if how in ("refuse", "silent"):
            wait_until(lambda: os.path.exists(self.file + ".done"), 10, "the first copy takes nobody any more")

    def retries(self, cluster):
        return {reason: cluster.metric("drover_retries_total", pool="shop", reason=reason) for reason in ("connect", "reset", "closed", "timeout")}

    def test_EachReasonIsRetriedAndCounted(self):
        for how, reason in (("refuse", "connect"), ("reset", "reset"), ("close", "closed"), ("silent", "timeout")):
            with self.subTest(reason=reason):
                cluster = self.start()
                self.turn_bad(cluster, how)
                self.assertEqual([cluster.fetch().status for _ in range(4)], [200] * 4, "whoever met the first copy was served by the second")
                found = self.retries(cluster)
                self.assertGreater(found.pop(reason), 0)
                self.assertEqual(set(found.values()), {0}, "and under no other reason")
                self.assertEqual(cluster.metric("drover_retry_budget_exhausted_total", pool="shop"), 0)
                cluster.stop()

    def test_APostThatWasWritten_IsNotRetried(self):
        cluster = self.start()
        self.turn_bad(cluster, "reset")
        self.assertEqual(sorted(cluster.fetch("POST", body=b"x").status for _ in range(4)), [200, 200, 502, 502])
        self.assertEqual(set(self.retries(cluster).values()), {0})

    def test_WithoutBudget_NoRetryAndTheMetricSaysWhy(self):
        cluster = self.start(retry={"budget": "0%"})
        self.turn_bad(cluster, "close")
        self.assertEqual(sorted(cluster.fetch().status for _ in range(4)), [200, 200, 502, 502])
        self.assertEqual(set(self.retries(cluster).values()), {0})
        self.assertEqual(cluster.metric("drover_retry_budget_exhausted_total", pool="shop"), 2)

    def test_ABudgetThatIsUsedUp_EndsTheRetries(self):
        cluster = self.start(retry={"budget": "1%"})  # percent, and a reserve of ten that refills by one a second
        self.turn_bad(cluster, "close")
        statuses = [cluster.fetch().status for _ in range(200)]
        self.assertLessEqual(set(statuses), {200, 502})
        refused = cluster.metric("drover_retry_budget_exhausted_total", pool="shop")
        made = self.retries(cluster)["closed"]
        self.assertEqual(statuses.count(502), refused)
        self.assertGreaterEqual(made, 10)
        # A retry takes its turn, too: while they are paid for every request meets the first copy, then every second one.
        self.assertGreaterEqual(made + refused, 100)
        self.assertGreater(refused, 50, "the reserve is ten, and the budget one in a hundred")

    def test_XRequestStart_IsDroversOwn(self):
        cluster = self.start()
        before = time.time() * 1000
        cluster.fetch(headers=[("X-Request-Start", "t=1")])
        after = time.time() * 1000
        got = read(self.file + ".got").decode()
        found = re.findall(r"X-Request-Start: t=(\d+)", got, re.I)
        self.assertEqual(len(found), 1, got)
        self.assertTrue(before - 1000 <= int(found[0]) <= after + 1000, found)


if __name__ == "__main__":
    main()
