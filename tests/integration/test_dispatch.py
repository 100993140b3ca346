"""Clients that do not come through the proxy: connections handed over to Node workers, and one listening socket for all."""

import collections
import json
import os
import shutil
import signal
import socket
import sys
import time
import unittest

import raw_http
from drover_case import HERE, DroverCase, main
from load import Load, crowd
from processes import wait_until
from raw_http import Connection, request

NODE = os.path.join(HERE, "workers", "node")
ACTIVATED = [sys.executable, os.path.join(HERE, "workers", "activated_worker.py")]
ORDERS = 50


def app(*arguments):
    return ["node", os.path.join(NODE, "app.js"), *map(str, arguments)]


def lost(load):
    """What went wrong; a begun answer that was cut counts, too."""
    return {what: count for what, count in load.counts.items() if not what.endswith("-served")}


class DispatchCase(DroverCase):
    def run_pool(self, command, dispatch, listener=None, **keys):
        cluster = self.cluster()
        cluster.configure({"app": {"command": command, "workers": 4, "dispatch": dispatch, "restart": {"delay": "200ms"}, **keys}}, listener)
        return cluster.start()

    def asked(self, cluster, path="/"):
        answer = cluster.fetch("GET", path)
        self.assertEqual(answer.status, 200)
        return json.loads(answer.body)

    def rest_of(self, cluster):
        return wait_until(lambda: all(worker["eligible"] for worker in cluster.workers()), 20, "all serve")

    def kill_with_orders_waiting(self, cluster):
        """Stopped workers take nothing; ORDERS connections come; they are killed; each order must be answered, and be done once."""
        pids = cluster.pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: all(worker["paused"] for worker in cluster.workers()), 10, "all are stopped")

        def order(number):
            with Connection(cluster.port(), timeout=40) as connection:
                connection.send(request("POST", "/order", body=f"order-{number}".encode()))
                started.append(number)
                return connection.response("POST").status

        started = []

        def killer():
            wait_until(lambda: len(started) == ORDERS, 10, "all are sent")
            time.sleep(0.3)  # not for an event: the longer they wait, the more of them are in somebody's hands
            for pid in pids:
                os.kill(pid, signal.SIGKILL)

        answers = crowd(ORDERS + 1, lambda number: order(number) if number < ORDERS else killer())
        self.assertEqual(answers[:ORDERS], [200] * ORDERS)
        with open(cluster.path("orders"), encoding="ascii") as file:
            done = collections.Counter(line.split()[0] for line in file)
        self.assertEqual(done, collections.Counter(f"order-{number}" for number in range(ORDERS)))


@unittest.skipUnless(shutil.which("node"), "node is not installed")
class HandedOver(DispatchCase):
    def test_EachConnectionGoesToTheNextWorker(self):
        cluster = self.run_pool(app(3000), "handoff")
        counts = collections.Counter()
        for _ in range(40):
            answer = self.asked(cluster)
            self.assertEqual(answer["address"]["port"], 3000)
            counts[answer["worker"]] += 1
        self.assertEqual(counts, {slot: 10 for slot in range(1, 5)})

    def test_AnyPort_IsTheListeners(self):
        cluster = self.run_pool(app(0), "handoff", workers=1)
        answer = self.asked(cluster)
        self.assertEqual((answer["address"]["port"], answer["port"]), (cluster.port(), str(cluster.port())))

    def test_AKilledWorkersUnacceptedOrders_AreDoneOnceByOthers(self):
        self.kill_with_orders_waiting(self.run_pool(app(3000), "handoff", queue={"wait": "30s"}))

    def test_RollingRestart_LosesNothing(self):
        cluster = self.run_pool(app(3000), "handoff")
        load = Load(cluster.port(), keep=1)
        self.assertEqual(cluster.verb("restart", "app").returncode, 0)
        load.stop()
        self.assertGreater(load.counts["get-served"], 50)
        self.assertEqual(lost(load), {}, load.failures)

    def test_KeptConnections_HoldNoWorker_IfTheProgramEndsThem(self):
        cluster = self.run_pool(app(3000), "handoff", env={"POLITE": "1"}, drain={"http": "60s"})
        before = set(cluster.pids())
        load = Load(cluster.port(), getters=12, posters=0, path="/slow", keep=10**6)  # hardly ever idle: Node closes those that are
        self.assertEqual(cluster.verb("restart", "app").returncode, 0)
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in before), 20, "the old ones are gone")
        load.stop()
        self.assertGreater(load.counts["get-served"], 12)
        self.assertEqual(load.counts["get-begun-and-cut"], 0)

    def test_Disconnect_LosesNothing(self):
        cluster = self.run_pool(app(3000), "handoff")
        load = Load(cluster.port(), keep=1)
        for _ in range(3):
            self.asked(cluster, "/leave")
        wait_until(lambda: cluster.status()["totals"]["created"] >= 7, 20, "successors are started")
        self.rest_of(cluster)
        load.stop()
        self.assertEqual(lost(load), {}, load.failures)
        self.assertEqual(cluster.status()["totals"]["died"], 0)

    def test_ProbesByHttp_ReachTheWorkerThatIsMeant(self):
        cluster = self.run_pool(app(3000), "handoff", ready={"http": "/"}, health={"http": "/nothing-here", "interval": "200ms", "fall": 2})
        self.assertTrue(cluster.await_event("workerHealth", health="failing"))
        wait_until(lambda: all(worker["health"] == "failing" for worker in cluster.workers()), 10, "each fails its own probe")

    def test_AWorkerThatHangs_IsReplacedAndWhatItHeldIsServed(self):
        health = {"interval": "100ms", "timeout": "200ms", "fall": 2, "restart_after": "500ms"}
        cluster = self.run_pool(app(3000), "handoff", workers=2, health=health, drain={"http": "300ms"})
        self.asked(cluster, "/spin")
        time.sleep(0.2)  # it spins: nothing that it could say
        answers = crowd(4, lambda _: cluster.fetch("GET", "/", timeout=20).status)
        self.assertEqual(answers, [200] * 4)
        self.assertTrue(cluster.await_event("workerHealth", health="failing"))
        self.rest_of(cluster)

    def test_AServerThatCloses_GetsNoConnections(self):
        cluster = self.run_pool(app(3000), "handoff", workers=2)
        self.asked(cluster, "/close")
        wait_until(lambda: sum(worker["eligible"] for worker in cluster.workers()) == 1, 10, "it gets none")
        self.assertEqual(len({self.asked(cluster)["pid"] for _ in range(6)}), 1)
        self.rest_of(cluster)
        self.assertEqual(len({self.asked(cluster)["pid"] for _ in range(6)}), 2)


