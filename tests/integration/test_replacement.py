"""Workers are replaced, and nobody notices: rolling restarts, recycling, scaling, draining, sleeping."""

import os
import signal
import time

from drover_case import main
from load import Load
from open_loop import OpenLoop
from processes import memory, wait_until
from trouble_case import TroubleCase


class Rolling(TroubleCase):
    def roll_under_load(self, workers, rolls, **keys):
        cluster = self.trouble(workers=workers, **keys)
        loads = [Load(cluster.port(), getters=3, posters=1, keep=1000), Load(cluster.port(), getters=2, posters=0, keep=1)]
        pids = set(cluster.pids())
        for _ in range(rolls):
            done = cluster.verb("restart", "shop", timeout=90)
            self.assertEqual(done.returncode, 0, done.stderr)
            now = set(cluster.pids())
            self.assertFalse(pids & now, "every worker is a new one")
            self.assertEqual(len(now), workers)
            pids = now
        for load in loads:
            counts = load.stop().counts
            print(f"\n{rolls} rolls of {workers}: {dict(counts)}")
            self.assertEqual({what for what in counts if what not in ("get-served", "post-served")}, set(), load.failures)
            self.assertGreater(counts["get-served"], 100)
        self.assertEqual(cluster.metric("drover_claims_after_close_total"), 0)
        return cluster

    def test_RollUnderLoad_LosesNoRequest(self):
        cluster = self.roll_under_load(3, 3)
        self.assertEqual(len(cluster.events("rollDone")), 3)

    def test_RollOfOneWorker_LosesNoRequest(self):
        self.roll_under_load(1, 4)

    def test_RollWithoutSurge_TakesOneAtATime(self):
        cluster = self.roll_under_load(3, 1, rolling={"max_surge": 0, "max_unavailable": 1})
        self.assertEqual(len(cluster.events("rollDone")), 1)

    def test_NewIncarnationThatFails_StopsTheRollAndKeepsTheOld(self):
        broken = f"/tmp/drover-test-broken-{os.getpid()}"
        self.addCleanup(lambda: os.path.exists(broken) and os.unlink(broken))
        cluster = self.trouble(workers=3, env={"TROUBLE_BROKEN": broken})
        pids = cluster.pids()
        with open(broken, "w", encoding="ascii"):
            pass
        load = Load(cluster.port(), getters=2, posters=1)
        done = cluster.verb("restart", "shop")
        self.assertEqual(done.returncode, 1, done.stderr)
        for words in ("shop.1", "no database here", "7"):
            self.assertIn(words, done.stdout + done.stderr)
        self.assertEqual(cluster.pids(), pids, "the old ones stay")
        counts = load.stop().counts
        self.assertEqual({what for what in counts if what not in ("get-served", "post-served")}, set(), load.failures)
        self.assertEqual(cluster.await_event("rollFailed")["slot"], 1)
        os.unlink(broken)
        self.assertEqual(cluster.verb("restart", "shop").returncode, 0)

    def test_OneSlot_IsReplacedAlone(self):
        cluster = self.trouble(workers=3)
        before = cluster.pids()
        done = cluster.verb("restart", "shop.2")
        self.assertEqual(done.returncode, 0, done.stderr)
        after = cluster.pids()
        self.assertEqual((after[0], after[2]), (before[0], before[2]))
        self.assertNotEqual(after[1], before[1])


class Intent(TroubleCase):
    def test_DrainAndResume_WaitForTheWork(self):
        cluster = self.trouble(workers=2)
        slow = self.background(cluster, "GET", "/slow?1")
        wait_until(lambda: sum(worker["in_flight"] for worker in cluster.workers()) == 1, 10, "it is inside")
        slot = next(worker["slot"] for worker in cluster.workers() if worker["in_flight"])
        done = cluster.verb("drain", f"shop.{slot}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(slow.result().status, 200, "it was waited for")
        worker = self.worker(cluster, slot)
        self.assertEqual((worker["intent"], worker["lifecycle"], worker["pid"]), ("drained", "stopped", 0))
        self.assertEqual(cluster.fetch().status, 200)
        self.assertEqual(cluster.verb("resume", f"shop.{slot}").returncode, 0)
        self.assertTrue(self.worker(cluster, slot)["eligible"])

    def test_Scale_UpAndDownUnderLoad_LosesNothing(self):
        cluster = self.trouble(workers=2)
        load = Load(cluster.port(), getters=4, posters=1)
        for count in (5, 1, 3):
            done = cluster.verb("scale", f"shop={count}")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(sum(worker["eligible"] for worker in cluster.workers()), count)
            self.assertEqual(len(cluster.pids()), count)
        counts = load.stop().counts
        self.assertEqual({what for what in counts if what not in ("get-served", "post-served")}, set(), load.failures)
        self.assertEqual([(event["from"], event["to"]) for event in cluster.events("scaled")], [(2, 5), (5, 1), (1, 3)])

    def test_TtinAndTtou_AreOneWorkerMoreAndLess(self):
        cluster = self.trouble(workers=2)
        cluster.signal(signal.SIGTTIN)
        wait_until(lambda: sum(worker["eligible"] for worker in cluster.workers()) == 3, 15, "one more serves")
        cluster.signal(signal.SIGTTOU)
        wait_until(lambda: len(cluster.pids()) == 2, 15, "one less")
        self.assertEqual([event["why"] for event in cluster.events("scaled")], ["signal", "signal"])

    def test_ScaleBeyondTheBoard_IsRefusedWithTheMaximum(self):
        cluster = self.trouble(workers=1)
        done = cluster.verb("scale", "shop=400")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"at most \d+")
        self.assertEqual(len(cluster.pids()), 1)


