"""The harness: a cluster.toml in a folder of its own, the real drover binary in a session of its own, and a teardown that
accepts no leftovers. DROVER names the binary under test, DROVER_RELEASE the one for tests of memory, time and real servers."""

import http.client
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
import unittest
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import processes  # noqa: E402
import raw_http  # noqa: E402
from processes import wait_until  # noqa: E402
from recorder import Recorder  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DROVER = os.environ.get("DROVER", os.path.join(ROOT, "build", "release", "drover"))
RELEASE = os.environ.get("DROVER_RELEASE", os.path.join(ROOT, "build", "release", "drover"))
READY_SECONDS = 30
STOP_SECONDS = 40

# The one place that knows how drover tells where it listens: "admin   http://127.0.0.1:9" or "listener web listens on 127.0.0.1:9".
PLACES = re.compile(r"\b(admin|listener\s+(?P<name>[a-z0-9_-]+))\b[^\n]*?127\.0\.0\.1:(?P<port>\d+)")
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|terminate called|assertion .*failed", re.I)


def toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    return "[" + ", ".join(toml(item) for item in value) + "]"


def table(name, keys):
    return f"[{name}]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in keys.items()) + "\n"


def write_config(pool, listener=None, route=(), **tables):
    """cluster.toml from dictionaries: pool={"shop": {...}}, listener={"web": {...}}, route=[{...}], cluster={...}, proxy={...} …"""
    text = "".join(table(name, keys) for name, keys in tables.items())
    text += "".join(table(f"listener.{name}", keys) for name, keys in (listener or {}).items())
    text += "".join(table(f"pool.{name}", keys) for name, keys in pool.items())
    return text + "".join("[" + table("route", keys).replace("]\n", "]]\n", 1) for keys in route)


def some_ports(count=60):
    first = random.randrange(20000, 30000 - count)
    return f"{first}-{first + count - 1}"


