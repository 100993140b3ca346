"""Every limit and timeout has an answer of its own; error replies are small, typed and tell nothing of the inside."""

import json
import re
import time

from drover_case import DroverCase, http_cluster, main
from processes import wait_until
from raw_http import Connection, Truncated, chunked, request

LISTENER = {"timeouts": {"head": "1s", "body": "1s", "idle": "2s", "send": "1s"}, "limits": {"target": "1KiB", "head": "4KiB", "body": "64KiB"}}
POOL = {"workers": 1, "keepalive": False, "retry": {"attempts": 3}, "timeouts": {"connect": "300ms", "response": "700ms", "stall": "700ms"}}


class Limits(DroverCase):
    @classmethod
    def setUpClass(cls):
        cls.share(http_cluster())
        cls.recorder = cls.shared.recorder()
        cls.shared.configure({"shop": {"command": cls.recorder.command(), **POOL}}, {"web": LISTENER}).start()

    def connect(self, **options):
        connection = Connection(self.shared.port(), **options)
        self.addCleanup(connection.close)
        return connection

    def refused(self, data, status):
        connection = self.connect()
        connection.send(data)
        answer = connection.response()
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(connection.rest(), b"", "closed after the refusal")
        return answer

    def test_TargetTooLong_Is414(self):
        size = self.recorder.size()
        self.refused(request(target="/" + "t" * 1100), 414)
        self.assertEqual(self.recorder.size(), size)

    def test_TargetThatNeverEnds_Is414(self):
        connection = self.connect()
        connection.send(b"GET /" + b"t" * 3000)
        self.assertEqual(connection.response().status, 414)

    def test_TargetWithinTheLimit_IsServed(self):
        self.assertEqual(self.connect().exchange(request(target="/" + "t" * 1000)).status, 200)

    def test_HeadTooLarge_Is431(self):
        size = self.recorder.size()
        self.refused(request(headers=[("X-A", "a" * 4200)]), 431)
        self.refused(request(headers=[(f"X-{n}", "v") for n in range(700)]), 431)
        self.assertEqual(self.recorder.size(), size)

    def test_HeadWithinTheLimit_IsServed(self):
        self.assertEqual(self.connect().exchange(request(headers=[("X-A", "a" * 3800)])).status, 200)

    def test_BodyTooLarge_ByItsLengthIs413AndReachesNobody(self):
        size = self.recorder.size()
        connection = self.connect()
        connection.send(request("POST", "/up", [("Content-Length", "65537")]))
        self.assertEqual(connection.response().status, 413)
        self.assertEqual(self.recorder.size(), size)

    def test_BodyTooLarge_ChunkedIs413(self):
        connection = self.connect()
        try:
            connection.send(request("POST", "/up", [("Transfer-Encoding", "chunked")], chunked(*[b"c" * 4096] * 17)))
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.assertEqual(connection.response().status, 413)

    def test_BodyAtTheLimit_IsServed(self):
        self.assertEqual(json.loads(self.connect().exchange(request("POST", "/up", body=b"c" * 65536)).body)["length"], 65536)
        self.assertEqual(json.loads(self.connect().exchange(request("POST", "/up", [("Transfer-Encoding", "chunked")],
            chunked(b"c" * 65536))).body)["length"], 65536)

    def timed(self, action):
        began = time.monotonic()
        result = action()
        return result, time.monotonic() - began

    def test_HeadThatStops_Is408(self):
        connection = self.connect()
        connection.send(b"GET / HTTP/1.1\r\nHost: te")
        answer, seconds = self.timed(connection.response)
        self.assertEqual(answer.status, 408)
        self.assertTrue(0.8 < seconds < 4, seconds)
        self.assertEqual(connection.rest(), b"")

    def test_HeadThatDrips_Is408ByTheDeadlineOfTheWholeHead(self):
        connection = self.connect()
        connection.sock.settimeout(0.2)
        connection.send(b"GET / HTTP/1.1\r\nHost: test\r\nX-A: ")
        began = time.monotonic()
        while time.monotonic() - began < 5:
            try:
                if not connection.fill() or connection.buffer:
                    break
            except TimeoutError:
                connection.send(b"a")
        connection.sock.settimeout(10)
        self.assertEqual(connection.response().status, 408)
        self.assertLess(time.monotonic() - began, 4)

    def test_IdleConnection_IsClosedSilently(self):
        connection = self.connect()
        self.assertEqual(connection.exchange(request()).status, 200)
        rest, seconds = self.timed(connection.rest)
        self.assertEqual(rest, b"")
        self.assertTrue(1.5 < seconds < 6, seconds)

    def test_ConnectionWithoutAByte_IsClosed(self):
        rest, seconds = self.timed(self.connect().rest)
        self.assertTrue(rest == b"" or rest.startswith(b"HTTP/1.1 408 "), rest)
        self.assertLess(seconds, 6)

    def test_BodyThatStops_Is408(self):
        connection = self.connect()
        connection.send(request("POST", "/up", [("Content-Length", "10")]) + b"12345")
        answer, seconds = self.timed(connection.response)
        self.assertEqual(answer.status, 408)
        self.assertTrue(0.8 < seconds < 4, seconds)
        self.assertEqual(connection.rest(), b"")

    def test_BodyThatKeepsComing_IsNotCut(self):
        connection = self.connect()
        connection.send(request("POST", "/slow-up", [("Content-Length", "6")]))
        connection.sock.settimeout(0.4)
        for _ in range(6):
            with self.assertRaises(TimeoutError):
                connection.fill()
            connection.send(b"x")
        connection.sock.settimeout(10)
        answer = connection.response()
        self.assertEqual((answer.status, json.loads(answer.body)["length"]), (200, 6))

    def test_ClientThatDoesNotRead_IsCutAfterSend(self):
        self.recorder.on("/endless", ["body"], ["send", "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"], ["flood", "endless-cut"])
        connection = self.connect(receive_buffer=4096)
        connection.send(request(target="/endless"))
        self.recorder.await_mark("endless-cut", 15)

    def test_SilentWorker_Is504(self):
        self.recorder.on("/silent", ["body"], ["mark", "silent-arrived"], ["await_end", "silent-cut"])
        answer, seconds = self.timed(lambda: self.connect().exchange(request(target="/silent")))
        self.assertEqual(answer.status, 504)
        self.assertTrue(0.5 < seconds < 5, seconds)
        self.recorder.await_mark("silent-cut")
        self.assertEqual(len(self.recorder.events("/silent")), 1, "a request that timed out was repeated")

    def test_SilentPost_Is504AndNeverReplayed(self):
        self.recorder.on("/silent-post", ["body"], ["await_end", "silent-post-cut"])
        self.assertEqual(self.connect().exchange(request("POST", "/silent-post", body=b"x")).status, 504)
        self.recorder.await_mark("silent-post-cut")
        self.assertEqual(len(self.recorder.events("/silent-post")), 1)

    def test_StalledAnswer_IsCutSoThatTheClientSeesIt(self):
        for name, head, part in (("length", "Content-Length: 100", "partly"), ("chunked", "Transfer-Encoding: chunked", "6\r\npartly\r\n")):
            with self.subTest(name):
                self.recorder.on(f"/stall-{name}", ["body"], ["send", f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n{part}"], ["await_end", f"stall-{name}-cut"])
                began = time.monotonic()
                with self.assertRaises(Truncated) as caught:
                    self.connect().exchange(request(target=f"/stall-{name}"))
                self.assertEqual(caught.exception.response.body, b"partly")
                self.assertTrue(0.5 < time.monotonic() - began < 5)
                self.recorder.await_mark(f"stall-{name}-cut")

    def test_ErrorReplies_AreTextByDefaultAndJsonWhenAskedFor(self):
        self.recorder.answer("/garbled", "garbage\r\n\r\n")
        for accept, kind in ((None, "text/plain"), ("*/*", "text/plain"), ("text/html,*/*;q=0.8", "text/plain"),
                             ("application/json", "application/json"),
                             ("application/json, text/plain;q=0.5", "application/json")):
            headers = [("Accept", accept)] if accept else []
            for data, status in ((request(target="/garbled", headers=headers), 502),
                                 (request("POST", "/up", [("Content-Length", "65537"), *headers]), 413)):
                with self.subTest(accept=accept, status=status):
                    answer = self.connect().exchange(data)
                    self.assertEqual((answer.status, answer.get("Content-Type").split(";")[0]), (status, kind))
                    if kind == "application/json":
                        self.assertIn(str(status), json.dumps(json.loads(answer.body)))

    def test_ErrorReplies_AreSmallAndTellNothingOfTheInside(self):
        self.recorder.answer("/garbage", "garbage\r\n\r\n")
        endpoint = str(self.shared.workers()[0]["endpoint"]).rsplit(":", 1)[-1]
        for data in (request(target="/" + "t" * 1100), request(headers=[("X-A", "a" * 4200)]), b"GET / HTTP/1.1\r\n\r\n", request(target="/garbage")):
            answer = self.connect().exchange(data)
            self.assertGreaterEqual(answer.status, 400)
            self.assertTrue(0 < len(answer.body) < 512, answer)
            told = answer.head + answer.body
            for secret in (b"127.0.0.1", endpoint.encode(), b"boost", b"asio", b"beast", b"errno", self.recorder.folder.encode()):
                self.assertNotIn(secret, told.lower())


class WorkersOutOfReach(DroverCase):
    def start(self, **keys):
        cluster = self.cluster()
        self.recorder = cluster.recorder()
        cluster.configure({"shop": {"command": self.recorder.command(), **POOL, **keys}}).start()
        return cluster

    def test_WorkerThatRefuses_Is502AndNobodyWaits(self):
        cluster = self.start()
        self.recorder.on("/unlisten", ["unlisten"], ["describe"])
        self.assertEqual(cluster.fetch("GET", "/unlisten").status, 200)
        began = time.monotonic()
        self.assertIn(cluster.fetch().status, (502, 503))
        self.assertLess(time.monotonic() - began, 6)

    def test_WorkerThatNeverAccepts_Is504AfterTheConnectTimeout(self):
        cluster = self.start()
        self.recorder.on("/clog", ["clog"], ["describe"])
        self.assertEqual(cluster.fetch("GET", "/clog").status, 200)
        # The queue of the worker's listener takes a connection or two; from then on an attempt gets no answer at all.
        statuses, slowest = set(), 0
        for _ in range(4):
            began = time.monotonic()
            statuses.add(cluster.fetch().status)
            slowest = max(slowest, time.monotonic() - began)
        self.assertEqual(statuses, {504})
        self.assertLess(slowest, 5)

    def test_NobodyEligible_Is503WithRetryAfter(self):
        cluster = self.cluster()
        cluster.configure({"shop": {"command": ["sh", "-c", "exit 3"], "workers": 2, "restart": {"max": 1, "delay": "50ms", "max_delay": "60s"},
                                    "queue": {"wait": "1s"}}}).start(ready=False)
        wait_until(lambda: all(worker["lifecycle"] == "failed" for worker in cluster.workers()), 20, "both slots are failed")
        began = time.monotonic()
        answer = cluster.fetch()
        self.assertEqual(answer.status, 503)
        self.assertRegex(answer.get("Retry-After", ""), r"^\d+$")
        self.assertLess(time.monotonic() - began, 3)

    def test_QueuedInVain_Is503WithRetryAfter(self):
        cluster = self.cluster()
        cluster.configure({"shop": {"command": ["sleep", "1000"], "workers": 1, "queue": {"wait": "700ms"}}}).start(ready=False)
        wait_until(lambda: cluster.status()["proxies"] and cluster.places().get("web"), 20, "the proxy runs")
        began = time.monotonic()
        answer = cluster.fetch()
        self.assertEqual(answer.status, 503)
        self.assertRegex(answer.get("Retry-After", ""), r"^\d+$")
        self.assertLess(time.monotonic() - began, 5)


class Routes(DroverCase):
    def test_Routes_GoByHostAndByTheLongestPathOnSegments(self):
        cluster = self.cluster()
        pools = {name: {"command": cluster.recorder(name).command(), "workers": 1} for name in ("shop", "api", "other")}
        cluster.configure(pools, route=[{"host": "shop.example", "pool": "shop"}, {"host": "shop.example", "path": "/api", "pool": "api"},
                                        {"host": "*.wild.example", "pool": "other"}]).start()
        for host, target, pool in (("shop.example", "/", "shop"), ("SHOP.example:8080", "/x", "shop"), ("shop.example", "/api", "api"),
                                   ("shop.example", "/api/x?y", "api"),
                                   ("shop.example", "/apix", "shop"), ("a.wild.example", "/api", "other")):
            with self.subTest(host=host, target=target):
                self.assertEqual(json.loads(cluster.fetch("GET", target, host=host).body)["pool"], pool)

    def test_NoRoute_Is404(self):
        cluster = self.cluster()
        pools = {name: {"command": cluster.recorder(name).command(), "workers": 1} for name in ("one", "two")}
        cluster.configure(pools, route=[{"host": "one.example", "path": "/a", "pool": "one"}, {"host": "two.example", "pool": "two"}]).start()
        for host, target in (("three.example", "/"), ("one.example", "/"), ("one.example", "/ab")):
            with self.subTest(host=host, target=target):
                answer = cluster.fetch("GET", target, host=host)
                self.assertEqual(answer.status, 404)
                self.assertFalse(re.search(rb"\b(one|two)\b", answer.body.replace(host.encode(), b"")), "names a pool")
        self.assertEqual(cluster.recorder("one").size() + cluster.recorder("two").size(), 0)


if __name__ == "__main__":
    main()
