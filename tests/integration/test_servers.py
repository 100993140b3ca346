"""Real servers behind drover, as they are: PHP's and Python's built-in ones, plain Node.js, nginx."""

import gzip
import hashlib
import os
import random
import shutil
import unittest

from drover_case import HERE, RELEASE, DroverCase, http_cluster, main
from load import crowd
from raw_http import Connection, chunked, request

BIG = random.Random(7).randbytes(50 << 20)
BIG_DIGEST = hashlib.sha256(BIG).hexdigest()
INDEX = b"<!doctype html><title>index</title><p>the index page\n" * 20
PACKED = b"packed " * 1000


class ServerCase:
    """The promises; each server's class says what it is started with and which of them it can keep at all."""

    keys = {}
    form = upload = ranges = streams = True

    @classmethod
    def setUpClass(cls):
        if not shutil.which(cls.program):
            raise unittest.SkipTest(f"{cls.program} is not installed")
        cls.share(http_cluster(RELEASE))
        cls.www = cls.shared.path("www")
        os.makedirs(cls.www)
        cls.shared.write("www/index.html", INDEX)
        cls.shared.write("www/big.bin", BIG)
        cls.shared.write("www/page.gz", gzip.compress(PACKED))
        cls.shared.write("www/packed.txt", PACKED)
        cls.shared.configure({"web": {"command": cls.command(), "workers": 2, **cls.keys}}).start()

    def fetch(self, *arguments, **options):
        return self.shared.fetch(*arguments, **options)

    def test_Index_IsServed(self):
        answer = self.fetch()
        self.assertEqual((answer.status, answer.body), (200, INDEX))
        self.assertRegex(answer.get("Content-Type"), "text/html")

    def test_Head_IsServed(self):
        answer = self.fetch("HEAD", "/")
        self.assertEqual((answer.status, answer.body), (200, b""))

    def test_Missing_Is404FromTheServerItself(self):
        answer = self.fetch("GET", "/missing")
        self.assertEqual(answer.status, 404)
        self.assertIn(self.missing, answer.body)

    def test_Form_IsPosted(self):
        if not self.form:
            self.assertIn(self.fetch("POST", "/", [("Content-Type", "application/x-www-form-urlencoded")], b"name=x").status, (405, 501))
            return
        answer = self.fetch("POST", "/form", [("Content-Type", "application/x-www-form-urlencoded")], b"name=J%C3%BCrgen+Q&x=1")
        self.assertEqual((answer.status, answer.body.decode()), (200, "hello J\xfcrgen Q"))

    def test_FiftyMebibytesDown_ArriveWhole(self):
        answer = self.fetch("GET", "/big.bin", timeout=60)
        self.assertEqual((answer.status, hashlib.sha256(answer.body).hexdigest()), (200, BIG_DIGEST))

    def test_FiftyMebibytesUp_ArriveWhole(self):
        if not self.upload:
            self.skipTest(f"{self.program}'s server takes no uploads")
        self.check_upload(BIG, [])

    def check_upload(self, body, headers):
        answer = self.fetch("POST", "/upload", headers, body, timeout=120)
        self.assertEqual((answer.status, answer.body.decode()), (200, f"{len(BIG)} {BIG_DIGEST}"))

    def test_ChunkedUpload_ArrivesWhole(self):
        if not (self.upload and self.streams):
            self.skipTest(f"{self.program}'s server reads no chunked bodies")
        self.check_upload(chunked(*[BIG[at:at + 99_999] for at in range(0, len(BIG), 99_999)]), [("Transfer-Encoding", "chunked")])

    def test_ChunkedDownload_ArrivesWhole(self):
        if not self.streams:
            self.skipTest(f"{self.program}'s server sends no chunks")
        answer = self.fetch("GET", "/chunked")
        self.assertEqual(answer.get("Transfer-Encoding"), "chunked")
        self.assertEqual(answer.body, "".join(f"line {n}\n" for n in range(100)).encode())

    def test_Ranges_AreTheServersAffair(self):
        answer = self.fetch("GET", "/big.bin", [("Range", "bytes=1000000-1000999")], timeout=60)
        if self.ranges:
            self.assertEqual((answer.status, answer.body), (206, BIG[1000000:1001000]))
            self.assertEqual(answer.get("Content-Range"), f"bytes 1000000-1000999/{len(BIG)}")
        else:
            self.assertEqual((answer.status, len(answer.body)), (200, len(BIG)))

    def test_Gzip_IsLeftUntouched(self):
        answer = self.fetch("GET", "/gzip", [("Accept-Encoding", "gzip")])
        self.assertEqual((answer.status, answer.get("Content-Encoding")), (200, "gzip"))
        self.assertEqual(gzip.decompress(answer.body), PACKED)

    def test_TwoHundredParallelClients_AreAllServed(self):
        def client(_):
            answer = self.fetch(timeout=60)
            return answer.status, answer.body == INDEX
        results = crowd(200, client)
        self.assertEqual([result for result in results if result != (200, True)], [])

    def test_KeptConnection_ServesManyRequests(self):
        with Connection(self.shared.port()) as connection:
            for _ in range(50):
                self.assertEqual(connection.exchange(request()).body, INDEX)


