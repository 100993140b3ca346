"""Node programs with a hard-coded port, unchanged, two workers each: http, https, a protocol of lines, express, fastify, WebSockets; behind the
proxy, by handoff, on a shared socket. Both workers answer, and a rolling restart while clients ask loses nothing."""

import base64
import json
import os
import random
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import unittest

import raw_http
from drover_case import HERE, RELEASE, ROOT, DroverCase, main
from processes import wait_until
from raw_http import Connection, NoAnswer, request

APPS = os.path.join(HERE, "servers", "node_apps.js")
PACKAGES = [os.path.join(ROOT, "tests", "node", "node_modules"), "/usr/share/nodejs"]  # as npm ci has put them there, or Debian


def package_folder(name):
    """Where that package is, and its version."""
    for folder in PACKAGES:
        path = os.path.join(folder, name, "package.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                return folder, json.load(file)["version"]
    return None, None


def node_version():
    return subprocess.run(["node", "--version"], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout.strip()


def free_port():
    """A number that nobody listens on, outside the ports that the kernel gives away."""
    while True:
        port = random.randrange(18_000, 20_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
                return port
            except OSError:
                pass


class Talk(Connection):
    """One connection of a client that is the same for all kinds: ask() gives what the worker says of itself."""

    exchanges = 5  # at most, on one connection
    may_retry = False  # a question on a connection that was idle and is found closed

    def ask(self):
        raise NotImplementedError


class HttpTalk(Talk):
    may_retry = True  # RFC 9110, 9.2.2: an idempotent request on a connection that was closed before a byte came

    def ask(self):
        answer = self.exchange(request(target="/"))
        assert answer.status == 200, answer
        if answer.get("Connection", "").lower() == "close":
            self.exchanges = 0
        return json.loads(answer.body)


class HttpsTalk(HttpTalk):
    def __init__(self, port, timeout=15):
        super().__init__(port, timeout)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock)


class LineTalk(Talk):
    def ask(self):
        self.send(b"hello\n")
        return json.loads(self.until(b"\n"))


class WebSocketTalk(Talk):
    def __init__(self, port, timeout=15):
        super().__init__(port, timeout)
        key = base64.b64encode(os.urandom(16)).decode()
        self.send(request(headers=[("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", key), ("Sec-WebSocket-Version", "13")]))
        answer = self.head()
        assert answer.status == 101, answer

    def ask(self):
        mask, text = os.urandom(4), b"hello"
        self.send(bytes([0x81, 0x80 | len(text)]) + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(text)))
        kind, length = self.exactly(2)
        if length == 126:
            length = struct.unpack("!H", self.exactly(2))[0]
        assert kind == 0x81, f"frame {kind:#x}"
        return json.loads(self.exactly(length))


class Asking:
    """Clients that ask until stop(): each on a new connection, a few questions, and again. Whatever is not answered is a loss."""

    def __init__(self, talk, port, clients=4):
        self.talk, self.port = talk, port
        self.answered, self.retried, self.lost = 0, 0, []
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.ending.is_set():
            began, fresh = time.time(), True
            try:
                with self.talk(self.port) as talk:
                    while talk.exchanges > 0 and not self.ending.is_set():
                        talk.ask()
                        fresh = False
                        talk.exchanges -= 1
                        with self.lock:
                            self.answered += 1
            except NoAnswer as error:
                self.note(error, began, self.talk.may_retry and not fresh)
            except (OSError, AssertionError, raw_http.Truncated, ValueError) as error:
                self.note(error, began, self.talk.may_retry and not fresh and isinstance(error, (ConnectionResetError, BrokenPipeError)))

    def note(self, error, began, may_retry):
        with self.lock:
            if may_retry:
                self.retried += 1
            else:
                self.lost.append(f"{time.strftime('%H:%M:%S', time.localtime(began))} {error!r}")

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), "a client hangs"
        return self


