"""kill -9 and SIGSTOP of each of drover's processes: workers and sockets outlive the proxy, nothing outlives the supervisor."""

import json
import os
import signal
import threading
import time

from drover_case import RELEASE, DroverCase, main
from processes import alive, describe, state, wait_until
from raw_http import Connection, Truncated, request

# Leaves behind a process that ran setsid and forked twice, then becomes the worker.
ESCAPEE = ("import os, runpy, sys, time\n"
           "if os.fork() == 0:\n"
           "    os.setsid()\n"
           "    if os.fork() == 0:\n"
           "        open(sys.argv[1] + '.new', 'w').write(str(os.getpid()))\n"
           "        os.rename(sys.argv[1] + '.new', sys.argv[1])\n"
           "        time.sleep(1000)\n"
           "    os._exit(0)\n"
           "os.wait()\n"
           "del sys.argv[1]\n"
           "sys.argv = sys.argv[1:]\n"
           "runpy.run_path(sys.argv[0], run_name='__main__')\n")


class ProcessCase(DroverCase):
    def start(self, binary=None, **keys):
        cluster = self.cluster(binary)
        self.recorder = cluster.recorder()
        cluster.configure({"shop": {"command": self.recorder.command(), "workers": 2, **keys}}).start()
        return cluster

    def replaced(self, cluster, old, seconds=15):
        def other():
            proxies = cluster.status()["proxies"]
            return proxies and proxies[-1]["pid"] not in (0, old) and all(proxy["pid"] != old for proxy in proxies)
        wait_until(other, seconds, f"another proxy than {old}")
        return cluster.proxy_pid()


