"""The channel of the real binary: reports, messages, shared state, and everything that a worker should not do."""

import http.client
import json
import os
import signal
import time

from drover_case import HERE, RELEASE, DroverCase, main
from processes import PeakMemory, wait_until

WORKER = os.path.join(HERE, "workers", "channel_worker.py")
LINE_MOST = 1024 * 1024
GIB = 1024 * 1024 * 1024


def encoded(*messages):
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


class ChannelCase(DroverCase):
    def channels(self, workers=2, binary=None, pools=None, **keys):
        pool = {"command": ["python3", WORKER], "workers": workers, "restart": {"max": 0, "delay": "100ms"}, **keys}
        return self.cluster(binary).configure({"shop": pool, **(pools or {})}).start()

    def worker(self, cluster, slot):
        return next(worker for worker in cluster.workers("shop") if worker["slot"] == slot)

    def tell(self, cluster, slot, method, path, body=None):
        """Straight to the worker, not through drover."""
        host, port = self.worker(cluster, slot)["endpoint"].rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        try:
            connection.request(method, path, body=body)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def send(self, cluster, slot, *messages):
        self.tell(cluster, slot, "POST", "/send", encoded(*messages))

    def received(self, cluster, slot, **members):
        lines = self.tell(cluster, slot, "GET", "/received")
        return [line for line in lines if isinstance(line, dict) and members.items() <= line.items()]

    def await_received(self, cluster, slot, **members):
        return wait_until(lambda: self.received(cluster, slot, **members), 10, f"{members} reaches shop.{slot}")[0]

    def ask(self, cluster, slot, **message):
        """A message that is answered, and its answer."""
        self.send(cluster, slot, message)
        return self.await_received(cluster, slot, type="response", originalId=message["id"])

    def faults(self, cluster, fault):
        return cluster.metric("drover_channel_faults_total", pool="shop", fault=fault)


class Reports(ChannelCase):
    def test_Stats_FeedStatusAndMetrics(self):
        cluster = self.channels()
        environment = self.tell(cluster, 1, "GET", "/environment")
        self.assertEqual(environment["DROVER_CHANNEL_FD"], "3")
        self.assertFalse({"NODE_CHANNEL_FD", "NODE_UNIQUE_ID"} & environment.keys())
        self.send(cluster, 1, {"type": "stats", "memory": 123_456_789, "cpu": 12.5, "status": "warm"},
                  {"type": "request", "url": "/", "method": "GET"}, {"type": "request"}, {"type": "error", "error": "no luck"},
                  {"type": "metrics", "data": {"queue": 7, "ratio": 0.25, "name": "text"}})
        wait_until(lambda: self.worker(cluster, 1)["channel"]["metrics"], 10, "its figures")
        worker = self.worker(cluster, 1)
        self.assertEqual(worker["memory"], {"bytes": 123_456_789, "source": "report"})
        self.assertEqual(worker["cpu"], 12.5)
        self.assertEqual(worker["report"]["by"], "channel")
        self.assertEqual(worker["report"]["status"], "warm")
        channel = worker["channel"]
        self.assertEqual((channel["state"], channel["requests"], channel["errors"], channel["last_error"]), ("open", 2, 1, "no luck"))
        self.assertEqual(channel["metrics"], {"queue": 7, "ratio": 0.25})
        reported = {dict(labels)["name"]: value for (name, labels), value in cluster.metrics().items() if name == "drover_worker_reported"}
        self.assertEqual(reported, {"queue": 7, "ratio": 0.25})
        self.assertEqual(cluster.metric("drover_channel_messages_total", pool="shop", direction="in"), 5)
        self.assertEqual(self.worker(cluster, 2)["report"], None)
        self.assertEqual(cluster.await_event("workerMetrics", slot=1)["metrics"], {"queue": 7, "ratio": 0.25})

    def test_NodesWayToSayIt_AndInsideData(self):
        cluster = self.channels(workers=1)
        self.send(cluster, 1, {"type": "health", "data": {"memory": {"rss": 77_000_000, "heapUsed": 1}, "cpu": 3, "uptime": 9}})
        wait_until(lambda: self.worker(cluster, 1)["memory"] == {"bytes": 77_000_000, "source": "report"}, 10, "its memory")

    def test_MetricNamesAreBounded(self):
        cluster = self.channels(workers=1)
        self.send(cluster, 1, {"type": "metrics", "data": {f"m{number}": number for number in range(200)}}, {"type": "metrics", "data": {"x" * 65: 1}})
        wait_until(lambda: self.faults(cluster, "metric") == 137, 10, "the rest is passed over")
        self.assertEqual(len(self.worker(cluster, 1)["channel"]["metrics"]), 64)

    def test_SilenceOfAReportingWorker_ReplacesIt_NeverOneThatNeverSpoke(self):
        cluster = self.channels(health={"interval": "500ms"})
        before = {worker["slot"]: worker["pid"] for worker in cluster.workers()}
        self.send(cluster, 1, {"type": "stats", "memory": 1_000_000})
        cluster.await_event("workerSilent", slot=1)
        wait_until(lambda: self.worker(cluster, 1)["pid"] not in (0, before[1]) and self.worker(cluster, 1)["eligible"], 20, "it is replaced")
        self.assertEqual(self.worker(cluster, 2)["pid"], before[2])

    def test_LastWords_AreHeard(self):
        cluster = self.channels(workers=1)
        try:
            self.tell(cluster, 1, "POST", "/last", encoded(*({"type": "request"} for _ in range(100)), {"type": "bye"}))
        except (OSError, http.client.HTTPException):
            pass
        cluster.await_event("workerMessage", type="bye")
        self.assertEqual(self.worker(cluster, 1)["channel"]["requests"], 100)