@unittest.skipUnless(shutil.which("node"), "node is not installed")
class NodeCase:
    """The promises, for one kind of program; its class says how one talks to it."""

    package = None
    arguments = ()
    talk = HttpTalk
    proxied = True  # drover's proxy can stand before it: it speaks HTTP

    @classmethod
    def setUpClass(cls):
        cls.packages = {}
        if cls.package:
            folder, version = package_folder(cls.package)
            if not folder:
                raise unittest.SkipTest(f"{cls.package} is neither in {' nor in '.join(PACKAGES)} (scripts/deps npm)")
            print(f"{cls.package} {version} of {folder}, node {node_version()}", file=sys.stderr)
            cls.packages = {"NODE_PATH": folder}

    def start(self, dispatch):
        port = free_port()
        cluster = self.cluster(RELEASE)
        pool = {"command": ["node", APPS, self.kind, str(port), *self.extra(cluster)], "workers": 2, "dispatch": dispatch, "env": self.packages}
        listener = {} if dispatch == "proxy" else {"pool": "app"}
        if dispatch == "shared":
            listener["bind"] = f"127.0.0.1:{port}"  # Node insists on the port that it asked for
        return cluster.configure({"app": pool}, {"web": listener}).start()

    def extra(self, _cluster):
        return []

    def check(self, dispatch):
        cluster = self.start(dispatch)
        self.check_both_answer(cluster)
        old = set(cluster.pids())
        asking = Asking(self.talk, cluster.port())
        wait_until(lambda: asking.answered > 20, 20, "clients are served")
        rolled = cluster.verb("restart", "app")
        self.assertEqual(rolled.returncode, 0, rolled.stdout + rolled.stderr)
        after = asking.answered
        wait_until(lambda: asking.answered > after + 20 or len(asking.lost) > 20, 20, "clients are served by the new workers")
        asking.stop()
        self.assertEqual(asking.lost, [])
        self.assertFalse(old & set(cluster.pids()), "every worker is a new one")
        self.check_both_answer(cluster)

    def check_both_answer(self, cluster):
        """Some clients at once: on a shared socket one worker alone would take those that come one by one."""
        seen = set()

        def both():
            talks = [self.talk(cluster.port()) for _ in range(16)]
            try:
                seen.update(talk.ask()["pid"] for talk in talks)
            finally:
                for talk in talks:
                    talk.close()
            return len(seen) > 1
        wait_until(both, 20, "both workers answer")
        self.assertEqual(seen, set(cluster.pids()))

    def test_Proxy_BothAnswerAndARollLosesNothing(self):
        if self.proxied:
            self.check("proxy")
            return
        # What is not HTTP can't be behind the proxy; the worker runs and is reached on the socket that drover made.
        cluster = self.start("proxy")
        for worker in cluster.workers():
            host, port = worker["endpoint"].rsplit(":", 1)
            self.assertRegex(host, r"^127\.77\.")
            self.assertTrue(port.isdigit())

    def test_Handoff_BothAnswerAndARollLosesNothing(self):
        self.check("handoff")

    def test_Shared_BothAnswerAndARollLosesNothing(self):
        self.check("shared")


class Http(NodeCase, DroverCase):
    kind = "http"


@unittest.skipUnless(shutil.which("openssl"), "openssl is not installed")
class Https(NodeCase, DroverCase):
    kind = "https"
    talk = HttpsTalk
    proxied = False

    def extra(self, cluster):
        key, certificate = cluster.path("key.pem"), cluster.path("certificate.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out",
                        certificate], check=True, capture_output=True, stdin=subprocess.DEVNULL)
        return [key, certificate]


class Net(NodeCase, DroverCase):
    kind = "net"
    talk = LineTalk
    proxied = False


class Express(NodeCase, DroverCase):
    kind = package = "express"


class Fastify(NodeCase, DroverCase):
    kind = package = "fastify"


class WebSocket(NodeCase, DroverCase):
    kind = package = "ws"
    talk = WebSocketTalk


if __name__ == "__main__":
    main()
