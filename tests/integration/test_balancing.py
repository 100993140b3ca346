"""Which worker gets a request: sticky sessions, consistent-hash, least-latency, with the real binary."""

import collections
import os
import re
import signal

from drover_case import HERE, DroverCase, main
from processes import wait_until

WORKER = os.path.join(HERE, "workers", "balancing_worker.py")
SECRET = "0123456789abcdef0123456789abcdef\n"


def pool(workers, **keys):
    return {"command": ["python3", WORKER], "workers": workers, "restart": {"delay": "200ms"}, **keys}


class BalancingCase(DroverCase):
    def get(self, cluster, path="/", *fields):
        """(slot, pid, answer)"""
        text = "".join(f"{field}\r\n" for field in fields)
        with cluster.connect() as client:
            client.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n{text}Connection: close\r\n\r\n")
            answer = client.response()
        self.assertIn(answer.status, (200, 503), answer)
        slot, pid = map(int, answer.body.split())
        return slot, pid, answer

    def slot(self, cluster, path="/", *fields):
        return self.get(cluster, path, *fields)[0]


class Sticky(BalancingCase):
    def start(self, workers=3, **keys):
        cluster = self.cluster()
        key_file = cluster.write("secret", SECRET)
        os.chmod(key_file, 0o600)
        sticky = {"cookie": "home", "key_file": key_file, "age": "90s"}
        return cluster.configure({"shop": pool(workers, sticky=sticky, **keys)}).start()

    def cookie(self, cluster, path="/"):
        """A new client's: (slot, "home=…")"""
        slot, _, answer = self.get(cluster, path)
        found = answer.all("Set-Cookie")
        self.assertEqual(len(found), 1, answer)
        return slot, found[0].split(";")[0]

    def test_AClientComesBackToItsWorker_AndOthersGoOn(self):
        cluster = self.start()
        slot, _, answer = self.get(cluster)
        [text] = answer.all("Set-Cookie")
        self.assertRegex(text, rf"^home={slot}\.[0-9a-f]{{16}}\.[0-9a-f]{{32}}; Path=/; HttpOnly; SameSite=Lax; Max-Age=90$")
        self.assertEqual(answer.get("Cache-Control"), "private", "no shared cache may hand this session to others")
        cookie = text.split(";")[0]
        for _ in range(12):
            back, _, answer = self.get(cluster, "/", f"Cookie: a=b; {cookie}; c=d")
            self.assertEqual(back, slot)
            self.assertEqual(answer.all("Set-Cookie"), [], "a valid one stays as it is")
            self.assertIsNone(answer.get("Cache-Control"))
        self.assertEqual(self.slot(cluster, "/", "Cookie: a=b", f"Cookie: {cookie}"), slot, "in a second field, too")
        self.assertEqual({self.cookie(cluster)[0] for _ in range(6)}, {1, 2, 3}, "new clients by the strategy")

    def test_AnAnswerForEverybodyGetsNoCookie(self):
        cluster = self.start()
        answer = self.get(cluster, "/public")[2]
        self.assertEqual((answer.all("Set-Cookie"), answer.all("Cache-Control")), ([], ["max-age=60, public"]))
        answer = self.get(cluster, "/private")[2]
        self.assertEqual((len(answer.all("Set-Cookie")), answer.all("Cache-Control")), (1, ["private"]))
        answer = self.get(cluster, "/max-age")[2]
        self.assertEqual((len(answer.all("Set-Cookie")), answer.all("Cache-Control")), (1, ["max-age=60", "private"]))

    def test_AnAlteredCookieChoosesNoWorker_AndIsReplaced(self):
        cluster = self.start()
        slot, cookie = self.cookie(cluster)
        other = slot % 3 + 1
        forged = re.sub(r"^home=\d+", f"home={other}", cookie)
        for bad in (forged, cookie[:-1] + ("0" if cookie[-1] != "0" else "1"), "home=", f"home={other}", "home=" + "9" * 4000):
            seen = set()
            for _ in range(4):
                back, _, answer = self.get(cluster, "/", f"Cookie: {bad}")
                seen.add(back)
                self.assertEqual(len(answer.all("Set-Cookie")), 1, bad[:80])
            self.assertEqual(seen, {1, 2, 3}, f"{bad[:80]}: as if there were none")

    def test_WhileItsWorkerIsAwayAnotherServes_AndTheNextLifeHasItsClientsBack(self):
        cluster = self.start(restart={"delay": "3s"})
        slot, cookie = self.cookie(cluster)
        old = self.get(cluster, "/", f"Cookie: {cookie}")[1]
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: next(w for w in cluster.workers() if w["slot"] == slot)["pid"] != old, 10, "its death is known")
        away, _, answer = self.get(cluster, "/", f"Cookie: {cookie}")
        self.assertEqual(answer.all("Set-Cookie"), [], "it goes back as soon as it can")
        if away != slot:  # a slow machine may have its next life already
            for _ in range(3):
                self.assertIn(self.slot(cluster, "/", f"Cookie: {cookie}"), (away, slot), "the same other one each time")
        wait_until(lambda: next(w for w in cluster.workers() if w["slot"] == slot)["eligible"], 30, "the slot's next life is ready")
        back, pid, answer = self.get(cluster, "/", f"Cookie: {cookie}")
        self.assertEqual((back, answer.all("Set-Cookie")), (slot, []))
        self.assertNotEqual(pid, old)

    def test_ARollingRestartLeavesEachClientItsSlot(self):
        cluster = self.start()
        cookies = dict(self.cookie(cluster) for _ in range(3))
        self.assertEqual(set(cookies), {1, 2, 3})
        before = set(cluster.pids())
        done = cluster.verb("restart", "shop")
        self.assertEqual(done.returncode, 0, done.stderr)
        for slot, cookie in cookies.items():
            back, pid, answer = self.get(cluster, "/", f"Cookie: {cookie}")
            self.assertEqual((back, answer.all("Set-Cookie")), (slot, []))
            self.assertNotIn(pid, before)

    def test_WithoutAKeyFile_ItsSecretOutlivesTheProxy(self):
        cluster = self.cluster().configure({"shop": pool(3, sticky={"cookie": "home", "secure": True})}).start()
        slot, _, answer = self.get(cluster)
        self.assertTrue(answer.get("Set-Cookie").endswith("; Secure"), answer)
        cookie = answer.get("Set-Cookie").split(";")[0]
        old = cluster.proxy_pid()
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: cluster.admin("/readyz").status == 200 and cluster.proxy_pid() != old, 30, "another proxy is ready")
        for _ in range(4):
            back, _, answer = self.get(cluster, "/", f"Cookie: {cookie}")
            self.assertEqual((back, answer.all("Set-Cookie")), (slot, []))

    def test_AMissingOrShortSecretEndsTheStart(self):
        for text, why in ((None, "No such file"), ("tooshort\n", "at least 16|fewer than 16")):
            cluster = self.cluster()
            path = cluster.path("secret")
            if text is not None:
                os.chmod(cluster.write("secret", text), 0o600)
            cluster.configure({"shop": pool(1, sticky={"cookie": "home", "key_file": path})})
            with self.assertRaises(AssertionError):
                cluster.start()
            self.assertNotEqual(cluster.wait(), 0)
            self.assertRegex(cluster.log(), why)
            self.assertNotIn("tooshort", cluster.log(), "no word of the secret")


