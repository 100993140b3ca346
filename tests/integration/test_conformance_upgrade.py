"""Upgrades to the letter, as a gateway sees them: RFC 9110 section 7.8, RFC 6455 section 4."""

import conformance_answers as cases
from conformance_answers import FIELDS, OFFER
from conformance_case import ConformanceCase, steady
from conformance_cases import get, head, to_worker
from drover_case import main
from raw_http import request


class Upgrades(ConformanceCase):
    def agreed(self, *fields):
        return ("HTTP/1.1 101 Switching Protocols\r\n" + "".join(field + "\r\n" for field in fields) + "\r\n")

    def test_Handshake_ReachesTheWorkerByteByByte(self):
        self.recorder.on("/", ["send", "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n"])
        self.addCleanup(self.recorder.on, "/", ["describe"])
        for version in (b"13", b"8", b"99"):
            fields = [field.replace(b"13", version) for field in FIELDS]
            self.assertEqual(self.connect().exchange(get(*OFFER, *fields)).status, 400, "what the worker thinks of it is the answer")
            self.assertEqual(steady(self.received.news()), to_worker(b"GET / HTTP/1.1", *fields, last=(b"Upgrade: websocket", b"Connection: Upgrade")))

    def test_Agreement_ReachesTheClientByteByByte_AndThenBytesAreBytes(self):
        self.recorder.on("/yes", ["send", self.agreed("Upgrade: WebSocket", "Connection: upgrade", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
                                                      "Sec-WebSocket-Protocol: chat", "Date: yesterday")], ["echo", "bye"])
        connection = self.connect()
        connection.send(head(b"GET /yes HTTP/1.1", *OFFER, *FIELDS))
        self.assertEqual(connection.until(b"\r\n\r\n"),
                         b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n"
                         b"Date: yesterday\r\nUpgrade: WebSocket\r\nConnection: Upgrade")
        data = b"GET /smuggled HTTP/1.1\r\n\r\n\0\xff\r\n0\r\n\r\n"
        connection.send(data)
        self.assertEqual(connection.exactly(len(data)), data)
        self.assertEqual(self.recorder.events("/smuggled"), [])

    def test_Agreement_ToWhatNobodyOffered_Is502(self):
        for case in cases.NOT_OFFERED:
            with self.subTest(case.name):
                self.recorder.on("/" + case.name, ["send", case.raw.decode()])
                answer = self.connect().exchange(head(b"GET /" + case.name.encode() + b" HTTP/1.1", *OFFER, *FIELDS))
                self.assertIn(answer.status, case.broken, answer)

    def test_BytesBeforeTheAgreement_WaitForIt(self):
        self.recorder.on("/slow", ["mark", "slow-there"], ["wait", "slow-go"], ["glance"], ["mark", "slow-glanced"], ["wait", "slow-yes"],
                         ["send", self.agreed("Upgrade: websocket", "Connection: Upgrade")], ["echo", "bye"])
        connection = self.connect()
        connection.send(head(b"GET /slow HTTP/1.1", *OFFER, *FIELDS) + b"too early")
        self.recorder.await_mark("slow-there")
        self.assertEqual(self.connect().exchange(request(target="/between")).status, 200)
        self.recorder.open("slow-go")
        self.recorder.await_mark("slow-glanced")
        self.assertNotIn(b"too early", self.recorder.received())
        self.recorder.open("slow-yes")
        self.assertEqual(connection.head().status, 101)
        self.assertEqual(connection.exactly(9), b"too early")

    def test_BytesBehindAnOfferThatIsRefused_AreTheNextRequest(self):
        self.recorder.on("/not-here", ["send", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"])
        connection = self.connect()
        connection.send(head(b"GET /not-here HTTP/1.1", *OFFER, *FIELDS) + request(target="/behind"))
        self.assertEqual((connection.response().status, connection.response().status), (404, 200))
        self.received.news()
        connection.send(head(b"GET /not-here HTTP/1.1", *OFFER, *FIELDS) + b"\x81\x85 no request\r\n\r\n")
        self.assertEqual((connection.response().status, connection.response().status), (404, 400))
        self.assertEqual(connection.rest(), b"")
        self.assertEqual(steady(self.received.news()), to_worker(b"GET /not-here HTTP/1.1", *FIELDS, last=(b"Upgrade: websocket", b"Connection: Upgrade")))

    def test_AnAgreementThatAClientMustRefuse_ReachesItUntouched(self):
        for case in cases.FOR_THE_CLIENT_TO_REFUSE:
            with self.subTest(case.name):
                self.recorder.on("/" + case.name, ["send", case.raw.decode()], ["echo", "bye"])
                connection = self.connect()
                connection.send(head(b"GET /" + case.name.encode() + b" HTTP/1.1", *OFFER, *FIELDS))
                self.assertEqual(connection.exactly(len(case.client)), case.client)
                connection.close()

    def test_AContinueBeforeTheAgreement_ComesBeforeIt(self):
        self.recorder.on("/both", ["send", "HTTP/1.1 100 Continue\r\n\r\n" + self.agreed("Date: yesterday", "Upgrade: websocket", "Connection: Upgrade")],
                         ["echo", "bye"])
        connection = self.connect()
        connection.send(head(b"GET /both HTTP/1.1", *OFFER, *FIELDS))
        self.assertEqual([connection.head().status, connection.head().status], [100, 101])

    def test_TheEndOfEitherSide_EndsTheTunnelBehindItsLastBytes(self):
        self.recorder.on("/ends", ["send", self.agreed("Upgrade: websocket", "Connection: Upgrade") + "last words"], ["close"])
        connection = self.connect()
        connection.send(head(b"GET /ends HTTP/1.1", *OFFER, *FIELDS))
        self.assertEqual(connection.head().status, 101)
        self.assertEqual(connection.rest(), b"last words")
        self.recorder.on("/leave", ["send", self.agreed("Upgrade: websocket", "Connection: Upgrade")], ["await_end", "leave-ended"])
        connection = self.connect()
        connection.send(head(b"GET /leave HTTP/1.1", *OFFER, *FIELDS))
        self.assertEqual(connection.head().status, 101)
        connection.send(b"my last words")
        connection.close()
        self.recorder.await_mark("leave-ended")
        self.assertIn(b"my last words", self.recorder.received())

    def test_Refusal_LeavesTheConnectionAsItWas(self):
        self.recorder.on("/refuse", ["send", "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                     "Content-Length: 0\r\n\r\n"])
        connection = self.connect()
        answer = connection.exchange(head(b"GET /refuse HTTP/1.1", *OFFER, *FIELDS))
        self.assertEqual((answer.status, answer.get("Upgrade"), answer.get("Connection"), answer.get("Sec-WebSocket-Version")),
                         (426, "websocket", "Upgrade", "13"))
        self.assertEqual(connection.exchange(request(target="/next")).status, 200)


if __name__ == "__main__":
    main()
