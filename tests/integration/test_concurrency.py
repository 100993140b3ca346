"""A server that serves one connection to its end, behind concurrency = 1: never two connections at once, never idle while
somebody waits, everybody served; and a queue whose limits are real."""

import json
import os
import statistics
import threading
import time

from drover_case import HERE, DroverCase, main
from load import crowd
from processes import read, wait_until
from raw_http import request

SEQUENTIAL = os.path.join(HERE, "workers", "sequential_worker.py")


class Concurrency(DroverCase):
    def start(self, seconds=0.01, threads=4, **keys):
        cluster = self.cluster()
        self.report = cluster.path("report")
        cluster.configure({"shop": {"command": ["python3", SEQUENTIAL, self.report, str(seconds)], "workers": 1, "concurrency": 1, **keys}},
                          proxy={"threads": threads})
        return cluster.start()

    def lines(self):
        return [json.loads(line) for line in read(self.report).decode().splitlines()]

    def check(self, count):
        lines = self.lines()
        self.assertEqual([line for line in lines if "overlap" in line], [], "two connections at once")
        served = [line for line in lines if "target" in line]
        self.assertEqual(len(served), count)
        self.assertEqual(len({line["target"] for line in served}), count, "something was served twice")
        return served

    def test_TwoHundredClients_OneConnectionAtATimeAndNeverIdle(self):
        cluster = self.start(queue={"max": 256, "wait": "60s"})
        self.assertEqual(cluster.status()["proxies"][0]["threads"], 4)
        answers = crowd(200, lambda number: cluster.fetch("GET", f"/{number}", timeout=100).body)
        self.assertEqual([answer for number, answer in enumerate(answers) if answer != f"/{number}".encode()], [])
        served = self.check(200)
        gaps = [after["arrived"] - before["answered"] for before, after in zip(served, served[1:])]
        print(f"\nbetween answer and next arrival: median {statistics.median(gaps) * 1000:.2f} ms, most {max(gaps) * 1000:.1f} ms")
        self.assertLess(statistics.median(gaps), 0.02)
        self.assertLess(max(gaps), 0.5, "the worker was idle while the queue was not empty")

    def test_KeptConnections_AreSharedByAllThreads(self):
        cluster = self.start(seconds=0.001, queue={"max": 256, "wait": "60s"})

        def client(number):
            with cluster.connect(timeout=60) as connection:
                return [connection.exchange(request(target=f"/{number}/{n}")).body for n in range(20)]
        answers = crowd(12, client)
        self.assertEqual(answers, [[f"/{number}/{n}".encode() for n in range(20)] for number in range(12)])
        self.check(240)

    def test_KeepAliveOff_HoldsToo(self):
        cluster = self.start(seconds=0.001, keepalive=False, queue={"max": 256, "wait": "60s"})
        answers = crowd(60, lambda number: cluster.fetch("GET", f"/{number}", timeout=60).status)
        self.assertEqual(set(answers), {200})
        self.check(60)

    def test_FullQueue_Is503AtOnce(self):
        cluster = self.start(seconds=3, queue={"max": 2, "wait": "30s"})
        answers = crowd(6, lambda number: cluster.fetch("GET", f"/{number}", timeout=60))
        statuses = sorted(answer.status for answer in answers)
        self.assertEqual(statuses, [200, 200, 200, 503, 503, 503])
        for answer in answers:
            if answer.status == 503:
                self.assertRegex(answer.get("Retry-After", ""), r"^\d+$")
        self.assertEqual(cluster.metric("drover_queue_rejected_total", pool="shop"), 3)
        self.check(3)

    def test_ExpiredInTheQueue_Is503WithRetryAfter(self):
        cluster = self.start(seconds=3, queue={"max": 10, "wait": "500ms"})
        answers = crowd(3, lambda number: cluster.fetch("GET", f"/{number}", timeout=60))
        self.assertEqual(sorted(answer.status for answer in answers), [200, 503, 503])
        for answer in answers:
            if answer.status == 503:
                self.assertRegex(answer.get("Retry-After", ""), r"^\d+$")
        self.check(1)

    def test_ClientThatLeavesTheQueue_IsForgottenAtOnce(self):
        cluster = self.start(seconds=1.5, queue={"max": 10, "wait": "30s"})
        first = threading.Thread(target=cluster.fetch, args=("GET", "/first"))
        first.start()
        wait_until(lambda: cluster.metric("drover_worker_in_flight", pool="shop") == 1, 10, "the worker is busy")
        leaver = cluster.connect()
        leaver.send(request(target="/left"))
        wait_until(lambda: cluster.metric("drover_queue_length", pool="shop") == 1, 10, "one waits")
        leaver.close()
        wait_until(lambda: cluster.metric("drover_queue_length", pool="shop") == 0, 10, "nobody waits")
        first.join()
        self.assertEqual(cluster.fetch("GET", "/last").status, 200)
        self.assertEqual([line["target"] for line in self.check(2)], ["/first", "/last"])

    def test_Queue_IsFirstComeFirstServed(self):
        cluster = self.cluster()
        recorder = cluster.recorder()
        recorder.on("/first", ["body"], ["mark", "first-arrived"], ["wait", "first-go"], ["describe"])
        pool = {"command": recorder.command(), "workers": 1, "concurrency": 1, "queue": {"max": 50, "wait": "30s"}}
        cluster.configure({"shop": pool}, proxy={"threads": 4}).start()
        waiting = []
        for number, target in enumerate(["/first"] + [f"/{n}" for n in range(12)]):
            connection = cluster.connect()
            self.addCleanup(connection.close)
            connection.send(request(target=target))
            waiting.append(connection)
            if number == 0:
                recorder.await_mark("first-arrived")
            else:
                wait_until(lambda: cluster.metric("drover_queue_length", pool="shop") == number, 10, f"{target} waits")
        recorder.open("first-go")
        for connection in waiting:
            self.assertEqual(connection.response().status, 200)
        self.assertEqual([event["target"] for event in recorder.events()], ["/first"] + [f"/{n}" for n in range(12)])

    def test_Probes_LeaveABusyWorkerAlone(self):
        cluster = self.start(seconds=3, health={"interval": "100ms", "timeout": "200ms", "rise": 1, "fall": 1, "restart_after": "500ms"})
        pid = cluster.pids()
        answer = cluster.fetch("GET", "/long", timeout=30)
        self.assertEqual(answer.status, 200)
        self.assertEqual(cluster.pids(), pid)
        self.assertEqual(cluster.workers()[0]["health"], "passing")
        self.check(1)


