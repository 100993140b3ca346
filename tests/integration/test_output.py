"""What a worker is given (environment, folder, user, mask) and what becomes of its words."""

import json
import os
import pwd
import re
import subprocess
import unittest

from drover_case import RELEASE, DroverCase, main, raw_http
from processes import memory, read, wait_until


class Given(DroverCase):
    def process(self, cluster_environment=None, **keys):
        cluster = self.cluster()
        self.recorder = cluster.recorder()
        cluster.configure({"shop": {"command": self.recorder.command(), "workers": 1, **keys}}).start(environment=cluster_environment)
        self.made = cluster
        return json.loads(cluster.fetch("GET", "/.process").body)

    def test_Environment_NamesPlaceAndWorker(self):
        given = self.process()["environment"]
        endpoint = self.made.workers()[0]["endpoint"]
        self.assertEqual(f"{given['HOST']}:{given['PORT']}", endpoint)
        self.assertEqual((given["DROVER_POOL"], given["DROVER_WORKER"]), ("shop", "1"))
        self.assertEqual(given["DROVER_INCARNATION"], str(self.made.workers()[0]["incarnation"]))
        self.assertEqual(given["PATH"], os.environ["PATH"])

    def test_Environment_OfDroverItselfNeverLeaks(self):
        given = self.process({"NOTIFY_SOCKET": "/run/not-yours", "LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "x",
                              "KEPT": "yes"})["environment"]
        self.assertNotEqual(given.get("NOTIFY_SOCKET"), "/run/not-yours")
        self.assertFalse([name for name in given if name.startswith("LISTEN_")])
        self.assertFalse({"NODE_CHANNEL_FD", "NODE_UNIQUE_ID"} & set(given))
        self.assertEqual(given["KEPT"], "yes")

    def test_Env_IsAddedAndFilledIn(self):
        given = self.process(env={"APP_ENV": "production", "WHERE": "${HOST}:${PORT}", "DOLLAR": "a$$b"})["environment"]
        self.assertEqual((given["APP_ENV"], given["WHERE"], given["DOLLAR"]), ("production", f"{given['HOST']}:{given['PORT']}", "a$b"))

    def test_Dir_IsTheWorkersFolder(self):
        self.assertEqual(self.process(dir="/usr/share")["folder"], "/usr/share")

    def test_Umask_IsTheWorkers(self):
        self.assertEqual(self.process(umask="027")["umask"], 0o027)

    @unittest.skipUnless(os.geteuid() == 0, "only root may change users")
    def test_User_IsTheWorkersWithItsGroupsOnly(self):
        nobody = pwd.getpwnam("nobody")
        cluster = self.cluster()
        folder = cluster.path("record")
        os.makedirs(folder)
        os.chmod(folder, 0o777)
        # The user must be able to run it: a copy where the checkout's folder is closed to others.
        here = os.path.dirname(os.path.abspath(__file__))
        for name in ("workers/raw_worker.py", "processes.py"):
            os.makedirs(os.path.dirname(cluster.path(name)), exist_ok=True)
            with open(os.path.join(here, name), "rb") as file:
                cluster.write(name, file.read())
        cluster.configure({"shop": {"command": ["/usr/bin/python3", cluster.path("workers/raw_worker.py"), folder], "user": "nobody",
                                    "workers": 1}}).start()
        cluster.recorder()
        given = json.loads(cluster.fetch("GET", "/.process").body)
        self.assertEqual((given["uid"], given["gid"]), (nobody.pw_uid, nobody.pw_gid))
        self.assertLessEqual(set(given["groups"]), {nobody.pw_gid})

    def test_Process_HasAGroupOfItsOwnNoInputAndNoBlockedSignals(self):
        given = self.process()
        self.assertEqual(given["group"], self.made.pids()[0])
        self.assertEqual(given["stdin"], "/dev/null")
        self.assertEqual(int(given["blocked"], 16), 0)
        self.assertEqual(int(given["ignored"], 16) & ~(1 << 12 | 1 << 24), 0, "Python itself ignores PIPE and XFSZ, nothing else may be")

    def test_UnixEndpoint_IsServed(self):
        program = ("import http.server, os, socketserver\n"
                   "class Handler(http.server.BaseHTTPRequestHandler):\n"
                   "    def do_GET(self):\n"
                   "        self.send_response(200); self.send_header('Content-Length', '4'); self.end_headers(); self.wfile.write(b'unix')\n"
                   "    def address_string(self): return 'unix'\n"
                   "class Server(socketserver.ThreadingUnixStreamServer): daemon_threads = True\n"
                   "Server(os.environ['SOCKET'], Handler).serve_forever()\n")
        cluster = self.cluster()
        cluster.configure({"shop": {"command": ["python3", "-c", program, "${SOCKET}"], "endpoint": "unix", "workers": 2}}).start()
        for _ in range(4):
            self.assertEqual(cluster.fetch().body, b"unix")
        self.assertRegex(cluster.workers()[0]["endpoint"], r"^unix:/")


