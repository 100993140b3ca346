"""drover hold, drover maintenance, and the share of a fresh worker: what the operator asks for, and what clients see of it."""

import json
import os
import signal
import subprocess
import threading

from drover_case import DROVER, main
from operator_case import DEMO, OperatorCase
from processes import wait_until
from raw_http import NoAnswer, Truncated, request

WAITING = "drover_queue_length"


class Load:
    """Clients that ask again and again on connections of their own, each over one connection."""

    def __init__(self, cluster, clients):
        self.cluster = cluster
        self.answers, self.failures, self.over = [], [], threading.Event()
        self.threads = [threading.Thread(target=self.client, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def client(self):
        try:
            with self.cluster.connect(timeout=60) as connection:
                while not self.over.is_set():
                    self.answers.append(connection.exchange(request()).status)
        except (OSError, NoAnswer, Truncated) as error:
            self.failures.append(repr(error))

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60)
        return self.failures, set(self.answers)


class Hold(OperatorCase):
    def start(self, **pool):
        return self.cluster().configure({"shop": {**DEMO, "workers": 2, **pool}}).start()

    def waiting(self, cluster, count):
        wait_until(lambda: cluster.metric(WAITING, pool="shop") == count, 20, f"{count} requests wait")

    def ask_later(self, cluster, *arguments, **options):
        """A request on its way: its thread and where its answer will be."""
        answers = []
        thread = threading.Thread(target=lambda: answers.append(cluster.fetch(*arguments, timeout=60, **options)), daemon=True)
        thread.start()
        return thread, answers

    def answered(self, asked):
        for thread, _ in asked:
            thread.join(60)
        return [answers[0].status if answers else None for _, answers in asked]

    def test_UnderLoad_AllWaitNoneFails_AllAreAnsweredAfterResume(self):
        for name, pool in (("bounded", {"concurrency": 2}), ("unbounded", {})):
            with self.subTest(pool=name):
                cluster = self.start(**pool)
                load = Load(cluster, 8)
                wait_until(lambda: len(load.answers) > 50, 20, "load")
                out = self.fine(cluster, "hold", "shop", "--max", "10m")
                self.assertIn("nobody is inside", out)
                self.waiting(cluster, 8)
                before = len(load.answers)
                self.assertEqual(sum(worker["in_flight"] for worker in cluster.workers()), 0)
                self.assertEqual(cluster.metric("drover_pool_held", pool="shop"), 1)
                self.assertIn("held for", self.fine(cluster, "status"))
                self.assertEqual(len(load.answers), before, "nobody was let through")
                self.fine(cluster, "resume", "shop")
                wait_until(lambda: len(load.answers) > before + 50, 20, "it goes on")
                failures, statuses = load.stop()
                self.assertEqual((failures, statuses), ([], {200}))
                self.assertEqual(cluster.metric("drover_pool_held", pool="shop"), 0)
                self.assertEqual([event["why"] for event in cluster.events("poolReleased")], ["operator"])
                cluster.stop()

    def test_ItsTimeIsOver_LetsAllThrough_BeyondQueueWait(self):
        cluster = self.start(queue={"wait": "100ms"})
        self.fine(cluster, "hold", "shop", "--max", "3s")
        asked = [self.ask_later(cluster) for _ in range(5)]
        self.assertEqual(self.answered(asked), [200] * 5, "the time of a hold does not count as theirs")
        self.assertEqual(cluster.await_event("poolReleased")["why"], "time")
        self.assertIsNone(cluster.status()["pools"][0]["held"])

    def test_HeldTwice_TheNewerWins_OffEndsIt(self):
        cluster = self.start()
        self.fine(cluster, "hold", "shop", "--max", "100ms", "--no-wait")
        self.fine(cluster, "hold", "shop", "--max", "1h")
        asked = [self.ask_later(cluster)]
        self.waiting(cluster, 1)
        self.assertGreater(cluster.status()["pools"][0]["held"], 3000)
        self.fine(cluster, "hold", "shop", "--off")
        self.assertEqual(self.answered(asked), [200])

    def test_HoldTellsWhenNobodyIsInside(self):
        cluster = self.start()
        with cluster.connect() as slow:
            slow.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + "x" * 150000)
            wait_until(lambda: sum(worker["in_flight"] for worker in cluster.workers()) == 1, 20, "one is inside")
            process, said = self.follow(cluster, "hold", "shop", "--max", "10m", "--json")
            self.assertIn("1 request is inside", said("inside"))
            self.assertIsNone(process.poll())
            slow.send("x" * 50000)
            self.assertEqual(slow.response("POST").status, 200, "who was inside is served to the end")
            self.assertIn("nobody is inside", said('"done":true'))
            self.assertEqual(process.wait(20), 0)
        self.fine(cluster, "resume", "shop")

    def test_AHoldThatEndsWhileSomebodyIsInside_Is1(self):
        cluster = self.start()
        with cluster.connect() as slow:
            slow.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + "x" * 150000)
            wait_until(lambda: sum(worker["in_flight"] for worker in cluster.workers()) == 1, 20, "one is inside")
            code, out, err = self.drover(cluster, "hold", "shop", "--max", "300ms")
            self.assertEqual((code, out), (1, ""))
            self.assertIn("not held any more", err)

    def test_AClientThatLeavesTheLine_IsForgotten(self):
        cluster = self.start()
        self.fine(cluster, "hold", "shop", "--max", "10m")
        leaver = cluster.connect()
        leaver.send(request(target="/leaver"))
        self.waiting(cluster, 1)
        asked = [self.ask_later(cluster)]
        self.waiting(cluster, 2)
        leaver.close()
        self.waiting(cluster, 1)
        self.fine(cluster, "resume", "shop")
        self.assertEqual(self.answered(asked), [200])
        self.assertEqual(cluster.metric("drover_client_disconnects_total", pool="shop", stage="queue"), 1)
        self.assertEqual(cluster.metric("drover_worker_requests_total", pool="shop"), 1, "nobody asked a worker for the one that left")

    def test_AFullLine_Is503WithRetryAfter(self):
        cluster = self.start(queue={"max": 2})
        self.fine(cluster, "hold", "shop", "--max", "10m")
        asked = [self.ask_later(cluster) for _ in range(2)]
        self.waiting(cluster, 2)
        refused = cluster.fetch()
        self.assertEqual(refused.status, 503)
        self.assertTrue(int(refused.get("Retry-After")) > 0)
        self.assertEqual(cluster.metric("drover_queue_rejected_total", pool="shop", reason="full"), 1)
        self.fine(cluster, "resume", "shop")
        self.assertEqual(self.answered(asked), [200, 200])

    def test_AHoldOutlivesTheProxy(self):
        cluster = self.start()
        self.fine(cluster, "hold", "shop", "--max", "10m")
        before = cluster.proxy_pid()
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: cluster.proxy_pid() not in (0, before) and cluster.status()["proxies"][0]["ready"], 20, "the next proxy")
        asked = [self.ask_later(cluster)]
        self.waiting(cluster, 1)
        self.fine(cluster, "resume", "shop")
        self.assertEqual(self.answered(asked), [200])

    def test_AStopLetsThroughWhoWaits(self):
        cluster = self.start(drain={"http": "10s"})
        self.fine(cluster, "hold", "shop", "--max", "10m")
        asked = [self.ask_later(cluster)]
        self.waiting(cluster, 1)
        cluster.stop()
        self.assertEqual(self.answered(asked), [200])

    def test_WhatIsWrong_IsRefusedAndChangesNothing(self):
        cluster = self.cluster().configure({"shop": {**DEMO, "workers": 1}}).start()
        for code, words, says in ((2, ("hold", "shop", "--max", "0s"), "--max"),
                                  (2, ("hold", "shop", "--max", "61m"), "1h"),
                                  (2, ("hold",), "POOL"),
                                  (2, ("hold", "shop", "--max", "5s", "--off"), "--off"),
                                  (1, ("hold", "nosuch"), "known: shop"),
                                  (1, ("hold", "shop.1"), "drover drain shop.1"),
                                  (1, ("maintenance", "shp"), 'did you mean "shop"'),
                                  (1, ("maintenance", "shop", "--message", "x" * 241), "240"),
                                  (1, ("maintenance", "shop", "--message", "a\nb"), "control character"),
                                  (2, ("maintenance", "shop", "--message", "x", "--off"), "--off")):
            got, out, err = self.drover(cluster, *words)
            self.assertEqual((got, out), (code, ""), f"{words}: {err}")
            self.assertIn(says, err, words)
        self.assertEqual(cluster.events("poolHeld") + cluster.events("poolMaintenance"), [])
        self.assertEqual(cluster.fetch().status, 200)

    def test_PoolsPastTheProxy_CanNotBeHeld(self):
        cluster = self.cluster().configure({"shop": {**DEMO, "workers": 1}, "raw": {"command": ["sleep", "1000"], "workers": 1, "dispatch": "shared"}},
                                           listener={"web": {}, "past": {"pool": "raw"}}, route=[{"pool": "shop"}])
        cluster.start(ready=False)
        for verb in ("hold", "maintenance"):
            code, _, err = self.drover(cluster, verb, "raw")
            self.assertEqual(code, 1)
            self.assertIn('dispatch = "shared"', err)

    def test_CompletionAndHelp_KnowThem(self):
        for shell in ("bash", "zsh", "fish"):
            out = self.said("completion", shell)
            for word in ("hold", "maintenance", "max", "message", "off"):
                self.assertIn(word, out)
        self.assertIn("--max TIME", self.said("hold", "--help"))
        self.assertIn("--message TEXT", self.said("maintenance", "--help"))

    def said(self, *words):
        """By a verb that asks nobody."""
        return subprocess.run([DROVER, *words], capture_output=True, text=True, timeout=30, check=True).stdout


