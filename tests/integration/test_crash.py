"""Workers that die: no GET fails of which no byte had reached its client, what had begun is visibly cut, no POST is repeated.
Workers that never come up, and a stranger on the chosen port: drover runs, tells the truth, and sends nobody astray."""

import collections
import hashlib
import json
import os
import signal
import socket
import threading
import time

from drover_case import DroverCase, main, some_ports
from load import Load
from processes import wait_until
from raw_http import Truncated, request

PIECE = "0123456789abcdef" * 1024
DIGEST = hashlib.sha256((PIECE * 4).encode()).hexdigest()
LENGTH = [["body"], ["send", f"HTTP/1.1 200 OK\r\nContent-Length: {4 * len(PIECE)}\r\n\r\n"], ["pieces", 4, PIECE, 0.004]]
CHUNKED = [["body"], ["send", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"], ["pieces", 4, f"{len(PIECE):x}\r\n{PIECE}\r\n", 0.004],
           ["send", "0\r\n\r\n"]]


class CrashCase(DroverCase):
    def start(self, workers, **keys):
        cluster = self.cluster()
        self.recorder = cluster.recorder()
        self.recorder.on("/length", *LENGTH)
        self.recorder.on("/chunked", *CHUNKED)
        restart = {"max": 0, "delay": "100ms"}
        cluster.configure({"shop": {"command": self.recorder.command(), "workers": workers, "restart": restart, **keys}}).start()
        return cluster

    def kill_worker(self, cluster, pid, number=signal.SIGKILL):
        os.kill(pid, number)
        wait_until(lambda: pid not in cluster.pids(), 10, f"drover notices the end of {pid}")

    def check_posts(self, *loads):
        """The id of each POST as the workers recorded it: at most once, and every one that was answered exactly once."""
        seen = collections.Counter(event["target"] for event in self.recorder.events() if event["method"] == "POST")
        self.assertEqual([target for target, count in seen.items() if count > 1], [], "POSTs that were repeated")
        served = sum(load.counts["post-served"] for load in loads)
        self.assertGreater(served, 0)
        self.assertGreaterEqual(len(seen), served)


class Crashes(CrashCase):
    def test_OneOfFourKilledEachSecond_LosesNoGetAndRepeatsNoPost(self):
        cluster = self.start(4)
        loads = [Load(cluster.port(), getters=4, posters=1, path="/length", digest=DIGEST),
                 Load(cluster.port(), getters=4, posters=1, path="/chunked", digest=DIGEST)]
        began, kills = time.monotonic(), 0
        victims = iter([slot for _ in range(10) for slot in (1, 2, 3, 4)])
        tick = threading.Event()
        while time.monotonic() - began < 20:
            slot = next(victims)
            worker = wait_until(lambda: next((w for w in cluster.workers() if w["slot"] == slot and w["lifecycle"] == "running"), None), 10,
                                f"shop.{slot} runs")
            os.kill(worker["pid"], signal.SIGKILL)
            kills += 1
            tick.wait(max(0.0, kills - (time.monotonic() - began)))  # one a second: the load's rhythm
        counts = sum((load.stop().counts for load in loads), collections.Counter())
        print(f"\n{kills} kills in 20 s: {dict(counts)}, retries {cluster.metric('drover_retries_total')}")
        self.assertGreaterEqual(kills, 18)
        failures = [failure for load in loads for failure in load.failures]
        self.assertEqual((counts["get-failed"], counts["get-silently-broken"], counts["refused"]), (0, 0, 0), "\n".join(failures))
        self.assertGreater(counts["get-served"], 500)
        self.check_posts(*loads)
        self.assertEqual(cluster.metric("drover_claims_after_close_total"), 0)
        self.assertEqual(cluster.metric("drover_worker_exits_total", reason="KILL"), kills)
        self.assertGreaterEqual(cluster.status()["totals"]["died"], kills)

    def test_OnlyWorkerThatRestarts_LosesNoGet(self):
        cluster = self.start(1)
        load = Load(cluster.port(), getters=6, posters=1, path="/length", digest=DIGEST)
        for _ in range(5):
            wait_until(lambda: cluster.workers()[0]["lifecycle"] == "running", 15, "the worker runs")
            served = load.counts["get-served"]
            wait_until(lambda: load.counts["get-served"] > served + 20, 15, "GETs are served")
            self.kill_worker(cluster, cluster.pids()[0])
        counts = load.stop().counts
        print(f"\n5 kills of the only worker: {dict(counts)}")
        self.assertEqual((counts["get-failed"], counts["get-silently-broken"], counts["refused"]), (0, 0, 0), "\n".join(load.failures))
        self.check_posts(load)
        self.assertEqual(cluster.metric("drover_claims_after_close_total"), 0)

    def test_DeathInTheMiddleOfAnAnswer_IsSeenAsTruncation(self):
        for name, head in (("length", "Content-Length: 1000"), ("chunked", "Transfer-Encoding: chunked")):
            with self.subTest(name):
                cluster = self.start(2)
                self.recorder.on("/die", ["body"], ["send", f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n6\r\nsome"], ["mark", "die-begun"],
                                 ["wait", "die-now"], ["kill", 9])
                with cluster.connect() as connection:
                    connection.send(request(target="/die"))
                    self.recorder.await_mark("die-begun")
                    wait_until(lambda: connection.fill() and b"some" in connection.buffer, 10, "the beginning is here")
                    self.recorder.open("die-now")
                    with self.assertRaises(Truncated):
                        connection.response()
                self.assertEqual(len(self.recorder.events("/die")), 1, "a begun answer was asked for again")

    def test_DeathInsideAnAnswerThatEndsWithItsConnection_IsNoEndOfIt(self):
        cluster = self.start(2)
        self.recorder.answer("/whole", "HTTP/1.0 200 OK\r\n\r\nwhole", ["close"])
        for version in ("1.1", "1.0"):
            with self.subTest(version):
                self.recorder.on("/die", ["send", "HTTP/1.0 200 OK\r\n\r\nsome"], ["mark", f"begun-{version}"], ["wait", f"die-{version}"], ["kill", 9])
                self.assertEqual(cluster.fetch(target="/whole", version=version).body, b"whole")
                with cluster.connect() as connection:
                    connection.send(request(target="/die", version=version))
                    self.recorder.await_mark(f"begun-{version}")
                    wait_until(lambda: connection.fill() and b"some" in connection.buffer, 10, "the beginning is here")
                    self.recorder.open(f"die-{version}")
                    if version == "1.1":
                        with self.assertRaises(Truncated):
                            connection.response()
                        continue
                    with self.assertRaises(ConnectionResetError):  # a reset alone tells it from the end
                        while connection.sock.recv(65536):
                            pass
        self.assertEqual(cluster.metric("drover_responses_truncated_total", pool="shop"), 2)

    def test_DeathBeforeTheAnswer_IsRetriedForGetAndNotForPost(self):
        cluster = self.start(3)
        self.recorder.on("/die-early", ["body"], ["kill", 9])
        self.assertEqual(cluster.fetch("POST", "/die-early", body=b"x").status, 502)
        self.assertEqual(len(self.recorder.events("/die-early")), 1)
        # A GET that kills whoever gets it ends after its attempts, not after the whole pool.
        cluster.await_ready()
        wait_until(lambda: all(worker["lifecycle"] == "running" for worker in cluster.workers()), 15, "three workers run")
        before = len(self.recorder.events("/die-early"))
        self.assertEqual(cluster.fetch("GET", "/die-early").status, 502)
        self.assertLessEqual(len(self.recorder.events("/die-early")) - before, 3)

    def test_Exits_AreCountedByReason(self):
        cluster = self.start(1)
        self.recorder.on("/exit", ["body"], ["send", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"], ["exit", 3])
        self.assertEqual(cluster.fetch("GET", "/exit").status, 200)
        wait_until(lambda: cluster.metric("drover_worker_exits_total", reason="3", worker="1") == 1, 10, "exit 3 is counted")
        cluster.await_log(r"shop\.1\b.*\b3\b")
        cluster.await_ready()
        self.kill_worker(cluster, cluster.pids()[0], signal.SIGSEGV)
        wait_until(lambda: cluster.metric("drover_worker_exits_total", reason="SEGV", worker="1") == 1, 10, "the signal is counted")
        wait_until(lambda: cluster.workers()[0]["restarts"] == 2, 10, "two restarts")
        self.assertEqual(cluster.status()["totals"]["died"], 2)


class NeverUp(CrashCase):
    def test_WorkerThatExitsAtOnce_Is503AndFailedAfterMax(self):
        cluster = self.cluster()
        cluster.configure({"lame": {"command": ["sh", "-c", "echo no database; exit 9"], "workers": 1,
                                    "restart": {"max": 3, "delay": "50ms", "max_delay": "60s"}}}).start(ready=False)
        wait_until(lambda: cluster.workers()[0]["lifecycle"] == "failed", 20, "the slot is failed")
        answer = cluster.admin("/readyz")
        self.assertEqual(answer.status, 503)
        self.assertIn("lame", answer.text)
        self.assertEqual(cluster.fetch().status, 503)
        self.assertIsNone(cluster.process.poll())
        exits = cluster.metric("drover_worker_exits_total", reason="9")
        self.assertIn(exits, (3, 4), "three restarts and no more")
        self.assertIn("no database", cluster.log())

    def test_WorkerThatNeverListens_Is503AndNamed(self):
        cluster = self.cluster()
        cluster.configure({"lame": {"command": ["sleep", "1000"], "workers": 1, "ready": {"tcp": True, "timeout": "500ms"},
                                    "restart": {"max": 2, "delay": "50ms", "max_delay": "60s"}, "queue": {"wait": "300ms"}}}).start(ready=False)
        wait_until(lambda: cluster.workers()[0]["lifecycle"] == "failed", 20, "the slot is failed")
        self.assertIn("lame", cluster.admin("/readyz").text)
        self.assertEqual(cluster.fetch().status, 503)
        self.assertRegex(cluster.log(), r"lame\.1\b.*(ready|listen)")

    def test_GiveUp_Ends1WhenEveryPoolHasFailed(self):
        cluster = self.cluster()
        cluster.configure({"lame": {"command": ["sh", "-c", "exit 9"], "workers": 2, "restart": {"max": 1, "delay": "20ms", "give_up": True}}})
        cluster.start(ready=False)
        self.assertEqual(cluster.wait(20), 1)

    def test_FailedSlot_IsRetriedSlowlyAndComesBack(self):
        cluster = self.cluster()
        recorder = cluster.recorder()
        flag = cluster.path("database")
        shell = f"test -e {flag} || exit 9; exec python3 {recorder.command()[1]} {recorder.folder} $PORT"
        cluster.configure({"shop": {"command": ["sh", "-c", shell], "workers": 1,
                                    "restart": {"max": 2, "delay": "20ms", "max_delay": "1s"}}}).start(ready=False)
        wait_until(lambda: cluster.workers()[0]["lifecycle"] == "failed", 20, "the slot is failed")
        cluster.write("database", "there")
        cluster.await_ready(15)
        self.assertEqual(cluster.fetch().status, 200)


class Squatter:
    """A stranger that listens where a worker should and answers everything with 200."""

    def __init__(self, port):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(100)
        self.bytes = b""
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsquatter")
            threading.Thread(target=self.read, args=(client,), daemon=True).start()

    def read(self, client):
        try:
            while data := client.recv(65536):
                self.bytes += data
        except OSError:
            pass

    def close(self):
        self.listener.close()


class Squatters(DroverCase):
    WAITS = "echo $PORT > $0.new; mv $0.new $0; exec sleep 1000"

    def squatted(self, ready):
        cluster = self.cluster()
        chosen = cluster.path("chosen")
        cluster.configure({"shop": {"command": ["sh", "-c", self.WAITS, chosen], "workers": 1, "ready": {**ready, "timeout": "3s"},
                                    "queue": {"wait": "500ms"}}},
                          cluster={"ports": some_ports(20)}).start(ready=False)
        wait_until(lambda: os.path.exists(chosen), 20, "the worker knows its port")
        with open(chosen, encoding="ascii") as file:
            squatter = Squatter(int(file.read()))
        self.addCleanup(squatter.close)
        return cluster, chosen, squatter

    def test_Squatter_GetsNoRequestWhileTheWorkerIsToBecomeReady(self):
        for ready in ({"tcp": True}, {"http": "/health"}):
            with self.subTest(ready):
                cluster, chosen, squatter = self.squatted(ready)
                first = cluster.pids()
                for _ in range(10):
                    answer = cluster.fetch("GET", "/secret")
                    self.assertEqual(answer.status, 503)
                    self.assertNotIn(b"squatter", answer.body)
                wait_until(lambda: cluster.pids() != first, 20, "the worker that could not get ready was replaced")
                self.assertEqual(cluster.admin("/readyz").status, 503)
                self.assertEqual(squatter.bytes, b"", "something was sent to a stranger")

    def test_SquatterAfterTheWorkersDeath_GetsNoRequest(self):
        cluster = self.cluster()
        recorder = cluster.recorder()
        cluster.configure({"shop": {"command": recorder.command(), "workers": 1, "restart": {"max": 0, "delay": "50ms"}}},
                          cluster={"ports": some_ports(20)}).start()
        self.assertEqual(cluster.fetch().status, 200)
        worker, = cluster.workers()
        port = int(worker["endpoint"].rsplit(":", 1)[1])
        os.kill(worker["pid"], signal.SIGKILL)

        def take():
            try:
                return Squatter(port)
            except OSError:
                return None
        squatter = wait_until(take, 10, "the port is free")
        self.addCleanup(squatter.close)
        for _ in range(20):
            answer = cluster.fetch("GET", "/secret")
            self.assertEqual(answer.status, 200)
            self.assertEqual(json.loads(answer.body)["pool"], "shop")
        self.assertEqual(squatter.bytes, b"")
        self.assertNotEqual(cluster.workers()[0]["endpoint"], worker["endpoint"])


if __name__ == "__main__":
    main()
