"""/metrics, /livez, /readyz, /status: shape, truth, manners; and that each strategy spreads requests as its name says."""

import collections
import json
import shutil
import subprocess
import unittest

from drover_case import Cluster, DroverCase, main
from processes import wait_until
from raw_http import Connection, NoAnswer, request

FAMILIES = {
    "drover_requests_total": {"pool", "method", "code"},
    "drover_request_duration_seconds_bucket": {"pool", "le"},
    "drover_request_duration_seconds_count": {"pool"},
    "drover_in_flight": {"pool"},
    "drover_queue_length": {"pool"},
    "drover_queue_wait_seconds_count": {"pool"},
    "drover_queue_rejected_total": {"pool", "reason"},
    "drover_retries_total": {"pool", "reason"},
    "drover_client_disconnects_total": {"pool", "stage"},
    "drover_client_connections": {"listener"},
    "drover_worker_up": {"pool", "worker"},
    "drover_worker_state": {"pool", "worker", "state"},
    "drover_worker_in_flight": {"pool", "worker"},
    "drover_worker_requests_total": {"pool", "worker"},
    "drover_worker_memory_bytes": {"pool", "worker"},
    "drover_worker_cpu_seconds_total": {"pool", "worker"},
    "drover_worker_open_fds": {"pool", "worker"},
    "drover_worker_restarts_total": {"pool", "worker"},
    "drover_worker_start_time_seconds": {"pool", "worker"},
    "drover_worker_start_duration_seconds_count": {"pool"},
    "drover_pool_workers": {"pool", "state"},
    "drover_pool_workers_desired": {"pool"},
    "drover_claims_after_close_total": set(),
    "drover_loop_turn_seconds_count": {"role"},
    "drover_supervisor_heartbeat_age_seconds": set(),
    "drover_config_last_reload_successful": set(),
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
    "process_open_fds": set(),
    "process_start_time_seconds": set(),
}


