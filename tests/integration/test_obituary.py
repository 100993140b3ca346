"""Why did it die: the record of each death, and requests that kill."""

import os
import signal

from drover_case import main
from processes import wait_until
from raw_http import Truncated
from trouble_case import TroubleCase


class Obituaries(TroubleCase):
    def death(self, cluster, slot):
        wait_until(lambda: cluster.ask("why", f"shop.{slot}")["deaths"], 10, "its death is known")
        return cluster.ask("why", f"shop.{slot}")["deaths"][0]

    def test_Signal_WithRequestsInsideAndLastLines(self):
        cluster = self.trouble(workers=1, restart={"max": 0, "delay": "1s"})
        slow = self.background(cluster, "POST", "/slow?20&secret=1", body=b"x")
        wait_until(lambda: cluster.workers()[0]["in_flight"] == 1, 10, "it is inside")
        self.assertEqual(cluster.fetch("POST", "/die?SEGV", body=b"x").status, 502)
        self.assertEqual(slow.result().status, 502)
        death = self.death(cluster, 1)
        self.assertIn("SEGV", death["exit"])
        self.assertEqual((death["pool"], death["slot"], death["incarnation"]), ("shop", 1, 1))
        self.assertEqual(sorted((request["method"], request["path"]) for request in death["in_flight"]), [("POST", "/die"), ("POST", "/slow")])
        self.assertGreater(len(death["memory"]), 0)
        event = cluster.await_event("workerExit", slot=1)
        self.assertEqual(event["signal"], "SEGV")
        text = cluster.verb("why", "shop.1").stdout
        for words in ("SEGV", "/die", "/slow"):
            self.assertIn(words, text)
        self.assertNotIn("secret", text + cluster.log())

    def test_ExitCode_WithLastWords(self):
        cluster = self.trouble(workers=1)
        self.assertEqual(cluster.fetch("POST", "/exit?3", body=b"x").status, 502)
        death = self.death(cluster, 1)
        self.assertIn("3", death["exit"])
        self.assertIn("last words: asked to end", death["last_lines"])
        cluster.await_log(r"shop\.1\b.*ended unasked with .*3.*/exit.*last words")

    def test_NeverReady_IsCountedApart(self):
        cluster = self.trouble(workers=1, wait=False, env={"TROUBLE_BROKEN": "/"}, restart={"max": 0, "delay": "50ms", "max_delay": "50ms"})
        wait_until(lambda: len(cluster.ask("why", "shop.1")["deaths"]) >= 3, 30, "three deaths")
        death = self.death(cluster, 1)
        self.assertFalse(death["was_ready"])
        self.assertGreaterEqual(death["never_ready_in_row"], 3)
        self.assertIn("no database here", death["last_lines"])


class QueryOfDeath(TroubleCase):
    def ask(self, cluster, path, method="POST"):
        try:
            return cluster.fetch(method, path, **({"body": b"x"} if method == "POST" else {})).status
        except (OSError, Truncated):
            return 0

    def test_RareKiller_IsCaughtOnItsThirdDeath(self):
        cluster = self.trouble(workers=3, restart={"max": 0, "delay": "50ms", "max_delay": "50ms"})
        for number in range(300):
            self.ask(cluster, f"/?{number}", "GET")
        for death in range(3):
            wait_until(lambda: all(worker["eligible"] for worker in cluster.workers()), 20, "all serve")
            self.assertEqual(self.ask(cluster, "/die?SEGV"), 502)
            wait_until(lambda: cluster.status()["totals"]["died"] == death + 1, 10, "the death is counted")
        event = cluster.await_event("killerFound")
        self.assertEqual((event["method"], event["path"], event["deaths"]), ("POST", "/die", 3))
        for _ in range(5):
            self.assertEqual(self.ask(cluster, "/die?SEGV"), 503)
        self.assertEqual(cluster.status()["totals"]["died"], 3, "it reaches nobody any more")
        self.assertEqual(self.ask(cluster, "/", "GET"), 200)
        self.assertEqual(cluster.metric("drover_requests_blocked_total", pool="shop"), 5)
        self.assertEqual(cluster.status()["pools"][0]["blocked"][0]["path"], "/die")

    def test_KillingGet_IsCaughtWithinOneRequestsTries(self):
        cluster = self.trouble(workers=4, restart={"max": 0, "delay": "50ms", "max_delay": "50ms"})
        for number in range(300):
            self.ask(cluster, f"/?{number}", "GET")
        self.assertIn(self.ask(cluster, "/die?ABRT", "GET"), (502, 503))
        wait_until(lambda: cluster.events("killerFound"), 10, "it is found")
        self.assertLessEqual(cluster.status()["totals"]["died"], 3)

    def test_HotPath_SurvivesSixtyKills(self):
        cluster = self.trouble(workers=4, restart={"max": 0, "delay": "50ms", "max_delay": "50ms"})
        kills = 0
        while kills < 60:
            askers = [self.background(cluster, "GET", "/slow?0.05") for _ in range(8)]
            wait_until(lambda: any(worker["in_flight"] for worker in cluster.workers()), 10, "some are inside")
            busy = next((worker for worker in cluster.workers() if worker["in_flight"] and worker["pid"]), None)
            if busy:
                number = signal.SIGSEGV if kills % 2 else signal.SIGKILL
                try:
                    os.kill(busy["pid"], number)
                    kills += 1
                except ProcessLookupError:
                    pass
            for asker in askers:
                self.assertEqual(asker.result().status, 200)
            wait_until(lambda: all(worker["eligible"] for worker in cluster.workers()), 20, "all serve")
        self.assertEqual(cluster.events("killerFound"), [])


if __name__ == "__main__":
    main()
