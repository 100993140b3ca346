"""Stopping: requests in flight finish, workers get their signal, their grace and no more, and the exit code tells how it went."""

import os
import re
import signal
import socket
import time

from drover_case import DroverCase, main
from processes import alive, wait_until
from raw_http import Truncated, request

STUBBORN = ("import signal, socket, os, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "listener = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n"
            "while True:\n"
            "    listener.accept()[0].close()\n")


class Stop(DroverCase):
    def start(self, cluster_keys=None, **keys):
        cluster = self.cluster()
        self.recorder = cluster.recorder()
        cluster.configure({"shop": {"command": self.recorder.command(), "workers": 2, **keys}}, cluster=cluster_keys or {}).start()
        return cluster

    def in_flight(self, cluster, name="slow"):
        """A request that has reached its worker and waits there for recorder.open(name + "-go")."""
        self.recorder.on("/" + name, ["body"], ["mark", name + "-arrived"], ["wait", name + "-go"], ["describe"])
        connection = cluster.connect()
        self.addCleanup(connection.close)
        connection.send(request("POST", "/" + name, body=b"x"))
        self.recorder.await_mark(name + "-arrived")
        return connection

    def refuses(self, cluster):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", cluster.port())) != 0

    def test_Term_ClosesListenersFinishesRequestsAndIs0(self):
        cluster = self.start()
        port = cluster.port()
        connection = self.in_flight(cluster)
        cluster.signal(signal.SIGTERM)
        wait_until(lambda: self.refuses(cluster), 10, "new connections are refused")
        self.assertEqual(cluster.admin("/readyz").status, 503)
        self.assertTrue(cluster.status()["stopping"])
        self.assertIsNone(cluster.process.poll())
        self.recorder.open("slow-go")
        answer = connection.response()
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.get("Connection", "").lower(), "close")
        self.assertEqual(connection.rest(), b"")
        self.assertEqual(cluster.wait(), 0)
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", port))

    def test_Term_ClosesIdleConnections(self):
        cluster = self.start()
        with cluster.connect() as idle:
            self.assertEqual(idle.exchange(request()).status, 200)
            busy = self.in_flight(cluster)
            cluster.signal(signal.SIGTERM)
            self.assertEqual(idle.rest(), b"")
            self.recorder.open("slow-go")
            self.assertEqual(busy.response().status, 200)
        self.assertEqual(cluster.wait(), 0)

    def test_Quit_IsGracefulToo(self):
        cluster = self.start()
        connection = self.in_flight(cluster)
        cluster.signal(signal.SIGQUIT)
        wait_until(lambda: self.refuses(cluster), 10, "new connections are refused")
        self.recorder.open("slow-go")
        self.assertEqual(connection.response().status, 200)
        self.assertEqual(cluster.wait(), 0)

    def test_StubbornWorker_IsKilledAfterItsGraceAndExitIs1(self):
        cluster = self.cluster()
        cluster.configure({"shop": {"command": ["python3", "-c", STUBBORN], "workers": 1, "stop": {"signal": "TERM", "grace": "1s"}}}).start()
        pid, = cluster.pids()
        began = time.monotonic()
        cluster.signal(signal.SIGTERM)
        self.assertEqual(cluster.wait(), 1)
        self.assertTrue(0.9 < time.monotonic() - began < 8)
        self.assertFalse(alive(pid))
        self.assertRegex(cluster.log(), r"shop\.1[^\n]*(?i:kill)|(?i:kill)[^\n]*shop\.1")

    def test_StopSignal_IsTheOneConfigured(self):
        cluster = self.cluster()
        program = "import signal, os\nsignal.signal(signal.SIGUSR1, lambda *_: (print('got USR1', flush=True), os._exit(0)))\n" + STUBBORN
        cluster.configure({"shop": {"command": ["python3", "-c", program], "workers": 1, "stop": {"signal": "USR1", "grace": "20s"}}}).start()
        cluster.signal(signal.SIGTERM)
        self.assertEqual(cluster.wait(), 0)
        self.assertIn("got USR1", cluster.log())

    def twice(self, cluster, number):
        """As a person does it: the second time once the first has been seen to work, and not within one hundredth of a second."""
        first = time.monotonic()
        cluster.signal(number)
        wait_until(lambda: self.refuses(cluster) and time.monotonic() - first > 0.05, 10, "new connections are refused")
        cluster.signal(number)

    def test_SecondTerm_Forces(self):
        cluster = self.start(stop={"grace": "20s"}, drain={"http": "20s"})
        connection = self.in_flight(cluster)
        self.twice(cluster, signal.SIGTERM)
        self.assertEqual(cluster.wait(8), 1)
        with self.assertRaises((Truncated, OSError)):
            connection.response()

    def test_SecondInterrupt_Forces(self):
        cluster = self.start(stop={"grace": "20s"}, drain={"http": "20s"})
        self.in_flight(cluster)
        self.twice(cluster, signal.SIGINT)
        self.assertEqual(cluster.wait(8), 1)

    def test_TermTwiceAtOnce_CountsOnce(self):
        """timeout(1) and others send it to the process and to its group."""
        cluster = self.start(stop={"grace": "20s"}, drain={"http": "20s"})
        connection = self.in_flight(cluster)
        cluster.signal(signal.SIGTERM)
        cluster.signal(signal.SIGTERM)
        wait_until(lambda: self.refuses(cluster), 10, "new connections are refused")
        self.recorder.open("slow-go")
        self.assertEqual(connection.response().status, 200)
        self.assertEqual(cluster.wait(), 0)

    def test_RequestLongerThanTheDrain_IsCutVisibly(self):
        cluster = self.start(drain={"http": "1s"}, stop={"grace": "2s"})
        self.recorder.on("/endless", ["body"], ["send", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun"], ["mark", "endless-begun"],
                         ["wait", "never"])
        with cluster.connect() as connection:
            connection.send(request(target="/endless"))
            self.recorder.await_mark("endless-begun")
            began = time.monotonic()
            cluster.signal(signal.SIGTERM)
            with self.assertRaises(Truncated):
                connection.response()
            self.assertIn(cluster.wait(15), (0, 1))
            self.assertTrue(0.9 < time.monotonic() - began < 10)

    def test_WholeStop_IsCutShortByClusterShutdown(self):
        cluster = self.start({"shutdown": "2s"}, drain={"http": "60s"}, stop={"grace": "60s"})
        self.in_flight(cluster)
        began = time.monotonic()
        cluster.signal(signal.SIGTERM)
        cluster.wait(15)
        self.assertTrue(1.5 < time.monotonic() - began < 8, time.monotonic() - began)

    def test_RestOfATree_IsEndedWithItsWorker(self):
        cluster = self.cluster()
        recorder = cluster.recorder()
        started = cluster.path("grandchild")
        shell = f"sleep 1000 & echo $! > {started}.new; mv {started}.new {started}; exec python3 {recorder.command()[1]} {recorder.folder} $PORT"
        cluster.configure({"shop": {"command": ["sh", "-c", shell], "workers": 1}}).start()
        with open(started, encoding="ascii") as file:
            grandchild = int(file.read())
        self.assertTrue(alive(grandchild))
        cluster.signal(signal.SIGTERM)
        self.assertEqual(cluster.wait(), 0)
        self.assertFalse(alive(grandchild))

    def test_StopWhileWorkersStillStart_IsPrompt(self):
        cluster = self.cluster()
        cluster.configure({"shop": {"command": ["sleep", "1000"], "workers": 3}}).start(ready=False)
        wait_until(lambda: len(cluster.pids()) == 3, 20, "three workers are starting")
        began = time.monotonic()
        cluster.signal(signal.SIGTERM)
        self.assertEqual(cluster.wait(), 0)
        self.assertLess(time.monotonic() - began, 8)

    def test_AdminSocketAndUnixListeners_AreRemoved(self):
        cluster = self.cluster()
        recorder = cluster.recorder()
        path = cluster.path("web.sock")
        cluster.configure({"shop": {"command": recorder.command(), "workers": 1}}, {"web": {"bind": f"unix:{path}"}}).start()
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(path)
            client.sendall(request(close=True))
            self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 200 "))
        cluster.stop()
        self.assertFalse(os.path.exists(path))
        self.assertFalse([name for name in os.listdir(cluster.folder) if re.search(r"\.sock", name)])


if __name__ == "__main__":
    main()