class ConsistentHash(BalancingCase):
    def start(self, workers=4, **by):
        # One thread gives a worker back before it reads the next request: to two, a request could overtake the end of the one before it.
        return self.cluster().configure({"shop": pool(workers, strategy="consistent-hash", hash=by)}, proxy={"threads": 1}).start()

    def homes(self, cluster, requests, times=3):
        """{request: its slot}: each request must have one."""
        homes = {}
        for request in requests * times:
            slot = self.slot(cluster, *request)
            self.assertEqual(homes.setdefault(request, slot), slot, request)
        return homes

    def test_ByHeader_OneValueOneSlot_OverARestartToo(self):
        cluster = self.start(by="header", name="X-Tenant")
        requests = [("/", f"x-tenant: {number}") for number in range(20)]
        before = self.homes(cluster, requests)
        self.assertGreater(len(set(before.values())), 2, "they are spread")
        self.homes(cluster, [("/",)], 8)  # without the field: all of one address
        done = cluster.verb("restart", "shop")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.homes(cluster, requests, 1), before)

    def test_ByPath_TheQueryIsNoPartOfIt(self):
        cluster = self.start(by="path")
        paths = self.homes(cluster, [(f"/item/{number}",) for number in range(20)], 2)
        self.assertGreater(len(set(paths.values())), 2)
        for (path,), slot in paths.items():
            self.assertEqual(self.slot(cluster, f"{path}?any=thing"), slot)

    def test_ByCookie_ItsValueAlone(self):
        cluster = self.start(by="cookie", name="session")
        homes = self.homes(cluster, [("/", f"Cookie: session={number}") for number in range(20)], 2)
        self.assertGreater(len(set(homes.values())), 2)
        for (path, field), slot in homes.items():
            self.assertEqual(self.slot(cluster, path, field.replace("Cookie: ", "Cookie: other=1; ")), slot)

    def test_ByAddress_OneClientOneSlot(self):
        cluster = self.start(by="address")
        self.homes(cluster, [("/",)], 12)


class LeastLatency(BalancingCase):
    # Nothing but the strategy: no ejection, no breaker.
    QUIET = {"outlier": {"errors": 0, "ratio": "0%"}}

    def counts(self, way, requests):
        environment = {"TEST_ODD": "3", "TEST_ODD_WAY": way}
        cluster = self.cluster().configure({"shop": pool(3, strategy="least-latency", env=environment, **self.QUIET)}).start()
        return collections.Counter(self.slot(cluster) for _ in range(requests))

    def test_ASlowWorkerIsAskedOnceInAWhile(self):
        counts = self.counts("slow", 60)  # how the others share the rest hangs on their first answers
        self.assertTrue(1 <= counts[3] <= 6, counts)

    def test_AWorkerThatFailsFastDoesNotLookFast(self):
        counts = self.counts("503", 60)
        self.assertLessEqual(counts[3], 6, counts)


if __name__ == "__main__":
    main()
