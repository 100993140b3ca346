"""HTTP/1.1 and 1.0 as bytes on both sides: connections, bodies, interim answers, tunnels, headers."""

import hashlib
import json
import re
import socket
import threading
import time

from drover_case import DroverCase, http_cluster, main
from processes import wait_consumed, wait_until
from raw_http import Connection, chunked, request

OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class HttpCase(DroverCase):
    keys = {}

    @classmethod
    def setUpClass(cls):
        cls.share(http_cluster())
        cls.recorder = cls.shared.recorder()
        cls.shared.configure({"shop": {"command": cls.recorder.command(), "workers": 1, **cls.keys}}).start()

    def setUp(self):
        self.port = self.shared.port()

    def connect(self, **options):
        connection = Connection(self.port, **options)
        self.addCleanup(connection.close)
        return connection

    def seen(self, answer):
        """What the worker says it got."""
        self.assertEqual(answer.status, 200, answer)
        told = json.loads(answer.body)
        told["headers"] = [(name.lower(), value) for name, value in told["headers"]]
        return told

    def values(self, told, name):
        return [value for key, value in told["headers"] if key == name.lower()]


class Connections(HttpCase):
    def test_KeepAlive_ServesManyRequestsOnOneConnection(self):
        connection = self.connect()
        for number in range(20):
            told = self.seen(connection.exchange(request(target=f"/{number}")))
            self.assertEqual(told["target"], f"/{number}")

    def test_KeepAlive_ReusesTheWorkersConnection(self):
        connection = self.connect()
        numbers = {self.seen(connection.exchange(request()))["connection"] for _ in range(10)}
        self.assertEqual(len(numbers), 1)

    def test_ConnectionClose_IsObeyed(self):
        connection = self.connect()
        self.seen(connection.exchange(request(close=True)))
        self.assertEqual(connection.rest(), b"")

    def test_Pipelining_AnswersInOrder(self):
        connection = self.connect()
        connection.send(b"".join(request(target=f"/pipe/{n}") for n in range(12)))
        self.assertEqual([self.seen(connection.response())["target"] for _ in range(12)], [f"/pipe/{n}" for n in range(12)])

    def test_Pipelining_WithBodiesInOneSegment(self):
        connection = self.connect()
        connection.send(b"".join([request("POST", "/a", body=b"first"),
                                  request("POST", "/b", [("Transfer-Encoding", "chunked")], chunked(b"sec", b"ond")),
                                  request(target="/c")]))
        told = [self.seen(connection.response()) for _ in range(3)]
        self.assertEqual([each["target"] for each in told], ["/a", "/b", "/c"])
        self.assertEqual([each["length"] for each in told], [5, 6, 0])

    def test_Http10_ClosesAfterTheAnswer(self):
        connection = self.connect()
        self.seen(connection.exchange(request(version="1.0")))
        self.assertEqual(connection.rest(), b"")

    def test_Http10_WithoutHostIsServed(self):
        self.seen(self.connect().exchange(request(version="1.0", host=None)))

    def test_Http10_KeepAliveWhenAskedFor(self):
        connection = self.connect()
        for _ in range(3):
            answer = connection.exchange(request(version="1.0", headers=[("Connection", "keep-alive")]))
            self.seen(answer)
            self.assertEqual(answer.get("Connection", "").lower(), "keep-alive")

    def test_Http10_IsNeverAnsweredChunked(self):
        self.recorder.answer("/chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        connection = self.connect()
        answer = connection.exchange(request(target="/chunked", version="1.0", headers=[("Connection", "keep-alive")]))
        self.assertIsNone(answer.get("Transfer-Encoding"))
        self.assertEqual(answer.body, b"abcde")
        self.assertEqual(connection.rest(), b"")

    def test_EmptyLineBeforeARequest_IsForgiven(self):
        connection = self.connect()
        self.seen(connection.exchange(b"\r\n" + request()))

    def test_HalfClosedClient_StillGetsItsAnswer(self):
        self.recorder.on("/half", ["body"], ["mark", "half-arrived"], ["wait", "half-go"], ["send", OK])
        connection = self.connect()
        connection.send(request("POST", "/half", body=b"x"))
        connection.sock.shutdown(socket.SHUT_WR)
        self.recorder.await_mark("half-arrived")
        self.recorder.open("half-go")
        self.assertEqual(connection.response().body, b"ok")

    def test_SplitReads_AtEveryByteOfARequest(self):
        whole = request("POST", "/split?q=1", [("Transfer-Encoding", "chunked"), ("X-Long", "some value")],
                        chunked(b"hello", b"wor", b"ld", trailers="X-T: 1\r\n"))
        connection = self.connect()
        for cut in range(1, len(whole)):
            with self.subTest(cut=cut):
                connection.send(whole[:cut])
                wait_consumed(connection.sock)
                told = self.seen(connection.exchange(whole[cut:]))
                self.assertEqual((told["length"], told["target"]), (10, "/split?q=1"))

    def test_OneByteAtATime_OfARequest(self):
        connection = self.connect()
        for byte in request("POST", "/drip", body=b"0123456789"):
            connection.send(bytes([byte]))
            wait_consumed(connection.sock)
        self.assertEqual(self.seen(connection.response())["sha"], hashlib.sha256(b"0123456789").hexdigest())

    def test_OneByteAtATime_OfAResponse(self):
        hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        chunks = "6\r\n012345\r\n4;x=y\r\n6789\r\n0\r\nX-T: v\r\n\r\n"
        for path, raw in (("/drip-length", "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 10\r\n\r\n0123456789"),
                          ("/drip-chunked", f"{hints}HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")):
            with self.subTest(path):
                self.recorder.on(path, ["body"], ["drip", raw])
                self.assertEqual(self.connect().exchange(request(target=path)).body, b"0123456789")


class Bodies(HttpCase):
    def test_ContentLength_BothWays(self):
        body = bytes(range(256)) * 300
        told = self.seen(self.connect().exchange(request("POST", "/up", body=body)))
        self.assertEqual((told["length"], told["sha"]), (len(body), hashlib.sha256(body).hexdigest()))
        self.assertEqual(self.values(told, "content-length"), [str(len(body))])

    def test_ChunkedRequest_ArrivesWhole(self):
        body = bytes(range(256)) * 300
        told = self.seen(self.connect().exchange(request("POST", "/up", [("Transfer-Encoding", "chunked")],
                                                         chunked(body[:1], body[1:70000], body[70000:]))))
        self.assertEqual((told["length"], told["sha"]), (len(body), hashlib.sha256(body).hexdigest()))
        self.assertEqual(self.values(told, "content-length"), [])

    def test_ChunkExtensions_AreAcceptedAndDropped(self):
        told = self.seen(self.connect().exchange(request("POST", "/up", [("Transfer-Encoding", "chunked")], b'3;a=b;c="d"\r\nabc\r\n0\r\n\r\n')))
        self.assertEqual(told["length"], 3)

    def test_ChunkedResponse_ArrivesWhole(self):
        chunks = ("400\r\n" + "z" * 1024 + "\r\n") * 300
        self.recorder.answer("/chunks", f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
        connection = self.connect()
        for _ in range(2):
            self.assertEqual(connection.exchange(request(target="/chunks")).body, b"z" * 1024 * 300)

    def test_RequestTrailers_ArePassedOn(self):
        told = self.seen(self.connect().exchange(request("POST", "/up", [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")],
                                                         chunked(b"abc", trailers="X-Sum: 42\r\n"))))
        self.assertIn(["x-sum", "42"], [[name.lower(), value] for name, value in told["trailers"]])

    def test_ResponseTrailers_ArePassedOn(self):
        self.recorder.answer("/trailers", "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n")
        answer = self.connect().exchange(request(target="/trailers", headers=[("TE", "trailers")]))
        self.assertEqual((answer.body, [(name.lower(), value) for name, value in answer.trailers]), (b"abc", [("x-sum", "42")]))

    def test_FramingTrailers_NeverReachTheWorker(self):
        answer = self.connect().exchange(request("POST", "/up", [("Transfer-Encoding", "chunked")],
                                                 chunked(b"abc", trailers="Content-Length: 5\r\nHost: evil\r\n")))
        if answer.status != 400:
            self.assertEqual(self.seen(answer)["trailers"], [])

    def test_Head_KeepsTheLengthAndHasNoBody(self):
        self.recorder.answer("/head", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        connection = self.connect()
        answer = connection.exchange(request("HEAD", "/head"), "HEAD")
        self.assertEqual(answer.get("Content-Length"), "1000")
        self.seen(connection.exchange(request(target="/after-head")))

    def test_Head_OfAChunkedResource(self):
        self.recorder.answer("/head-chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection = self.connect()
        self.assertEqual(connection.exchange(request("HEAD", "/head-chunked"), "HEAD").status, 200)
        self.seen(connection.exchange(request(target="/after-head")))

    def test_NoContentAndNotModified_HaveNoBody(self):
        self.recorder.answer("/204", "HTTP/1.1 204 No Content\r\n\r\n")
        self.recorder.answer("/304", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 77\r\n\r\n")
        connection = self.connect()
        for _ in range(2):
            self.assertEqual(connection.exchange(request(target="/204")).status, 204)
            answer = connection.exchange(request(target="/304"))
            self.assertEqual((answer.status, answer.get("ETag")), (304, '"x"'))
        self.seen(connection.exchange(request()))

    def test_EmptyBody_WithLengthZero(self):
        self.recorder.answer("/empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        connection = self.connect()
        for _ in range(3):
            self.assertEqual(connection.exchange(request("POST", "/empty", [("Content-Length", "0")])).body, b"")

    def test_ResponseUpToTheEndOfTheConnection_ArrivesWhole(self):
        self.recorder.answer("/until-close", "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + "u" * 100000, ["close"])
        for version in ("1.1", "1.0"):
            with self.subTest(version):
                self.assertEqual(self.connect().exchange(request(target="/until-close", version=version)).body, b"u" * 100000)

    def test_EarlyAnswer_ReachesAClientStillSending(self):
        self.recorder.on("/early", ["send", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nnope"])
        connection = self.connect()
        connection.send(request("POST", "/early", [("Content-Length", "1000000")]) + b"only a little")
        answer = connection.response()
        self.assertEqual((answer.status, answer.body), (401, b"nope"))

    def test_EarlyAnswer_RestOfTheBodyIsNeverReadAsARequest(self):
        self.recorder.on("/early", ["send", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nnope"])
        connection = self.connect()
        smuggled = request(target="/smuggled-early")
        self.assertEqual(connection.exchange(request("POST", "/early", [("Content-Length", "1000000")]) + smuggled).status, 401)
        try:
            connection.send(smuggled * 3)
        except OSError:
            pass
        self.assertEqual(connection.rest(), b"")
        self.seen(self.connect().exchange(request(target="/after-early")))
        self.assertEqual(self.recorder.events("/smuggled-early"), [])

    def test_SlowReader_GetsEveryByte(self):
        self.recorder.on("/big", ["body"], ["send", "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n"], ["repeat", 128, "0123456789abcdef" * 4096])
        connection = self.connect(receive_buffer=4096)
        connection.send(request(target="/big", close=True))
        self.assertEqual(connection.head().status, 200)
        body = hashlib.sha256(connection.buffer)
        while data := connection.sock.recv(1500):
            body.update(data)
        self.assertEqual(body.hexdigest(), hashlib.sha256(b"0123456789abcdef" * 4096 * 128).hexdigest())


class Interim(HttpCase):
    def test_EarlyHints_ArePassedOn(self):
        self.recorder.answer("/hints", "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n" + OK)
        answer = self.connect().exchange(request(target="/hints"))
        self.assertEqual([each.status for each in answer.interim], [103])
        self.assertEqual(answer.interim[0].get("Link"), "</style.css>; rel=preload")
        self.assertEqual(answer.body, b"ok")

    def test_SeveralInterimAnswers_ArePassedOnInOrder(self):
        self.recorder.answer("/several", "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + OK)
        self.assertEqual([each.status for each in self.connect().exchange(request(target="/several")).interim], [102, 103])

    def test_Http10Client_GetsNoInterimAnswer(self):
        self.recorder.answer("/hints10", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK)
        connection = self.connect()
        connection.send(request(target="/hints10", version="1.0"))
        self.assertEqual(connection.head().status, 200)

    def test_ExpectContinue_ComesBeforeTheBody(self):
        self.recorder.on("/expect", ["send", "HTTP/1.1 100 Continue\r\n\r\n"], ["describe"])
        connection = self.connect()
        connection.send(request("POST", "/expect", [("Expect", "100-continue"), ("Content-Length", "5")]))
        self.assertEqual(connection.head().status, 100)
        self.assertEqual(self.seen(connection.exchange(b"hello"))["length"], 5)

    def test_ExpectContinue_DenialIsPassedOn(self):
        self.recorder.on("/deny", ["send", "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno"], ["close"])
        connection = self.connect()
        connection.send(request("POST", "/deny", [("Expect", "100-continue"), ("Content-Length", "5")]))
        answer = connection.response()
        self.assertEqual((answer.status, [each.status for each in answer.interim]), (417, []))

    def test_ExpectContinue_ClientThatDoesNotWaitIsServed(self):
        told = self.seen(self.connect().exchange(request("POST", "/plain", [("Expect", "100-continue")], b"hello")))
        self.assertEqual(told["length"], 5)


class Tunnels(HttpCase):
    HANDSHAKE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                 ("Sec-WebSocket-Version", "13")]
    SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"

    def tunnel(self):
        self.recorder.on("/ws", ["send", self.SWITCH], ["echo", "bye"])
        connection = self.connect()
        answer = connection.exchange(request(target="/ws", headers=self.HANDSHAKE))
        self.assertEqual(answer.status, 101)
        self.assertEqual((answer.get("Upgrade"), answer.get("Sec-WebSocket-Accept")), ("websocket", "x"))
        return connection

    def test_Upgrade_EchoesBothWays(self):
        connection = self.tunnel()
        for size in (1, 10, 5000, 300000):
            data = bytes(n % 251 for n in range(size))
            sender = threading.Thread(target=connection.send, args=(data,))
            sender.start()
            self.assertEqual(connection.exactly(size), data)
            sender.join()

    def test_Upgrade_HalfCloseReachesTheWorkerAndItsLastWordsTheClient(self):
        connection = self.tunnel()
        connection.send(b"last")
        connection.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(connection.rest(), b"lastbye")

    def test_Upgrade_BytesSentWithTheHandshakeAreNotLost(self):
        self.recorder.on("/ws", ["send", self.SWITCH + "hello"], ["echo", ""])
        connection = self.connect()
        connection.send(request(target="/ws", headers=self.HANDSHAKE) + b"early")
        self.assertEqual(connection.response().status, 101)
        self.assertEqual(connection.exactly(10), b"helloearly")

    def test_Upgrade_DeclinedByTheWorkerIsAnOrdinaryAnswer(self):
        self.recorder.answer("/no-ws", OK)
        connection = self.connect()
        self.assertEqual(connection.exchange(request(target="/no-ws", headers=self.HANDSHAKE)).body, b"ok")
        self.seen(connection.exchange(request(target="/after")))

    def test_Upgrade_WorkerGetsTheHandshake(self):
        told = self.seen(self.connect().exchange(request(target="/handshake", headers=self.HANDSHAKE)))
        self.assertEqual(self.values(told, "upgrade"), ["websocket"])
        self.assertEqual([value.lower() for value in self.values(told, "connection")], ["upgrade"])

    def test_Upgrade_ClientThatLeavesEndsTheTunnel(self):
        self.recorder.on("/ws-left", ["send", self.SWITCH], ["await_end", "ws-left"])
        connection = self.connect()
        self.assertEqual(connection.exchange(request(target="/ws-left", headers=self.HANDSHAKE)).status, 101)
        connection.close()
        self.recorder.await_mark("ws-left")


class Headers(HttpCase):
    def test_HopByHop_IsRemovedTowardsTheWorker(self):
        told = self.seen(self.connect().exchange(request(headers=[
            ("Connection", "keep-alive, X-Secret"), ("X-Secret", "1"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"), ("TE",
                "gzip"),
            ("Upgrade", "h2c"), ("X-Kept", "2")])))
        names = {name for name, _ in told["headers"]}
        self.assertFalse(names & {"x-secret", "keep-alive", "proxy-connection", "te", "upgrade"}, told["headers"])
        self.assertEqual(self.values(told, "x-kept"), ["2"])

    def test_HopByHop_IsRemovedTowardsTheClient(self):
        self.recorder.answer("/hop", "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Inner\r\nX-Inner: 1\r\n"
                             "Keep-Alive: timeout=5\r\nX-Kept: 2\r\nContent-Length: 2\r\n\r\nok")
        answer = self.connect().exchange(request(target="/hop"))
        self.assertEqual((answer.get("X-Inner"), answer.get("Keep-Alive"), answer.get("X-Kept")), (None, None, "2"))

    def test_ConnectionHeader_CannotStripWhatDroverSets(self):
        told = self.seen(self.connect().exchange(request(headers=[("Connection", "close, X-Forwarded-For, X-Request-ID, Host, Via")])))
        for name in ("x-forwarded-for", "x-request-id", "host", "via"):
            self.assertEqual(len(self.values(told, name)), 1, name)

    def test_Forwarded_SaysWhoHowAndWhere(self):
        told = self.seen(self.connect().exchange(request(host="shop.example:8080")))
        self.assertEqual(self.values(told, "x-forwarded-for"), ["127.0.0.1"])
        self.assertEqual(self.values(told, "x-forwarded-proto"), ["http"])
        self.assertEqual(self.values(told, "x-forwarded-host"), ["shop.example:8080"])

    def test_Forwarded_SentByTheClientIsReplaced(self):
        told = self.seen(self.connect().exchange(request(headers=[
            ("X-Forwarded-For", "6.6.6.6"), ("x-forwarded-for", "7.7.7.7"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host",
                "evil"), ("X-Request-ID", "mine")])))
        self.assertEqual(self.values(told, "x-forwarded-for"), ["127.0.0.1"])
        self.assertEqual(self.values(told, "x-forwarded-proto"), ["http"])
        self.assertEqual(self.values(told, "x-forwarded-host"), ["test"])
        self.assertNotIn("mine", self.values(told, "x-request-id"))
        self.assertEqual(len(self.values(told, "x-request-id")), 1)

    def test_RequestId_IsVisibleAndUnique(self):
        connection = self.connect()
        ids = [self.values(self.seen(connection.exchange(request())), "x-request-id") for _ in range(20)]
        self.assertTrue(all(len(each) == 1 and re.fullmatch(r"[!-~]{8,128}", each[0]) for each in ids), ids)
        self.assertEqual(len({each[0] for each in ids}), 20)

    def test_RequestStart_IsNowInMilliseconds(self):
        before = int(time.time() * 1000)
        start, = self.values(self.seen(self.connect().exchange(request())), "x-request-start")
        self.assertRegex(start, r"^t=\d+$")
        # The kernel's coarse clock, which lags by up to a tick of 10 ms, is good enough here.
        self.assertTrue(before - 10 <= int(start[2:]) <= int(time.time() * 1000), f"{start}, asked at {before}")

    def test_Via_NamesDroverAfterThoseBefore(self):
        told = self.seen(self.connect().exchange(request(headers=[("Via", "1.0 before")])))
        hops = [hop.strip() for value in self.values(told, "via") for hop in value.split(",")]
        self.assertEqual((hops[0], len(hops)), ("1.0 before", 2))
        self.assertRegex(hops[1], r"^1\.1 \S+")

    def test_Host_IsPassedOnUnchanged(self):
        for host in ("shop.example", "Shop.Example:81", "[::1]:3000", "10.0.0.1"):
            told = self.seen(self.connect().exchange(request(host=host)))
            self.assertEqual(self.values(told, "host"), [host])

    def test_Target_IsPassedOnUnchanged(self):
        for target in ("/a%2Fb/../c//d;p=1?x=%20&y=[]|", "/?", "/%00"):
            self.assertEqual(self.seen(self.connect().exchange(request(target=target)))["target"], target)

    def test_OtherHeaders_KeepOrderDuplicatesAndBytes(self):
        sent = [("X-A", "1"), ("X-B", "caf\xe9"), ("X-A", "2"), ("Cookie", "a=b; c=d"),
                ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
        told = self.seen(self.connect().exchange(request(headers=sent)))
        names = {name.lower() for name, _ in sent}
        self.assertEqual([pair for pair in told["headers"] if pair[0] in names], [(name.lower(), value) for name, value in sent])

    def test_ResponseHeaders_KeepDuplicatesAndBytes(self):
        self.recorder.answer("/cookies", "HTTP/1.1 200 Fine indeed\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
                             "X-Raw: caf\xe9\r\nServer: legacy\r\nContent-Length: 0\r\n\r\n")
        answer = self.connect().exchange(request(target="/cookies"))
        self.assertEqual((answer.all("Set-Cookie"), answer.get("X-Raw"), answer.get("Server")), (["a=1", "b=2"], "caf\xe9", "legacy"))

    def test_Methods_ArePassedOn(self):
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "QUERY"):
            told = self.seen(self.connect().exchange(request(method, "/method", body=b"b" if method in ("POST", "PUT", "PATCH") else b"")))
            self.assertEqual(told["method"], method)

    def test_AbsoluteTarget_IsServed(self):
        told = self.seen(self.connect().exchange(request(target="http://test/abs?q=1")))
        self.assertIn(told["target"], ("/abs?q=1", "http://test/abs?q=1"))
        self.assertEqual(self.values(told, "host"), ["test"])


class WithoutKeepAlive(HttpCase):
    keys = {"keepalive": False}

    def test_KeepAliveOff_EachRequestHasItsOwnWorkerConnection(self):
        connection = self.connect()
        numbers = [self.seen(connection.exchange(request()))["connection"] for _ in range(5)]
        self.assertEqual(len(set(numbers)), 5)


class WorkerConnections(HttpCase):
    def test_ConnectionClosedByTheWorkerWhileIdle_LosesNoGet(self):
        self.recorder.answer("/then-close", OK, ["close"])
        connection = self.connect()
        for _ in range(30):
            self.assertEqual(connection.exchange(request(target="/then-close")).body, b"ok")

    def test_WorkersKeepAliveTimeout_IsObeyed(self):
        self.recorder.answer("/short", "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok", ["await_end", "idle-closed"])
        self.assertEqual(self.connect().exchange(request(target="/short")).body, b"ok")
        self.recorder.await_mark("idle-closed", 3)

    def test_ClientThatLeavesDuringTheAnswer_EndsTheWorkersConnection(self):
        self.recorder.on("/left", ["body"], ["send", "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"], ["flood", "left-seen"])
        connection = self.connect()
        connection.send(request(target="/left"))
        self.assertEqual(connection.head().status, 200)
        connection.close()
        self.recorder.await_mark("left-seen")


if __name__ == "__main__":
    main()
