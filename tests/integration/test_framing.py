"""Framing that could be read in two ways is refused: 400 and closed, and the worker sees not one byte. What a worker frames
wrongly is a 502 or a visible cut, and its connection is never used again."""

import json

from drover_case import DroverCase, http_cluster, main
from raw_http import Connection, Truncated, request

HOST = b"Host: test\r\n"


def get(lines=b"", line=b"GET / HTTP/1.1", host=HOST):
    return line + b"\r\n" + host + lines + b"\r\n"


def post(lines, body=b"hello"):
    return b"POST / HTTP/1.1\r\n" + HOST + lines + b"\r\n" + body


def chunks(body):
    return post(b"Transfer-Encoding: chunked\r\n", body)


LENGTHS = {
    "ContentLengthAndTransferEncoding": post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "TransferEncodingAndContentLength": post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
    "DifferingContentLengths": post(b"Content-Length: 5\r\nContent-Length: 6\r\n"),
    "DifferingContentLengthsInAList": post(b"Content-Length: 5, 6\r\n"),
    "ContentLengthWithPlus": post(b"Content-Length: +5\r\n"),
    "ContentLengthNegative": post(b"Content-Length: -1\r\n"),
    "ContentLengthHexadecimal": post(b"Content-Length: 0x5\r\n"),
    "ContentLengthEmpty": post(b"Content-Length: \r\n"),
    "ContentLengthTwoNumbers": post(b"Content-Length: 5 5\r\n"),
    "ContentLengthFraction": post(b"Content-Length: 5.0\r\n"),
    "ContentLengthExponent": post(b"Content-Length: 1e1\r\n"),
    "ContentLengthTrailingLetter": post(b"Content-Length: 5b\r\n"),
    "ContentLengthOverflow64Bits": post(b"Content-Length: 18446744073709551621\r\n"),
    "ContentLengthOverflowLong": post(b"Content-Length: 99999999999999999999999999999999\r\n"),
    "ContentLengthListEndingInComma": post(b"Content-Length: 5,\r\n"),
}
CODINGS = {
    "UnknownCoding": post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "ChunkedNotLast": post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
    "ChunkedTwice": post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"),
    "ChunkedTwiceInTwoLines": post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "ChunkedThenIdentityInTwoLines": post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"0\r\n\r\n"),
    "CodingWithVerticalTab": post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"),
    "CodingQuoted": post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"),
    "CodingWithSpaceBeforeColon": post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"),
    "CodingFoldedOntoTheNextLine": post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"),
    "CodingEmpty": post(b"Transfer-Encoding: \r\n", b"0\r\n\r\n"),
    "CodingWithParameter": post(b"Transfer-Encoding: chunked;a=b\r\n", b"0\r\n\r\n"),
    "CodingIdentity": post(b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n"),
    "CodingInHttp10": b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "CodingNotImplemented": post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
}
CHUNKS = {
    "SizeNotHexadecimal": chunks(b"g\r\nhello\r\n0\r\n\r\n"),
    "SizeEmpty": chunks(b"\r\nhello\r\n0\r\n\r\n"),
    "SizeWithPrefix": chunks(b"0x5\r\nhello\r\n0\r\n\r\n"),
    "SizeWithPlus": chunks(b"+5\r\nhello\r\n0\r\n\r\n"),
    "SizeNegative": chunks(b"-5\r\nhello\r\n0\r\n\r\n"),
    "SizeAfterSpace": chunks(b" 5\r\nhello\r\n0\r\n\r\n"),
    "SizeOverflow": chunks(b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "SizeVeryLong": chunks(b"f" * 100 + b"\r\nhello\r\n0\r\n\r\n"),
    "SizeEndedByBareLineFeed": chunks(b"5\nhello\r\n0\r\n\r\n"),
    "SizeEndedByBareCarriageReturn": chunks(b"5\rhello\r\n0\r\n\r\n"),
    "ExtensionWithBareLineFeed": chunks(b"5;a=b\nhello\r\n0\r\n\r\n"),
    "ExtensionWithNul": chunks(b"5;a=\0\r\nhello\r\n0\r\n\r\n"),
    "ExtensionWithBareCarriageReturn": chunks(b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "NoLineEndAfterTheData": chunks(b"5\r\nhello0\r\n\r\n"),
    "DataLongerThanItsSize": chunks(b"5\r\nhelloXX\r\n0\r\n\r\n"),
    "BareLineFeedAfterTheData": chunks(b"5\r\nhello\n0\r\n\r\n"),
    "TrailerWithoutColon": chunks(b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n"),
    "TrailerWithNul": chunks(b"5\r\nhello\r\n0\r\nX-A: \0\r\n\r\n"),
}
LINES = {
    "BareLineFeeds": b"GET / HTTP/1.1\nHost: test\n\n",
    "BareLineFeedAfterTheRequestLine": b"GET / HTTP/1.1\nHost: test\r\n\r\n",
    "BareLineFeedAfterAHeader": get(b"X-A: 1\n"),
    "BareLineFeedInsideAValue": get(b"X-A: 1\nX-B: 2\r\n"),
    "BareCarriageReturnInAValue": get(b"X-A: 1\rX-B: 2\r\n"),
    "BareCarriageReturnInTheTarget": get(line=b"GET /a\rb HTTP/1.1"),
    "NulInAValue": get(b"X-A: a\0b\r\n"),
    "NulInAName": get(b"X-\0A: b\r\n"),
    "NulInTheTarget": get(line=b"GET /a\0b HTTP/1.1"),
    "NulFirst": b"\0" + get(),
    "SpaceBeforeColon": get(b"X-A : b\r\n"),
    "TabBeforeColon": get(b"X-A\t: b\r\n"),
    "SpaceInsideAName": get(b"X A: b\r\n"),
    "FoldedBySpace": get(b"X-A: a\r\n b\r\n"),
    "FoldedByTab": get(b"X-A: a\r\n\tb\r\n"),
    "FirstHeaderBeginsWithSpace": b"GET / HTTP/1.1\r\n X-A: b\r\n" + HOST + b"\r\n",
    "HeaderWithoutColon": get(b"nonsense\r\n"),
    "HeaderWithEmptyName": get(b": b\r\n"),
    "HeaderNameWithBracket": get(b"X(A): b\r\n"),
    "HeaderNameNotAscii": get(b"X-\xe9: b\r\n"),
    "MethodNotAToken": get(line=b"GE(T / HTTP/1.1"),
    "MethodEmpty": get(line=b" / HTTP/1.1"),
    "TargetEmpty": get(line=b"GET  HTTP/1.1"),
    "TargetRelative": get(line=b"GET index.html HTTP/1.1"),
    "TargetWithSpace": get(line=b"GET /a b HTTP/1.1"),
    "TargetWithTab": get(line=b"GET /a\tb HTTP/1.1"),
    "TargetWithControl": get(line=b"GET /a\x01b HTTP/1.1"),
    "TargetWithDelete": get(line=b"GET /a\x7fb HTTP/1.1"),
    "TwoSpacesBeforeTheTarget": get(line=b"GET  / HTTP/1.1"),
    "TwoSpacesAfterTheTarget": get(line=b"GET /  HTTP/1.1"),
    "NotHttpAtAll": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS hello\r\n\r\n",
}
VERSIONS = {
    "VersionMissing": get(line=b"GET /"),
    "VersionTwo": get(line=b"GET / HTTP/2.0"),
    "VersionPreface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "VersionZero": get(line=b"GET / HTTP/0.9"),
    "VersionWithoutMinor": get(line=b"GET / HTTP/1"),
    "VersionWithTwoDigits": get(line=b"GET / HTTP/1.10"),
    "VersionLowerCase": get(line=b"GET / http/1.1"),
    "VersionOfAnotherProtocol": get(line=b"GET / RTSP/1.1"),
    "VersionWithTrailingSpace": get(line=b"GET / HTTP/1.1 "),
}
HOSTS = {
    "HostMissing": get(host=b""),
    "HostTwice": get(host=HOST + b"Host: other\r\n"),
    "HostTwiceTheSame": get(host=HOST + HOST),
    "HostWithSlash": get(host=b"Host: test/evil\r\n"),
    "HostWithSpace": get(host=b"Host: test evil\r\n"),
    "HostWithUserinfo": get(host=b"Host: user@test\r\n"),
    "HostWithQuery": get(host=b"Host: test?x\r\n"),
    "HostWithFragment": get(host=b"Host: test#x\r\n"),
    "HostWithBackslash": get(host=b"Host: test\\evil\r\n"),
    "HostWithLettersAsPort": get(host=b"Host: test:http\r\n"),
    "HostWithTwoPorts": get(host=b"Host: test:1:2\r\n"),
    "HostWithOpenBracket": get(host=b"Host: [::1\r\n"),
    "HostWithControl": get(host=b"Host: te\x01st\r\n"),
    "TargetWithUserinfo": get(line=b"GET http://user@test/ HTTP/1.1"),
    "TargetWithoutAuthority": get(line=b"GET http:/// HTTP/1.1"),
}

GOOD = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
# What a worker may do to its answer's framing: the raw bytes; it keeps its connection open afterwards.
BROKEN_HEADS = {
    "StatusLineNotHttp": "ICY 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "StatusLineGarbage": "hello there\r\n\r\n",
    "StatusLineEmpty": "\r\n\r\n\r\n",
    "StatusOfTwoDigits": "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    "StatusOfFourDigits": "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
    "StatusOfLetters": "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok",
    "StatusBelowOneHundred": "HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\nok",
    "VersionTwo": "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "ContentLengthNegative": "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "ContentLengthWithPlus": "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "ContentLengthHexadecimal": "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
    "ContentLengthEmpty": "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nok",
    "ContentLengthOverflow": "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok",
    "ContentLengthsDiffer": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "ContentLengthsDifferInAList": "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok",
    "ContentLengthAndTransferEncoding": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "CodingUnknown": "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "ChunkedNotLast": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "NulInAValue": "HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 2\r\n\r\nok",
    "BareCarriageReturnInAValue": "HTTP/1.1 200 OK\r\nX-A: 1\rX-B: 2\r\nContent-Length: 2\r\n\r\nok",
    "SpaceBeforeColon": "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "HeaderWithoutColon": "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nok",
    "UnaskedSwitch": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "HeadTooLarge": "HTTP/1.1 200 OK\r\nX-A: " + "a" * 2_000_000 + "\r\nContent-Length: 2\r\n\r\nok",
    "TooManyHeaders": "HTTP/1.1 200 OK\r\n" + "X-A: aaaaaaaaaaaaaaa\r\n" * 100_000 + "Content-Length: 2\r\n\r\nok",
}
BROKEN_BODIES = {
    "ChunkSizeNotHexadecimal": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nxyz\r\n",
    "ChunkSizeNegative": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n-2\r\n",
    "ChunkSizeOverflow": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n10000000000000000000\r\n",
    "ChunkWithoutLineEnd": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokXX0\r\n\r\n",
}
AFTER_THE_END = {
    "AfterContentLength": ("GET", GOOD + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 200, b"ok"),
    "AfterTheLastChunk": ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nevil", 200, b"ok"),
    "AfterNoContent": ("GET", "HTTP/1.1 204 No Content\r\n\r\nevil", 204, b""),
    "AfterNotModified": ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil", 304, b""),
    "AfterTheHeadOfAHead": ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 200, b""),
}


class FramingCase(DroverCase):
    @classmethod
    def setUpClass(cls):
        cls.share(http_cluster())
        cls.recorder = cls.shared.recorder()
        cls.shared.configure({"shop": {"command": cls.recorder.command(), "workers": 1, "retry": {"attempts": 1}}}).start()

    def connect(self):
        connection = Connection(self.shared.port())
        self.addCleanup(connection.close)
        return connection


class ClientFraming(FramingCase):
    def refused(self, rows, allowed=(400,)):
        before = self.recorder.size()
        for name, raw in rows.items():
            with self.subTest(name):
                had, before = before, None
                connection = self.connect()
                connection.send(raw)
                answer = connection.head()
                self.assertIn(answer.status, allowed, f"{raw[:200]!r} was answered {answer}")
                self.assertEqual(len(connection.exactly(int(answer.get("Content-Length", "0")))), int(answer.get("Content-Length", "0")))
                self.assertEqual(connection.rest(), b"", "something after the refusal")
                before = self.recorder.size()
                self.assertEqual(before, had, f"{raw[:200]!r} (or, late, the row before it) reached the worker")
            before = self.recorder.size() if before is None else before
        self.assertEqual(self.connect().exchange(request(target="/sentinel")).status, 200)
        grown, sentinel = self.recorder.size() - before, self.recorder.events("/sentinel")[-1]["bytes"]
        self.assertEqual(grown, sentinel, "something else than the last, good request arrived late")

    def test_Lengths_Ambiguous(self):
        self.refused(LENGTHS)

    def test_Codings_AmbiguousOrUnknown(self):
        self.refused(CODINGS, (400, 501))

    def test_Chunks_Illegal(self):
        self.refused(CHUNKS)

    def test_Lines_Illegal(self):
        self.refused(LINES)

    def test_Versions_Unknown(self):
        self.refused(VERSIONS, (400, 505))

    def test_Hosts_BadOrMissing(self):
        self.refused(HOSTS)

    def test_Connect_IsNoProxyForEverybody(self):
        self.refused({"Connect": b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n"}, (400, 405, 501))

    def test_SmuggledRequest_AfterARefusalIsNotServed(self):
        before = self.recorder.size()
        connection = self.connect()
        connection.send(post(b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n") + request(target="/smuggled"))
        self.assertEqual(connection.head().status, 400)
        self.assertNotIn(b"HTTP/1.1", connection.rest())
        self.assertEqual(self.recorder.size(), before)

    def test_SameContentLengthTwice_IsOneLengthOrRefused(self):
        for raw in (post(b"Content-Length: 5\r\nContent-Length: 5\r\n"), post(b"Content-Length: 5, 5\r\n")):
            answer = self.connect().exchange(raw)
            self.assertIn(answer.status, (200, 400))
            if answer.status == 200:
                told = json.loads(answer.body)
                self.assertEqual([value for name, value in told["headers"] if name.lower() == "content-length"], ["5"])

    def test_TargetNotAscii_IsRefusedOrPassedOnUnchanged(self):
        answer = self.connect().exchange(get(line=b"GET /caf\xe9 HTTP/1.1"))
        self.assertTrue(answer.status == 400 or json.loads(answer.body)["target"] == "/caf\xe9", answer)

    def test_BadChunkLaterInTheBody_IsNeverCompletedTowardsTheWorker(self):
        self.recorder.on("/later", ["mark", "later-begun"], ["describe"])
        connection = self.connect()
        connection.send(request("POST", "/later", [("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n")
        self.recorder.await_mark("later-begun")
        connection.send(b"zz\r\n" + request(target="/smuggled"))
        try:
            self.assertEqual(connection.head().status, 400)
        except Truncated:
            pass
        self.assertNotIn(b"200 OK", connection.rest())
        received = self.recorder.received()
        self.assertNotIn(b"/smuggled", received)
        self.assertNotIn(b"hello\r\n0\r\n", received)


class WorkerFraming(FramingCase):
    def connection_of(self, path):
        return self.recorder.events(path)[-1]["connection"]

    def never_reused(self, path):
        used = self.connection_of(path)
        for number in range(3):
            answer = self.connect().exchange(request(target=f"/after-{number}"))
            self.assertEqual(answer.status, 200, answer)
            self.assertNotEqual(json.loads(answer.body)["connection"], used, "the broken connection was used again")

    def test_BrokenHead_Is502(self):
        for name, raw in BROKEN_HEADS.items():
            with self.subTest(name):
                path = "/head-" + name
                self.recorder.answer(path, raw)
                connection = self.connect()
                answer = connection.exchange(request(target=path))
                self.assertEqual(answer.status, 502, answer)
                self.assertNotIn(b"ICY", answer.body)
                self.never_reused(path)

    def test_HeadCutShort_Is502(self):
        for name, raw in {"Nothing": "", "HalfAStatusLine": "HTTP/1.1 20", "HalfAHead": "HTTP/1.1 200 OK\r\nContent-Le"}.items():
            with self.subTest(name):
                path = "/cut-" + name
                self.recorder.answer(path, raw, ["close"])
                self.assertEqual(self.connect().exchange(request("POST", path, body=b"x")).status, 502)

    def test_ResetInsteadOfAnAnswer_Is502(self):
        self.recorder.on("/reset", ["body"], ["reset"])
        self.assertEqual(self.connect().exchange(request("POST", "/reset", body=b"x")).status, 502)

    def test_BrokenBody_IsCutSoThatTheClientSeesIt(self):
        for name, raw in BROKEN_BODIES.items():
            with self.subTest(name):
                path = "/body-" + name
                self.recorder.answer(path, raw)
                try:
                    answer = self.connect().exchange(request(target=path))
                    self.assertEqual(answer.status, 502, f"a broken body was completed: {answer}")
                except Truncated:
                    pass
                self.never_reused(path)

    def test_BodyCutShort_IsVisibleToTheClient(self):
        for name, raw in {"Length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
                          "Chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
                          "InsideAChunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nonly this"}.items():
            with self.subTest(name):
                self.recorder.answer("/short-" + name, raw, ["close"])
                with self.assertRaises(Truncated) as caught:
                    self.connect().exchange(request(target="/short-" + name))
                self.assertEqual(caught.exception.response.body, b"only this")

    def test_BytesAfterTheEnd_ReachNobodyAndEndTheConnection(self):
        for name, (method, raw, status, body) in AFTER_THE_END.items():
            with self.subTest(name):
                path = "/after-the-end-" + name
                self.recorder.answer(path, raw)
                connection = self.connect()
                answer = connection.exchange(request(method, path), method)
                self.assertEqual((answer.status, answer.body), (status, body))
                self.never_reused(path)
                connection.send(request(target="/next"))
                if connection.fill():
                    told = json.loads(connection.response().body)
                    self.assertEqual(told["target"], "/next")

    def test_NoContentWithALength_BringsNothingOutOfStep(self):
        self.recorder.answer("/204-length", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil")
        connection = self.connect()
        answer = connection.exchange(request(target="/204-length"))
        self.assertIn(answer.status, (204, 502))
        self.never_reused("/204-length")
        self.assertNotIn(b"evil", connection.buffer)

    def test_SwitchWithoutAnOffer_IsRefusedEvenIfTheClientSaysUpgradeAlone(self):
        self.recorder.answer("/upgrade-alone", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        answer = self.connect().exchange(request(target="/upgrade-alone", headers=[("Upgrade", "websocket")]))
        self.assertEqual(answer.status, 502)
        self.never_reused("/upgrade-alone")


if __name__ == "__main__":
    main()