class Maintenance(OperatorCase):
    def test_EveryRequestIs503WithTheMessage_OthersAreServed(self):
        cluster = self.cluster().configure({"shop": {**DEMO, "workers": 1}, "blog": {**DEMO, "workers": 1}},
                                           route=[{"pool": "shop"}, {"path": "/blog", "pool": "blog"}]).start()
        message = "zurück um 12, <b>versprochen</b>"
        self.fine(cluster, "maintenance", "shop", "--message", message)
        plain = cluster.fetch()
        self.assertEqual(plain.status, 503)
        self.assertIn(message, plain.body.decode())
        self.assertTrue(int(plain.get("Retry-After")) > 0)
        self.assertNotIn("html", plain.get("Content-Type"), "what the operator says is text")
        as_json = cluster.fetch(headers=[("Accept", "application/json")])
        self.assertEqual(as_json.status, 503)
        self.assertIn(message, json.dumps(json.loads(as_json.body), ensure_ascii=False))
        self.assertEqual(cluster.fetch("GET", "/blog").status, 200)
        self.assertEqual(cluster.metric("drover_queue_rejected_total", pool="shop", reason="maintenance"), 2)
        self.assertEqual(cluster.metric("drover_pool_maintenance", pool="shop"), 1)
        self.assertEqual(cluster.metric("drover_pool_maintenance", pool="blog"), 0)
        self.assertEqual(cluster.status()["pools"][0]["maintenance"], {"message": message})
        self.assertIn("in maintenance", self.fine(cluster, "status"))
        self.assertEqual(cluster.admin("/readyz").status, 200, "its workers are there")
        self.fine(cluster, "maintenance", "shop", "--off")
        self.assertEqual(cluster.fetch().status, 200)
        self.assertEqual([event["on"] for event in cluster.events("poolMaintenance")], [True, False])

    def test_ResumeEndsIt_WithoutAMessageItSaysSomethingItself(self):
        cluster = self.cluster().configure({"shop": {**DEMO, "workers": 1}}).start()
        self.fine(cluster, "maintenance", "shop")
        answer = cluster.fetch()
        self.assertEqual(answer.status, 503)
        self.assertIn(b"maintenance", answer.body)
        self.fine(cluster, "resume", "shop")
        self.assertEqual(cluster.fetch().status, 200)