class Admin(DroverCase):
    @classmethod
    def setUpClass(cls):
        cls.share(Cluster())
        cls.recorder = cls.shared.recorder()
        cls.shared.configure({"shop": {"command": cls.recorder.command(), "workers": 2}}).start()

    def fetch(self, *arguments, **options):
        return self.shared.fetch(*arguments, **options)

    def raw(self, data):
        with Connection(self.shared.admin_port) as connection:
            return connection.exchange(data)

    def test_Metrics_HaveTheFamiliesAndLabelsPromised(self):
        for path in ("/", "/a", "/b"):
            self.assertEqual(self.fetch("GET", path).status, 200)
        have = collections.defaultdict(set)
        for name, labels in self.shared.metrics():
            have[name].add(frozenset(label for label, _ in labels))
        for name, labels in FAMILIES.items():
            with self.subTest(name):
                self.assertEqual(have.get(name), {frozenset(labels)})
        self.assertIn("drover_build_info", have)
        self.assertIn("version", next(iter(have["drover_build_info"])))

    def test_Metrics_NeverLabelByPidPortOrPath(self):
        self.assertEqual(self.fetch("GET", "/secret-path").status, 200)
        text = self.shared.admin("/metrics").text
        for worker in self.shared.workers():
            self.assertNotIn(f'"{worker["pid"]}"', text)
            self.assertNotIn(worker["endpoint"].rsplit(":", 1)[-1] + '"', text)
        self.assertNotIn("secret-path", text)

    @unittest.skipUnless(shutil.which("promtool"), "promtool (package prometheus) is not installed")
    def test_Metrics_PassPromtool(self):
        self.fetch()
        done = subprocess.run(["promtool", "check", "metrics"], input=self.shared.admin("/metrics").text.encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        self.assertEqual((done.returncode, done.stdout.decode()), (0, ""))

    def test_RequestsTotal_CountsByMethodClassAndCode(self):
        self.recorder.answer("/created", "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        self.recorder.answer("/teapot", "HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n")
        cases = [(("POST", "/created", (), b"x"), "POST", "201"), (("GET", "/teapot"), "GET", "418"), (("HEAD", "/teapot"), "HEAD", "418"),
                 (("PATCH", "/created", (), b"x"), "other", "201")]
        for arguments, method, code in cases:
            with self.subTest(method=method, code=code):
                before = self.shared.metric("drover_requests_total", pool="shop", method=method, code=code) or 0
                for _ in range(3):
                    self.fetch(*arguments)
                wait_until(lambda: self.shared.metric("drover_requests_total", pool="shop", method=method, code=code) == before + 3, 5,
                           "three more are counted")

    def test_DurationHistogram_CountsEveryRequest(self):
        def count():
            return self.shared.metric("drover_request_duration_seconds_count", pool="shop")
        before = count()
        for _ in range(7):
            self.fetch()
        wait_until(lambda: count() == before + 7, 5, "seven more durations")
        self.assertEqual(self.shared.metric("drover_request_duration_seconds_bucket", pool="shop", le="+Inf"), count())

    def test_InFlight_IsSeenWhileARequestRuns(self):
        self.recorder.on("/held", ["body"], ["mark", "held-arrived"], ["wait", "held-go"], ["describe"])
        with self.shared.connect() as connection:
            connection.send(request(target="/held"))
            self.recorder.await_mark("held-arrived")
            self.assertEqual(self.shared.metric("drover_in_flight", pool="shop"), 1)
            self.assertEqual(sorted(worker["in_flight"] for worker in self.shared.workers()), [0, 1])
            self.recorder.open("held-go")
            self.assertEqual(connection.response().status, 200)
        wait_until(lambda: self.shared.metric("drover_in_flight", pool="shop") == 0, 5, "nothing in flight")

    def test_ClientConnections_AreCounted(self):
        before = self.shared.metric("drover_client_connections", listener="web")
        held = [self.shared.connect() for _ in range(3)]
        wait_until(lambda: self.shared.metric("drover_client_connections", listener="web") == before + 3, 5, "three connections")
        for connection in held:
            connection.close()
        wait_until(lambda: self.shared.metric("drover_client_connections", listener="web") == before, 5, "none of them")

    def test_ClientThatLeaves_IsCounted(self):
        def gone():
            return self.shared.metric("drover_client_disconnects_total", pool="shop")
        before = gone()
        self.recorder.on("/left", ["body"], ["send", "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"], ["flood", "left-seen"])
        with self.shared.connect() as connection:
            connection.send(request(target="/left"))
            self.assertEqual(connection.head().status, 200)
        self.recorder.await_mark("left-seen")
        wait_until(lambda: gone() == before + 1, 5, "one more client that left")

    def test_WorkersMemoryAndCpu_Move(self):
        self.recorder.on("/burn", ["burn", 0.5, 60])
        before = {worker["slot"]: worker for worker in self.shared.workers()}
        cpu = self.shared.metric("drover_worker_cpu_seconds_total", pool="shop")
        self.assertEqual(self.fetch("GET", "/burn").status, 200)
        wait_until(lambda: self.shared.metric("drover_worker_cpu_seconds_total", pool="shop") > cpu + 0.3, 10, "half a second of CPU is seen")

        def grew(worker):
            return worker["memory"]["bytes"] > before[worker["slot"]]["memory"]["bytes"] + 50 * 2**20
        wait_until(lambda: any(map(grew, self.shared.workers())), 10, "60 MiB are seen")

    def test_Livez_IsAlways200(self):
        self.assertEqual(self.shared.admin("/livez").status, 200)

    def test_Status_HasTheShapePromised(self):
        status = self.shared.status()
        self.assertGreaterEqual(set(status), {"pid", "supervisor", "uptime", "stopping", "totals", "proxies", "pools", "listeners", "admin_address"})
        self.assertEqual(status["pid"], self.shared.process.pid)
        self.assertIs(status["stopping"], False)
        self.assertGreaterEqual(set(status["totals"]), {"requests", "errors", "created", "died", "restarted", "health_checks"})
        self.assertEqual([set(proxy) >= {"pid", "threads"} for proxy in status["proxies"]], [True])
        self.assertEqual(status["proxies"][0]["threads"], 2)
        self.assertEqual(status["listeners"][0]["name"], "web")
        pool, = status["pools"]
        self.assertGreaterEqual(set(pool), {"name", "strategy", "position", "desired", "workers"})
        self.assertEqual((pool["name"], pool["strategy"], pool["desired"], len(pool["workers"])), ("shop", "round-robin", 2, 2))
        for slot, worker in enumerate(pool["workers"], 1):
            self.assertGreaterEqual(set(worker), {"slot", "incarnation", "pid", "lifecycle", "health", "intent", "endpoint", "uptime", "requests",
                                                  "in_flight", "restarts", "memory", "cpu"})
            self.assertEqual((worker["slot"], worker["lifecycle"], worker["health"], worker["intent"]), (slot, "running", "passing", "enabled"))
            self.assertGreater(worker["memory"]["bytes"], 1_000_000)
            self.assertIn(worker["memory"]["source"], ("pss", "cgroup", "rss"))

    def test_Status_CountsRequestsByWorker(self):
        before = {worker["slot"]: worker["requests"] for worker in self.shared.workers()}
        total = self.shared.status()["totals"]["requests"]
        for _ in range(10):
            self.fetch()
        wait_until(lambda: self.shared.status()["totals"]["requests"] == total + 10, 5, "ten more requests in all")
        self.assertEqual([worker["requests"] - before[worker["slot"]] for worker in self.shared.workers()], [5, 5])

    def test_OtherMethods_Are405(self):
        for method in ("POST", "PUT", "DELETE"):
            for path in ("/metrics", "/status", "/livez", "/readyz"):
                answer = self.raw(request(method, path, host="127.0.0.1"))
                self.assertEqual(answer.status, 405, path)
                self.assertIn("GET", answer.get("Allow", ""))

    def test_Head_HasNoBody(self):
        with Connection(self.shared.admin_port) as connection:
            answer = connection.exchange(request("HEAD", "/livez", host="127.0.0.1"), "HEAD")
            self.assertEqual((answer.status, connection.buffer), (200, b""))

    def test_UnknownPath_Is404(self):
        self.assertEqual(self.raw(request(target="/nothing", host="127.0.0.1")).status, 404)

    def test_ForeignHost_MayNotReadStatusButMetrics(self):
        self.assertEqual(self.raw(request(target="/status", host="evil.example")).status, 403)
        self.assertEqual(self.raw(request(target="/metrics", host="evil.example")).status, 200)
        for host in ("127.0.0.1", "localhost", f"localhost:{self.shared.admin_port}", "[::1]"):
            self.assertEqual(self.raw(request(target="/status", host=host)).status, 200, host)

    def test_LargeHead_IsRefused(self):
        with Connection(self.shared.admin_port) as connection:
            connection.send(request(target="/livez", host="127.0.0.1", headers=[("X-A", "a" * 20000)]))
            try:
                self.assertGreaterEqual(connection.response().status, 400)
            except NoAnswer:
                pass

    def test_ManySilentConnections_DoNotShutOthersOut(self):
        held = [Connection(self.shared.admin_port) for _ in range(100)]
        try:
            wait_until(lambda: self.shared.admin("/livez").status == 200, 20, "/livez answers")
            self.assertEqual(self.fetch().status, 200)
        finally:
            for connection in held:
                connection.close()

    def test_UnfinishedRequest_IsEndedByItsDeadline(self):
        with Connection(self.shared.admin_port, timeout=20) as connection:
            connection.send(b"GET /livez HTTP/1.1\r\nHos")
            rest = connection.rest()
            self.assertTrue(rest == b"" or rest.startswith(b"HTTP/1.1 4"), rest)


class Readiness(DroverCase):
    def test_Readyz_NamesThePoolThatHasNobody(self):
        cluster = self.cluster()
        recorder = cluster.recorder()
        cluster.configure({"good": {"command": recorder.command(), "workers": 1}, "lame": {"command": ["sleep", "1000"], "workers": 1}},
                          route=[{"pool": "good"}, {"path": "/lame", "pool": "lame"}]).start(ready=False)
        wait_until(lambda: [worker for worker in cluster.workers("good") if worker["lifecycle"] == "running"], 20, "the good one runs")
        answer = cluster.admin("/readyz")
        self.assertEqual(answer.status, 503)
        self.assertIn("lame", answer.text)
        self.assertNotIn("good", answer.text)
        self.assertEqual(cluster.admin("/livez").status, 200)
        self.assertEqual(cluster.fetch().status, 200)

    def test_ReadyByHttp_WaitsForTheStatusWanted(self):
        cluster = self.cluster()
        recorder = cluster.recorder()
        recorder.answer("/health", "HTTP/1.1 503 Not Yet\r\nContent-Length: 0\r\n\r\n")
        cluster.configure({"shop": {"command": recorder.command(), "workers": 1, "ready": {"http": "/health", "timeout": "60s"}}}).start(ready=False)
        wait_until(lambda: len(recorder.events("/health")) >= 3, 20, "three probes")
        self.assertEqual(cluster.admin("/readyz").status, 503)
        self.assertEqual(cluster.workers()[0]["lifecycle"], "starting")
        recorder.answer("/health", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        cluster.await_ready()
        self.assertEqual(cluster.fetch().status, 200)

    def test_HealthByHttp_TakesAFailingWorkerOutAndBack(self):
        cluster = self.cluster()
        first, second = cluster.recorder("1"), cluster.recorder("2")
        command = [*first.command()[:2], cluster.path("${WORKER}"), "${PORT}"]
        cluster.configure({"shop": {"command": command, "workers": 2,
                                    "health": {"http": "/health", "interval": "100ms", "timeout": "1s", "rise": 2, "fall": 2}}}).start()
        second.answer("/health", "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n")
        wait_until(lambda: cluster.workers()[1]["health"] == "failing", 10, "shop.2 is failing")
        self.assertEqual({json.loads(cluster.fetch().body)["worker"] for _ in range(6)}, {"1"})
        self.assertEqual(cluster.admin("/readyz").status, 200)
        second.on("/health", ["describe"])
        wait_until(lambda: cluster.workers()[1]["health"] == "passing", 10, "shop.2 is passing again")
        self.assertEqual({json.loads(cluster.fetch().body)["worker"] for _ in range(6)}, {"1", "2"})
        self.assertEqual(cluster.workers()[1]["restarts"], 0)

    def test_FailingForLong_IsReplaced(self):
        cluster = self.cluster()
        recorder = cluster.recorder()
        cluster.configure({"shop": {"command": recorder.command(), "workers": 1, "health": {
            "http": "/health", "interval": "100ms", "timeout": "1s", "rise": 1, "fall": 2, "restart_after": "500ms"}}}).start()
        pid, = cluster.pids()
        recorder.answer("/health", "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n")
        wait_until(lambda: cluster.pids() not in ([], [pid]), 20, "another process is in the slot")
        recorder.on("/health", ["describe"])
        cluster.await_ready()


class Strategies(DroverCase):
    def spread(self, strategy):
        """Requests by worker, 60 one after the other on one connection."""
        cluster = self.cluster()
        recorder = cluster.recorder()
        cluster.configure({"shop": {"command": recorder.command(), "workers": 3, "strategy": strategy}}).start()
        self.assertEqual(cluster.status()["pools"][0]["strategy"], strategy)
        counts = collections.Counter()
        connection = cluster.connect()
        self.addCleanup(connection.close)
        for _ in range(60):
            counts[json.loads(connection.exchange(request()).body)["worker"]] += 1
        return cluster, recorder, counts

    def test_RoundRobin_DiffersByAtMostOne(self):
        _, _, counts = self.spread("round-robin")
        self.assertEqual(sorted(counts.values()), [20, 20, 20])

    def test_RoundRobin_DiffersByAtMostOneOverNewConnections(self):
        cluster, _, _ = self.spread("round-robin")
        counts = collections.Counter(json.loads(cluster.fetch().body)["worker"] for _ in range(61))
        self.assertLessEqual(max(counts.values()) - min(counts.values()), 1, counts)

    def test_LeastConnections_AvoidsTheBusyWorker(self):
        cluster, recorder, counts = self.spread("least-connections")
        self.assertEqual(sum(counts.values()), 60)
        self.assertEqual(len(counts), 3, "ties take turns")
        recorder.on("/held", ["body"], ["mark", "held-arrived"], ["wait", "held-go"], ["describe"])
        with cluster.connect() as connection:
            connection.send(request(target="/held"))
            recorder.await_mark("held-arrived")
            busy = next(str(worker["slot"]) for worker in cluster.workers() if worker["in_flight"])
            counts = collections.Counter(json.loads(cluster.fetch().body)["worker"] for _ in range(30))
            self.assertEqual(set(counts), {"1", "2", "3"} - {busy})
            recorder.open("held-go")
            connection.response()

    def test_RandomOfTwo_UsesEverybody(self):
        _, _, counts = self.spread("random-of-two")
        self.assertEqual(set(counts), {"1", "2", "3"})

    def test_LeastMemory_PrefersTheSmallerWorkers(self):
        cluster, recorder, _ = self.spread("least-memory")
        recorder.on("/grow", ["burn", 0, 200])
        cluster.fetch("GET", "/grow")
        wait_until(lambda: max(worker["memory"]["bytes"] for worker in cluster.workers()) > 150 * 2**20, 10, "the growth is seen")
        big = str(max(cluster.workers(), key=lambda worker: worker["memory"]["bytes"])["slot"])
        counts = collections.Counter(json.loads(cluster.fetch().body)["worker"] for _ in range(20))
        self.assertEqual(counts[big], 0, counts)
        self.assertEqual(len(counts), 2, "equals take turns")


if __name__ == "__main__":
    main()