class Door(DroverCase):
    def test_ShortConnectionsOnManyThreads_NeverFindNobodyAtTheDoor(self):
        """A thread that is ahead of the others rests from accepting; all at once they must not: each such pause lasted a quarter second."""
        cluster = self.cluster()
        cluster.configure({"shop": {"command": ["drover", "demo-worker"], "workers": 2}}, proxy={"threads": 4}).start()

        def client(_):
            return [cluster.fetch().status for _ in range(500)]
        began = time.monotonic()
        self.assertEqual(crowd(16, client), [[200] * 500] * 16)
        self.assertLess(time.monotonic() - began, 15, "each waited for a tick, again and again")

    def test_FullAcceptQueueOfAWorker_IsTriedAgainSoon(self):
        """Many a server's queue holds five. The kernel answers a full one with silence and would try again after one second, then two more."""
        slow = ("import os, socket, time\n"
                "door = socket.create_server(('127.0.0.1', int(os.environ['PORT'])), backlog=2)\n"
                "while True:\n"
                "    client = door.accept()[0]\n"
                "    time.sleep(0.02)\n"
                "    if client.recv(65536):\n"
                "        client.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n')\n"
                "    client.close()\n")
        cluster = self.cluster()
        cluster.configure({"shop": {"command": ["python3", "-c", slow], "workers": 1, "retry": {"attempts": 1}, "timeouts": {"connect": "10s"}}})
        cluster.start()
        began = time.monotonic()
        self.assertEqual(crowd(40, lambda _: cluster.fetch().status), [200] * 40)
        self.assertLess(time.monotonic() - began, 8, "the work of one second, and many silences of the kernel")


if __name__ == "__main__":
    main()
