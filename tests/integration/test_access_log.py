"""The access log: what its lines say, rotation, and readers that do not read."""

import calendar
import collections
import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time

import raw_http
from drover_case import DROVER, DroverCase, main, write_config
from processes import wait_until

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class AccessCase(DroverCase):
    def logged(self, access=None, listener=None, route=(), more=None, workers=1, ready=True, **pool):
        """A cluster with a recording worker and an access log at self.path."""
        cluster = self.cluster()
        self.recorder = cluster.recorder()
        self.path = cluster.path("access.log")
        pool = {"command": self.recorder.command(), "workers": workers, **pool}
        cluster.configure({"shop": pool}, listener, log={"access": {"path": self.path, **(access or {})}}, **(more or {}))
        if route:
            with open(cluster.config_path, "a", encoding="utf-8") as file:
                file.write(write_config({}, route=route))
        return cluster.start() if ready else cluster

    def lines(self, path=None):
        try:
            with open(path or self.path, "rb") as file:
                text = file.read()
        except FileNotFoundError:
            return []
        self.assertTrue(text == b"" or text.endswith(b"\n"), text[-200:])
        return text.splitlines()

    def await_lines(self, count, path=None):
        wait_until(lambda: len(self.lines(path)) >= count, 15, f"{count} lines in the access log")
        lines = self.lines(path)
        self.assertEqual(len(lines), count, lines)
        return lines

    def records(self, count):
        return [json.loads(line) for line in self.await_lines(count)]


class Formats(AccessCase):
    def test_json_says_what_is_known_of_an_exchange(self):
        cluster = self.logged()
        self.recorder.answer("/cart", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        before = time.time()
        cluster.fetch("POST", "/cart?item=7&x", [("User-Agent", 'odd "agent" \\ \xe9'), ("Referer", "http://a/"), ("traceparent", TRACE)], b"seven..")
        (record,) = self.records(1)
        when = time.strptime(record["time"][:19], "%Y-%m-%dT%H:%M:%S")
        self.assertRegex(record["time"], r"\.\d{3}Z$")
        self.assertLess(abs(calendar.timegm(when) - before), 60)
        self.assertRegex(record["id"], r"^[0-9a-f]{32}$")
        self.assertIn(f"X-Request-ID: {record['id']}".encode(), self.recorder.received())
        self.assertIn(f"traceparent: {TRACE}\r\n".encode(), self.recorder.received())
        expected = {"client": "127.0.0.1", "listener": "web", "method": "POST", "host": "test", "path": "/cart", "query": "item=7&x",
                    "protocol": "HTTP/1.1", "status": 200, "bytes": 5, "received": 7, "pool": "shop", "worker": 1, "incarnation": 1, "retries": 0,
                    "end": "complete", "tls": None, "referer": "http://a/", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                    "parent_id": "00f067aa0ba902b7", "user_agent": 'odd "agent" \\ \ufffd'}
        self.assertEqual({key: record[key] for key in expected}, expected)
        times = {key: record.pop(key) for key in ("queue_ms", "connect_ms", "worker_ms", "total_ms")}
        self.assertEqual(set(record), {*expected, "time", "id"})
        self.assertEqual(times["queue_ms"], 0)
        self.assertGreaterEqual(times["total_ms"], times["worker_ms"])
        self.assertGreaterEqual(times["worker_ms"], 0)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode) & ~0o640, 0)

    def test_common(self):
        cluster = self.logged({"format": "common"})
        self.recorder.answer("/a", "HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nabc")
        cluster.fetch(target="/a?b=%22c%22")
        (line,) = self.await_lines(1)
        self.assertRegex(line.decode(), r'^127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /a\?b=%22c%22 HTTP/1\.1" 404 3$')

    def test_combined_can_not_be_injected_into(self):
        cluster = self.logged({"format": "combined"})
        cluster.fetch("HEAD", "/a", [("User-Agent", 'x" 200 1 "y\\ \xff'), ("Referer", "-")])
        with cluster.connect() as client:
            client.send(b'GET /"\x01 HTTP/1.1\r\nHost: a\r\n\r\n')
            client.rest()
        first, second = (line.decode() for line in self.await_lines(2))
        self.assertTrue(first.endswith(r'"HEAD /a HTTP/1.1" 200 - "-" "x\x22 200 1 \x22y\x5C \xFF"'), first)
        self.assertRegex(second, r'"GET /\\x22\\x01 HTTP/1\.1" 400 \d+ "-" "-"$')

    def test_traceparent_that_is_invalid_or_doubled_names_no_trace(self):
        cluster = self.logged()
        other = TRACE.replace("4bf", "5bf")
        for fields in ([("traceparent", TRACE.upper())], [("traceparent", TRACE), ("Traceparent", other)], [("traceparent", TRACE + "-x")], []):
            cluster.fetch(headers=fields)
        for record in self.records(4):
            self.assertIsNone(record["trace_id"])
            self.assertIsNone(record["parent_id"])
        self.assertIn(f"traceparent: {TRACE}-x\r\n".encode(), self.recorder.received())  # passed on all the same

    def test_standard_output_has_the_lines_alone(self):
        cluster = self.logged({"path": "-"})
        cluster.fetch(target="/on-stdout")
        (line,) = self.await_lines(1, cluster.path("stdout"))
        self.assertEqual(json.loads(line)["path"], "/on-stdout")
        cluster.signal(signal.SIGUSR1)
        cluster.await_log("access log is standard output, which is not reopened")
        cluster.fetch(target="/again")
        cluster.stop()
        self.assertEqual([json.loads(line)["path"] for line in self.lines(cluster.path("stdout"))], ["/on-stdout", "/again"])


