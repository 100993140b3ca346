"""The client libraries of examples/clients, each in a worker of its own language: messages between them, requests, shared state, reports."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import unittest

from drover_case import HERE, ROOT, Cluster, DroverCase, main
from load import crowd
from processes import wait_until

WORKERS = os.path.join(HERE, "workers", "clients")
CPP_WORKER = os.environ.get("CPP_WORKER", os.path.join(ROOT, "build", "asan", "tests", "integration", "cpp_worker"))
SOURCE = {"DROVER_SOURCE": ROOT}


def pools():
    return {
        "py": {"command": ["python3", os.path.join(WORKERS, "worker.py")], "workers": 2, "env": SOURCE},
        "js": {"command": ["node", os.path.join(WORKERS, "worker.js")], "workers": 1, "node": "fork", "env": SOURCE},
        "cpp": {"command": [CPP_WORKER], "workers": 1, "env": SOURCE},
        "sh": {"command": ["sh", os.path.join(WORKERS, "sh_worker.sh")], "workers": 1, "env": SOURCE},
    }


def do(endpoint, op, **order):
    """Has the worker that listens there carry out an order (workers/clients/worker.py), past the proxy: it is this one that is meant."""
    host, port = endpoint.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        connection.request("POST", "/", json.dumps({"op": op, **order}))
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    assert answer.status == 200, f"{op} {order}: {answer.status} {text}"
    return json.loads(text)


class ClientCase(DroverCase):
    @classmethod
    def worker(cls, name):
        """Its line of /status."""
        pool, slot = name.split(".")
        return next(each for each in cls.shared.workers(pool) if each["slot"] == int(slot))

    @classmethod
    def do(cls, name, op, **order):
        return do(cls.worker(name)["endpoint"], op, **order)

    def received(self, name, kind):
        return [each for each in self.do(name, "received") if each.get("type") == kind]


@unittest.skipUnless(shutil.which("node"), "node is not installed")
@unittest.skipUnless(os.path.exists(CPP_WORKER), f"{CPP_WORKER} is not built")
class Clients(ClientCase):
    LANGUAGES = ("py.1", "js.1", "cpp.1")

    @classmethod
    def setUpClass(cls):
        cls.share(Cluster()).configure(pools(), route=[{"path": f"/{name}", "pool": name} for name in pools()]).start()

    def test_ARequest_IsAnsweredAcrossLanguages(self):
        for asker in self.LANGUAGES:
            for answerer, by in (("py.2", "python"), ("js.1", "node"), ("cpp.1", "cpp")):
                with self.subTest(asker=asker, answerer=answerer):
                    data = {"list": [1, 2.5, None, True], "text": "J\xfcrgen \u20ac \U0001f411 \"\\ \n", "nested": {"a": {}}}
                    self.assertEqual(self.do(asker, "request", type="echo", data=data, to=answerer),
                                     {"ok": True, "data": {"data": data, "by": by}, "error": None})

    def test_AShellScript_AnswersRequests(self):
        for asker in self.LANGUAGES:
            with self.subTest(asker=asker):
                answer = self.do(asker, "request", type="echo", data="x" * 100_000, to="sh.1")
                self.assertEqual((answer["ok"], answer["data"]["by"]), (True, "sh"))
                self.assertGreater(answer["data"]["data"], 100_000)

    def test_ALongLine_ArrivesWhole(self):
        for asker in self.LANGUAGES:
            for answerer in self.LANGUAGES:
                with self.subTest(asker=asker, answerer=answerer):
                    data = "".join(f"{number:07d}," for number in range(100_000))
                    answer = self.do(asker, "request", type="echo", data=data, to=answerer)
                    self.assertTrue(answer["ok"] and answer["data"]["data"] == data, str(answer)[:200])

    def test_ALineThatIsTooLong_IsNotSent(self):
        for asker in self.LANGUAGES:
            with self.subTest(asker=asker):
                self.assertFalse(self.do(asker, "request", type="echo", data="x" * (1 << 20), to="py.2")["ok"])
                self.assertTrue(self.do(asker, "request", type="echo", data="x", to="py.2")["ok"])

    def test_AnErrorResponse_SaysWhy(self):
        for asker in self.LANGUAGES:
            for answerer in ("py.2", "js.1", "cpp.1"):
                with self.subTest(asker=asker, answerer=answerer):
                    answer = self.do(asker, "request", type="fail", data=None, to=answerer)
                    self.assertFalse(answer["ok"])
                    self.assertIn("not today", answer["error"])

    def test_AnUnknownTarget_IsAnErrorAtOnce(self):
        for asker in self.LANGUAGES:
            for target in (99, "py.99", "nobody", "nobody.1", ["py.1"]):
                with self.subTest(asker=asker, target=target):
                    answer = self.do(asker, "request", type="echo", data=1, to=target, timeout=20_000)
                    self.assertFalse(answer["ok"])
                    self.assertIn("unknown target", answer["error"])

    def test_ALateAnswer_IsDropped(self):
        for asker in self.LANGUAGES:
            with self.subTest(asker=asker):
                answer = self.do(asker, "request", type="slow", data=400, to="py.2", timeout=100)
                self.assertEqual((answer["ok"], answer["data"]), (False, None))
                self.assertRegex(answer["error"], "no answer within|in time")
                after = self.do(asker, "request", type="echo", data="next", to="py.2")
                self.assertEqual(after["data"]["data"], "next")

    def test_AHandler_MayAskAndWait(self):
        for answerer in self.LANGUAGES:
            with self.subTest(answerer=answerer):
                answer = self.do("py.2", "request", type="ask-back", to=answerer)
                self.assertEqual((answer["ok"], answer["data"]), (True, {"ok": True, "data": {"data": "from a handler", "by": "python"}}))

    def test_AMessage_NamesItsTrueSender(self):
        for sender in self.LANGUAGES:
            with self.subTest(sender=sender):
                self.assertTrue(self.do(sender, "send", type=f"from-{sender}", data={"from": 1}, to="py.2"))
                message = wait_until(lambda kind=f"from-{sender}": self.received("py.2", kind), 10, "the message arrives")[0]
                self.assertEqual((message["worker"], message["from"]), (sender, self.worker(sender)["pid"]))
                self.assertIsInstance(message["timestamp"], int)

    def test_ABroadcast_ReachesEveryWorkerOfThePool(self):
        self.assertTrue(self.do("py.1", "broadcast", type="to-all", data=7))
        for name in ("py.1", "py.2"):
            message = wait_until(lambda name=name: self.received(name, "to-all"), 10, f"the broadcast reaches {name}")[0]
            self.assertEqual((message["data"], message["worker"], message["broadcast"]), (7, "py.1", True))
        self.assertEqual(self.received("cpp.1", "to-all") + self.received("js.1", "to-all"), [])

    def test_AMessageToAPool_ReachesAll(self):
        self.assertTrue(self.do("cpp.1", "send", type="to-pool", data=8, to="py"))
        for name in ("py.1", "py.2"):
            self.assertEqual(wait_until(lambda name=name: self.received(name, "to-pool"), 10, f"it reaches {name}")[0]["worker"], "cpp.1")

    def test_State_IsSharedWithinAPool(self):
        for name in self.LANGUAGES:
            with self.subTest(name=name):
                self.assertEqual(self.do(name, "get", key="nothing", value="otherwise"), "otherwise")
                self.assertTrue(self.do(name, "set", key="a b:\u20ac", value={"deep": [1, {"x": "\U0001f411"}]}))
                self.assertEqual(self.do(name, "get", key="a b:\u20ac"), {"deep": [1, {"x": "\U0001f411"}]})
                self.assertTrue(self.do(name, "delete", key="a b:\u20ac"))
                self.assertIsNone(self.do(name, "get", key="a b:\u20ac"))
        self.do("py.1", "set", key="common", value=1)
        self.assertEqual((self.do("py.2", "get", key="common"), self.do("cpp.1", "get", key="common")), (1, None))

    def test_CompareAndSet_IsWonByOne(self):
        for name in self.LANGUAGES:
            with self.subTest(name=name):
                self.assertIs(self.do(name, "cas", key="lock", value="mine"), True)
                self.assertIs(self.do(name, "cas", key="lock", value="other's"), False)
                self.assertIs(self.do(name, "cas", key="lock", expected="other's", value="x"), False)
                self.assertIs(self.do(name, "cas", key="lock", expected="mine", value="x"), True)
                self.assertEqual(self.do(name, "get", key="lock"), "x")
                self.assertIs(self.do(name, "cas", key="lock", expected="x"), True)
                self.assertIsNone(self.do(name, "get", key="lock"))

    def test_All_GivesEveryKeyAlsoWhereItTakesSeveralAnswers(self):
        for name in self.LANGUAGES:
            with self.subTest(name=name):
                for number in range(30):
                    self.do(name, "set", key=f"all:{number}", value="x" * 60_000)
                self.do(name, "set", key="other", value=1)
                found = self.do(name, "all", key="all:")
                self.assertEqual(sorted(found), sorted(f"all:{number}" for number in range(30)))
                self.assertEqual({len(value) for value in found.values()}, {60_000})
                for number in range(30):
                    self.do(name, "delete", key=f"all:{number}")

    def test_ASubscriber_HearsOfEachChange(self):
        for name in self.LANGUAGES:
            with self.subTest(name=name):
                self.assertTrue(self.do(name, "subscribe", key="cart:"))
                self.do(name, "set", key="unheard", value=1)
                self.do(name, "set", key="cart:1", value=["tea"])
                self.do(name, "set", key="cart:1", value=["tea", "cup"])
                self.do(name, "delete", key="cart:1")
                changes = wait_until(lambda name=name: len(self.do(name, "changes")) >= 3 and self.do(name, "changes"), 10, "three changes")
                self.assertEqual([[part for part in change if part is not None] for change in changes],
                                 [["cart:1", ["tea"]], ["cart:1", ["tea", "cup"], ["tea"]], ["cart:1", ["tea", "cup"]]])

    def test_AReport_IsShownInStatus(self):
        for name in self.LANGUAGES:
            with self.subTest(name=name):
                self.assertTrue(self.do(name, "report", memory=123_456_789, cpu=12.5))
                memory = wait_until(lambda name=name: (found := self.worker(name)["memory"])["bytes"] == 123_456_789 and found, 10,
                                    "the reported memory is shown")
                self.assertEqual(memory["source"], "report")

    def test_AReportOfAShellScript_IsShownInStatus(self):
        wait_until(lambda: self.shared.metric("drover_worker_reported", pool="sh", worker="1", name="starts") == 1, 10, "the script's figure")
        self.assertEqual(self.worker("sh.1")["memory"], {"bytes": 12345678, "source": "report"})

    def test_AShellScript_SendsLongLines(self):
        self.do("py.2", "send", type="note-please", to="sh.1")
        note = wait_until(lambda: self.received("py.1", "note"), 10, "the script's message")[0]
        self.assertEqual((len(note["data"]), note["worker"]), (70_000, "sh.1"))

    def test_Metrics_AreExported(self):
        for name in self.LANGUAGES:
            with self.subTest(name=name):
                pool, slot = name.split(".")
                self.assertTrue(self.do(name, "metrics", data={"orders": 17, "load": 0.25}))
                wait_until(lambda pool=pool, slot=slot: self.shared.metric("drover_worker_reported", pool=pool, worker=slot, name="load") == 0.25, 10,
                           "the figure is exported")
                self.assertEqual(self.shared.metric("drover_worker_reported", pool=pool, worker=slot, name="orders"), 17)

    def test_AForkedChild_SendsNothing(self):
        for name in ("py.1", "cpp.1"):
            with self.subTest(name=name):
                self.assertIs(self.do(name, "fork"), True)
                self.assertTrue(self.do(name, "request", type="echo", data=1, to="js.1")["ok"], "the parent's channel goes on")

    def test_AProgramThatIsStarted_KnowsNothingOfTheChannel(self):
        self.assertEqual(self.do("py.1", "sockets_of_a_child"), ["0", "none"])

    def test_Events_TellOfMessagesToNobody(self):
        self.do("py.1", "send", type="order-shipped", data={"number": 12})
        self.shared.await_event("workerMessage", worker="py.1")


class State(ClientCase):
    def test_FourWorkersIncrements_AddUpExactly(self):
        for language, pool in pools().items():
            if language == "sh" or (language == "cpp" and not os.path.exists(CPP_WORKER)):
                continue
            with self.subTest(language=language):
                cluster = self.cluster().configure({language: {**pool, "workers": 4}}).start()
                endpoints = [worker["endpoint"] for worker in cluster.workers()]
                sums = crowd(8, lambda number, all_of_them=tuple(endpoints): do(all_of_them[number % 4], "incr", key="hits", times=250))
                self.assertEqual(max(sums), 2000, sums)
                self.assertEqual([do(endpoint, "get", key="hits") for endpoint in endpoints], [2000] * 4)
                self.assertEqual(json.loads(cluster.verb("state", "get", language, "hits", "--json").stdout).get("value"), 2000)

    def test_State_OutlivesItsWriters(self):
        cluster = self.cluster().configure({"py": pools()["py"]}).start()
        self.assertTrue(do(cluster.workers()[0]["endpoint"], "set", key="kept", value=[1]))
        self.assertEqual(cluster.verb("restart", "py").returncode, 0)
        wait_until(lambda: all(worker["eligible"] for worker in cluster.workers()), 20, "the new ones are there")
        self.assertEqual([do(worker["endpoint"], "get", key="kept") for worker in cluster.workers()], [[1], [1]])

    def test_AClosedChannel_IsNoReasonToFail(self):
        cluster = self.cluster().configure({"py": pools()["py"]}).start()
        first, second = [worker["endpoint"] for worker in cluster.workers()]
        do(first, "close")
        wait_until(lambda: not do(first, "connected"), 10, "the library knows of the end")
        self.assertFalse(do(first, "send", type="x"))
        self.assertFalse(do(first, "request", type="echo", to=2)["ok"])
        self.assertEqual(do(first, "get", key="a", value="otherwise"), "otherwise")
        self.assertIn("no channel", do(second, "request", type="echo", data=1, to=1)["error"])
        self.assertTrue(all(worker["eligible"] for worker in cluster.workers()))

    def test_WithoutDrover_NothingHappens(self):
        script = ("import drover_channel; c = drover_channel.connect(); print(c.connected, c.send('x'), bool(c.request('x', to=1)), c.ready(), "
                  "c.report(1), c.report_every(1), c.metrics({}), c.state.get('a', 1), c.state.set('a', 1), c.state.incr('a'), c.state.all())")
        for number in ("", "77", "0", "x"):
            done = subprocess.run([sys.executable, "-c", script], env={**os.environ, "DROVER_CHANNEL_FD": number}, capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, cwd=os.path.join(ROOT, "examples", "clients", "python"), timeout=20, check=False)
            self.assertEqual((done.stdout, done.stderr), ("False False False False False None False 1 False None None\n", ""))


if __name__ == "__main__":
    main()
