"""Verbs that change something: they wait until it is done, and their exit code tells the outcome."""

import json
import os
import signal
import subprocess
import threading
import time

from drover_case import DROVER, main
from operator_case import DEMO, OperatorCase
from processes import wait_until


class Changing(OperatorCase):
    def start(self, workers=2, **pool):
        cluster = self.cluster().configure({"shop": {**DEMO, "workers": workers, **pool}}).start()
        return cluster

    def worker(self, cluster, slot):
        return next(worker for worker in cluster.workers() if worker["slot"] == slot)

    def test_RestartOfAPool_ReplacesEveryWorkerAndLosesNothing(self):
        cluster = self.start()
        before = set(cluster.pids())
        failures, stop = [], threading.Event()

        def load():
            while not stop.is_set():
                answer = cluster.fetch()
                if answer.status != 200:
                    failures.append(answer.status)
        thread = threading.Thread(target=load)
        thread.start()
        try:
            code, out, err = self.drover(cluster, "restart", "shop")
        finally:
            stop.set()
            thread.join()
        self.assertEqual(code, 0, out + err)
        self.assertEqual(failures, [])
        self.assertIn("shop", out)
        self.assertIn("is ready", err, "progress goes to standard error")
        self.assertFalse(before & set(cluster.pids()))

    def test_RestartOfOneWorker_LeavesTheOthers(self):
        cluster = self.start()
        first, second = self.worker(cluster, 1)["pid"], self.worker(cluster, 2)["pid"]
        self.fine(cluster, "restart", "shop.2", "--wait")
        self.assertEqual(self.worker(cluster, 1)["pid"], first)
        self.assertNotEqual(self.worker(cluster, 2)["pid"], second)

    def test_RestartAsJson_IsTheStreamItself(self):
        cluster = self.start(1)
        lines = [json.loads(line) for line in self.fine(cluster, "restart", "shop", "--json").splitlines()]
        self.assertEqual((lines[-1]["done"], lines[-1]["ok"]), (True, True))
        self.assertTrue(all("line" in line for line in lines))

    def test_RestartThatFails_Is1AndSaysWhyAndKeepsTheOld(self):
        cluster = self.cluster()
        flag = cluster.path("broken")
        command = ["sh", "-c", f'if [ -e {flag} ]; then echo "cannot find the database" >&2; exit 3; fi; exec {DROVER} demo-worker --port $PORT']
        cluster.configure({"shop": {"command": command, "workers": 2, "restart": {"delay": "100ms"}}}).start()
        before = cluster.pids()
        cluster.write("broken", "")
        code, out, err = self.drover(cluster, "restart", "shop")
        self.assertEqual((code, out), (1, ""), err)
        self.assertIn("cannot find the database", err)
        self.assertEqual(cluster.pids(), before, "the old ones stay")
        self.assertEqual(cluster.fetch().status, 200)

    def test_NoWait_OnlyBegins(self):
        cluster = self.start(1)
        before = cluster.pids()
        self.fine(cluster, "restart", "shop", "--no-wait")
        wait_until(lambda: cluster.pids() and cluster.pids() != before, 20, "it was replaced nevertheless")

    def test_CtrlCWhileWaiting_LeavesTheOrderGoing(self):
        cluster = self.cluster()
        gate = cluster.path("go")
        command = ["sh", "-c", f"[ $DROVER_INCARNATION = 1 ] || while ! [ -e {gate} ]; do sleep 0.05; done; exec {DROVER} demo-worker --port $PORT"]
        cluster.configure({"shop": {"command": command, "workers": 1}}).start()
        before = cluster.pids()
        process = subprocess.Popen(self.command(cluster, "restart", "shop"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        process.stderr.readline()  # the first step: it has begun
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10), 130)
        self.assertIn(b"what was begun goes on", process.stderr.read())
        cluster.write("go", "")
        wait_until(lambda: cluster.pids() and cluster.pids() != before, 20, "it was replaced nevertheless")

    def test_DrainAndResume_OfAWorkerAndOfAPool(self):
        cluster = self.start()
        self.fine(cluster, "drain", "shop.1")
        worker = self.worker(cluster, 1)
        self.assertEqual((worker["intent"], worker["lifecycle"], worker["pid"]), ("drained", "stopped", 0))
        self.assertIn("drained", self.fine(cluster, "ps"))
        for _ in range(4):
            self.assertEqual(cluster.fetch().status, 200)
        self.fine(cluster, "resume", "shop.1")
        self.assertTrue(self.worker(cluster, 1)["eligible"])
        self.fine(cluster, "drain", "shop")
        self.assertEqual(cluster.pids(), [])
        self.assertEqual(cluster.fetch().status, 503)
        self.fine(cluster, "resume", "shop")
        self.assertEqual(cluster.fetch().status, 200)

    def test_Scale_BothSpellings(self):
        cluster = self.start()
        self.fine(cluster, "scale", "shop=4")
        self.assertEqual(len([1 for worker in cluster.workers() if worker["eligible"]]), 4)
        self.fine(cluster, "scale", "shop", "1")
        self.assertEqual(len(cluster.pids()), 1)
        self.assertEqual(cluster.metric("drover_pool_workers_desired", pool="shop"), 1)
        code, out, err = self.drover(cluster, "scale", "shop=100000")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("shop", err)
        self.assertEqual(len(cluster.pids()), 1)

    def test_Why_TellsOfADeath(self):
        cluster = self.cluster()
        recorder = cluster.recorder()
        cluster.configure({"shop": {"command": recorder.command(), "workers": 1, "restart": {"delay": "100ms", "max": 0}}}).start()
        self.assertIn("nothing of it has died", self.fine(cluster, "why", "shop.1"))
        before = cluster.pids()
        _, line = self.follow(cluster, "events", "-f")
        line("clusterReady")
        os.kill(before[0], signal.SIGSEGV)
        event = json.loads(line("workerExit"))
        self.assertEqual(event["worker"], "shop.1")
        wait_until(lambda: cluster.pids() and cluster.pids() != before, 20, "a new one runs")
        text = self.fine(cluster, "why", "shop.1")
        self.assertRegex(text, r"(?s)^shop\.1 \(incarnation 1\) ended at .*SEGV.*asked for +no")
        deaths = json.loads(self.fine(cluster, "why", "shop", "--json"))["deaths"]
        self.assertEqual((deaths[0]["worker"], deaths[0]["asked_for"]), ("shop.1", False))

    def test_Logs_FollowWorkersOutputAndEscapeIt(self):
        cluster = self.cluster()
        script = 'printf "hello from %s\\033[31m\\n" "$DROVER_WORKER" >&2; exec ' + DROVER + " demo-worker --port $PORT"
        cluster.configure({"shop": {"command": ["sh", "-c", script], "workers": 2}}).start()
        wait_until(lambda: self.fine(cluster, "logs").count("hello from") == 2, 10, "both lines are there")
        out = self.fine(cluster, "logs", "shop.2")
        self.assertRegex(out, r"^\d\d:\d\d:\d\d\.\d{3} shop\.2  hello from 2\\x1b\[31m\n$")
        line = json.loads(self.fine(cluster, "logs", "shop.1", "--json"))
        self.assertEqual((line["worker"], line["incarnation"]), ("shop.1", 1))
        _, awaited = self.follow(cluster, "logs", "-f", "--json", "shop")
        awaited("hello from 1")
        self.fine(cluster, "restart", "shop.1")
        awaited(r'"slot":1,"incarnation":2,"text":"hello from 1')

    def test_Stop_ReturnsWhenAllIsGone(self):
        cluster = self.start()
        events, line = self.follow(cluster, "events", "-f")
        line("clusterReady")
        self.fine(cluster, "stop")
        self.assertTrue(cluster.ended() or cluster.wait(2) == 0)
        self.assertEqual(cluster.process.returncode, 0)
        self.assertEqual(cluster.leftovers(), [])
        self.assertFalse(os.path.exists(self.socket_of(cluster)))
        self.assertFalse(os.path.exists(self.socket_of(cluster) + ".lock"))
        self.assertEqual(events.wait(10), 0, "the stream came to its end")
        line("clusterStopping")
        code, _, err = self.drover(cluster, "ps")
        self.assertEqual(code, 1)
        self.assertIn("is it running?", err)

    def test_StopForce_IsAtOnce(self):
        cluster = self.cluster()
        command = ["sh", "-c", f'trap "" TERM; {DROVER} demo-worker --port $PORT & while :; do wait; done']
        cluster.configure({"shop": {"command": command, "workers": 1, "stop": {"grace": "60s"}}}).start()
        began = time.monotonic()
        self.drover(cluster, "stop", "--force")
        cluster.wait(10)
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual(cluster.leftovers(), [])
        cluster.process = None  # it ended with 1, as it should: something had to be killed


if __name__ == "__main__":
    main()
