"""What a proxy gets wrong under rare conditions: repeated tries, lengths beyond 64 bits, ends that must be seen, connections that must
be kept, threads that must not stand still, clients that come when a thread rests."""

import collections
import json
import os
import random
import signal
import socket
import threading
import time

from drover_case import DroverCase, main
from processes import wait_until
from raw_http import Truncated, request


class ReviewCase(DroverCase):
    def start(self, pool=None, listener=None, threads=2, **tables):
        cluster = self.cluster()
        self.recorder = cluster.recorder()
        cluster.configure({"shop": {"command": self.recorder.command(), "workers": 1, **(pool or {})}},
                          {"web": listener or {}}, proxy={"threads": threads}, **tables)
        return cluster.start()

    def close_first_then_describe(self, path, *end):
        """The first request for `path` gets `end` instead of an answer, later ones the usual description."""
        self.recorder.on(path, ["body"], ["mark", "got"], ["wait", "go"], *end)

    def let_go(self, path):
        self.recorder.await_mark("got")
        self.recorder.on(path, ["describe"])
        self.recorder.open("go")


class Retries(ReviewCase):
    def test_Retry_SendsTheWholeRequestAgain(self):
        cluster = self.start({"timeouts": {"response": "5s"}})
        self.close_first_then_describe("/once", ["close"])
        with cluster.connect() as connection:
            connection.send(request("PUT", "/once", body=b"again"))
            self.let_go("/once")
            answer = connection.response()
        self.assertEqual(answer.status, 200)
        self.assertEqual(json.loads(answer.body)["length"], 5)
        self.assertEqual(len(self.recorder.events("/once")), 2)


class Lengths(ReviewCase):
    def test_LengthThatWrapsWithTheHead_IsStillOneRequest(self):
        cluster = self.start()
        self.recorder.on("/wrap", ["send", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])
        head = request("PUT", "/wrap", [("Content-Length", "18446744073709551615")])
        for length in (2**64 - 1, 2**64 - len(head), 2**64 - len(head) + 20):
            with self.subTest(length):
                before = len(self.recorder.events())
                with cluster.connect() as connection:
                    connection.send(head.replace(b"18446744073709551615", str(length).encode()) + request(target="/smuggled"))
                    answer = connection.response()
                    self.assertEqual((answer.status, answer.get("connection")), (200, "close"))
                    self.assertNotIn(b"HTTP/1.1", connection.rest())
                self.assertEqual(cluster.fetch(target="/next").status, 200)
                self.assertEqual([event["target"] for event in self.recorder.events()[before:]], ["/wrap", "/next"])


