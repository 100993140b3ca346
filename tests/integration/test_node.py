"""Unmodified Node programs: hard-coded ports behind the proxy, and what cluster.worker and process do in them."""

import json
import os
import random
import re
import shutil
import socket
import unittest

import raw_http
from drover_case import HERE, DroverCase, main
from load import Load
from processes import wait_until

NODE = os.path.join(HERE, "workers", "node")


def free_ports(count):
    """Of nobody now, below the ephemeral ones."""
    found = []
    while len(found) < count:
        port = random.randrange(10000, 20000)
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("0.0.0.0", port))
                udp.bind(("0.0.0.0", port))
                found.append(port)
            except OSError:
                pass
    return found


def app(*arguments):
    return ["node", os.path.join(NODE, "app.js"), *map(str, arguments)]


def asked(cluster, path="/", listener="web"):
    answer = cluster.fetch("GET", path, listener=listener)
    assert answer.status == 200, answer.status
    return json.loads(answer.body)


@unittest.skipUnless(shutil.which("node"), "node is not installed")
class NodeCase(DroverCase):
    def run_app(self, command, **keys):
        tables = {name: keys.pop(name) for name in ("listener",) if name in keys}
        return self.cluster().configure({"app": {"command": command, "workers": 4, "restart": {"delay": "200ms"}, **keys}}, **tables).start()


class Proxied(NodeCase):
    def test_FourCopiesWithTheSamePort_Serve(self):
        (port,) = free_ports(1)
        cluster = self.run_app(app(port))
        answers = [asked(cluster) for _ in range(40)]
        self.assertEqual(len({answer["pid"] for answer in answers}), 4)
        self.assertEqual({answer["worker"] for answer in answers}, {1, 2, 3, 4})
        self.assertEqual({answer["address"]["port"] for answer in answers}, {port})
        for worker in cluster.workers():
            self.assertRegex(worker["endpoint"], rf"^127\.77\.\d+\.\d+:{port}$")

    def test_ThePortMayBeTheListenersOwn(self):
        (port,) = free_ports(1)
        for bind in (f"0.0.0.0:{port}", f"127.0.0.1:{port}"):
            cluster = self.run_app(app(port), listener={"web": {"bind": bind}})
            pids = {json.loads(raw_http.fetch(port).body)["pid"] for _ in range(20)}
            self.assertEqual(len(pids), 4)
            cluster.stop()

    def test_ItsPORTAndAnyPort_AreItsEndpoint(self):
        for argument in ("0", "$PORT"):
            command = app(0) if argument == "0" else ["sh", "-c", f'exec node {app()[1]} "$PORT"']
            cluster = self.run_app(command, node="cluster")
            for _ in range(8):
                answer = asked(cluster)
                self.assertEqual(str(answer["address"]["port"]), answer["port"])
            cluster.stop()

    def test_AProgramForTheClusterModule_RunsItsWorkersHalf(self):
        cluster = self.run_app(["node", os.path.join(NODE, "primary.js")])
        said = {cluster.fetch().body.decode() for _ in range(20)}
        self.assertEqual(said, {f"worker {slot}" for slot in range(1, 5)})
        self.assertNotIn("I am the primary", cluster.log())

    def test_FurtherPorts_AreSharedByAll(self):
        main_port, metrics, udp = free_ports(3)
        cluster = self.cluster()
        path = cluster.path("app.sock")
        command = ["node", os.path.join(NODE, "ports.js"), str(main_port), str(metrics), str(udp), path]
        cluster.configure({"app": {"command": command, "workers": 2, "node_port": main_port}}).start()
        answers = [asked(cluster) for _ in range(10)]
        self.assertEqual({answer["metrics"] for answer in answers}, {metrics})
        self.assertEqual(len({answer["any"] for answer in answers}), 1)
        self.assertRegex(raw_http.fetch(metrics).body.decode(), r"^metrics \d+$")
        self.assertRegex(raw_http.fetch(answers[0]["any"]).body.decode(), r"^any \d+$")
        with socket.socket(socket.AF_UNIX) as unix:
            unix.connect(path)
            unix.sendall(b"GET / HTTP/1.0\r\n\r\n")
            self.assertIn(b"path ", b"".join(iter(lambda: unix.recv(4096), b"")))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.sendto(b"hello", ("127.0.0.1", udp))
            self.assertRegex(client.recv(100).decode(), r"^hello \d+$")

    def test_APortThatSomebodyElseHas_IsRefusedClearly(self):
        with socket.socket() as taken:
            taken.bind(("0.0.0.0", 0))
            taken.listen()
            cluster = self.cluster().configure({"app": {"command": app(taken.getsockname()[1]), "workers": 1}})
            cluster.start(ready=False)
            cluster.await_log("asks for port .* another process has that port")
            cluster.await_log("EADDRINUSE")

    def test_AskingForTheImpossibleAllTheTime_DoesNotFillTheLog(self):
        code = """
          require('http').createServer((request, response) => response.end()).listen(3000);
          let left = 500;
          (function again() {
            if (left-- === 0) return console.log('has asked enough');
            require('net').createServer().on('error', () => setImmediate(again)).listen('/nonexistent/socket');
          })();"""
        cluster = self.cluster()
        cluster.configure({"app": {"command": ["node", cluster.write("asks.js", code)], "workers": 1}}).start()
        cluster.await_log("has asked enough")
        self.assertEqual(len(re.findall("asks for /nonexistent/socket", cluster.log())), 8)
        cluster.await_log("not told any more")

    def test_NodeOff_LeavesItAlone(self):
        cluster = self.run_app(["sh", "-c", f'exec node {app()[1]} "$PORT"'], node="off")
        self.assertIsNone(asked(cluster).get("worker"))