class Recycling(TroubleCase):
    def never_two_at_once(self, cluster):
        """By the event stream: a successor is ready before the next one is started."""
        self.assertGreaterEqual(len(cluster.events("workerRecycle")), cluster.status()["pools"][0]["replaced"].get("age", 0))
        under_way = set()
        for event in cluster.events():
            if event["event"] == "workerOnline" and event["incarnation"] > 1:
                self.assertEqual(under_way, set(), "two at once")
                under_way.add(event["slot"])
            elif event["event"] == "workerListening":
                under_way.discard(event["slot"])

    def test_ByRequests_OneAtATimeAndNothingLost(self):
        cluster = self.trouble(workers=3, recycle={"requests": 60, "jitter": 0.3})
        load = Load(cluster.port(), getters=4, posters=1)
        wait_until(lambda: (cluster.metric("drover_pool_replaced_total", reason="requests") or 0) >= 6, 60, "six are replaced")
        counts = load.stop().counts
        self.assertEqual({what for what in counts if what not in ("get-served", "post-served")}, set(), load.failures)
        self.never_two_at_once(cluster)

    def test_ByAge_ComesWithoutARequest(self):
        cluster = self.trouble(workers=2, recycle={"age": "2s"})
        pids = set(cluster.pids())
        wait_until(lambda: not pids & set(cluster.pids()) and all(worker["eligible"] for worker in cluster.workers()), 30, "both are new")
        self.never_two_at_once(cluster)

    def test_Leak_IsReplacedBeforeTheLimitIsFarBehind(self):
        limit = 80
        cluster = self.trouble(workers=2, recycle={"memory": f"{limit}MiB"}, alert={"memory": "1GiB"})
        loop = OpenLoop(cluster.port(), 30, path="/leak?1")
        highest = 0
        while loop.counts[200] < 300:
            highest = max([highest, *(memory(pid) for pid in cluster.pids())])
            self.assertLess(time.monotonic() - loop.began, 90)
            time.sleep(0.01)
        loop.stop()
        self.assertEqual(loop.counts["failed"], 0, loop.failures)
        self.assertGreaterEqual(cluster.metric("drover_pool_replaced_total", reason="memory"), 2)
        print(f"\nhighest {highest / 2**20:.0f} MiB of {limit}")
        self.assertLess(highest, limit * 2**20 * 1.3)


class Demand(TroubleCase):
    def test_Autoscale_GrowsUnderLoadWithinBounds(self):
        cluster = self.trouble(workers={"min": 1, "max": 3}, concurrency=1)
        self.assertEqual(len(cluster.pids()), 1)
        loop = OpenLoop(cluster.port(), 20, path="/slow?0.1")
        self.addCleanup(loop.stop)
        wait_until(lambda: sum(worker["eligible"] for worker in cluster.workers()) == 3, 40, "three serve")
        self.assertEqual({event["why"] for event in cluster.events("scaled")}, {"load"})
        seen = loop.counts[200]
        wait_until(lambda: loop.counts[200] > seen + 60, 20, "they serve")
        self.assertEqual(len(cluster.pids()), 3)
        self.assertEqual(loop.stop().counts["failed"], 0, loop.failures)

    def test_IdlePool_SleepsAndWakesForTheFirstRequest(self):
        cluster = self.trouble(workers=2, idle_stop="1s", env={"TROUBLE_START": "0.5"})
        self.assertEqual(cluster.fetch().status, 200)
        wait_until(lambda: cluster.status()["pools"][0]["asleep"] and not cluster.pids(), 20, "no worker is left")
        self.assertEqual(cluster.admin("/readyz").status, 200)
        answers = [self.background(cluster, "GET", "/") for _ in range(5)]
        self.assertEqual([answer.result().status for answer in answers], [200] * 5)
        wait_until(lambda: sum(worker["eligible"] for worker in cluster.workers()) == 2, 20, "all are back")
        self.assertIn("demand", {event["why"] for event in cluster.events("scaled")})

    def test_IdlePool_WhoComesWhileItWakesWaitsForTheStartAsTheFirstDoes(self):
        cluster = self.trouble(workers=1, idle_stop="1s", env={"TROUBLE_START": "3"}, queue={"max": 10, "wait": "500ms"})
        asleep = lambda: cluster.status()["pools"][0]["asleep"]
        wait_until(lambda: asleep() and not cluster.pids(), 20, "no worker is left")
        first = self.background(cluster, "GET", "/")
        wait_until(lambda: not asleep(), 10, "it wakes")
        later = self.background(cluster, "GET", "/")
        self.assertEqual([first.result().status, later.result().status], [200, 200])


if __name__ == "__main__":
    main()
