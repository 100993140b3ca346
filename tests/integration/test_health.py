"""What drover concludes from probes, outcomes and workers' own words, and what follows for those who ask."""

import collections
import os
import signal
import time

from drover_case import main
from open_loop import OpenLoop
from processes import wait_until
from trouble_case import TROUBLE, TroubleCase


class Progress(TroubleCase):
    def test_RequestInsideAStoppedWorker_IsAnsweredByAnother(self):
        cluster = self.trouble(workers=3)
        pids = cluster.pids()
        askers = [self.background(cluster, "GET", "/slow?1") for _ in range(6)]
        wait_until(lambda: sum(worker["in_flight"] for worker in cluster.workers()) == 6, 10, "six are inside")
        os.kill(pids[0], signal.SIGSTOP)
        began = time.monotonic()
        self.assertEqual([asker.result().status for asker in askers], [200] * 6)
        self.assertLess(time.monotonic() - began, 8)
        self.assertEqual(cluster.workers()[0]["eligible"], False)
        os.kill(pids[0], signal.SIGCONT)
        wait_until(lambda: cluster.workers()[0]["eligible"], 10, "it is continued")
        self.assertEqual(cluster.pids(), pids, "nobody was replaced")
        self.assertEqual([event["stopped"] for event in cluster.events("workerStopped", slot=1)], [True, False])

    def test_StoppedWorker_HoldsUpNoOpenLoopRequest(self):
        cluster = self.trouble(workers=4)
        loop = OpenLoop(cluster.port(), 100, path="/slow?0.02")
        wait_until(lambda: loop.counts[200] > 100, 20, "requests are answered")
        at = time.monotonic() - loop.began
        os.kill(cluster.pids()[1], signal.SIGSTOP)
        seen = loop.counts[200]
        wait_until(lambda: loop.counts[200] > seen + 300, 30, "they go on")
        loop.stop()
        os.kill(cluster.pids()[1], signal.SIGCONT)
        self.assertEqual(loop.counts["failed"], 0, loop.failures)
        slowest = max(latency for due, latency in loop.times if due >= at)
        print(f"\nslowest after the stop: {slowest:.3f} s")

    def test_WorkerWithoutProgress_IsSuspectUntilItMoves(self):
        cluster = self.trouble(workers=3)
        stuck = self.background(cluster, "GET", "/hold?6")
        wait_until(lambda: sum(worker["in_flight"] for worker in cluster.workers()) == 1, 10, "it is inside")
        slot = next(worker["slot"] for worker in cluster.workers() if worker["in_flight"])
        loop = OpenLoop(cluster.port(), 50, path="/pid")
        self.addCleanup(loop.stop)
        wait_until(lambda: self.worker(cluster, slot)["suspect"], 10, "no byte while the others move")
        self.assertFalse(self.worker(cluster, slot)["eligible"])
        self.assertEqual(stuck.result().status, 200)
        wait_until(lambda: self.worker(cluster, slot)["eligible"], 10, "it has moved")
        self.assertEqual([event["suspect"] for event in cluster.events("workerSuspect", slot=slot)], [True, False])
        self.assertEqual(loop.stop().counts["failed"], 0)


class Hang(TroubleCase):
    def test_DeadlockedWorker_IsDiagnosedReplacedAndItsClientGets504(self):
        cluster = self.trouble(workers=2, hang={"after": "2s", "signal": "QUIT"})
        before = {worker["slot"]: worker["pid"] for worker in cluster.workers()}
        stuck = self.background(cluster, "GET", "/wedge")
        wait_until(lambda: sum(worker["in_flight"] for worker in cluster.workers()) == 1, 10, "it is inside")
        slot = next(worker["slot"] for worker in cluster.workers() if worker["in_flight"])
        answer = stuck.result()
        self.assertEqual(answer.status, 504)
        self.assertTrue(answer.get("X-Request-ID"))
        self.assertIn(answer.get("X-Request-ID").encode(), answer.body)
        event = cluster.await_event("workerHung", slot=slot)
        self.assertRegex(event["diagnosis"], r"deadlocked|blocked")
        wait_until(lambda: self.worker(cluster, slot)["eligible"] and self.worker(cluster, slot)["pid"] != before[slot], 20, "it is replaced")
        other = 3 - slot
        self.assertEqual(self.worker(cluster, other)["pid"], before[other], "the sibling is untouched")
        self.assertIn("hung", cluster.ask("why", f"shop.{slot}")["deaths"][0]["asked_why"])

    def test_BusyWorker_IsLeftAlone(self):
        cluster = self.trouble(workers=2, hang={"after": "1s"})
        pids = cluster.pids()
        self.assertEqual(cluster.fetch("GET", "/spin?4").status, 200)
        self.assertEqual(cluster.pids(), pids)
        self.assertEqual(cluster.events("workerHung"), [])