class SlowStart(OperatorCase):
    def shares(self, cluster):
        return [worker["share"] for worker in cluster.workers()]

    def test_AFreshWorkersShareGrows_AllFreshServeAll(self):
        cluster = self.cluster().configure({"shop": {**DEMO, "workers": 2, "slow_start": "20m"}}).start()
        self.assertEqual([share < 100 for share in self.shares(cluster)], [True, True])
        self.assertTrue(all(worker["warming"] > 0 for worker in cluster.workers()))
        self.assertLess(cluster.metric("drover_worker_share_ratio", pool="shop", worker="1"), 1)
        with cluster.connect() as connection:
            self.assertEqual({connection.exchange(request()).status for _ in range(200)}, {200})
        served = [cluster.metric("drover_worker_requests_total", pool="shop", worker=str(slot)) for slot in (1, 2)]
        self.assertGreater(min(served), 40, "both are as fresh: both get their part")

    def test_WarmAfterItsTime_AndFreshAgainAfterADeath(self):
        cluster = self.cluster().configure({"shop": {**DEMO, "workers": 2, "slow_start": "1s", "restart": {"delay": "50ms"}}}).start()
        wait_until(lambda: self.shares(cluster) == [100, 100], 20, "both are warm")
        self.assertEqual([worker["warming"] for worker in cluster.workers()], [None, None])


if __name__ == "__main__":
    main()