class Ends(ReviewCase):
    def test_TruncationTowardsHttp10_IsAReset(self):
        cluster = self.start()
        self.recorder.on("/cut", ["body"], ["send", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsome"], ["close"])
        with cluster.connect() as connection:
            connection.send(request(target="/cut", version="1.0"))
            with self.assertRaises(ConnectionResetError):
                while connection.sock.recv(4096):
                    pass

    def test_WorkerThatDiesAfterItsWholeAnswer_CostsASlowClientNothing(self):
        cluster = self.start({"restart": {"delay": "100ms", "max": 0}})
        for size in (300_000, 3_000_000):
            with self.subTest(size):
                self.recorder.on("/big", ["body"], ["send", f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"],
                                 ["repeat", size // 1000, "x" * 1000], ["mark", f"sent{size}"], ["wait", f"die{size}"], ["kill", 9])
                wait_until(lambda: cluster.workers()[0]["lifecycle"] == "running", 15, "the worker runs")
                with cluster.connect(receive_buffer=4096) as connection:
                    connection.send(request(target="/big"))
                    self.recorder.await_mark(f"sent{size}")
                    died = cluster.status()["totals"]["died"]
                    self.recorder.open(f"die{size}")
                    wait_until(lambda: cluster.status()["totals"]["died"] > died, 10, "the worker is dead")
                    self.assertEqual(len(connection.response().body), size)


    def test_WorkerThatDiesBehindItsLastMessage_CostsASlowTunnelNothing(self):
        cluster = self.start({"restart": {"delay": "100ms", "max": 0}})
        for size in (300_000, 3_000_000):
            with self.subTest(size):
                self.recorder.on("/ws", ["send", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"],
                                 ["repeat", size // 1000, "x" * 1000], ["mark", f"sent{size}"], ["wait", f"die{size}"], ["kill", 9])
                wait_until(lambda: cluster.workers()[0]["lifecycle"] == "running", 15, "the worker runs")
                with cluster.connect(receive_buffer=4096) as connection:
                    connection.send(request(target="/ws", headers=[("Connection", "Upgrade"), ("Upgrade", "x")]))
                    self.recorder.await_mark(f"sent{size}")
                    died = cluster.status()["totals"]["died"]
                    self.recorder.open(f"die{size}")
                    wait_until(lambda: cluster.status()["totals"]["died"] > died, 10, "the worker is dead")
                    self.assertEqual(connection.head().status, 101)
                    self.assertEqual(len(connection.rest()), size)


class Drain(ReviewCase):
    def test_RequestsAndTunnels_HaveTheirOwnClocks(self):
        cluster = self.start({"drain": {"http": "500ms", "tunnel": "20s"}})
        self.recorder.on("/ws", ["send", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"], ["echo", ""])
        self.recorder.on("/long", ["body"], ["send", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun"], ["mark", "long"], ["wait", "never"])
        with cluster.connect() as tunnel, cluster.connect() as client:
            tunnel.send(request(target="/ws", headers=[("Connection", "Upgrade"), ("Upgrade", "echo")]))
            self.assertEqual(tunnel.head().status, 101)
            client.send(request(target="/long"))
            self.recorder.await_mark("long")
            cluster.signal(signal.SIGTERM)
            with self.assertRaises(Truncated):
                client.response()
            tunnel.send(b"still there")
            self.assertEqual(tunnel.exactly(11), b"still there")
        self.assertIn(cluster.wait(), (0, 1))


class WorkerConnections(ReviewCase):
    def connection_of(self, client, method="GET", path="/", **more):
        return json.loads(client.exchange(request(method, path, **more), method).body)["connection"]

    def test_Posts_ReuseAFreshConnection(self):
        cluster = self.start(threads=1)
        with cluster.connect() as client:
            self.assertEqual(len({self.connection_of(client, "POST", body=b"x") for _ in range(5)}), 1)

    def test_Connection_StaysUsableAfterAnAnswerLongerThanItsIdleTime(self):
        cluster = self.start({"timeouts": {"idle": "500ms"}}, threads=1)
        self.recorder.on("/slow", ["body"], ["mark", "slow"], ["wait", "go"], ["describe"])
        with cluster.connect() as client:
            client.send(request(target="/slow"))
            self.recorder.await_mark("slow")
            time.sleep(0.8)
            self.recorder.open("go")
            slow = json.loads(client.response().body)["connection"]
            self.assertEqual(self.connection_of(client), slow)


class Threads(ReviewCase):
    def test_WorkerThatFloodsAfterItsClientLeft_StopsNobody(self):
        cluster = self.start({"concurrency": 2, "workers": 1}, threads=1)
        proxy = cluster.proxy_pid()
        self.recorder.on("/flood", ["body"], ["send", "HTTP/1.1 200 OK\r\n\r\n"], ["flood", "cut"])
        with cluster.connect() as client:
            client.send(request(target="/flood"))
            client.exactly(1_000_000)
        began = time.monotonic()
        self.assertEqual(cluster.fetch(timeout=10).status, 200)
        self.assertLess(time.monotonic() - began, 1)
        self.recorder.await_mark("cut")
        self.assertEqual(cluster.proxy_pid(), proxy)

    def test_ThreadThatRests_LeavesNoClientInTheQueue(self):
        cluster = self.start(threads=2)

        def client():
            connection = cluster.connect(timeout=5)
            self.assertEqual(connection.exchange(request()).status, 200)
            return connection
        for _ in range(25):
            clients = [client() for _ in range(40)]
            random.shuffle(clients)
            # Whom chance leaves to one thread puts it far ahead of the mean while it still accepts.
            for each in clients[14:]:
                each.close()
            for each in clients[:14] + [client() for _ in range(3)]:
                each.close()


class Deaths(ReviewCase):
    def test_OnlyWorkerWithFewConnectionsThatRestarts_LosesNoGet(self):
        cluster = self.start({"concurrency": 2, "restart": {"delay": "100ms", "max": 0}}, threads=4)
        ending = threading.Event()
        statuses = collections.Counter()

        def client():
            while not ending.is_set():
                try:
                    statuses[cluster.fetch().status] += 1
                except Truncated:
                    statuses["cut"] += 1
        clients = [threading.Thread(target=client) for _ in range(6)]
        for each in clients:
            each.start()
        for _ in range(6):
            served = statuses[200]
            wait_until(lambda: statuses[200] > served + 20, 15, "GETs are served")
            os.kill(cluster.pids()[0], signal.SIGKILL)
        ending.set()
        for each in clients:
            each.join()
        self.assertEqual(set(statuses), {200}, statuses)


class Headers(ReviewCase):
    def told(self, cluster, raw):
        with cluster.connect() as client:
            return json.loads(client.exchange(raw).body)

    def test_WhatDroverSets_CannotBeForgedWithUnderscoresOrTrailers(self):
        cluster = self.start()
        told = self.told(cluster, request(headers=[("X_Forwarded_For", "6.6.6.6"), ("x-forwarded_proto", "https")]))
        self.assertNotIn("6.6.6.6", json.dumps(told["headers"]))
        self.assertNotIn("https", json.dumps(told["headers"]))
        told = self.told(cluster, request("POST", "/", [("Transfer-Encoding", "chunked"), ("Connection", "X-Hop")])
                         + b"0\r\nX-Forwarded-For: 6.6.6.6\r\nX-Hop: 1\r\nX-Sum: 2\r\n\r\n")
        self.assertEqual(told["trailers"], [["X-Sum", "2"]])

    def test_TooManyFields_Is431(self):
        cluster = self.start()
        with cluster.connect() as client:
            self.assertEqual(client.exchange(request(headers=[(f"X-{n}", "1") for n in range(200)])).status, 431)

    def test_OfferOfH2c_IsNotPassedOn(self):
        cluster = self.start()
        told = self.told(cluster, request(headers=[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")]))
        self.assertNotIn("upgrade", {name.lower() for name, _ in told["headers"]})

    def test_Http10WithoutHost_NamesNoPathOfThisMachine(self):
        cluster = self.cluster()
        self.recorder = cluster.recorder()
        path = cluster.path("web.sock")
        cluster.configure({"shop": {"command": self.recorder.command(), "workers": 1}}, {"web": {"bind": f"unix:{path}"}}).start()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(b"GET /unix HTTP/1.0\r\n\r\n")
            while client.recv(4096):
                pass
        self.assertIn(b"\r\nHost: localhost\r\n", self.recorder.received())


if __name__ == "__main__":
    main()