class Asking:
    """Connects, asks once and closes, again and again: each attempt with its begin, its end and what came of it."""

    def __init__(self, port):
        self.port, self.attempts, self.ending = port, [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ending.is_set():
            began, outcome = time.monotonic(), None
            try:
                with Connection(self.port, timeout=20) as connection:
                    outcome = connection.exchange(request(close=True)).status
            except ConnectionRefusedError:
                outcome = "refused"
            except (Truncated, OSError) as error:
                outcome = repr(error)
            self.attempts.append((began, time.monotonic(), outcome))

    def stop(self):
        self.ending.set()
        self.thread.join(30)
        return self.attempts


class Proxy(ProcessCase):
    def test_ProxyKilled_WorkersStayAndEveryLaterConnectionIsAnswered(self):
        cluster = self.start(RELEASE)
        workers, old = cluster.pids(), cluster.proxy_pid()
        clients = [Asking(cluster.port()) for _ in range(4)]
        wait_until(lambda: all(len(client.attempts) > 20 for client in clients), 20, "requests are served")
        os.kill(old, signal.SIGKILL)
        killed = time.monotonic()
        new = self.replaced(cluster, old)
        wait_until(lambda: all([a for a in client.attempts if a[0] > killed + 0.001 and a[2] == 200] for client in clients), 15,
                   "the next proxy serves everybody")
        attempts = [attempt for client in clients for attempt in client.stop()]
        self.assertNotIn("refused", [outcome for _, _, outcome in attempts])
        later = [attempt for attempt in attempts if attempt[0] > killed]
        self.assertEqual([outcome for _, _, outcome in later if outcome != 200], [])
        outage = min(ended for _, ended, outcome in later if outcome == 200) - killed
        print(f"\nproxy {old} killed, {new} serves: first answer after {outage * 1000:.0f} ms; {len(later)} connections later, none lost; "
              f"{len([a for a in attempts if a[0] <= killed and a[2] != 200])} in flight were cut")
        self.assertLess(outage, 1.0)
        self.assertEqual(cluster.pids(), workers)
        self.assertTrue(all(map(alive, workers)))
        self.assertEqual(cluster.metric("drover_claims_after_close_total"), 0)
        self.assertEqual(cluster.metric("drover_in_flight", pool="shop"), 0)

    def test_ConnectionsInTheAcceptQueue_AreAnsweredByTheNextProxy(self):
        cluster = self.start()
        old = cluster.proxy_pid()
        os.kill(old, signal.SIGSTOP)
        wait_until(lambda: state(old) == "T", 5, "the proxy is stopped")
        waiting = [cluster.connect() for _ in range(50)]
        for number, connection in enumerate(waiting):
            connection.send(request(target=f"/{number}"))
        os.kill(old, signal.SIGKILL)
        for number, connection in enumerate(waiting):
            self.assertEqual(json.loads(connection.response().body)["target"], f"/{number}")
            connection.close()

    def test_Counters_DoNotFallWhenTheProxyDies(self):
        cluster = self.start()
        for _ in range(25):
            self.assertEqual(cluster.fetch().status, 200)
        names = ("drover_requests_total", "drover_request_duration_seconds_count", "drover_worker_requests_total")
        wait_until(lambda: all(cluster.metric(name, pool="shop") == 25 for name in names), 5, "25 requests are counted")
        old = cluster.proxy_pid()
        for _ in range(2):
            os.kill(old, signal.SIGKILL)
            old = self.replaced(cluster, old)
            self.assertEqual([cluster.metric(name, pool="shop") for name in names], [25, 25, 25])
        self.assertEqual(cluster.fetch().status, 200)
        wait_until(lambda: [cluster.metric(name, pool="shop") for name in names] == [26, 26, 26], 5, "counting goes on")
        self.assertEqual(cluster.status()["totals"]["requests"], 26)

    def test_StoppedProxy_IsReplaced(self):
        cluster = self.start()
        workers, old = cluster.pids(), cluster.proxy_pid()
        os.kill(old, signal.SIGSTOP)
        self.replaced(cluster, old)
        self.assertEqual(cluster.fetch().status, 200)
        self.assertEqual(cluster.pids(), workers)
        self.assertFalse(alive(old))

    def test_ProxyKilledAgainAndAgain_ComesBack(self):
        cluster = self.start()
        for _ in range(5):
            old = cluster.proxy_pid()
            os.kill(old, signal.SIGKILL)
            self.replaced(cluster, old)
        self.assertEqual(cluster.fetch().status, 200)

    def test_RequestHeldAtAWorker_DoesNotKeepItsSlotAfterTheProxysDeath(self):
        cluster = self.start(concurrency=1, workers=1)
        self.recorder.on("/held", ["body"], ["mark", "held-arrived"], ["await_end", "held-cut"])
        with cluster.connect() as connection:
            connection.send(request(target="/held"))
            self.recorder.await_mark("held-arrived")
            old = cluster.proxy_pid()
            os.kill(old, signal.SIGKILL)
            self.recorder.await_mark("held-cut")
            self.replaced(cluster, old)
        self.assertEqual(cluster.fetch().status, 200)


class Supervisor(ProcessCase):
    def escape(self):
        cluster = self.cluster()
        recorder = cluster.recorder()
        escaped = cluster.path("escaped")
        cluster.configure({"shop": {"command": ["python3", "-c", ESCAPEE, escaped, recorder.command()[1], recorder.folder], "workers": 1}}).start()
        with open(escaped, encoding="ascii") as file:
            self.assertTrue(alive(int(file.read())))
        return cluster

    def nothing_left(self, cluster):
        began = time.monotonic()
        wait_until(lambda: not cluster.leftovers(), 2, f"nothing is left: {describe(cluster.leftovers())}")
        print(f"\nnothing left after {(time.monotonic() - began) * 1000:.0f} ms")
        cluster.wait(5)

    def test_SupervisorKilled_NothingIsLeft(self):
        cluster = self.escape()
        self.assertGreaterEqual(len(cluster.leftovers()), 5)
        os.kill(cluster.supervisor_pid(), signal.SIGKILL)
        self.nothing_left(cluster)
        self.assertEqual(cluster.process.returncode, 1)

    def test_InitKilled_NothingIsLeft(self):
        cluster = self.escape()
        self.assertGreaterEqual(len(cluster.leftovers()), 5)
        os.kill(cluster.process.pid, signal.SIGKILL)
        self.nothing_left(cluster)

    def test_StopOfAWorkerWithAnEscapee_LeavesNothing(self):
        cluster = self.escape()
        cluster.signal(signal.SIGTERM)
        self.assertEqual(cluster.wait(), 0)
        self.assertEqual(cluster.leftovers(), [])

    def test_DeathOfAWorkerWithAnEscapee_EndsTheEscapeeToo(self):
        cluster = self.escape()
        with open(cluster.path("escaped"), encoding="ascii") as file:
            escaped = int(file.read())
        os.kill(cluster.pids()[0], signal.SIGKILL)
        wait_until(lambda: not alive(escaped), 15, "the escapee ended with its worker")

    def test_StoppedSupervisor_LeavesTheProxyForwarding(self):
        cluster = self.start()
        supervisor, proxy, workers = cluster.supervisor_pid(), cluster.proxy_pid(), cluster.pids()
        os.kill(supervisor, signal.SIGSTOP)
        try:
            wait_until(lambda: state(supervisor) == "T", 5, "the supervisor is stopped")
            began = time.monotonic()
            while time.monotonic() - began < 4:  # longer than a silent proxy thread is given
                self.assertEqual(cluster.fetch().status, 200)
        finally:
            os.kill(supervisor, signal.SIGCONT)
        self.assertEqual((cluster.proxy_pid(), cluster.pids()), (proxy, workers), "the supervisor's own absence was taken for somebody else's")

    def test_SignalsNotServedYet_AreLoggedAndNeverFatal(self):
        cluster = self.start()
        for name in ("HUP", "USR1", "USR2"):
            with self.subTest(name):
                had = cluster.log().count(name)
                cluster.signal(getattr(signal, "SIG" + name))
                wait_until(lambda: cluster.log().count(name) > had, 10, f"{name} is in the log")
                self.assertEqual(cluster.fetch().status, 200)
        self.assertIsNone(cluster.process.poll())

    def test_TtinAndTtou_OneWorkerMoreAndFewer(self):
        cluster = self.start()
        count = len(cluster.workers())
        cluster.signal(signal.SIGTTIN)
        wait_until(lambda: [worker["eligible"] for worker in cluster.workers()] == [True] * (count + 1), 15, "one worker more serves")
        cluster.signal(signal.SIGTTOU)
        wait_until(lambda: len(cluster.workers()) == count, 15, "it has gone again")
        self.assertEqual(cluster.fetch().status, 200)

    def test_Init_IsTheDocumentedPidAndTheSupervisorItsChild(self):
        cluster = self.start()
        status = cluster.status()
        self.assertEqual(status["pid"], cluster.process.pid)
        with open(f"/proc/{status['supervisor']}/stat", encoding="ascii") as file:
            self.assertEqual(int(file.read().rsplit(")", 1)[1].split()[1]), status["pid"])

    def test_Proxy_OpensNoFileAndRunsUnprivileged(self):
        cluster = self.start()
        proxy = cluster.proxy_pid()
        for descriptor in os.listdir(f"/proc/{proxy}/fd"):
            target = os.readlink(f"/proc/{proxy}/fd/{descriptor}")
            self.assertNotIn("cluster.toml", target)
            self.assertNotIn(cluster.folder, target)
        if os.geteuid() == 0:
            with open(f"/proc/{proxy}/status", encoding="ascii") as file:
                lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            self.assertNotIn("0", lines["Uid"].split())
            self.assertEqual(int(lines["CapEff"], 16), 0)


class Workers(ProcessCase):
    def test_StoppedWorker_GetsNoNewWork(self):
        cluster = self.start()
        stopped = cluster.workers()[0]
        os.kill(stopped["pid"], signal.SIGSTOP)
        wait_until(lambda: not cluster.workers()[0]["eligible"], 10, "the stopped worker is not eligible")
        for _ in range(20):
            began = time.monotonic()
            answer = cluster.fetch()
            self.assertEqual(json.loads(answer.body)["worker"], "2")
            self.assertLess(time.monotonic() - began, 5)
        os.kill(stopped["pid"], signal.SIGCONT)
        wait_until(lambda: cluster.workers()[0]["eligible"], 10, "it is eligible again")
        self.assertEqual({json.loads(cluster.fetch().body)["worker"] for _ in range(6)}, {"1", "2"})

    def test_KilledWorker_IsReplacedInItsSlot(self):
        cluster = self.start(restart={"delay": "50ms"})
        before = cluster.workers()
        os.kill(before[0]["pid"], signal.SIGKILL)

        def again():
            now = cluster.workers()
            return now if now[0]["lifecycle"] == "running" and now[0]["pid"] != before[0]["pid"] else None
        after = wait_until(again, 15, "shop.1 runs again")
        self.assertEqual((after[0]["slot"], after[0]["restarts"]), (1, 1))
        self.assertGreater(after[0]["incarnation"], before[0]["incarnation"])
        self.assertEqual((after[1]["pid"], after[1]["restarts"]), (before[1]["pid"], 0))


if __name__ == "__main__":
    main()