@unittest.skipUnless(shutil.which("node"), "node is not installed")
class SharedByNode(DispatchCase):
    def run_shared(self, **keys):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        return self.run_pool(app(port), "shared", {"web": {"bind": f"127.0.0.1:{port}"}}, **keys)

    def test_TheListenersPort_IsTheListener(self):
        cluster = self.run_shared()
        answers = [self.asked(cluster) for _ in range(40)]
        self.assertEqual({answer["address"]["port"] for answer in answers}, {cluster.port()})
        self.assertTrue({answer["worker"] for answer in answers} <= {1, 2, 3, 4})

    def test_AnotherPort_IsRefusedClearly(self):
        cluster = self.cluster().configure({"app": {"command": app(3000), "workers": 1, "dispatch": "shared"}}).start(ready=False)
        cluster.await_log('dispatch = "handoff"')
        cluster.await_log("EADDRINUSE")

    def test_AKilledWorkersUnacceptedOrders_AreDoneOnceByOthers(self):
        self.kill_with_orders_waiting(self.run_shared())

    def test_RollingRestart_LosesNothing(self):
        cluster = self.run_shared()
        load = Load(cluster.port(), keep=1)
        self.assertEqual(cluster.verb("restart", "app").returncode, 0)
        load.stop()
        self.assertEqual(lost(load), {}, load.failures)


class SharedByAnyServer(DispatchCase):
    def test_SystemdsProtocol_IsSpoken(self):
        cluster = self.run_pool(ACTIVATED, "shared", workers=2)
        answer = self.asked(cluster)
        self.assertEqual((answer["LISTEN_FDNAMES"], answer["PORT"], answer["HOST"]), ("web", str(cluster.port()), "127.0.0.1"))
        self.assertEqual((answer["blocking"], answer["DROVER_CHANNEL_FD"]), (True, "4"))

    def test_AUnixListener_IsItsSOCKET(self):
        cluster = self.cluster()
        path = cluster.path("web.sock")
        cluster.configure({"app": {"command": ACTIVATED, "workers": 1, "dispatch": "shared"}}, {"web": {"bind": f"unix:{path}"}}).start()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(request())
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        self.assertEqual(json.loads(answer.partition(b"\r\n\r\n")[2])["SOCKET"], path)

    def test_AKilledWorkersUnacceptedOrders_AreDoneOnceByOthers(self):
        self.kill_with_orders_waiting(self.run_pool(ACTIVATED, "shared"))

    def test_ADeath_LeavesTheSocketListening(self):
        cluster = self.run_pool(ACTIVATED, "shared", workers=1)
        with self.assertRaises((OSError, raw_http.NoAnswer, raw_http.Truncated)):
            cluster.fetch("GET", "/exit")
        self.assertTrue(self.asked(cluster)["pid"])  # waits in the queue until the next one accepts
        self.rest_of(cluster)


if __name__ == "__main__":
    main()