class Cluster:
    """One running drover. Its folder holds the configuration, its output and whatever the test's workers write."""

    def __init__(self, binary=None):
        self.binary = binary or DROVER
        self.folder = tempfile.mkdtemp(prefix="drover-test-")
        os.chmod(self.folder, 0o755)
        self.marker = f"DROVER_TEST_RUN={uuid.uuid4().hex}"
        self.process = None
        self.config_path = os.path.join(self.folder, "cluster.toml")

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return self.path(name)

    def recorder(self, name="record"):
        return Recorder(self.path(name))

    def configure(self, pool, listener=None, **tables):
        """Fills in what every test needs: ports of its own, any free port for listeners and admin."""
        tables["cluster"] = {"ports": some_ports(), **tables.get("cluster", {})}
        tables["admin"] = {"listen": "127.0.0.1:0", "socket": self.path("drover.sock"), **tables.get("admin", {})}
        listeners = {name: {"bind": "127.0.0.1:0", **keys} for name, keys in (listener or {"web": {}}).items()}
        tables.setdefault("proxy", {"threads": 2})
        self.write("cluster.toml", write_config(pool, listeners, **tables))
        return self

    def start(self, ready=True, arguments=None, environment=None, cwd=None):
        name, value = self.marker.split("=")
        environment = {**os.environ, name: value, **(environment or {})}
        with open(self.path("stdout"), "wb") as out, open(self.path("stderr"), "wb") as err:
            self.process = subprocess.Popen([self.binary, *(arguments or ["run", self.config_path])], stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=err, env=environment, cwd=cwd or self.folder, start_new_session=True)
        self.await_admin()
        if ready:
            self.await_ready()
            wait_until(lambda: all(worker["eligible"] for worker in self.workers()), READY_SECONDS, "every worker is eligible")
        return self

    def log(self):
        return (processes.read(self.path("stdout")) + processes.read(self.path("stderr"))).decode(errors="replace")

    def await_log(self, pattern, seconds=10):
        return wait_until(lambda: re.search(pattern, self.log()), seconds, f"/{pattern}/ in drover's output")

    def places(self):
        return {match["name"] or "admin": int(match["port"]) for match in PLACES.finditer(self.log())}

    def ended(self):
        return self.process.poll() is not None

    def await_admin(self):
        def found():
            if self.ended():
                raise AssertionError(f"drover ended with {self.process.returncode} while it started")
            return "admin" in self.places()
        wait_until(found, READY_SECONDS, "drover says where its admin listens")
        self.admin_port = self.places()["admin"]

    def await_ready(self, seconds=READY_SECONDS):
        def ready():
            if self.ended():
                raise AssertionError(f"drover ended with {self.process.returncode} before it was ready")
            return self.admin("/readyz").status == 200
        wait_until(ready, seconds, "/readyz says 200")

    def port(self, listener="web"):
        return self.places()[listener]

    def admin(self, path, method="GET", headers=None):
        """An answer of the admin side with .status, .headers and .text; status 0 when there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            answer.text = answer.read().decode()
            return answer
        except (OSError, http.client.HTTPException):
            return types.SimpleNamespace(status=0, text="", headers={})
        finally:
            connection.close()

    def status(self):
        answer = self.admin("/status")
        assert answer.status == 200, f"/status says {answer.status}"
        return json.loads(answer.text)

    def metrics(self):
        """{(name, ((label, value), …)): number}"""
        answer = self.admin("/metrics")
        assert answer.status == 200, f"/metrics says {answer.status}"
        return parse_metrics(answer.text)

    def metric(self, name, /, **labels):
        """The sum over every sample of that name whose labels include these; None when there is no such sample."""
        values = [value for (sample, have), value in self.metrics().items() if sample == name and labels.items() <= dict(have).items()]
        return sum(values) if values else None

    def verb(self, *words, timeout=60):
        """A verb of the command line on this cluster: .returncode, .stdout, .stderr."""
        return subprocess.run([self.binary, *words, "--socket", self.path("drover.sock")], capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL, cwd=self.folder, check=False)

    def ask(self, *words):
        """What a verb says with --json."""
        done = self.verb(*words, "--json")
        assert done.returncode == 0, f"drover {' '.join(words)}: exit {done.returncode}: {done.stderr}"
        return json.loads(done.stdout)

    def events(self, name=None, **members):
        """All events so far, or those of that name that have these members."""
        lines = [json.loads(line) for line in self.verb("events").stdout.splitlines()]
        return [event for event in lines if name in (None, event["event"]) and members.items() <= event.items()]

    def await_event(self, name, seconds=15, **members):
        return wait_until(lambda: next(iter(self.events(name, **members)), None), seconds, f"event {name} {members}")

    def workers(self, pool=None):
        return [worker for each in self.status()["pools"] if pool in (None, each["name"]) for worker in each["workers"]]

    def pids(self, pool=None):
        return [worker["pid"] for worker in self.workers(pool) if worker["pid"]]

    def proxy_pid(self):
        return self.status()["proxies"][0]["pid"]

    def supervisor_pid(self):
        return self.status()["supervisor"]

    def connect(self, listener="web", **options):
        return raw_http.Connection(self.port(listener), **options)

    def fetch(self, *arguments, listener="web", **options):
        return raw_http.fetch(self.port(listener), *arguments, **options)

    def leftovers(self):
        return processes.marked(self.marker)

    def signal(self, number):
        """To the documented pid: init's, the process that was started."""
        os.kill(self.process.pid, number)

    def wait(self, seconds=STOP_SECONDS):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"drover did not end within {seconds} s") from None

    def stop(self, expect=0):
        """TERM, the exit code, no sanitizer's word and nothing left behind; safe to call when it has ended already."""
        if self.process is None:
            return
        running = not self.ended()
        if running:
            self.signal(signal.SIGTERM)
            code = self.wait()
        left = self.leftovers()
        word = SANITIZER.search(self.log())
        self.process = None
        assert not left, f"left behind: {processes.describe(left)}"
        assert not word, f"drover's output has: {self.log()[word.start():word.start() + 2000]}"
        assert not running or code == expect, f"drover ended with {code}, not {expect}"

    def destroy(self, keep_output):
        """Last resort and tidying: kills what the run left, shows drover's output when the test failed."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        deadline = time.monotonic() + 5
        while (left := self.leftovers()) and time.monotonic() < deadline:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if keep_output:
            log = self.log()
            print(f"\n--- {self.config_path}\n{processes.read(self.config_path).decode(errors='replace')}"
                  f"--- drover's output (last 12 KiB of {len(log)})\n{log[-12288:]}\n---", file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)


def parse_metrics(text):
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?", line)
        if match and not line.startswith("#"):
            labels = tuple(sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or "")))
            found[match[1], labels] = float(match[3])
    return found


def http_cluster(binary=None):
    """For tests that only speak HTTP: TARGET=haproxy puts HAProxy in drover's place, to judge the tests themselves."""
    if os.environ.get("TARGET") == "haproxy":
        from haproxy_target import HaproxyCluster
        return HaproxyCluster(binary)
    return Cluster(binary)


class DroverCase(unittest.TestCase):
    """A test with clusters that are stopped, checked and removed after it, and shown when it failed."""

    maxDiff = None

    def run(self, result=None):
        self.clusters = []
        before = len(result.failures) + len(result.errors)
        try:
            return super().run(result)
        finally:
            failed = len(result.failures) + len(result.errors) > before
            for cluster in self.clusters:
                cluster.destroy(keep_output=failed)
            shared = getattr(type(self), "shared", None)
            if failed and shared is not None:
                print(f"\n--- drover's output (shared, last 8 KiB)\n{shared.log()[-8192:]}\n---", file=sys.stderr)

    def cluster(self, binary=None):
        """A new cluster, not yet configured; stopped with exit 0 expected unless the test stops it otherwise."""
        cluster = Cluster(binary)
        self.clusters.append(cluster)
        self.addCleanup(cluster.stop)
        return cluster

    @classmethod
    def share(cls, cluster):
        """A cluster for all tests of a class; call from setUpClass."""
        cls.shared = cluster
        cls.addClassCleanup(cluster.destroy, keep_output=False)
        cls.addClassCleanup(cluster.stop)
        return cluster


def main():
    unittest.main(verbosity=2)