class Output(DroverCase):
    def shell(self, text, **keys):
        cluster = self.cluster(keys.pop("binary", None))
        recorder = cluster.recorder()
        command = f"{text}\nexec python3 {recorder.command()[1]} {recorder.folder} $PORT"
        return cluster.configure({"shop": {"command": ["sh", "-c", command], "workers": 2, **keys}})

    def test_BothStreams_AppearLineByLineUnderPoolAndSlot(self):
        cluster = self.shell("echo to-output $DROVER_WORKER; echo to-errors $DROVER_WORKER >&2").start()
        for slot in (1, 2):
            cluster.await_log(rf"(?m)^.*\bshop\.{slot}\b.*to-output {slot}$")
            cluster.await_log(rf"(?m)^.*\bshop\.{slot}\b.*to-errors {slot}$")

    def test_JsonLog_IsOneObjectALine(self):
        cluster = self.shell(r"printf 'odd \"quoted\" \\\\ \001 line\n'")
        with open(cluster.config_path, "a", encoding="utf-8") as file:
            file.write('[log]\nformat = "json"\n')
        cluster.start()
        cluster.await_log(r"quoted")
        cluster.stop()
        said = read(cluster.path("stderr")).decode().splitlines()
        lines = [json.loads(line) for line in said if not re.match(r".*cluster\.toml:\d+:\d+: warning", line)]
        self.assertGreater(len(lines), 4)
        for line in lines:
            self.assertGreaterEqual(set(line), {"time", "level", "subject", "message"})
        self.assertTrue([line for line in lines if line["subject"].startswith("shop.") and '"quoted' in line["message"]])

    def test_LastLineWithoutAnEnd_IsNotLost(self):
        cluster = self.cluster().configure({"shop": {"command": ["sh", "-c", "printf 'fatal: no database'; exit 7"],
                                                     "workers": 1}}).start(ready=False)
        cluster.await_log(r"shop\.1\b.*fatal: no database")

    def test_OddBytes_AreMadeHarmless(self):
        cluster = self.shell(r"printf 'bell \007 escape \033[31mred bad \377\376 end\n'").start()
        line = cluster.await_log(r"(?m)^.*bell .*end$")[0]
        self.assertNotRegex(line, "[\x00-\x08\x0b-\x1f]")

    def test_VeryLongLine_IsCutAndSaysSo(self):
        cluster = self.shell("head -c 3000000 /dev/zero | tr '\\0' L; echo; echo after-the-long-line").start()
        cluster.await_log("after-the-long-line")
        self.assertLess(max(len(line) for line in cluster.log().splitlines()), 100_000)

    def test_ClosedOutput_DisturbsNobody(self):
        cluster = self.shell("exec >&- 2>&-").start()
        self.assertEqual(cluster.fetch().status, 200)

    def test_FloodingWorker_IsNeitherBlockedNorBloatsDrover(self):
        cluster = self.cluster(RELEASE)
        recorder = cluster.recorder()
        progress = cluster.path("written")
        program = ("import os, sys, threading\n"
                   "def flood():\n"
                   "    line, written, report = b'flood ' * 20 + b'\\n', 0, open(sys.argv[2], 'w')\n"
                   "    while True:\n"
                   "        written += os.write(1, line * 500)\n"
                   "        report.seek(0); report.write(str(written)); report.flush()\n"
                   "threading.Thread(target=flood, daemon=True).start()\n"
                   "worker = sys.argv.pop(1); sys.argv.pop(1)\n"
                   "sys.argv[0] = worker\n"
                   "import runpy; runpy.run_path(worker, run_name='__main__')\n")
        cluster.configure({"shop": {"command": ["python3", "-c", program, recorder.command()[1], progress, recorder.folder], "workers": 1}}).start()
        supervisor = cluster.supervisor_pid()
        before, log_before = memory(supervisor), len(cluster.log())

        def written():
            with open(progress, encoding="ascii") as file:
                return int(file.read() or 0)
        wait_until(lambda: written() > 300_000_000, 90, "the worker has written 300 MB: it is not blocked")
        self.assertLess(memory(supervisor) - before, 16 * 1024 * 1024)
        self.assertLess(len(cluster.log()) - log_before, 30_000_000)
        cluster.await_log(r"shop\.1\b.*\d+ lines .*dropped")
        answer = cluster.fetch()
        self.assertEqual(answer.status, 200)

    def test_BlockedLogReader_BlocksNobody(self):
        """drover's own standard error is a pipe that nobody reads."""
        cluster = self.shell("(while :; do echo chatter chatter chatter; done) &")
        name, value = cluster.marker.split("=")
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        with open(cluster.path("stdout"), "wb") as out:
            cluster.process = subprocess.Popen([cluster.binary, "run", cluster.config_path], stdin=subprocess.DEVNULL, stdout=out, stderr=writer,
                                               env={**os.environ, name: value}, start_new_session=True)
        os.close(writer)
        wait_until(lambda: re.search("admin", cluster.log()), 30, "the URLs are on standard output")
        cluster.admin_port = cluster.places()["admin"]
        cluster.await_ready()
        for _ in range(20):
            self.assertEqual(raw_http.fetch(cluster.places()["web"]).status, 200)
        cluster.stop()


if __name__ == "__main__":
    main()
