"""What a single message cannot show: the answers that drover gives itself, what one exchange leaves for the next, who waits for whom."""

import os
import signal
import time

from conformance_answers import EVIL, ok
from conformance_case import ConformanceCase, steady
from conformance_cases import CHUNKED, chunky, get, head, post, to_worker
from drover_case import main
from raw_http import request

DATE_FORM = "%a, %d %b %Y %H:%M:%S GMT"


class OwnAnswers(ConformanceCase):
    tables = {"route": [{"host": "test", "pool": "shop"},
                        {"path": "/go", "redirect": {"to": "https://${host}${path}${query}", "status": 308}},
                        {"host": "test", "path": "/fixed", "respond": {"status": 200, "body": "always\n"}},
                        {"host": "test", "path": "/none", "respond": {"status": 204}}]}
    KINDS = {  # the answer's status: what is asked, with the method left open
        308: b"%s /go HTTP/1.1\r\nHost: go\r\n\r\n", 200: b"%s /fixed HTTP/1.1\r\nHost: test\r\n\r\n", 204: b"%s /none HTTP/1.1\r\nHost: test\r\n\r\n",
        404: b"%s / HTTP/1.1\r\nHost: nobody\r\n\r\n", 400: b"%s / HTTP/1.1\r\n\r\n", 414: b"%s /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: test\r\n\r\n",
        417: b"%s / HTTP/1.1\r\nHost: test\r\nExpect: tea\r\n\r\n", 421: b"%s https://test/ HTTP/1.1\r\nHost: test\r\n\r\n",
        431: b"%s / HTTP/1.1\r\nHost: test\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n", 502: b"%s /cut HTTP/1.1\r\nHost: test\r\n\r\n",
        505: b"%s / HTTP/3.0\r\nHost: test\r\n\r\n"}

    def own(self, raw, method="GET"):
        """An answer of drover's own, which must be whole, dated and of its own version."""
        connection = self.connect()
        connection.send(raw)
        answer = connection.response(method)
        self.assertEqual(answer.version, "HTTP/1.1")
        self.assertIsNone(answer.get("Transfer-Encoding"))
        self.assertEqual(len(answer.all("Date")), 1)
        date = answer.get("Date")
        self.assertEqual(time.strftime(DATE_FORM, time.strptime(date, DATE_FORM)), date)
        if answer.get("Connection") == "close":
            self.assertEqual(connection.rest(), b"")
        return answer

    def test_EachHasADateAndItsLength(self):
        self.recorder.on("/cut", ["body"], ["close"])
        for status, raw in self.KINDS.items():
            with self.subTest(status):
                answer = self.own(raw.replace(b"%s", b"GET"))
                self.assertEqual((answer.status, answer.get("Content-Length")), (status, None if status == 204 else str(len(answer.body))))
        for method in (b"TRACE", b"OPTIONS"):
            self.assertEqual(self.own(line(method, b"Max-Forwards: 0")).status, 200)
        self.assertEqual(self.own(b"CONNECT test:80 HTTP/1.1\r\nHost: test\r\n\r\n").status, 501)

    def test_ToHead_TheyHaveTheLengthOfGetAndNoContent(self):
        self.recorder.on("/cut", ["body"], ["close"])
        for status in (200, 204, 308, 404, 502):
            with self.subTest(status):
                answer, connection = self.own(self.KINDS[status].replace(b"%s", b"GET")), self.connect()
                connection.send(self.KINDS[status].replace(b"%s", b"HEAD") + self.KINDS[204].replace(b"%s", b"GET"))
                bare = connection.response("HEAD")
                self.assertEqual((bare.status, bare.get("Content-Length")), (status, answer.get("Content-Length")))
                self.assertEqual(connection.response().status, 204, "nothing stands between this answer and the next")
        for status in (400, 414, 417, 421, 431, 505):  # the connection ends behind these
            with self.subTest(status):
                answer, bare = self.own(self.KINDS[status].replace(b"%s", b"GET")), self.own(self.KINDS[status].replace(b"%s", b"HEAD"), "HEAD")
                self.assertEqual((bare.status, bare.get("Content-Length")), (status, answer.get("Content-Length")))

    def test_ToHttp10_TheyAreWholeAndEndTheConnection(self):
        for status in (308, 200, 204, 404, 502):
            with self.subTest(status):
                self.recorder.on("/cut", ["body"], ["close"])
                connection = self.connect()
                answer = connection.exchange(self.KINDS[status].replace(b"%s", b"GET").replace(b"HTTP/1.1", b"HTTP/1.0"))
                self.assertEqual((answer.status, answer.get("Transfer-Encoding")), (status, None))
                self.assertEqual(connection.rest(), b"")

    def test_ARedirect_NamesAHostAndNobodysPassword(self):
        for raw in (b"GET /go HTTP/1.0\r\n\r\n", b"GET /go HTTP/1.1\r\nHost: somewhere:81\r\n\r\n", b"GET http://[::1]:8/go HTTP/1.1\r\nHost: x\r\n\r\n"):
            self.assertRegex(self.own(raw).get("Location"), r"^https://(\[[0-9a-f:]+\]|[a-z0-9.]+)/go$")
        for host in (b"", b"user@somewhere", b"user:secret@somewhere"):
            self.assertEqual(self.own(b"GET /go HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").status, 400)


