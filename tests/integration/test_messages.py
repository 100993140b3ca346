"""The operator speaks to workers: send, request and state on the real binary, and everything one can do wrong with them."""

import json
import os
import signal
import subprocess

import raw_http
from drover_case import Cluster, HERE, main
from operator_case import TOKEN, OperatorCase, UnixConnection
from processes import wait_until

WORKER = os.path.join(HERE, "workers", "channel_worker.py")


def channel_pool(workers, echo):
    """Workers that answer whatever they are asked, or (no echo) only what a test tells them to."""
    return {"command": ["python3", WORKER], "workers": workers, "env": {"CHANNEL_ECHO": "1" if echo else "0"}}


def port_of(cluster, worker):
    return int(next(each["endpoint"] for each in cluster.workers() if each["name"] == worker).rpartition(":")[2])


def say(cluster, worker, message):
    """That worker writes these bytes onto its channel."""
    assert raw_http.fetch(port_of(cluster, worker), "POST", "/send", body=message).status == 200


def received(cluster, worker, last):
    """What that worker has got so far, once a message of type `last` is among it."""
    def found():
        lines = json.loads(raw_http.fetch(port_of(cluster, worker), "GET", "/received").body)
        lines = [each for each in lines if isinstance(each, dict)]
        return lines if any(each.get("type") == last for each in lines) else None
    return wait_until(found, 15, f"{worker} gets {last}")


def heard(wait, pattern):
    try:
        return wait(pattern, 0.5)
    except AssertionError:
        return None


