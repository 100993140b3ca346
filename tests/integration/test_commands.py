"""`drover check` and `drover run`: exit codes, messages that name the thing and the fix, and the examples as a user runs them."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import unittest

from drover_case import DROVER, ROOT, DroverCase, main, write_config
from processes import wait_until

PLAIN = {"shop": {"command": ["drover", "demo-worker", "--port", "${PORT}"], "workers": 2}}


class CommandCase(DroverCase):
    def setUp(self):
        self.made = self.cluster()

    def drover(self, *arguments, seconds=30, cwd=None):
        """Runs to its end: (exit code, everything it said)."""
        done = subprocess.run([DROVER, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds,
                              cwd=cwd or self.made.folder, check=False)
        return done.returncode, done.stdout.decode(errors="replace")

    def refused(self, text, *expected, code=78):
        """Both check and run say it, with the same code."""
        path = self.made.write("broken.toml", text)
        for verb in ("check", "run"):
            with self.subTest(verb):
                got, said = self.drover(verb, path)
                self.assertEqual(got, code, said)
                for pattern in expected:
                    self.assertRegex(said, pattern)


class Checks(CommandCase):
    def test_Check_GoodFileIs0(self):
        code, said = self.drover("check", self.made.write("good.toml", write_config(PLAIN)))
        self.assertEqual(code, 0, said)

    def test_Check_BindsNothing(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            path = self.made.write("good.toml", write_config(PLAIN, {"web": {"bind": f"127.0.0.1:{port}"}}))
            code, said = self.drover("check", path)
        self.assertEqual(code, 0, said)

    def test_Check_WithoutAFileReadsClusterTomlHere(self):
        self.made.write("cluster.toml", write_config(PLAIN))
        self.assertEqual(self.drover("check")[0], 0)
        self.made.write("cluster.toml", "[pool.x]\nnonsense = 1\n")
        code, said = self.drover("check")
        self.assertEqual(code, 78)
        self.assertRegex(said, r"cluster\.toml:2:1")

    def test_NoFileAtAll_Is78AndNamed(self):
        for verb in ("check", "run"):
            code, said = self.drover(verb)
            self.assertEqual(code, 78, said)
            self.assertIn("cluster.toml", said)

    def test_EveryMistake_AtOnceWithPlaceAndSuggestion(self):
        self.refused('[pool.shop]\ncommand = ["drover", "demo-worker"]\nstratgy = "round-robin"\nworkers = "many"\n\n[pool.shop.stop]\ngrace = 10\n',
                     r"broken\.toml:3:1: .*stratgy", r"did you mean.*strategy", r"broken\.toml:4:\d+: .*workers",
                     r"broken\.toml:7:\d+: .*grace", r"(?m)^\s*(\d+ )?.*\^")

    def test_SyntaxError_IsPlaced(self):
        self.refused('[pool.shop\ncommand = 1\n', r"broken\.toml:1:\d+")

    def test_TwoPoolsOfOneName_AreRefused(self):
        self.refused('[pool.a]\ncommand = ["sh"]\n[pool.a]\ncommand = ["sh"]\n', r"broken\.toml:3:\d+", r"\ba\b")

    def test_RouteToNoPool_IsRefused(self):
        self.refused('[pool.shop]\ncommand = ["sh"]\n[[route]]\npool = "shpo"\n', r"broken\.toml:4:\d+", r"shpo", r"did you mean.*shop")

    def test_UnknownStrategy_IsRefusedWithASuggestion(self):
        self.refused('[pool.shop]\ncommand = ["sh"]\nstrategy = "least-conections"\n', r"broken\.toml:3:\d+", r"least-connections")

    def test_BadUnit_IsRefused(self):
        self.refused('[pool.shop]\ncommand = ["sh"]\nready = { timeout = "30" }\n', r"broken\.toml:3:\d+", r"30")

    def test_NotYet_IsRefusedByName(self):
        self.refused('[listener.web]\nmode = "tcp"\n[pool.shop]\ncommand = ["sh"]\n', r"broken\.toml:2:\d+", r"mode.*not.* yet")

    def test_CommandNotFound_Is78AndNamed(self):
        self.refused('[pool.shop]\ncommand = ["no-such-program-here"]\n', r"broken\.toml:2:\d+", r"no-such-program-here", r"not found")

    def test_CommandNotExecutable_Is78AndNamed(self):
        path = self.made.write("plain-text", "x")
        os.chmod(path, 0o644)
        self.refused(f'[pool.shop]\ncommand = ["{path}"]\n', r"broken\.toml:2:\d+", r"plain-text", r"execut")

    def test_EmptyFile_Is78(self):
        self.refused("", r"broken\.toml", r"empty|no pool")

    def test_FileNotUtf8_Is78(self):
        self.refused(b'[pool.shop]\ncommand = ["\xff\xfe"]\n', r"broken\.toml", r"UTF-8")

    def test_FolderInsteadOfAFile_Is78(self):
        code, said = self.drover("check", self.made.folder)
        self.assertEqual(code, 78, said)
        self.assertIn(self.made.folder, said)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become somebody who may not read the file")
    def test_UnreadableFile_Is78(self):
        path = self.made.write("secret.toml", write_config(PLAIN))
        os.chmod(path, 0o600)
        reader = shutil.copy(DROVER, self.made.path("drover"))
        os.chmod(reader, 0o755)
        done = subprocess.run([reader, "check", path], user="nobody", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", check=False,
                              timeout=30)
        self.assertEqual(done.returncode, 78, done.stdout)
        self.assertRegex(done.stdout.decode(), r"secret\.toml.*(ermission|read)")

    def test_UsageError_Is2(self):
        for arguments in (["nonsense"], ["run", "--no-such-option"], ["check", "a.toml", "b.toml"], []):
            with self.subTest(arguments):
                code, said = self.drover(*arguments)
                self.assertEqual(code, 2, said)
                self.assertTrue(said.strip())

    def test_HelpAndVersion_Are0(self):
        code, said = self.drover("--help")
        self.assertEqual(code, 0)
        self.assertRegex(said, r"(?s)check.*run|run.*check")
        code, said = self.drover("--version")
        self.assertEqual(code, 0)
        self.assertRegex(said, r"\d+\.\d+\.\d+")


class PortsInUse(CommandCase):
    def test_ListenersPortInUse_Is1AndNamesTheListener(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.made.configure(PLAIN, {"front": {"bind": f"127.0.0.1:{port}"}})
            code, said = self.drover("run", self.made.config_path)
        self.assertEqual(code, 1, said)
        self.assertRegex(said, rf"(?s)front.*{port}|{port}.*front")
        self.assertRegex(said, r"in use")

    def test_AdminsPortInUse_Is1AndNamed(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.made.configure(PLAIN, admin={"listen": f"127.0.0.1:{port}"})
            code, said = self.drover("run", self.made.config_path)
        self.assertEqual(code, 1, said)
        self.assertRegex(said, rf"(?s)admin.*{port}|{port}.*admin")
        self.assertRegex(said, r"in use")


class Runs(CommandCase):
    def test_Start_PrintsUrlsOnceReady(self):
        cluster = self.made.configure(PLAIN).start()
        cluster.await_log(rf"http://127\.0\.0\.1:{cluster.port()}\b")
        cluster.await_log(rf"http://127\.0\.0\.1:{cluster.admin_port}\b")

    def test_NonAsciiAndOddNames_DoNotDisturbTheRun(self):
        cluster = self.made.configure({"shop-1_x": {**PLAIN["shop"], "env": {"GREETING": "grüße \"quoted\" $HOME"}}}).start()
        self.assertEqual(cluster.fetch().status, 200)


class Examples(CommandCase):
    def copy(self, name):
        """The example's folder with its listeners and admin moved to free ports."""
        folder = self.made.path(name)
        shutil.copytree(os.path.join(ROOT, "examples", name), folder)
        path = os.path.join(folder, "cluster.toml")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        text = re.sub(r"(?ms)^\[(admin|listener\.[^]]*)\]$.*?(?=^\[|\Z)", "", text)
        places = write_config({}, {"web": {"bind": "127.0.0.1:0"}}, admin={"listen": "127.0.0.1:0", "socket": self.made.path("drover.sock")})
        with open(path, "w", encoding="utf-8") as file:
            file.write(places + text)
        return folder

    def run_example(self, name):
        return self.made.start(arguments=["run"], cwd=self.copy(name))

    def test_EveryExample_PassesCheck(self):
        examples = os.path.join(ROOT, "examples")
        names = sorted(name for name in os.listdir(examples) if os.path.exists(os.path.join(examples, name, "cluster.toml")))
        self.assertGreaterEqual(set(names), {"quickstart", "php", "python", "node"})
        for name in names:
            with self.subTest(name):
                path = os.path.join(examples, name)
                with open(os.path.join(path, "cluster.toml"), encoding="utf-8") as file:
                    program = re.search(r'command\s*=\s*\["([^"]+)"', file.read())[1]
                if program != "drover" and not shutil.which(program):
                    self.skipTest(f"{program} is not installed")
                code, said = self.drover("check", cwd=path)
                self.assertEqual(code, 0, said)

    def test_Quickstart_TwoDemoWorkersTakeTurns(self):
        cluster = self.run_example("quickstart")
        answers = [json.loads(cluster.fetch("GET", f"/hello?{n}").body) for n in range(6)]
        for number, answer in enumerate(answers):
            self.assertGreaterEqual(set(answer), {"message", "worker", "timestamp", "url", "method"})
            self.assertEqual((answer["url"], answer["method"]), (f"/hello?{number}", "GET"))
        self.assertEqual({(answer["worker"]["id"], answer["worker"]["pid"]) for answer in answers},
                         {(worker["slot"], worker["pid"]) for worker in cluster.workers()})
        wait_until(lambda: all(worker["memory"]["source"] == "report" for worker in cluster.workers()), 15,
                   "the demo workers' reports of memory are in /status")

    def test_Quickstart_CtrlCStopsEverythingAndIs0(self):
        cluster = self.run_example("quickstart")
        self.assertTrue(cluster.pids())
        cluster.signal(signal.SIGINT)
        self.assertEqual(cluster.wait(), 0)
        self.assertEqual(cluster.leftovers(), [])

    def test_Php_IsServed(self):
        cluster = self.run_example("php")
        self.assertEqual(cluster.fetch().status, 200)

    def test_Python_IsServed(self):
        cluster = self.run_example("python")
        answer = cluster.fetch()
        self.assertEqual(answer.status, 200)
        self.assertRegex(answer.get("Server"), "SimpleHTTP")

    def test_Node_IsServed(self):
        cluster = self.run_example("node")
        self.assertEqual(cluster.fetch().status, 200)