class Php(ServerCase, DroverCase):
    program = "php"
    missing = b"nothing here"
    keys = {"workers": 4, "concurrency": 1}
    streams = False

    @classmethod
    def command(cls):
        return ["php", "-d", "post_max_size=100M", "-d", "memory_limit=512M", "-S", "${HOST}:${PORT}", "-t", cls.www,
                os.path.join(HERE, "servers", "router.php")]


class Python(ServerCase, DroverCase):
    program = "python3"
    missing = b"File not found"
    form = upload = ranges = streams = False
    keys = {"workers": 4, "concurrency": 5}  # http.server lets five connections wait to be accepted; a sixth would be ignored for seconds

    @classmethod
    def command(cls):
        return ["python3", "-m", "http.server", "--bind", "${HOST}", "--directory", cls.www, "${PORT}"]

    def test_Gzip_IsLeftUntouched(self):
        answer = self.fetch("GET", "/page.gz", [("Accept-Encoding", "gzip")])
        self.assertEqual((answer.status, answer.body), (200, self.packed_file()))

    def packed_file(self):
        with open(os.path.join(self.www, "page.gz"), "rb") as file:
            return file.read()


class Node(ServerCase, DroverCase):
    program = "node"
    missing = b"nothing here"

    @classmethod
    def command(cls):
        return ["node", os.path.join(HERE, "servers", "server.js"), cls.www]


class Nginx(ServerCase, DroverCase):
    program = "nginx"
    missing = b"404 Not Found"
    form = False

    @classmethod
    def command(cls):
        source, folder = os.path.join(HERE, "servers", "nginx.conf"), cls.shared.folder
        made = f"{folder}/nginx-$PORT.conf"
        return ["sh", "-c", f"sed 's|@PORT@|${{PORT}}|g; s|@FOLDER@|{folder}|g' {source} > {made} && exec nginx -p {folder} -c {made}"]

    def check_upload(self, body, headers):
        answer = self.fetch("PUT", "/put/stored", headers, body, timeout=120)
        self.assertIn(answer.status, (201, 204))
        with open(os.path.join(self.www, "put", "stored"), "rb") as file:
            self.assertEqual(hashlib.sha256(file.read()).hexdigest(), BIG_DIGEST)
        os.remove(os.path.join(self.www, "put", "stored"))

    def test_Gzip_IsLeftUntouched(self):
        answer = self.fetch("GET", "/packed.txt", [("Accept-Encoding", "gzip")])
        self.assertEqual((answer.status, answer.get("Content-Encoding")), (200, "gzip"))
        self.assertEqual(gzip.decompress(answer.body), PACKED)

    def test_ChunkedDownload_ArrivesWhole(self):
        answer = self.fetch("GET", "/packed.txt", [("Accept-Encoding", "gzip")])
        self.assertEqual(answer.get("Transfer-Encoding"), "chunked")
        self.assertEqual(gzip.decompress(answer.body), PACKED)


if __name__ == "__main__":
    main()