def line(method, *fields):
    return head(method + b" / HTTP/1.1", *fields)


class Exchanges(ConformanceCase):
    def test_NothingOfOneRequest_IsInTheNextOfItsConnection(self):
        connection = self.connect()
        full = [chunky(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", b"Authorization: Basic YTpi", b"Cookie: a=b", b"X-A: b", b"Connection: X-B", b"X-B: 1"),
                line(b"OPTIONS", b"Max-Forwards: 9", b"X-A: b"), post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"),
                get(b"Connection: Upgrade", b"Upgrade: websocket"), get(b"X-A: b", host=b"other:81", line=b"GET http://other:81/x HTTP/1.1")]
        for raw in full:
            self.assertEqual(connection.exchange(raw).status, 200)
            self.received.news()
            self.assertEqual(connection.exchange(get()).status, 200)
            self.assertEqual(steady(self.received.news()), to_worker(b"GET / HTTP/1.1"))

    def test_WhatDroverWrites_DroverReads(self):
        for raw in (get(b"X-A: " + b"a" * 8000, b"Via: 1.1 x"), chunky(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"), post(b"Content-Length: 5", body=b"hello"),
                    get(b"Connection: Upgrade", b"Upgrade: websocket")):
            first, answer = self.connect(), None
            self.assertEqual(first.exchange(raw).status, 200)
            forwarded = self.received.news()
            answer = self.connect().exchange(forwarded)
            self.assertEqual(answer.status, 200)
            again = self.received.news()
            self.assertEqual(again.count(b"Via: 1.1 drover\r\n"), 2)
            self.assertEqual(again.split(b"\r\n\r\n", 1)[1], forwarded.split(b"\r\n\r\n", 1)[1])
        self.recorder.on("/once", ["body"], ["send", ok(b"X-A: b").decode()])
        connection = self.connect()
        connection.send(request(target="/once"))
        answered = connection.until(b"\r\n\r\nok") + b"\r\n\r\nok"
        self.recorder.on("/twice", ["body"], ["send", answered.decode()])
        connection.send(request(target="/twice"))
        self.assertEqual(connection.exactly(len(answered)), answered)

    def test_TheNextPipelinedRequest_WaitsForTheAnswerToTheOneBefore(self):
        self.recorder.on("/first", ["mark", "first-there"], ["wait", "first-go"], ["glance"], ["mark", "first-glanced"], ["wait", "first-yes"], ["describe"])
        connection = self.connect()
        connection.send(request(target="/first") + request(target="/second"))
        self.recorder.await_mark("first-there")
        self.assertEqual(self.connect().exchange(request(target="/between")).status, 200)
        self.recorder.open("first-go")
        self.recorder.await_mark("first-glanced")
        self.assertNotIn(b"/second", self.recorder.received())
        self.recorder.open("first-yes")
        for target in (b"/first", b"/second"):
            self.assertIn(target, connection.response().body)

    def test_After100_AFinalAnswerComesInAnyCase(self):
        for end in ("close", "reset"):
            self.recorder.on(f"/hope-{end}", ["send", "HTTP/1.1 100 Continue\r\n\r\n"], ["body"], [end])
            connection = self.connect()
            connection.send(post(b"Expect: 100-continue", b"Content-Length: 5", line=f"POST /hope-{end} HTTP/1.1".encode()))
            self.assertEqual(connection.head().status, 100)
            connection.send(b"hello")
            self.assertEqual(connection.response("POST").status, 502)

    def test_AWorkersClose_IsAnsweredByClosing(self):
        self.recorder.on("/last", ["body"], ["send", ok(b"Connection: close").decode()], ["await_end", "last-ended"])
        connection = self.connect()
        self.assertEqual(connection.exchange(request(target="/last")).body, b"ok")
        self.assertEqual(connection.exchange(request(target="/next")).status, 200)
        self.recorder.await_mark("last-ended")


class Turns(ConformanceCase):
    tables = {"route": [{"pool": "shop"}, {"path": "/own", "respond": {"status": 200, "body": "x"}}]}
    pool = {"timeouts": {"idle": "60s"}}
    listener = {"limits": {"head": "64KiB"}}

    def test_BytesThatCameBeforeTheRequest_AreNoAnswerToIt(self):
        """One turn of the proxy's loop: a request that makes the worker send bytes on its idle connection X, much work, then one for which X is due."""
        self.recorder.on("/y", ["send", ok().decode()[:-2]], ["wait", "x-idle"], ["send", "ok"])
        self.recorder.on("/x", ["send", ok().decode()], ["await", "trigger"], ["send", EVIL.decode()], ["mark_if_asked", "too-late"])
        self.recorder.on("/trigger", ["set", "trigger"], ["describe"])
        pid = self.shared.proxy_pid()
        trigger, due, other, *busy = (self.connect() for _ in range(63))
        other.send(request(target="/y"))
        self.assertEqual(other.head().status, 200)
        self.assertEqual(due.exchange(request(target="/x")).body, b"ok")
        self.recorder.open("x-idle")
        self.assertEqual(other.exactly(2), b"ok")
        for each in busy:
            self.assertEqual(each.exchange(request(target="/own")).body, b"x")
        os.kill(pid, signal.SIGSTOP)
        try:
            trigger.send(request(target="/trigger"))
            for each in busy:
                each.send(request(target="/own", headers=[("X-A", "a" * 30_000)]))
            due.send(request(target="/due"))
        finally:
            os.kill(pid, signal.SIGCONT)
        self.assertEqual(trigger.response().status, 200)
        answer = due.response()
        if not self.recorder.has("too-late"):  # else they crossed with the request, and nobody can tell
            self.assertNotIn(b"evil", answer.body)


class OneRequestEach(ConformanceCase):
    pool = {"keepalive": False}

    def test_WhoSaysClose_ClosesAndSendsNothingMore(self):
        self.recorder.on("/", ["body"], ["send", ok().decode()], ["await_end", "alone-ended"])
        connection = self.connect()
        self.assertEqual(connection.exchange(get()).body, b"ok")
        self.recorder.await_mark("alone-ended")
        self.assertEqual(steady(self.received.news()), to_worker(b"GET / HTTP/1.1", last=(b"Connection: close",)))
        self.assertEqual(connection.exchange(chunky(b"0\r\n\r\n")).status, 200)
        self.assertEqual(steady(self.received.news()), to_worker(b"POST / HTTP/1.1", last=(CHUNKED, b"Connection: close"), body=b"0\r\n\r\n"))
        self.assertEqual(len({each["connection"] for each in self.recorder.events()}), len(self.recorder.events()))


if __name__ == "__main__":
    main()