class Speaking(OperatorCase):
    @classmethod
    def setUpClass(cls):
        cls.share(Cluster())
        token = cls.shared.write("token", TOKEN)
        os.chmod(token, 0o600)
        cls.shared.configure({"shop": channel_pool(workers=2, echo=True), "mute": channel_pool(workers=1, echo=False),
                              "deaf": {"command": ["python3", "-m", "http.server", "${PORT}", "--bind", "127.0.0.1"], "workers": 1}},
                             route=[{"path": "/mute", "pool": "mute"}, {"path": "/deaf", "pool": "deaf"}, {"path": "/", "pool": "shop"}],
                             admin={"token_file": token}).start()

    def lines(self, *arguments):
        return sorted(self.fine(self.shared, *arguments).splitlines())

    def refused(self, code, *arguments, **options):
        """The exit code, and what is said on standard error; nothing on standard output."""
        got, out, err = self.drover(self.shared, *arguments, **options)
        self.assertEqual((got, out), (code, ""), err)
        return err

    def api(self, method, path, body=None, headers=None):
        connection = UnixConnection(self.socket_of(self.shared))
        try:
            connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    # Messages

    def test_Send_ReachesOneOrAll(self):
        self.assertEqual(self.fine(self.shared, "send", "shop.2", "one", '{"n": 1.5}'), "sent to 1 worker\n")
        self.assertEqual(self.fine(self.shared, "send", "shop", "all"), "sent to 2 workers\n")
        self.assertEqual(json.loads(self.fine(self.shared, "send", "shop", "again", "--json")), {"workers": 2})
        got = received(self.shared, "shop.2", "again")
        self.assertEqual([(each["type"], each["data"]) for each in got if each["type"] in ("one", "all")], [("one", {"n": 1.5}), ("all", None)])
        got = received(self.shared, "shop.1", "again")
        self.assertEqual([each["type"] for each in got if each["type"] in ("one", "all", "again")], ["all", "again"])

    def test_Send_TakesStandardInput(self):
        big = json.dumps({"text": "x" * 500_000})
        done = subprocess.run(self.command(self.shared, "send", "shop.1", "big", "-"), input=big, capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, "sent to 1 worker\n"), done.stderr)
        self.assertEqual(received(self.shared, "shop.1", "big")[-1]["data"], json.loads(big))
        for text, says in (("{", "standard input: not JSON"), ("1" * (1024 * 1024 + 1), "more than 1MiB")):
            done = subprocess.run(self.command(self.shared, "send", "shop.1", "big", "-"), input=text, capture_output=True, text=True, timeout=30,
                                  check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(says, done.stderr)

    def test_Request_PrintsTheAnswersData(self):
        self.assertEqual(json.loads(self.fine(self.shared, "request", "shop.1", "ask", '{"a": [1, "é", null, 0.1]}')), {"a": [1, "é", None, 0.1]})
        self.assertEqual(self.fine(self.shared, "request", "shop.2", "ask"), "null\n")
        self.assertEqual(self.lines("request", "shop", "ask", "7"), ["shop.1\t7", "shop.2\t7"])
        lines = [json.loads(line) for line in self.lines("request", "shop", "ask", "7", "--json")]
        self.assertEqual([(each["worker"], each["ok"], each["data"], each["error"]) for each in lines],
                         [("shop.1", True, 7, None), ("shop.2", True, 7, None)])
        self.assertEqual(sorted(each["last"] for each in lines), [False, True])

    def test_Request_ThatNobodyAnswersEndsInTime(self):
        err = self.refused(1, "request", "mute.1", "ask", "--timeout", "300ms")
        self.assertIn("mute.1", err)
        self.assertIn("300ms", err)
        code, out, _ = self.drover(self.shared, "request", "mute", "ask", "--timeout", "300ms", "--json")
        self.assertEqual((code, json.loads(out)["ok"]), (1, False))

    def test_Request_AWorkersErrorIsTold(self):
        asking = subprocess.Popen(self.command(self.shared, "request", "mute.1", "may-i", "--timeout", "20s"), stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        asked = received(self.shared, "mute.1", "may-i")[-1]
        answer = {"type": "response", "originalId": asked["id"], "data": None, "error": {"message": "no, you may not"}}
        say(self.shared, "mute.1", json.dumps(answer).encode() + b"\n")
        out, err = asking.communicate(timeout=20)
        self.assertEqual((asking.returncode, out, err), (1, "", "drover: mute.1: no, you may not\n"))

    def test_Request_WhoseWorkerDiesSaysSo(self):
        cluster = self.cluster()
        cluster.configure({"shop": channel_pool(workers=1, echo=False)}).start()
        asking = subprocess.Popen(self.command(cluster, "request", "shop.1", "ask", "--timeout", "30s"), stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        received(cluster, "shop.1", "ask")
        os.kill(cluster.pids("shop")[0], signal.SIGKILL)
        out, err = asking.communicate(timeout=15)
        self.assertEqual((asking.returncode, out), (1, ""))
        self.assertIn("shop.1", err)

    def test_Targets_AreChecked(self):
        self.assertIn("known: ", self.refused(1, "send", "nosuch", "x"))
        self.assertIn("did you mean", self.refused(1, "send", "shp", "x"))
        self.assertIn("known: ", self.refused(1, "request", "shop.9", "x"))
        self.assertIn("quotes: '\"hello\"'", self.refused(2, "send", "shop", "x", "hello"))
        self.refused(1, "send", "shop", "state:set", "{}")

    def test_Messages_AreOnTheEventStream(self):
        _, wait = self.follow(self.shared, "events", "-f")
        line = b'{"type": "hello", "n": 1.50, "text": "\xc2\x9b2J"}\n'

        say(self.shared, "mute.1", line)
        event = wait(r'"event":"workerMessage".*"hello"')
        self.assertNotIn("\x9b", event)
        event = json.loads(event)
        self.assertEqual((event["worker"], event["message"]["type"], event["message"]["n"]), ("mute.1", "hello", 1.5))
        self.assertEqual(event["message"]["text"], "\x9b2J")

    # Shared state

    def test_State_IsSetReadAndDeleted(self):
        self.assertEqual(self.fine(self.shared, "state", "set", "shop", "rate", '{"limit": [1, 2.5, "é"]}'), "")
        self.assertEqual(json.loads(self.fine(self.shared, "state", "get", "shop", "rate")), {"limit": [1, 2.5, "é"]})
        self.assertEqual(json.loads(self.fine(self.shared, "state", "get", "shop", "rate", "--json")),
                         {"key": "rate", "value": {"limit": [1, 2.5, "é"]}})
        self.assertIn('no key "rate"', self.refused(1, "state", "get", "mute", "rate"))
        self.assertEqual(self.drover(self.shared, "state", "delete", "shop", "rate"), (0, "", ""))
        self.refused(1, "state", "get", "shop", "rate")
        self.assertEqual(self.drover(self.shared, "state", "delete", "shop", "rate"), (0, "", "drover: rate was not there\n"))

    def test_State_Null_IsAValue(self):
        self.fine(self.shared, "state", "set", "shop", "nothing", "null")
        self.assertEqual(self.fine(self.shared, "state", "get", "shop", "nothing"), "null\n")

    def test_State_TakesOddKeys(self):
        key = "a/b c?&=%#+é\"'"
        self.fine(self.shared, "state", "set", "mute", key, "1")
        self.assertEqual(self.fine(self.shared, "state", "get", "mute", key), "1\n")
        self.assertIn("control character", self.refused(1, "state", "set", "mute", "a\x1b[31m", "1"))
        self.assertEqual([json.loads(line) for line in self.fine(self.shared, "state", "list", "mute", key, "--json").splitlines()],
                         [{"key": key, "value": 1}])

    def test_State_Expires(self):
        self.fine(self.shared, "state", "set", "shop", "short", "1", "--expires", "200ms")
        wait_until(lambda: self.drover(self.shared, "state", "get", "shop", "short")[0] == 1, 10, "it is gone")
        self.refused(2, "state", "get", "shop", "short", "--expires", "1s")

    def test_State_IsSummed(self):
        self.assertEqual(self.fine(self.shared, "state", "incr", "shop", "sum"), "1\n")
        self.assertEqual(self.fine(self.shared, "state", "incr", "shop", "sum", "-5"), "-4\n")
        self.fine(self.shared, "state", "set", "shop", "text", '"a"')
        self.assertIn("text", self.refused(1, "state", "incr", "shop", "text"))

    def test_State_IsListedOverSeveralPages(self):
        value = json.dumps("v" * 60_000)
        keys = [f"page:{number:03}" for number in range(40)]  # 2.4 MB, more than one page holds
        for key in keys:
            self.assertEqual(self.api("POST", "/v1/state/set", {"pool": "deaf", "key": key, "value": "v" * 60_000})[0], 200)
        lines = self.fine(self.shared, "state", "list", "deaf", "page:").splitlines()
        self.assertEqual([line.split("\t") for line in lines], [[key, value] for key in keys])
        page = json.loads(self.api("GET", "/v1/state/list?pool=deaf")[1])
        self.assertTrue(page["more"])
        self.assertLess(len(page["values"]), len(keys))
        self.assertEqual(self.fine(self.shared, "state", "list", "deaf", "none:"), "")

    def test_State_IsWatched(self):
        _, wait = self.follow(self.shared, "state", "watch", "shop", "watched:*")
        _, wait_json = self.follow(self.shared, "state", "watch", "shop", "--json")

        def set_it():  # again and again: who watches hears of what comes, not of what was
            self.fine(self.shared, "state", "incr", "shop", "watched:n")
            return heard(wait, r"^watched:n\t") and heard(wait_json, r'"key":"watched:n"')
        wait_until(set_it, 20, "both hear of it")
        self.fine(self.shared, "state", "set", "shop", "other", '"x"')
        self.fine(self.shared, "state", "delete", "shop", "watched:n")
        wait(r"^watched:n\tgone\n")
        self.assertIn('"value":"x"', wait_json('"key":"other"'))
        self.assertIn("oldValue", wait_json(r'"key":"watched:n","oldValue"'))

    def test_State_LimitsAreToldWithTheirStatus(self):
        large = {"pool": "shop", "key": "large", "value": "x" * 900_000}
        status, text = self.api("POST", "/v1/state/set", large)
        self.assertEqual(status, 413, text)
        self.assertIn("large", text)
        status, text = self.api("POST", "/v1/state/set", {"pool": "shop", "key": "k" * 5000, "value": 1})
        self.assertEqual(status, 400, text)
        self.assertEqual(self.api("POST", "/v1/state/set", {"pool": "shop", "key": "", "value": 1})[0], 400)
        status, text = self.api("POST", "/v1/state/set", {"pool": "shop", "key": "large", "value": "x" * 1024 * 1024})
        self.assertEqual(status, 413, text)

    def test_State_ComparesAndSets(self):
        def cas(**members):
            return json.loads(self.api("POST", "/v1/state/cas", {"pool": "shop", "key": "lock", **members})[1])
        self.assertEqual(cas(value="me"), {"success": True, "value": "me"})
        self.assertEqual(cas(value="you"), {"success": False, "value": "me"})
        self.assertEqual(cas(expected="me", value=2), {"success": True, "value": 2})
        self.assertEqual(cas(expected=2), {"success": True})

    # Doors

    def test_Doors_OnTcpNeedTheToken(self):
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        self.fine(self.shared, "state", "set", "shop", "secret", "1")
        for path in ("/v1/state?pool=shop&key=secret", "/v1/state/list?pool=shop", "/v1/state/watch?pool=shop"):
            self.assertEqual(self.shared.admin(path).status, 401, path)
        self.assertEqual(self.shared.admin("/v1/state?pool=shop&key=secret", headers=bearer).status, 200)
        for path in ("/v1/send", "/v1/request", "/v1/state/set", "/v1/state/delete", "/v1/state/incr", "/v1/state/cas"):
            self.assertEqual(self.shared.admin(path, method="POST").status, 401, path)
            self.assertEqual(self.shared.admin(path, method="POST", headers=bearer).status, 400, path)


if __name__ == "__main__":
    main()
