"""Upgrades to the letter, as a gateway sees them: RFC 9110 section 7.8, RFC 6455 section 4."""

from conformance_case import ConformanceCase, steady
from conformance_cases import get, head, to_worker
from drover_case import main
from raw_http import request

FIELDS = (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Origin: http://test", b"Sec-WebSocket-Protocol: chat, superchat",
          b"Sec-WebSocket-Protocol: third", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
          b"Sec-WebSocket-Extensions: x")
OFFER = (b"Upgrade: websocket", b"Connection: keep-alive, Upgrade")


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
        for number, fields in enumerate((("Upgrade: other", "Connection: Upgrade"), ("Connection: Upgrade",), ("Upgrade: websocket",),
                                         ("Upgrade: websocket, other", "Connection: Upgrade"), ("Upgrade:", "Connection: Upgrade"))):
            with self.subTest(fields):
                path = f"/no-{number}"
                self.recorder.on(path, ["send", self.agreed(*fields)])
                answer = self.connect().exchange(head(b"GET " + path.encode() + b" HTTP/1.1", *OFFER, *FIELDS))
                self.assertEqual(answer.status, 502, answer)

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