class Reports(TroubleCase):
    def test_ReadyNotify_CountsOnlyTheWorkersWord(self):
        cluster = self.trouble(workers=1, ready={"notify": True, "timeout": "20s"}, env={"TROUBLE_NOTIFY": "ready"})
        self.assertEqual(cluster.fetch().status, 200)
        worker, = cluster.workers()
        self.assertEqual((worker["report"]["by"], worker["report"]["status"]), ("notify", "at your service"))

    def test_WorkerThatNeverSaysReady_IsNeverReady(self):
        cluster = self.trouble(workers=1, ready={"notify": True, "timeout": "1s"}, restart={"max": 0, "delay": "30s"}, wait=False)
        cluster.await_event("workerNeverReady", slot=1)
        self.assertEqual(cluster.admin("/readyz").status, 503)

    def test_WorkerThatFallsSilent_IsReplaced(self):
        cluster = self.trouble(workers=2, health={"interval": "500ms"}, env={"TROUBLE_NOTIFY": "watchdog", "TROUBLE_BEAT": "0.1"})
        wait_until(lambda: all(worker["uptime"] > 1 and worker["report"]["by"] == "notify" for worker in cluster.workers()), 10, "both report")
        before = {worker["slot"]: worker["pid"] for worker in cluster.workers()}
        self.assertEqual(cluster.fetch("GET", "/silence").status, 200)
        slot = cluster.await_event("workerSilent")["slot"]
        wait_until(lambda: self.worker(cluster, slot)["pid"] not in (0, before[slot]) and self.worker(cluster, slot)["eligible"], 20, "it is replaced")
        self.assertEqual(self.worker(cluster, 3 - slot)["pid"], before[3 - slot], "who speaks is left alone")

    def test_WorkerThatNeverReported_IsNotJudgedBySilence(self):
        cluster = self.trouble(workers=1, health={"interval": "200ms"})
        pids = cluster.pids()
        wait_until(lambda: cluster.status()["totals"]["health_checks"] > 10, 20, "ten probes")
        self.assertEqual(cluster.pids(), pids)

    def agents(self, words):
        cluster = self.cluster()
        cluster.write("words.1", words)
        cluster.write("words.2", "up\n")
        cluster.configure({"shop": {"command": ["python3", TROUBLE], "workers": 2, "health": {"http": "/agent", "interval": "100ms"},
                                    "env": {"TROUBLE_AGENT": cluster.path("words") + ".${WORKER}"}}})
        return cluster.start(ready=False)

    def served(self, cluster, count):
        return collections.Counter(self.slot_of(cluster, int(cluster.fetch("GET", "/pid").body)) for _ in range(count))

    def test_AgentWordDrain_TakesNoNewWorkAndUpTakesItAgain(self):
        cluster = self.agents("up\n")
        cluster.await_ready()
        wait_until(lambda: all(worker["eligible"] for worker in cluster.workers()), 20, "both serve")
        pids = cluster.pids()
        cluster.write("words.1", "drain\n")
        wait_until(lambda: self.worker(cluster, 1)["declined"], 10, "it wants no work")
        self.assertEqual(set(self.served(cluster, 20)), {2})
        cluster.write("words.1", "up\n")
        wait_until(lambda: self.worker(cluster, 1)["eligible"], 10, "it wants work again")
        self.assertEqual(set(self.served(cluster, 20)), {1, 2})
        self.assertEqual(cluster.pids(), pids)

    def test_AgentShare_IsTheEffectiveShare(self):
        cluster = self.agents("up 25%\n")
        cluster.await_ready()
        wait_until(lambda: self.worker(cluster, 1)["share"] == 25 and self.worker(cluster, 2)["eligible"], 20, "its share is known")
        counts = self.served(cluster, 400)
        self.assertGreater(counts[1], 20)
        self.assertLess(counts[1] / 400, 0.3)


class Outcomes(TroubleCase):
    def bad(self, workers, slot=1, **keys):
        flag = f"/tmp/drover-test-bad-{os.getpid()}-{self._testMethodName}"
        self.addCleanup(lambda: os.path.exists(flag) and os.unlink(flag))
        return self.trouble(workers=workers, env={"TROUBLE_BAD": f"{slot}:{flag}"}, **keys), flag

    def test_WorkerThatAnswers502_IsEjectedAndComesBack(self):
        cluster, flag = self.bad(4, outlier={"errors": 5, "base": "1s"})
        loop = OpenLoop(cluster.port(), 50)
        self.addCleanup(loop.stop)
        with open(flag, "w", encoding="ascii"):
            pass
        wait_until(lambda: self.worker(cluster, 1)["ejected"], 10, "it is out")
        failed = loop.counts["failed"]
        self.assertGreaterEqual(failed, 1)
        os.unlink(flag)
        wait_until(lambda: self.worker(cluster, 1)["eligible"], 10, "it is back")
        event = cluster.await_event("workerEjected", slot=1, ejected=True)
        self.assertIn("in a row", event["reason"])
        self.assertEqual(loop.stop().counts["failed"], failed, "none failed while it was out, nor after")

    def test_SoManyFailThatAllWouldLeave_AllAreUsed(self):
        cluster = self.trouble(workers=3, outlier={"errors": 3, "base": "30s"})
        for _ in range(40):
            self.assertEqual(cluster.fetch("GET", "/status?502").status, 502)
        time.sleep(1)  # looks are four a second: a wrong ejection would have come
        self.assertEqual([worker["eligible"] for worker in cluster.workers()], [True] * 3)


if __name__ == "__main__":
    main()
