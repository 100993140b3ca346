"""What clients see under load, on the real binary: the order of the line, shedding, deadlines, breaker, spilling, limits per address, pace."""

from drover_case import DroverCase, main
from processes import wait_until
from raw_http import Truncated, request

OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Resilience(DroverCase):
    def start(self, listener=None, route=(), others=None, **keys):
        cluster = self.cluster()
        self.worker = cluster.recorder()
        pools = {"shop": {"command": self.worker.command(), "workers": 1, **keys}, **(others(cluster) if others else {})}
        cluster.configure(pools, {"web": listener or {}}, route=[{"pool": "shop"}, *route])
        return cluster.start()

    def ask(self, cluster, target="/", **options):
        connection = cluster.connect()
        self.addCleanup(connection.close)
        connection.send(request(target=target, close=True, **options))
        return connection

    def occupy(self, cluster):
        """Its only worker's only place is taken until the mark 'go'."""
        self.worker.on("/busy", ["mark", "busy"], ["wait", "go"], ["send", OK])
        busy = self.ask(cluster, "/busy")
        self.worker.await_mark("busy")
        return busy

    def await_queue(self, cluster, length):
        wait_until(lambda: cluster.metric("drover_queue_length", pool="shop") == length, 10, f"{length} wait")

    def test_NewestFirst_IsServedInThatOrder(self):
        cluster = self.start(concurrency=1, queue={"wait": "60s", "order": "newest"})
        busy = self.occupy(cluster)
        waiting = []
        for number in range(3):
            waiting.append(self.ask(cluster, f"/{number}"))
            self.await_queue(cluster, number + 1)
        self.worker.open("go")
        for connection in (busy, *waiting):
            self.assertEqual(connection.response().status, 200)
        order = [event["target"] for event in self.worker.events() if event["target"] in ("/0", "/1", "/2")]
        self.assertEqual(list(dict.fromkeys(order)), ["/2", "/1", "/0"])

    def test_AFullLine_IsShedByPriority(self):
        cluster = self.start(concurrency=1, queue={"wait": "60s", "max": 2}, route=[{"path": "/urgent", "pool": "shop", "priority": 5}])
        busy = self.occupy(cluster)
        first = self.ask(cluster, "/first")
        self.await_queue(cluster, 1)
        second = self.ask(cluster, "/second")
        self.await_queue(cluster, 2)
        urgent = self.ask(cluster, "/urgent")
        shed = second.response()
        self.assertEqual(shed.status, 503)
        self.assertIsNotNone(shed.get("Retry-After"))
        self.assertEqual(self.ask(cluster, "/third").response().status, 503)
        self.worker.open("go")
        self.assertEqual([each.response().status for each in (busy, first, urgent)], [200, 200, 200])
        self.assertEqual(cluster.metric("drover_queue_rejected_total", pool="shop", reason="shed"), 1)
        self.assertEqual(cluster.metric("drover_queue_rejected_total", pool="shop", reason="full"), 1)

    def test_Deadlines_EndAnExchange(self):
        cluster = self.start(timeouts={"floor": "10ms"}, route=[{"path": "/short", "pool": "shop", "timeout": "300ms"}])
        self.worker.on("/short", ["wait", "never"])
        self.worker.on("/asked", ["wait", "never"])
        self.worker.on("/half", ["send", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"], ["wait", "never"])
        self.assertEqual(self.ask(cluster, "/short").response().status, 504)
        self.assertEqual(self.ask(cluster, "/asked", headers=[("X-Request-Timeout", "0.3")]).response().status, 504)
        with self.assertRaises(Truncated):
            self.ask(cluster, "/half", headers=[("X-Request-Timeout", "2s")]).response()
        wait_until(lambda: cluster.metric("drover_deadline_exceeded_total", pool="shop") == 3, 10, "all three are counted")
        self.worker.open("never")

    def test_TheBreaker_LetsAFailingPoolAloneAndSpillsOver(self):
        spare = {}

        def others(cluster):
            spare["worker"] = cluster.recorder("spare")
            return {"spare": {"command": spare["worker"].command(), "workers": 1}}
        cluster = self.start(others=others, spill_to="spare", retry={"attempts": 1},
                             breaker={"errors": "50%", "requests": 2, "window": "60s", "open": "60s"})
        self.worker.answer("/bad", "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        spare["worker"].answer("/bad", OK)
        for _ in range(2):
            self.assertEqual(self.ask(cluster, "/bad").response().status, 503)
        # An answer counts once it has been sent: its client may be faster than that.
        wait_until(lambda: cluster.metric("drover_breaker_opened_total", pool="shop") == 1, 10, "the breaker is open")
        self.assertEqual(self.ask(cluster, "/bad").response().status, 200)
        self.assertEqual(len(self.worker.events("/bad")), 2)
        self.assertEqual(len(spare["worker"].events("/bad")), 1)
        self.assertEqual(cluster.metric("drover_requests_spilled_total", pool="shop"), 1)

    def test_APoolThatIsDown_SpillsLongBeforeTheLinesTimeIsOver(self):
        cluster = self.cluster()
        spare = cluster.recorder("spare")
        spare.answer("/", OK)
        cluster.configure({"shop": {"command": ["sleep", "1000"], "workers": 1, "ready": {"timeout": "10m"}, "spill_to": "spare", "queue": {"wait": "10m"}},
                           "spare": {"command": spare.command(), "workers": 1}}, route=[{"pool": "shop"}]).start(ready=False)
        cluster.await_admin()
        wait_until(lambda: all(each["eligible"] for each in cluster.workers("spare")), 20, "the spare is there")
        with cluster.connect() as connection:
            self.assertEqual(connection.exchange(request()).status, 200)
        self.assertEqual(cluster.metric("drover_requests_spilled_total", pool="shop"), 1)

    def test_RequestsPerSecond_Are429WithTheConnectionKept(self):
        cluster = self.start(listener={"per_client": {"requests": 0.01, "burst": 3}})
        self.worker.answer("/", OK)
        with cluster.connect() as connection:
            answers = [connection.exchange(request()) for _ in range(5)]
        self.assertEqual([answer.status for answer in answers], [200, 200, 200, 429, 429])
        self.assertTrue(90 <= int(answers[3].get("Retry-After")) <= 100, answers[3].headers)
        self.assertEqual(cluster.metric("drover_clients_limited_total", listener="web", reason="requests"), 2)

    def test_Connections_AreLimitedByAddress(self):
        cluster = self.start(listener={"per_client": {"connections": 2}})
        self.worker.answer("/", OK)
        first, second = cluster.connect(), cluster.connect()
        self.addCleanup(first.close)
        self.addCleanup(second.close)
        self.assertEqual(first.exchange(request()).status, 200)
        self.assertEqual(second.exchange(request()).status, 200)
        with cluster.connect() as third:
            third.send(request())
            answer = third.response()
            self.assertEqual(answer.status, 429)
            self.assertIsNotNone(answer.get("Retry-After"))
            self.assertEqual(third.rest(), b"")
        self.assertEqual(second.exchange(request()).status, 200)
        self.assertEqual(cluster.metric("drover_clients_limited_total", listener="web", reason="connections"), 1)
        first.close()
        wait_until(lambda: self.ask(cluster).response().status == 200, 10, "the place of the closed one is free")

    def test_SlowSenders_AreSentAway(self):
        cluster = self.start(listener={"rates": {"head": "1KiB", "body": "1KiB", "grace": "300ms"}})
        with cluster.connect() as connection:
            connection.send("GET / HTTP/1.1\r\nHost: x\r\nX-Drip: ")
            self.assertEqual(connection.response().status, 408)
            self.assertEqual(connection.rest(), b"")
        with cluster.connect() as connection:
            connection.send("POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
            self.assertEqual(connection.response().status, 408)
        self.worker.on("/large", ["await_end", "cut"])
        with cluster.connect() as connection:
            connection.send("POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx")
            self.assertEqual(connection.response().status, 408)
        self.worker.await_mark("cut")
        self.assertEqual(self.worker.events("/small"), [])
        self.assertEqual(cluster.metric("drover_clients_slow_total", listener="web"), 3)


if __name__ == "__main__":
    main()
