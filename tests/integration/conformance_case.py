"""Plays cases (conformance_cases.py) against drover and compares what its worker got, byte by byte."""

import os
import re

from drover_case import Cluster, DroverCase
from raw_http import Connection, Truncated, request

VOLATILE = ((re.compile(rb"\r\nX-Request-ID: [0-9a-f]{32}\r\n"), b"\r\nX-Request-ID: <id>\r\n"),
            (re.compile(rb"\r\nX-Request-Start: t=\d{13}\r\n"), b"\r\nX-Request-Start: t=<ms>\r\n"))


def steady(data):
    for pattern, text in VOLATILE:
        data = pattern.sub(text, data)
    return data


class Received:
    """What the recording worker's connections have got since the last look."""

    def __init__(self, folder):
        self.folder, self.seen = folder, {}
        self.news()

    def news(self):
        parts = []
        for name in sorted(os.listdir(self.folder)):
            if not name.endswith(".bin"):
                continue
            with open(os.path.join(self.folder, name), "rb") as file:
                file.seek(self.seen.get(name, 0))
                data = file.read()
            self.seen[name] = self.seen.get(name, 0) + len(data)
            parts.append(data)
        return b"".join(parts)


class ConformanceCase(DroverCase):
    pool = {}
    listener = {}
    tables = {}

    @classmethod
    def setUpClass(cls):
        cls.share(Cluster())
        cls.recorder = cls.shared.recorder()
        cls.shared.configure({"shop": {"command": cls.recorder.command(), "workers": 1, "retry": {"attempts": 1}, **cls.pool}},
                             {"web": cls.listener}, proxy={"threads": 1}, **cls.tables).start()

    def setUp(self):
        self.received = Received(self.recorder.folder)

    def connect(self, **options):
        connection = Connection(self.shared.port(), **options)
        self.addCleanup(connection.close)
        return connection

    def sentinel(self):
        """A good request. Whatever was wrongly forwarded before it has arrived by then: there is one worker and one proxy thread."""
        self.assertEqual(self.connect().exchange(request(target="/sentinel", close=True)).status, 200)
        news = self.received.news()
        self.assertTrue(news.startswith(b"GET /sentinel HTTP/1.1\r\n"), news[:300])
        self.assertEqual(news.count(b" HTTP/1.1\r\n"), 1, news[:1000])

    def refused(self, case):
        connection = self.connect()
        connection.send(case.raw)
        answer = connection.head()
        self.assertIn(answer.status, case.refused, answer)
        self.assertEqual(answer.get("Connection"), "close")
        length = int(answer.get("Content-Length"))
        self.assertEqual(len(connection.exactly(length)), length)
        self.assertEqual(connection.rest(), b"", "the connection was used again after a refusal")
        self.assertEqual(self.received.news(), b"", "a refused request reached the worker")

    def passed(self, case):
        connection = self.connect()
        answer = connection.exchange(case.raw, case.method)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(steady(self.received.news()), case.forwarded)

    def answered_here(self, case):
        connection = self.connect()
        answer = connection.exchange(case.raw, case.method)
        self.assertIn(answer.status, case.here, answer)
        self.assertEqual(self.received.news(), b"", "what drover answers reached the worker")
        self.assertEqual(connection.exchange(request(target="/next")).status, 200)
        self.received.news()

    def play(self, cases):
        for case in cases:
            with self.subTest(case.name):
                try:
                    if case.refused:
                        self.refused(case)
                    elif case.here:
                        self.answered_here(case)
                    else:
                        self.passed(case)
                except (Truncated, TimeoutError) as error:
                    self.fail(f"{type(error).__name__}: {error}")
                finally:
                    self.received.news()
        self.sentinel()
