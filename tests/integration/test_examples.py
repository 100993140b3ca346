"""The examples of the channel, of Node's cluster module, of socket activation and of a hold, run by their own cluster.toml with other ports."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import unittest

from drover_case import RELEASE, ROOT, DroverCase, main, some_ports, table
from load import crowd
from processes import wait_until


class ExampleCase(DroverCase):
    def run_example(self, name, *more):
        """Its cluster.toml as it stands, but each listener on any free port; `more`: what is written instead of what (pattern, text)."""
        folder = os.path.join(ROOT, "examples", name)
        cluster = self.cluster(RELEASE)
        with open(os.path.join(folder, "cluster.toml"), encoding="utf-8") as file:
            text = file.read()
        for pattern, replacement in (*more, (r'(?m)^(bind\s*=\s*"127\.0\.0\.1):\d+"', r'\1:0"')):
            text, count = re.subn(pattern, replacement, text)
            self.assertTrue(count or replacement == r'\1:0"', pattern)
        head = table("cluster", {"ports": some_ports()}) + table("admin", {"listen": "127.0.0.1:0", "socket": cluster.path("drover.sock")})
        if "\n[listener." not in text:
            head += table("listener.web", {"bind": "127.0.0.1:0"})
        cluster.write("cluster.toml", head + text)
        return cluster.start(cwd=folder, environment={"PYTHONDONTWRITEBYTECODE": "1"})

    def ask(self, cluster, *arguments, **options):
        answer = cluster.fetch(*arguments, **options)
        self.assertEqual(answer.status, 200, answer)
        return json.loads(answer.body)

    def pids_that_answer(self, cluster, listener="web"):
        found = set()

        def grew():
            found.update(answer["pid"] for answer in crowd(12, lambda _: self.ask(cluster, listener=listener)))
            return len(found) >= 2
        wait_until(grew, 20, "several processes answer")
        return found


@unittest.skipUnless(shutil.which("node"), "node is not installed")
class NodeCluster(ExampleCase):
    def check(self, cluster):
        found = self.pids_that_answer(cluster)
        self.assertLessEqual(found, set(cluster.pids()))
        self.assertEqual({answer["id"] for answer in crowd(60, lambda _: self.ask(cluster))}, {1, 2, 3, 4})
        cluster.await_log("worker 1 listens on port 8000")
        self.assertNotIn("is running", cluster.log())  # the primary's half

    def test_AProxy_StandsBeforeFourCopiesOnOnePort(self):
        cluster = self.run_example("node-cluster")
        self.check(cluster)
        self.assertEqual({worker["endpoint"].rsplit(":", 1)[1] for worker in cluster.workers()}, {"8000"})
        self.assertEqual(len({worker["endpoint"] for worker in cluster.workers()}), 4)

    def test_Handoff_AsTheCommentSays(self):
        cluster = self.run_example("node-cluster", (r"(?m)^# (\[listener\.web\]|bind =|pool =)", r"\1"), (r"(?m)^workers = 4$", 'workers = 4\ndispatch = "handoff"'))
        self.check(cluster)

    def test_AWordOfTheOperator_ArrivesAsProcessMessage(self):
        cluster = self.run_example("node-cluster")
        self.assertEqual(cluster.verb("send", "web.2", "greeting", '"hi"').returncode, 0)
        cluster.await_log(r'worker 2 was told \{.*"hi"')

    def test_Disconnect_IsALeaveAndNoDeath(self):
        cluster = self.run_example("node-cluster")
        left = self.ask(cluster, "GET", "/bye")
        wait_until(lambda: left["pid"] not in cluster.pids() and all(worker["eligible"] for worker in cluster.workers()), 20, "another has its place")
        self.assertEqual(len(crowd(20, lambda _: self.ask(cluster))), 20)


class SocketActivation(ExampleCase):
    @unittest.skipUnless(shutil.which("gunicorn"), "gunicorn is not installed")
    def test_GunicornAndAPythonServer_AcceptOnOneSocketEach(self):
        cluster = self.run_example("socket-activation")
        self.assertTrue(self.ask(cluster)["message"].startswith("Hello from gunicorn"))
        self.pids_that_answer(cluster)
        self.assertLessEqual(self.pids_that_answer(cluster, "plain"), set(cluster.pids("plain")))
        for pool, listener in (("web", "web"), ("plain", "plain")):
            with self.subTest(pool=pool):
                self.check_roll(cluster, pool, listener)

    def check_roll(self, cluster, pool, listener):
        """Each request on a connection of its own: it waits in the socket's queue while workers change."""
        over, failures = threading.Event(), []

        def client(_):
            while not over.is_set():
                try:
                    self.ask(cluster, listener=listener)
                except (OSError, AssertionError) as error:
                    failures.append(repr(error))
        threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(3)]
        for thread in threads:
            thread.start()
        old = set(cluster.pids(pool))
        rolled = cluster.verb("restart", pool)
        over.set()
        for thread in threads:
            thread.join(30)
        self.assertEqual((rolled.returncode, failures), (0, []), rolled.stdout + rolled.stderr)
        self.assertFalse(old & set(cluster.pids(pool)))
        self.ask(cluster, listener=listener)


