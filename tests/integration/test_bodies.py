"""1 GiB up and down through the proxy, whose memory stays small; whoever is slow slows the other side and nobody else."""

import hashlib
import os
import threading

from drover_case import HERE, RELEASE, DroverCase, http_cluster, main
from processes import PeakMemory, read, wait_until
from raw_http import Connection, request

GIB = 1 << 30
MIB = 1 << 20
BLOCK = bytes(range(256)) * 4096
MAY_GROW = 8 * MIB
# What the kernel's own socket buffers on the way may hold: two connections, both ends of each.
IN_SOCKETS = 40 * MIB


def pattern_digest(size):
    digest = hashlib.sha256()
    for _ in range(size // len(BLOCK)):
        digest.update(BLOCK)
    digest.update(BLOCK[:size % len(BLOCK)])
    return digest.hexdigest()


class Bodies(DroverCase):
    @classmethod
    def setUpClass(cls):
        cls.share(http_cluster(RELEASE))
        cls.digest = pattern_digest(GIB)
        cls.shared.configure({"shop": {"command": ["python3", os.path.join(HERE, "workers", "bulk_worker.py"), cls.shared.folder], "workers": 1}},
                             {"web": {"timeouts": {"send": "60s", "body": "60s"}}}).start()
        assert cls.shared.fetch("GET", "/down?1000000").status == 200

    def setUp(self):
        self.may_grow = MAY_GROW
        self.memory = PeakMemory(self.shared.proxy_pid())

    def tearDown(self):
        growth = self.memory.growth()
        print(f"\n{self._testMethodName}: the proxy grew by {growth / MIB:.2f} MiB")
        self.assertLess(growth, self.may_grow)

    def connect(self, **options):
        connection = Connection(self.shared.port(), timeout=60, **options)
        self.addCleanup(connection.close)
        return connection

    def receive(self, connection, size):
        digest, left = hashlib.sha256(connection.buffer), size - len(connection.buffer)
        while left:
            data = connection.sock.recv(MIB)
            self.assertTrue(data, f"{left} bytes are missing")
            digest.update(data)
            left -= len(data)
        return digest.hexdigest()

    def test_OneGibDown_ArrivesWhole(self):
        connection = self.connect()
        connection.send(request(target=f"/down?{GIB}"))
        self.assertEqual(connection.head().status, 200)
        self.assertEqual(self.receive(connection, GIB), self.digest)

    def test_OneGibUp_ArrivesWhole(self):
        connection = self.connect()
        connection.send(request("POST", "/up", [("Content-Length", str(GIB))]))
        for _ in range(GIB // len(BLOCK)):
            connection.send(BLOCK)
        self.assertEqual(connection.response().body.decode(), f"{GIB} {self.digest}")

    def test_QuarterGibChunkedBothWays_ArrivesWhole(self):
        size = GIB // 4
        connection = self.connect()
        connection.send(request("POST", "/up", [("Transfer-Encoding", "chunked")]))
        for _ in range(size // len(BLOCK)):
            connection.send(b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK))
        connection.send(b"0\r\n\r\n")
        self.assertEqual(connection.response().body.decode(), f"{size} {pattern_digest(size)}")
        answer = connection.exchange(request(target=f"/chunked?{size}"))
        self.assertEqual(hashlib.sha256(answer.body).hexdigest(), pattern_digest(size))

    def steady(self, value, what):
        """Waits until the figure has not moved for 50 looks in a row."""
        seen = [None, 0]

        def still():
            now = value()
            seen[1] = seen[1] + 1 if now == seen[0] else 0
            seen[0] = now
            return seen[1] >= 50
        wait_until(still, 30, what)
        return seen[0]

    def test_ClientThatDoesNotRead_HoldsTheWorkerBack(self):
        connection = self.connect(receive_buffer=65536)
        size = 256 * MIB
        connection.send(request(target=f"/down?{size}"))
        self.assertEqual(connection.head().status, 200)
        sent = self.steady(lambda: int(read(self.shared.path("sent")) or 0), "the worker stands still")
        self.assertLess(sent, IN_SOCKETS)
        self.assertEqual(self.receive(connection, size), pattern_digest(size))

    def test_WorkerThatDoesNotRead_HoldsTheClientBack(self):
        connection = self.connect()
        size, sent = 256 * MIB, [0]
        connection.send(request("POST", "/hold", [("Content-Length", str(size))]))

        def send():
            while sent[0] < size:
                connection.send(BLOCK)
                sent[0] += len(BLOCK)
        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        wait_until(lambda: os.path.exists(self.shared.path("holding")), 10, "the worker has the head")
        self.assertLess(self.steady(lambda: sent[0], "the client stands still"), IN_SOCKETS)
        self.shared.write("go", "")
        sender.join(60)
        self.assertEqual(connection.response().body.decode(), f"{size} {pattern_digest(size)}")

    def test_SixtySlowReaders_CostLittleMemoryAndNobodyElsesTime(self):
        self.may_grow = 60 * 256 * 1024
        held = []
        for _ in range(60):
            connection = self.connect(receive_buffer=8192)
            connection.send(request(target=f"/quiet?{64 * MIB}"))
            held.append(connection)
        for connection in held:
            self.assertEqual(connection.head().status, 200)
        self.assertEqual(self.shared.fetch("GET", "/down?1000").status, 200)
        for connection in held:
            connection.close()


if __name__ == "__main__":
    main()
