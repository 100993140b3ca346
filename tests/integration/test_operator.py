"""The operator's tools that look: each verb on the real binary, and everything an operator can do wrong with them."""

import contextlib
import http.client
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
import unittest

from drover_case import DROVER, Cluster, main
from operator_case import DEMO, TOKEN, OperatorCase, UnixConnection
from processes import wait_until


class Looking(OperatorCase):
    @classmethod
    def setUpClass(cls):
        cls.share(Cluster())
        cls.recorder = cls.shared.recorder()
        cls.shared.configure({"shop": {"command": cls.recorder.command(), "workers": 2}, "blog": {**DEMO, "workers": 1}},
                             route=[{"path": "/blog", "pool": "blog"}, {"path": "/", "pool": "shop"}]).start()

    def test_Status_IsTheApisAndTheTables(self):
        got = json.loads(self.fine(self.shared, "status", "--json"))
        self.assertEqual(got["pid"], self.shared.process.pid)
        text = self.fine(self.shared, "status")
        self.assertIn(f"pid {self.shared.process.pid}", text)
        for name in ("shop.1", "shop.2", "blog.1", "pool shop: 2 of 2 ready"):
            self.assertIn(name, text)

    def test_Status_HasNoExponents(self):
        text = self.fine(self.shared, "status", "--json")
        self.assertIsNone(re.search(r'":-?[0-9.]+[eE]', text))

    def test_Ps_IsATableOfAllWorkers(self):
        lines = self.fine(self.shared, "ps").splitlines()
        self.assertEqual(lines[0].split(), ["WORKER", "PID", "STATE", "HEALTH", "UPTIME", "REQ/S", "REQUESTS", "ERRORS", "IN", "MEM", "CPU", "RESTARTS",
                                            "NOTE"])
        rows = {line.split()[0]: line.split() for line in lines[1:]}
        self.assertEqual(set(rows), {"shop.1", "shop.2", "blog.1"})
        pids = {f'{pool["name"]}.{worker["slot"]}': str(worker["pid"]) for pool in self.shared.status()["pools"] for worker in pool["workers"]}
        for name, row in rows.items():
            self.assertEqual(row[1:4], [pids[name], "running", "passing"])
        workers = json.loads(self.fine(self.shared, "ps", "--json"))
        self.assertEqual({worker["name"] for worker in workers}, set(rows))

    def test_Ps_CountsRequestsPerSecond(self):
        stop = threading.Event()

        def load():
            while not stop.is_set():
                self.shared.fetch("GET", "/blog")
        thread = threading.Thread(target=load)
        thread.start()
        try:
            row = next(line.split() for line in self.fine(self.shared, "ps").splitlines() if line.startswith("blog.1"))
        finally:
            stop.set()
            thread.join()
        self.assertGreater(float(row[5]), 0)

    def test_Config_NamesTheFileAndShowsWhatHolds(self):
        self.assertEqual(self.fine(self.shared, "config").strip(), self.shared.config_path)
        effective = self.fine(self.shared, "config", "--effective")
        for part in ("[pool.shop]", "workers", 'strategy = "round-robin"', "[cluster]", "shutdown"):
            self.assertIn(part, effective)
        done = subprocess.run([DROVER, "config", "--effective", self.shared.config_path], stdout=subprocess.PIPE, check=True)
        self.assertEqual(done.stdout.decode(), effective)
        path = self.shared.write("again.toml", effective)
        self.assertEqual(subprocess.run([DROVER, "check", path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False).returncode, 0)

    def test_Config_FindsTheSocket(self):
        done = subprocess.run([DROVER, "ps", "--config", self.shared.config_path], stdout=subprocess.PIPE, check=True)
        self.assertIn(b"shop.1", done.stdout)

    def test_Events_AreNumberedJsonLines(self):
        events = [json.loads(line) for line in self.fine(self.shared, "events").splitlines()]
        self.assertEqual([event["number"] for event in events], list(range(1, len(events) + 1)))
        names = {event["event"] for event in events}
        self.assertLessEqual({"workerOnline", "workerListening", "proxyReady", "clusterReady"}, names)
        online = next(event for event in events if event["event"] == "workerOnline")
        self.assertEqual(online["worker"], f'{online["pool"]}.{online["slot"]}')
        after = [json.loads(line) for line in self.fine(self.shared, "events", "--after", "3").splitlines()]
        self.assertEqual(after[0]["number"], 4)
        code, _, err = self.drover(self.shared, "events", "--after", "99999")
        self.assertEqual(code, 1)
        self.assertIn("the last event is number", err)
        table = self.fine(self.shared, "events", "--names")
        for name in ("workerExit", "rollFailed", "killerFound"):
            self.assertIn(name, table)

    def test_AnAnswerThatADiskDidNotTake_Is1(self):
        for verb in (["status"], ["events"], ["config", "--effective"], ["ps", "--json"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run(self.command(self.shared, *verb), stdout=full, stderr=subprocess.PIPE, timeout=30, check=False)
            self.assertEqual(done.returncode, 1, verb)
            self.assertIn(b"standard output", done.stderr)

    def test_Top_OnceAndPiped(self):
        out = self.fine(self.shared, "top", "--once", "--interval", "200ms")
        self.assertIn("shop.1", out)
        self.assertNotIn("\x1b", out)
        done = subprocess.run(["sh", "-c", " ".join(self.command(self.shared, "top", "--interval", "100ms")) + " | head -n 40"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, check=False)
        self.assertEqual(done.stderr, b"", "a reader that leaves is no error to speak of")
        self.assertGreaterEqual(done.stdout.count(b"WORKER"), 2)
        self.assertNotIn(b"\x1b", done.stdout)

    def test_Top_OnATerminalRedrawsAndRestoresIt(self):
        pid, master = pty.fork()
        if pid == 0:
            os.execv(DROVER, self.command(self.shared, "top", "--interval", "100ms"))
        self.addCleanup(os.close, master)
        seen = b""
        deadline = time.monotonic() + 15
        while seen.count(b"\x1b[H") < 3 and time.monotonic() < deadline:
            seen += os.read(master, 65536)
        self.assertIn(b"shop.1", seen)
        self.assertIn(b"\x1b[?1049h", seen)
        os.write(master, b"q")
        try:
            while True:
                seen += os.read(master, 65536)
        except OSError:
            pass  # the terminal's other side has gone
        _, code = os.waitpid(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(code), 0)
        self.assertTrue(seen.rstrip().endswith(b"\x1b[?25h\x1b[?1049l"), seen[-100:])

    def test_Top_EndsAtCtrlCAlsoWhenDroverDoesNotAnswer(self):
        cluster = self.cluster().configure({"shop": {**DEMO, "workers": 1}}).start()
        pid, master = pty.fork()
        if pid == 0:
            os.execv(DROVER, self.command(cluster, "top", "--interval", "100ms"))
        self.addCleanup(os.close, master)
        seen = b""
        while b"\x1b[H" not in seen:
            seen += os.read(master, 65536)
        supervisor = cluster.supervisor_pid()
        os.kill(supervisor, signal.SIGSTOP)
        self.addCleanup(os.kill, supervisor, signal.SIGCONT)
        while select.select([master], [], [], 1)[0]:  # until it waits for an answer
            seen += os.read(master, 65536)
        os.write(master, b"\x03")
        wait_until(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, 10, "top ends")
        self.assertTrue(os.read(master, 65536).endswith(b"\x1b[?25h\x1b[?1049l"))

    def test_Targets_AreNothingThatAShellWouldExpand(self):
        cluster = self.cluster()
        names = ["shop", "$(touch gone)", "`id`", "a b"]
        path = self.stranger(cluster, [{"name": name, "workers": [{"name": name + ".1"}]} for name in names])
        done = subprocess.run([DROVER, "targets", "--socket", path], stdout=subprocess.PIPE, check=True, timeout=20)
        self.assertEqual(done.stdout.split(), [b"shop", b"shop.1"])

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become somebody else")
    def test_WhatAnotherUserListensOn_IsNotAsked(self):
        cluster = self.cluster()
        binary = shutil.copy(DROVER, cluster.path("drover-for-all"))
        os.chmod(binary, 0o755)
        path = self.stranger(cluster, [])
        os.chmod(path, 0o777)
        done = subprocess.run([binary, "status", "--socket", path], user="nobody", cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False, timeout=20)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"belongs to another user", done.stdout)

    def stranger(self, cluster, pools):
        """Somebody who answers one question as drover would."""
        path = cluster.path("stranger.sock")
        body = json.dumps({"pools": pools}).encode()
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()

        def answer():
            client, _ = server.accept()
            with client, contextlib.suppress(OSError):  # who does not trust it leaves without asking
                client.recv(65536)
                client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        threading.Thread(target=answer, daemon=True).start()
        self.addCleanup(server.close)
        return path

    def test_Version_AndTargets(self):
        done = subprocess.run([DROVER, "version", "--json"], stdout=subprocess.PIPE, check=True)
        self.assertRegex(json.loads(done.stdout)["version"], r"^\d+\.\d+\.\d+$")
        self.assertEqual(self.fine(self.shared, "targets").split(), ["shop", "shop.1", "shop.2", "blog", "blog.1"])

    def test_Completion_KnowsTheRunningTargets(self):
        for shell in ("bash", "zsh", "fish"):
            done = subprocess.run([DROVER, "completion", shell], stdout=subprocess.PIPE, check=True)
            script = self.shared.write(f"completion.{shell}", done.stdout)
            if shutil.which(shell):
                self.assertEqual(subprocess.run([shell, "-n", script], check=False).returncode, 0)
        ask = (f'source {self.shared.path("completion.bash")}; drover() {{ {DROVER} "$@"; }}; '
               f'COMP_WORDS=(drover restart --socket {self.socket_of(self.shared)} sh); COMP_CWORD=4; _drover; echo "${{COMPREPLY[@]}}"')
        done = subprocess.run(["bash", "-c", ask], stdout=subprocess.PIPE, check=True)
        self.assertEqual(done.stdout.split(), [b"shop", b"shop.1", b"shop.2"])

    def test_UnknownTargets_AreErrorsThatNameTheKnown(self):
        before = self.shared.pids()
        for verb in (["restart", "nosuch"], ["drain", "nosuch"], ["resume", "nosuch.1"], ["why", "nosuch"], ["logs", "nosuch"], ["scale", "nosuch=2"],
                     ["restart", "shop.9"], ["why", "shop.9"]):
            with self.subTest(verb):
                code, out, err = self.drover(self.shared, *verb)
                self.assertEqual((code, out), (1, ""), err)
                for known in ("shop", "blog"):
                    self.assertIn(known, err)
        code, _, err = self.drover(self.shared, "restart", "shap")
        self.assertEqual(code, 1)
        self.assertRegex(err, r'did you mean "?shop')
        self.assertEqual(self.shared.pids(), before)

    def test_SecondRunOnTheSameSocket_Is1AndChangesNothing(self):
        second = self.cluster()
        second.configure({"shop": {**DEMO, "workers": 1}}, admin={"socket": self.socket_of(self.shared)})
        done = subprocess.run([DROVER, "run", second.config_path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False)
        said = done.stdout.decode()
        self.assertEqual(done.returncode, 1, said)
        self.assertIn(f"another drover (pid {self.shared.supervisor_pid()}) answers on {self.socket_of(self.shared)}", said)
        self.assertIn("choose another [admin] socket", said)
        self.assertNotIn("started", said)
        self.fine(self.shared, "ps")

    def test_Socket_IsItsOwnersAlone(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.socket_of(self.shared)).st_mode), 0o600)

    def test_ApiRefusesWhatIsWrong_AndGoesOn(self):
        path = self.socket_of(self.shared)
        before = self.shared.pids()
        for body, code in ((b"not JSON", 400), (b"[]", 400), (b'{"target": 1}', 400), (b'{"tarket": "shop"}', 400), (b'{"target": "nosuch"}', 404),
                           (b"x" * 10 * 1024 * 1024, 413)):
            with self.subTest(body[:20]):
                status, text = self.post(UnixConnection(path), "/v1/restart", body)
                self.assertEqual(status, code, text)
                self.assertTrue(json.loads(text)["error"])
        self.assertEqual(self.shared.pids(), before)

    def test_TcpDoorWithoutToken_OnlyReads(self):
        def tcp():
            return http.client.HTTPConnection("127.0.0.1", self.shared.admin_port, timeout=10)
        for path in ("/v1/restart", "/v1/stop", "/v1/scale"):
            status, text = self.post(tcp(), path, b'{"target": "shop"}', {"Authorization": f"Bearer {TOKEN}"})
            self.assertEqual(status, 405, text)
        for path in ("/v1/events", "/v1/logs", "/v1/config", "/v1/why?target=shop"):
            self.assertEqual(self.shared.admin(path).status, 404, path)
        for path in ("/v1/status", "/v1/version"):
            self.assertEqual(self.shared.admin(path).status, 200, path)
        self.assertEqual(self.shared.admin("/v1/status", headers={"Host": "evil.example"}).status, 403)


class Descriptors(OperatorCase):
    def test_ClosedStandardDescriptors_GoToNothingElse(self):
        cluster = self.cluster().configure({"shop": {**DEMO, "workers": 1}})
        name, value = cluster.marker.split("=")
        cluster.process = subprocess.Popen(["sh", "-c", f"exec {DROVER} run {cluster.config_path} <&- >&- 2>&-"], cwd=cluster.folder,
                                           env={**os.environ, name: value}, start_new_session=True)
        wait_until(lambda: self.drover(cluster, "status")[0] == 0, 15, "it answers")
        status = cluster.ask("status")
        for pid in (status["pid"], status["supervisor"]):
            self.assertEqual([os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)], ["/dev/null"] * 3)
        done = subprocess.run(["sh", "-c", " ".join(self.command(cluster, "status")) + " >&-"], stderr=subprocess.PIPE, timeout=20, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.fine(cluster, "stop")


class StatusTable(OperatorCase):
    def test_RunWithStatus_PrintsTheTable(self):
        cluster = self.cluster().configure({"shop": {**DEMO, "workers": 2}})
        cluster.start(arguments=["run", cluster.config_path, "--status", "1s"])
        cluster.await_log(r"(?s)WORKER.*shop\.1.*shop\.2.*WORKER")

    def test_RunWithoutATerminal_PrintsNone(self):
        cluster = self.cluster().configure({"shop": {**DEMO, "workers": 1}}).start()
        self.assertNotIn("WORKER", cluster.log())


if __name__ == "__main__":
    main()