class Messages(ChannelCase):
    def test_UserMessage_IsAnEvent(self):
        cluster = self.channels()
        self.send(cluster, 1, {"type": "order", "data": {"n": 1}}, "just text")
        event = cluster.await_event("workerMessage", slot=1, type="order")
        self.assertEqual(event["message"], {"type": "order", "data": {"n": 1}})
        cluster.await_event("workerMessage", slot=1, message="just text")
        self.tell(cluster, 1, "POST", "/send", encoded({"type": "long", "data": "x" * 100_000}))
        event = cluster.await_event("workerMessage", type="long")
        self.assertNotIn("message", event)
        self.assertTrue(event["cut"])

    def test_ToOne_ToAll_AndUnderTheSendersName(self):
        cluster = self.channels(workers=3)
        self.send(cluster, 1, {"type": "hello", "target": "shop.2", "from": 1, "worker": "shop.3"}, {"type": "all", "broadcast": True})
        hello = self.await_received(cluster, 2, type="hello")
        self.assertEqual((hello["worker"], hello["from"]), ("shop.1", self.worker(cluster, 1)["pid"]))
        for slot in (1, 2, 3):
            self.await_received(cluster, slot, type="all")
        self.assertFalse(self.received(cluster, 1, type="hello") + self.received(cluster, 3, type="hello"))

    def test_RequestAndResponse(self):
        cluster = self.channels(env={"CHANNEL_ECHO": "1"})
        answer = self.ask(cluster, 1, type="ask", id="mine", target=2, data=[1, 2])
        self.assertEqual((answer["data"], answer["error"], answer["worker"]), ([1, 2], None, "shop.2"))

    def test_UnknownTarget_AndResponseToNothing(self):
        cluster = self.channels(workers=1)
        answer = self.ask(cluster, 1, type="ask", id=1, target="shop.77")
        self.assertIn("shop.77", answer["error"]["message"])
        self.send(cluster, 1, {"type": "response", "originalId": "d:1", "data": 1}, {"type": "response"})
        wait_until(lambda: cluster.metric("drover_messages_undeliverable_total", pool="shop", reason="late_response") == 2, 10, "they are counted")
        told = self.await_received(cluster, 1, type="response", originalId=None)
        self.assertIn("nobody waits", told["error"]["message"])
        self.assertEqual(cluster.metric("drover_messages_undeliverable_total", pool="shop", reason="unknown_target"), 1)

    def test_WhoIsAskedAndDies_IsAnsweredFor(self):
        cluster = self.channels()
        self.send(cluster, 1, {"type": "ask", "id": "x", "target": 2, "timeout": 60_000})
        self.await_received(cluster, 2, type="ask")
        os.kill(self.worker(cluster, 2)["pid"], signal.SIGKILL)
        answer = self.await_received(cluster, 1, type="response", originalId="x")
        self.assertIn("shop.2 has", answer["error"]["message"])