class Behaviour(NodeCase):
    def incarnation(self, cluster, slot):
        return next(worker["incarnation"] for worker in cluster.workers() if worker["slot"] == slot)

    def test_Disconnect_LosesNothingAndIsNoDeath(self):
        (port,) = free_ports(1)
        cluster = self.run_app(app(port))
        cluster.fetch("GET", "/leave")
        event = cluster.await_event("workerDisconnect")
        self.assertEqual(event["why"], "of its own will")
        wait_until(lambda: self.incarnation(cluster, event["slot"]) == 2 and all(worker["eligible"] for worker in cluster.workers()), 20, "it is back")
        self.assertEqual(cluster.status()["totals"]["died"], 0)
        self.assertEqual(cluster.events("workerExit")[0]["code"], 0)

    def test_Kill_IsNoDeathEither(self):
        (port,) = free_ports(1)
        cluster = self.run_app(app(port))
        cluster.fetch("GET", "/kill")
        event = cluster.await_event("workerExit")
        self.assertEqual((event["code"], event["asked"]), (0, True))
        wait_until(lambda: self.incarnation(cluster, event["slot"]) == 2, 20, "it is back")
        self.assertEqual(cluster.status()["totals"]["died"], 0)

    def test_ExitWithACode_IsADeath(self):
        (port,) = free_ports(1)
        cluster = self.run_app(app(port))
        cluster.fetch("GET", "/exit")
        event = cluster.await_event("workerExit")
        self.assertEqual((event["code"], event["asked"]), (3, False))
        wait_until(lambda: self.incarnation(cluster, event["slot"]) == 2, 20, "it is back")
        self.assertEqual(cluster.status()["totals"]["died"], 1)

    def test_AServerThatCloses_GetsNoWorkUntilItListensAgain(self):
        (port,) = free_ports(1)
        cluster = self.run_app(app(port), workers=2)
        cluster.fetch("GET", "/close")
        wait_until(lambda: sum(worker["eligible"] for worker in cluster.workers()) == 1, 10, "it gets no more")
        for _ in range(10):
            asked(cluster)
        wait_until(lambda: all(worker["eligible"] for worker in cluster.workers()), 20, "it listens again")
        self.assertEqual(len({asked(cluster)["pid"] for _ in range(10)}), 2)

    def test_AHandleThatIsSent_HoldsNothingUp(self):
        (port,) = free_ports(1)
        cluster = self.run_app(app(port), workers=1)
        for _ in range(3):
            self.assertEqual(asked(cluster, "/handle"), "sent")
        cluster.await_log("takes none")
        wait_until(lambda: len(cluster.events("workerMessage", type="after")) == 3, 10, "what it sends after is heard")

    def test_AForkedProgram_EndsWhenItsChannelIsClosed(self):
        cluster = self.run_app(["node", os.path.join(NODE, "fork.js")], node="fork", workers=2)
        self.assertEqual(cluster.fetch().body, b"true")
        self.assertEqual(cluster.verb("restart", "app").returncode, 0)
        self.assertEqual([event["code"] for event in cluster.events("workerExit")], [0, 0])

    def test_RollingRestart_LosesNoRequest(self):
        (port,) = free_ports(1)
        cluster = self.run_app(app(port))
        load = Load(cluster.port())
        self.assertEqual(cluster.verb("restart", "app").returncode, 0)
        load.stop()
        self.assertGreater(load.counts["get-served"], 50)
        self.assertEqual({what: count for what, count in load.counts.items() if not what.endswith("-served")}, {}, load.failures)
        self.assertEqual({worker["incarnation"] for worker in cluster.workers()}, {2})


if __name__ == "__main__":
    main()
