"""Answers to the letter: what a worker says well reaches the client as it must, byte by byte; a broken answer is a 502 or visibly cut,
and a worker's connection whose framing is in doubt is never used again."""

import json
import re

import conformance_answers as cases
from conformance_case import ConformanceCase
from drover_case import main
from raw_http import NoAnswer, Truncated, request

OURS = re.compile(rb"\r\nDate: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n")


class Answers(ConformanceCase):
    pool = {"timeouts": {"idle": "60s"}}

    def script(self, case):
        path = "/" + case.name
        self.recorder.on(path, ["body"], ["send", case.raw.decode("latin-1")], *([[case.then]] if case.then else []))
        return path

    def connection_of_next(self):
        """A request on a connection of its own, and which of the worker's connections served it."""
        answer = self.connect().exchange(request(target="/next", close=True))
        self.assertEqual(answer.status, 200, answer)
        return json.loads(answer.body)["connection"]

    def test_WellFormedAnswers_ReachTheClientByteByByte(self):
        for case in cases.WELL_FORMED:
            with self.subTest(case.name):
                connection = self.connect()
                connection.send(request(case.method, self.script(case)))
                got = connection.exactly(len(case.client) + (len("Sun, 22 Nov 2026 18:43:30 GMT") - len("<date>")) * case.client.count(b"<date>"))
                self.assertEqual(OURS.sub(b"\r\nDate: <date>\r\n", got), case.client)
                used = self.recorder.events("/" + case.name)[-1]["connection"]
                after = json.loads(connection.exchange(request(target="/after")).body)  # nothing stands between this answer and the last
                self.assertEqual(after["target"], "/after")
                self.assertEqual(after["connection"] == used, case.reused, "is the worker's connection used again?")

    def test_BrokenAnswers_AreNeverWhole_AndTheirConnectionIsNeverUsedAgain(self):
        for case in cases.BROKEN:
            with self.subTest(case.name):
                path = self.script(case)
                connection = self.connect()
                try:
                    answer = connection.exchange(request(case.method, path))
                    self.assertIn(answer.status, case.broken, answer)
                    self.assertNotIn(b"evil", answer.head + answer.body)
                except Truncated as cut:
                    self.assertFalse(isinstance(cut, NoAnswer), "not even a 502")
                    self.assertEqual(connection.rest(), b"")
                self.assertNotEqual(self.connection_of_next(), self.recorder.events(path)[-1]["connection"])

    def test_Answers_CutAtEveryByte_AreNeverWhole(self):
        whole = {"Length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                 "Chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"}
        for end in ("close", "reset"):
            for name, raw in whole.items():
                for cut in range(len(raw)):
                    with self.subTest(end=end, name=name, cut=cut):
                        path = f"/{end}-{name}-{cut}"
                        self.recorder.on(path, ["body"], ["send", raw[:cut].decode()], [end])
                        try:
                            self.assertEqual(self.connect().exchange(request(target=path)).status, 502)
                        except Truncated as truncated:
                            self.assertFalse(isinstance(truncated, NoAnswer))

    def test_Requests_CutAtEveryByte_AreNeverWholeForTheWorker(self):
        for name, raw in {"Length": request("POST", "/cut-length", body=b"hello"),
                          "Chunked": request("POST", "/cut-chunked", [("Transfer-Encoding", "chunked")], b"5\r\nhello\r\n0\r\n\r\n")}.items():
            for cut in range(1, len(raw)):
                with self.subTest(name=name, cut=cut):
                    connection = self.connect()
                    connection.send(raw[:cut])
                    connection.close()
        self.assertEqual(self.connect().exchange(request(target="/next")).status, 200)
        received = self.recorder.received()
        self.assertNotIn(b"hello\r\n0\r\n\r\n", received)
        self.assertFalse(re.search(rb"POST /cut-length (?:.+\r\n)+\r\nhello", received), "a request that was cut arrived whole")

    def test_RequestsAfterClose_AreNotServed(self):
        connection = self.connect()
        connection.send(request(target="/last", close=True) + request(target="/beyond"))
        self.assertEqual(connection.response().get("Connection"), "close")
        self.assertEqual(connection.rest(), b"")
        self.assertEqual(self.recorder.events("/beyond"), [])

    def test_BytesOnAnIdleConnection_AnswerNobody(self):
        self.recorder.answer("/idle", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", ["wait", "idle-go"],
                             ["send", cases.EVIL.decode()], ["mark", "idle-sent"], ["await_end", "idle-closed"])
        connection = self.connect()
        self.assertEqual(connection.exchange(request(target="/idle")).body, b"ok")
        self.recorder.open("idle-go")
        self.recorder.await_mark("idle-sent")
        for method in ("GET", "POST"):
            answer = self.connect().exchange(request(method, "/after", body=b"x" if method == "POST" else b""))
            self.assertNotIn(b"evil", answer.body)
            self.assertEqual(json.loads(answer.body)["target"], "/after")
        self.recorder.await_mark("idle-closed")

    def test_AnswerBeforeTheRequestIsWhole_EndsBothConnections(self):
        self.recorder.on("/early", ["send", "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"])
        connection = self.connect()
        connection.send(request("POST", "/early", [("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n")
        answer = connection.response()
        self.assertEqual((answer.status, answer.body, answer.get("Connection")), (413, b"no", "close"))
        self.assertEqual(connection.rest(), b"")
        self.assertNotEqual(self.connection_of_next(), self.recorder.events("/early")[-1]["connection"])

    def test_ByteByByte_BothWays(self):
        self.recorder.on("/drip", ["body"], ["drip", cases.ok(b"X-A: b").decode()])
        self.assertEqual(self.connect().exchange(request(target="/drip")).body, b"ok")


if __name__ == "__main__":
    main()