class Chat(ExampleCase):
    def test_ALineIsHeardOnEveryWorker(self):
        cluster = self.run_example("chat")
        endpoints = [worker["endpoint"] for worker in cluster.workers()]
        waiting = cluster.fetch  # through the proxy: on some worker
        answers = []
        readers = [threading.Thread(target=lambda: answers.append(waiting("GET", "/wait")), daemon=True) for _ in range(6)]
        for reader in readers:
            reader.start()
        wait_until(lambda: sum(worker["in_flight"] for worker in cluster.workers()) == 6, 10, "six wait")
        said = self.ask(cluster, "POST", "/say", body="h\xe4llo".encode())
        self.assertEqual((said["number"], said["text"]), (1, "h\xe4llo"))
        for reader in readers:
            reader.join(20)
        self.assertEqual([json.loads(answer.body) for answer in answers], [said] * 6)
        crowd(30, lambda number: self.ask(cluster, "POST", "/say", body=str(number).encode()))
        for _ in endpoints:
            self.assertEqual([line["number"] for line in self.ask(cluster)["lines"]], list(range(1, 32)))
        for worker in (1, 2, 3):
            wait_until(lambda worker=worker: cluster.metric("drover_worker_reported", pool="chat", worker=str(worker), name="heard") == 31, 10,
                       "each has heard all")
            asked = cluster.verb("request", f"chat.{worker}", "count", "null", "--json")
            self.assertEqual(asked.returncode, 0, asked.stderr)
            self.assertIn("31", asked.stdout)


class Resilience(ExampleCase):
    def test_NoRequestFailsWhileTheDatabaseChanges(self):
        folder = tempfile.mkdtemp(prefix="drover-example-")
        self.addCleanup(shutil.rmtree, folder)
        database = os.path.join(folder, "shop.db")
        cluster = self.run_example("resilience", (r'DB = "shop\.db"', f'DB = "{database}"'))
        self.assertEqual(self.ask(cluster)["things"], [])
        over, failures, seen = threading.Event(), [], []

        def client(_):
            while not over.is_set():
                try:
                    seen.append(self.ask(cluster)["things"])
                except (OSError, AssertionError) as error:
                    failures.append(repr(error))
        threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(4)]
        for thread in threads:
            thread.start()
        path = os.pathsep.join([os.path.dirname(RELEASE), os.environ["PATH"]])
        migrated = subprocess.run(["sh", os.path.join(ROOT, "examples", "resilience", "migrate.sh"), database, "--socket", cluster.path("drover.sock")],
                                  capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PATH": path})
        wait_until(lambda: ["a new one"] in seen, 20, "clients see what the migration has made")
        over.set()
        for thread in threads:
            thread.join(30)
        self.assertEqual((migrated.returncode, failures), (0, []), migrated.stdout + migrated.stderr)
        self.assertIn("is held and nobody is inside", migrated.stdout)
        self.assertEqual([event["why"] for event in cluster.events("poolReleased")], ["operator"])


class Routing(ExampleCase):
    def test_EachRouteDoesWhatItsCommentSays(self):
        cluster = self.run_example("routing")
        page = cluster.fetch("GET", "/x")
        self.assertIn(json.loads(page.body)["pool"], ("shop", "canary"))
        self.assertEqual((page.get("Server"), page.get("X-Frame-Options")), (None, "DENY"))
        self.assertEqual(self.ask(cluster, "GET", "/x", headers=[("X-Canary", "1")])["pool"], "canary")
        self.assertEqual(self.ask(cluster, host="api.example.com", target="/users")["target"], "/users")
        asked = self.ask(cluster, "GET", "/api/users?n=1", headers=[("Cookie", "a=b")])
        self.assertEqual((asked["pool"], asked["target"]), ("api", "/users?n=1"))
        self.assertEqual((asked["headers"]["X-Forwarded-Prefix"], asked["headers"]["X-Source"]), ("/api", "web"))
        self.assertNotIn("Cookie", asked["headers"])
        moved = cluster.fetch("GET", "/old/page?n=1")
        self.assertEqual((moved.status, moved.get("Location")), (301, "/new/page?n=1"))
        self.assertEqual(cluster.fetch("GET", "/up").body, b"up\n")
        self.assertEqual(cluster.fetch("GET", "/api/../secret").status, 400)


if __name__ == "__main__":
    main()