class Terminal(CommandCase):
    """Ctrl-C of a real terminal goes to the whole foreground group at once: it must count as one."""

    def test_CtrlCOfATerminal_CountsOnce(self):
        recorder = self.made.recorder()
        self.made.configure({"shop": {"command": recorder.command(), "workers": 1}})
        recorder.on("/slow", ["body"], ["mark", "slow-arrived"], ["wait", "slow-go"], ["describe"])
        master, terminal = os.openpty()
        name, value = self.made.marker.split("=")
        child = ("import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])")
        with open(self.made.path("stdout"), "wb") as out, open(self.made.path("stderr"), "wb") as err:
            self.made.process = subprocess.Popen([sys.executable, "-c", child, DROVER, "run", self.made.config_path], stdin=terminal, stdout=out,
                                                 stderr=err, env={**os.environ, name: value})
        os.close(terminal)
        self.addCleanup(os.close, master)
        self.made.await_admin()
        self.made.await_ready()
        with self.made.connect() as connection:
            connection.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
            recorder.await_mark("slow-arrived")
            os.write(master, b"\x03")
            wait_until(lambda: self.made.admin("/readyz").status == 503, 10, "/readyz says 503")
            recorder.open("slow-go")
            self.assertEqual(connection.response().status, 200, "the request in flight was not let finish")
        self.assertEqual(self.made.wait(), 0)


if __name__ == "__main__":
    main()