class Ends(AccessCase):
    def test_every_refusal_has_its_line(self):
        cluster = self.logged(listener={"web": {"limits": {"target": "200B", "head": "2KiB", "body": "10B"}, "timeouts": {"head": "300ms"}}},
                              route=[{"path": "/only", "pool": "shop"}], more={"proxy": {"threads": 1}})  # of several the order is their own
        for raw in (b"GET /only HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0\r\n\r\n", b"GET /" + b"a" * 300 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"GET /only HTTP/1.1\r\nHost: a\r\nX: " + b"b" * 3000 + b"\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"GET /other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"POST /only HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n",
                    b"GET /only HT"):
            with cluster.connect() as client:
                client.send(raw)
                client.rest()
        records = self.records(8)
        told = [(record["status"], record["method"], record["path"][:8]) for record in records]
        self.assertEqual(told, [(400, "GET", "/only"), (400, None, "\x16\x03\x01\x02\0"), (414, "GET", "/aaaaaaa"), (431, "GET", "/only"),
                                (501, "CONNECT", "a:1"), (404, "GET", "/other"), (413, "POST", "/only"), (408, "GET", "/only")])
        self.assertEqual([record["pool"] for record in records], [None] * 6 + ["shop", None])
        for record in records:
            self.assertEqual((record["end"], record["worker"], record["worker_ms"]), ("complete", None, None))
            self.assertGreater(record["bytes"], 0)
        self.assertGreaterEqual(records[7]["total_ms"], 300)

    def test_answers_of_drovers_own_have_their_lines(self):
        cluster = self.logged(route=[{"path": "/away", "redirect": {"to": "https://other/"}}, {"path": "/here", "respond": {"status": 410, "body": "gone"}},
                                     {"path": "/", "pool": "shop"}])
        for method, target in (("GET", "/away"), ("GET", "/here"), ("HEAD", "/here")):
            cluster.fetch(method, target)
        with cluster.connect() as client:
            self.assertEqual(client.exchange(raw_http.request("TRACE", "/", [("Max-Forwards", "0")])).status, 200)
        records = {(record["method"], record["path"]): record for record in self.records(4)}
        self.assertEqual({key: (record["status"], record["pool"], record["end"]) for key, record in records.items()},
                         {("GET", "/away"): (302, None, "complete"), ("GET", "/here"): (410, None, "complete"),
                          ("HEAD", "/here"): (410, None, "complete"), ("TRACE", "/"): (200, None, "complete")})
        self.assertEqual([records[key]["bytes"] for key in (("GET", "/here"), ("HEAD", "/here"))], [4, 0])

    def test_a_response_cut_short_is_truncated(self):
        cluster = self.logged()
        self.recorder.on("/cut", ["send", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"], ["close"])
        self.recorder.on("/chunks", ["send", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"], ["close"])
        for target in ("/cut", "/chunks"):
            with self.assertRaises(raw_http.Truncated):
                cluster.fetch(target=target)
        first, second = self.records(2)
        self.assertEqual((first["status"], first["end"], first["bytes"]), (200, "truncated", 9))
        self.assertEqual((second["status"], second["end"], second["bytes"]), (200, "truncated", 5))

    def test_a_client_that_leaves_has_no_status_of_its_own(self):
        cluster = self.logged()
        self.recorder.on("/slow", ["mark", "asked"], ["wait", "go"], ["describe"])
        client = cluster.connect()
        client.send(raw_http.request(target="/slow"))
        self.recorder.await_mark("asked")
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        (record,) = self.records(1)
        self.assertEqual((record["status"], record["end"], record["bytes"], record["worker"]), (499, "client_gone", 0, 1))
        self.assertIsNone(record["worker_ms"])
        self.recorder.open("go")

    def test_a_tunnel_is_told_at_its_end_with_what_it_carried(self):
        cluster = self.logged()
        self.recorder.on("/ws", ["send", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"], ["echo", "bye"])
        with cluster.connect() as client:
            client.send(raw_http.request(target="/ws", headers=[("Connection", "Upgrade"), ("Upgrade", "websocket")]))
            self.assertEqual(client.head().status, 101)
            client.send(b"12345")
            self.assertEqual(client.exactly(5), b"12345")
            cluster.fetch(target="/beside")
            self.assertEqual(self.records(1)[0]["path"], "/beside")
            client.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(client.rest(), b"bye")
        record = self.records(2)[1]
        self.assertEqual((record["status"], record["end"], record["bytes"], record["received"]), (101, "tunnel", 8, 5))
        self.assertIsNotNone(record["worker_ms"])

    def test_bodies_are_counted_without_their_framing(self):
        cluster = self.logged()
        self.recorder.on("/big", ["body"], ["send", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"], ["repeat", 50, "5\r\nhello\r\n"], ["send", "0\r\n\r\n"])
        body = raw_http.chunked(*[b"x" * 1000] * 40)
        self.assertEqual(cluster.fetch("PUT", "/big", [("Transfer-Encoding", "chunked")], body).body, b"hello" * 50)
        answer = cluster.fetch("PUT", "/big", [("Content-Length", "100000")], b"y" * 100_000)
        self.assertEqual(len(answer.body), 250)
        self.assertEqual([(record["bytes"], record["received"]) for record in self.records(2)], [(250, 40_000), (250, 100_000)])

    def test_waiting_and_retries_are_told(self):
        cluster = self.logged(workers=2, concurrency=1, keepalive=False)
        self.recorder.on("/first", ["mark", "first"], ["wait", "go"], ["describe"])
        self.recorder.on("/second", ["mark", "second"], ["wait", "go"], ["describe"])
        clients = [cluster.connect() for _ in range(3)]
        for client, target in zip(clients, ("/first", "/second", "/third")):
            client.send(raw_http.request(target=target))
            if target != "/third":
                self.recorder.await_mark(target[1:])
        wait_until(lambda: cluster.metric("drover_queue_length") == 1, 10, "the third waits")
        self.recorder.open("go")
        for client in clients:
            self.assertEqual(client.response().status, 200)
            client.close()
        third = next(record for record in self.records(3) if record["path"] == "/third")
        self.assertGreater(third["queue_ms"], 0)
        self.assertGreaterEqual(third["total_ms"], third["queue_ms"] + third["worker_ms"])
        self.assertEqual(third["retries"], 0)

    def test_a_retry_is_counted_and_the_last_worker_named(self):
        cluster = self.logged(workers=2)
        self.recorder.on("/once", ["leave_once", "left"], ["describe"])
        answer = json.loads(cluster.fetch(target="/once").body)
        (record,) = self.records(1)
        self.assertEqual((record["status"], record["retries"]), (200, 1))
        self.assertEqual(record["worker"], int(answer["worker"]))


class Rotation(AccessCase):
    def test_usr1_under_load_loses_and_splits_no_line(self):
        cluster = self.logged({"format": "combined"})
        stop = threading.Event()
        sent = [0, 0]

        def load(number):
            with cluster.connect() as client:
                while not stop.is_set():
                    target = f"/{number}/{sent[number]}"
                    client.send(b"".join(raw_http.request(target=f"/{number}/{sent[number] + i}") for i in range(8)))
                    for _ in range(8):
                        self.assertEqual(client.response().status, 200, target)
                    sent[number] += 8

        threads = [threading.Thread(target=load, args=(number,)) for number in (0, 1)]
        for thread in threads:
            thread.start()
        rotated = []
        for turn in range(8):
            wait_until(lambda: os.path.exists(self.path) and os.path.getsize(self.path) > 0, 10, "lines in the new file")
            rotated.append(f"{self.path}.{turn}")
            os.rename(self.path, rotated[-1])
            cluster.signal(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(self.path), 10, "the last file")
        stop.set()
        for thread in threads:
            thread.join()
        cluster.stop()
        seen = collections.Counter()
        for path in [*rotated, self.path]:
            for line in self.lines(path):
                match = re.search(rb'^127\.0\.0\.1 - - \[[^]]+\] "GET /(\d)/(\d+) HTTP/1\.1" 200 \d+ "-" "-"$', line)
                self.assertTrue(match, line)
                seen[int(match[1]), int(match[2])] += 1
        self.assertEqual(seen, {(number, i): 1 for number in (0, 1) for i in range(sent[number])})
        self.assertGreater(len(seen), 100)

    def test_a_new_proxy_writes_to_the_same_file(self):
        cluster = self.logged()
        cluster.fetch(target="/one")
        self.await_lines(1)
        os.rename(self.path, self.path + ".1")
        cluster.signal(signal.SIGUSR1)
        cluster.await_log("access log .* reopened")
        old = cluster.proxy_pid()
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: cluster.proxy_pid() not in (0, old), 10, "a new proxy")
        cluster.await_ready()
        cluster.fetch(target="/two")
        self.assertEqual([record["path"] for record in self.records(1)], ["/two"])

    def test_a_file_that_can_not_be_reopened_keeps_the_old_one(self):
        cluster = self.logged()
        os.rename(self.path, self.path + ".1")
        os.mkdir(self.path)
        cluster.signal(signal.SIGUSR1)
        cluster.await_log("can't open '.*access.log': Is a directory.*goes on where it was")
        cluster.fetch(target="/still")
        self.assertEqual(json.loads(self.await_lines(1, self.path + ".1")[0])["path"], "/still")

    def test_what_can_not_be_opened_at_the_start_starts_nothing(self):
        for path, reason in (("/nonexistent/access.log", "mkdir -p /nonexistent"), ("/", "is a folder")):
            cluster = self.logged({"path": path}, ready=False)
            done = subprocess.run([DROVER, "run", cluster.config_path], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 78, done.stderr)
            self.assertIn("error: access: ", done.stderr)
            self.assertIn(reason, done.stderr)

    def test_usr1_without_an_access_log_is_harmless(self):
        cluster = self.cluster()
        cluster.configure({"shop": {"command": cluster.recorder().command(), "workers": 1}}).start()
        cluster.signal(signal.SIGUSR1)
        cluster.await_log("there is no access log to reopen")
        self.assertEqual(cluster.fetch().status, 200)
        self.assertEqual(cluster.metric("drover_access_log_lines_total"), 0)


class Stuck(AccessCase):
    """Who does not read the log costs lines, which are counted, and no client anything."""

    def overflow(self, cluster):
        """Requests, by two connections, until lines have been lost; their number."""
        count = 0
        agent = [("User-Agent", "a" * 380), ("Referer", "r" * 580)]
        batch = b"".join(raw_http.request(target="/" + "p" * 900, headers=agent) for _ in range(20))
        with cluster.connect() as one, cluster.connect() as other:
            while not cluster.metric("drover_access_log_dropped_total"):
                for client in (one, other):
                    client.send(batch)
                for client in (one, other):
                    for _ in range(20):
                        self.assertEqual(client.response().status, 200)
                count += 40
                self.assertLess(count, 20_000)
        return count

    def check(self, cluster):
        count = self.overflow(cluster)
        lines, dropped = (cluster.metric(f"drover_access_log_{name}_total") for name in ("lines", "dropped"))
        self.assertEqual(lines + dropped, count)
        self.assertGreater(lines, 100)

    def test_a_fifo_that_nobody_reads(self):
        cluster = self.logged({"path": "-"}, ready=False)
        fifo = cluster.path("fifo")
        os.mkfifo(fifo)
        with open(cluster.config_path, encoding="utf-8") as file:
            text = file.read()
        cluster.write("cluster.toml", text.replace('path = "-"', f'path = "{fifo}"'))
        cluster.start()
        self.check(cluster)
        # A reader comes: the log goes on, in whole lines.
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        got = bytearray()

        def read_until(mark):
            try:
                got.extend(os.read(reader, 1 << 16))
            except BlockingIOError:
                pass
            return mark in got
        asked = iter(range(100_000))

        def comes_again():
            cluster.fetch(target=f"/again/{next(asked)}")
            return read_until(b"/again/")
        wait_until(comes_again, 20, "the log goes on")
        wait_until(lambda: read_until(b"") and got.endswith(b"\n"), 10, "a line's end")
        for line in got.splitlines():
            json.loads(line)

    def test_a_full_disk(self):
        cluster = self.logged({"path": "/dev/full"})
        self.check(cluster)
        cluster.await_log("access log: can't write: No space left on device")


if __name__ == "__main__":
    main()