class SharedState(ChannelCase):
    def test_OutlivesDeathsAndRolls(self):
        cluster = self.channels()
        self.assertEqual(self.ask(cluster, 1, type="state:set", id="a", key="colour", value="red")["data"], {"success": True})
        sync = self.await_received(cluster, 2, type="state:sync")
        self.assertEqual(sync["data"], {"key": "colour", "value": "red"})
        self.assertFalse(self.received(cluster, 1, type="state:sync"), "no echo")
        before = self.worker(cluster, 1)["incarnation"]
        os.kill(self.worker(cluster, 1)["pid"], signal.SIGKILL)
        wait_until(lambda: self.worker(cluster, 1)["incarnation"] > before and self.worker(cluster, 1)["eligible"], 20, "it is back")
        self.assertEqual(self.ask(cluster, 1, type="state:get", id="b", key="colour")["data"], {"key": "colour", "value": "red"})
        self.assertEqual(cluster.verb("restart", "shop").returncode, 0)
        self.assertEqual(self.ask(cluster, 2, type="state:get", id="c", key="colour")["data"]["value"], "red")
        self.assertEqual(cluster.metric("drover_state_keys", pool="shop"), 1)

    def test_Expiry_IsToldToAll(self):
        cluster = self.channels()
        self.ask(cluster, 1, type="state:set", id="a", key="brief", value=1, expires=300)
        wait_until(lambda: [line for line in self.received(cluster, 1, type="state:sync") if "value" not in line["data"]], 10, "its end is told")
        self.assertNotIn("value", self.ask(cluster, 2, type="state:get", id="b", key="brief")["data"])
        self.assertEqual(cluster.metric("drover_state_keys", pool="shop"), 0)

    def test_Limits_AreClearErrors(self):
        cluster = self.channels(workers=1)
        answer = self.ask(cluster, 1, type="state:set", id="big", key="big", value="x" * 600_000)
        self.assertIn("big", answer["error"]["message"])
        answer = self.ask(cluster, 1, type="state:set", id="name", key="k" * 100_000, value=1)
        self.assertTrue(answer["error"]["message"])
        self.assertEqual(cluster.metric("drover_state_keys", pool="shop"), 0)


class Abuse(ChannelCase):
    def siblings_are_fine(self, cluster):
        """What the others do and say meets no delay."""
        self.assertEqual(self.ask(cluster, 2, type="state:incr", id=os.urandom(4).hex(), key="n")["error"], None)
        self.assertEqual(cluster.fetch("GET", "/").status, 200)

    def test_NotJson_IsCountedAndLoggedOnce_TheChannelStays(self):
        cluster = self.channels()
        self.tell(cluster, 1, "POST", "/send", b"hello \x1b[31m\n" * 50)
        wait_until(lambda: self.faults(cluster, "not_json") == 50, 10, "all are counted")
        self.assertEqual(self.ask(cluster, 1, type="state:get", id="a", key="x")["error"], None)
        self.siblings_are_fine(cluster)
        cluster.await_log(r"shop\.1\b.*channel: \d+ lines that are not JSON, the last begins .hello \\x1b")
        self.assertEqual(cluster.log().count("not JSON"), 1)
        told = self.await_received(cluster, 1, type="response", originalId=None)
        self.assertIn("not JSON", told["error"]["message"])

    def test_HugeLine_IsThrownAway_TheNextOneIsHeard(self):
        cluster = self.channels()
        self.tell(cluster, 1, "POST", "/send", b"[" + b"1," * (2 * LINE_MOST) + b"1]\n" + encoded({"type": "after"}))
        cluster.await_event("workerMessage", slot=1, type="after")
        self.assertEqual(self.faults(cluster, "too_long"), 1)

    def test_Descriptor_IsClosedAndCounted(self):
        cluster = self.channels(workers=1)
        held = len(os.listdir(f"/proc/{cluster.supervisor_pid()}/fd"))
        for number in range(20):
            self.tell(cluster, 1, "POST", "/descriptor", encoded({"type": "state:get", "id": number, "key": "x"}))
        wait_until(lambda: (self.faults(cluster, "descriptor") or 0) >= 1, 10, "it is counted")
        self.await_received(cluster, 1, type="response", originalId=19)
        self.assertLess(len(os.listdir(f"/proc/{cluster.supervisor_pid()}/fd")), held + 10)

    def test_ClosedEarly_TheWorkerStays(self):
        cluster = self.channels()
        pid = self.worker(cluster, 1)["pid"]
        self.tell(cluster, 1, "POST", "/close")
        wait_until(lambda: self.worker(cluster, 1)["channel"]["state"] == "closed", 10, "it is seen")
        self.assertEqual(cluster.metric("drover_channel_closed_total", pool="shop", why="peer"), 1)
        answer = self.ask(cluster, 2, type="ask", id="x", target=1)
        self.assertIn("no channel", answer["error"]["message"])
        self.siblings_are_fine(cluster)
        self.assertEqual(self.worker(cluster, 1)["pid"], pid)
        self.assertTrue(self.worker(cluster, 1)["eligible"])

    def flooded(self, cluster, slot):
        return self.tell(cluster, slot, "GET", "/flooded")

    def test_NeverReads_LosesMessages_NobodyElse(self):
        cluster = self.channels(workers=3, binary=RELEASE)
        self.siblings_are_fine(cluster)
        self.tell(cluster, 3, "POST", "/reading?0")
        peak = PeakMemory(cluster.supervisor_pid())
        self.tell(cluster, 1, "POST", f"/flood?{64 * 1024 * 1024}", encoded({"type": "news", "target": "shop.3", "data": "x" * 30_000}))
        wait_until(lambda: self.flooded(cluster, 1)["over"], 30, "all is written")
        wait_until(lambda: (self.faults(cluster, "dropped") or 0) > 1000, 20, "most are dropped")
        self.siblings_are_fine(cluster)
        self.assertEqual(self.worker(cluster, 3)["channel"]["state"], "open")
        # What waits for it, and the same messages as events: each has its bound.
        self.assertLess(peak.growth(), 7 * 1024 * 1024)
        self.assertEqual(len(cluster.events("workerOnline")), 3, "no news is pushed out by messages")

    def test_NeverReadsItsSyncs_IsClosedWithAnEvent_TheOthersGoOn(self):
        cluster = self.channels(workers=3, binary=RELEASE)
        self.siblings_are_fine(cluster)
        self.tell(cluster, 3, "POST", "/reading?0")
        peak = PeakMemory(cluster.supervisor_pid())
        pid = self.worker(cluster, 3)["pid"]
        for first in range(0, 16_000, 1000):
            keys = [f"k{number:06}" + "y" * 240 for number in range(first, first + 1000)]
            messages = [{"type": kind, "key": key, "value": 1} for key in keys for kind in ("state:set", "state:delete")]
            self.send(cluster, 1, *messages)
        event = cluster.await_event("error", slot=3)
        self.assertIn("does not read", event["reason"])
        self.assertEqual(cluster.metric("drover_channel_closed_total", pool="shop", why="overflow"), 1)
        self.siblings_are_fine(cluster)
        self.assertEqual(self.worker(cluster, 3)["pid"], pid)
        self.assertLess(peak.growth(), 6 * 1024 * 1024)

    def test_NeverReadsItsAnswers_IsItselfReadNoMore(self):
        cluster = self.channels(binary=RELEASE)
        self.ask(cluster, 1, type="state:set", id="a", key="big", value="x" * 60_000)
        self.tell(cluster, 1, "POST", "/reading?0")
        peak = PeakMemory(cluster.supervisor_pid())
        self.tell(cluster, 1, "POST", f"/flood?{64 * 1024 * 1024}", encoded({"type": "state:get", "id": 1, "key": "big"}))
        wait_until(lambda: self.tell(cluster, 1, "GET", "/flooded")["bytes"] > 0, 10, "it writes")
        for _ in range(20):
            self.siblings_are_fine(cluster)
        self.assertLess(peak.growth(), 4 * 1024 * 1024)

    def test_DiesWithManyQuestionsUnheard_HoldsNobodyUp(self):
        cluster = self.channels(restart={"max": 5, "delay": "100ms"})
        keys = (json.dumps({"type": "state:set", "key": f"k{number}", "value": "x" * 1000}).encode() + b"\n" for number in range(2000))
        self.tell(cluster, 1, "POST", "/send", b"".join(keys))
        wait_until(lambda: cluster.metric("drover_state_keys", pool="shop") == 2000, 60, "all are set")
        self.tell(cluster, 1, "POST", "/reading?0")
        self.tell(cluster, 1, "POST", f"/flood?{GIB}", encoded({"type": "state:all"}))
        self.siblings_are_fine(cluster)
        os.kill(self.worker(cluster, 1)["pid"], signal.SIGKILL)
        began = time.monotonic()
        cluster.await_event("workerExit", slot=1)
        self.siblings_are_fine(cluster)
        self.assertLess(time.monotonic() - began, 5)

    def costs_no_memory(self, garbage, fault):
        """All of 1 GiB is read, whatever it is."""
        cluster = self.channels(binary=RELEASE)
        self.siblings_are_fine(cluster)
        peak = PeakMemory(cluster.supervisor_pid())
        self.tell(cluster, 1, "POST", f"/flood?{GIB}", garbage)
        rounds = 0
        while not self.flooded(cluster, 1)["over"]:
            self.siblings_are_fine(cluster)
            rounds += 1
            self.assertLess(rounds, 2000)
        self.assertGreaterEqual(self.flooded(cluster, 1)["bytes"], GIB)
        self.send(cluster, 1, {"type": "after"})
        cluster.await_event("workerMessage", slot=1, type="after")
        self.siblings_are_fine(cluster)
        self.assertGreater(self.faults(cluster, fault), 0)
        self.assertLess(peak.growth(), 4 * 1024 * 1024)
        self.assertLessEqual(cluster.log().count("shop.1       channel:"), 12)

    def test_Garbage_OneGiBOfLines_CostsNoMemory(self):
        self.costs_no_memory(b"garbage without end " * 50 + b"\n", "not_json")

    def test_Garbage_OneGiBOfLinesThatAreTooLong_CostsNoMemory(self):
        self.costs_no_memory(b"x" * (LINE_MOST + 1) + b"\n", "too_long")


if __name__ == "__main__":
    main()
