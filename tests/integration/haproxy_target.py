"""TARGET=haproxy: HAProxy in drover's place, to see that the raw HTTP tests judge the proxy and not themselves.
One pool, one worker, one listener; nothing of supervision, admin or metrics."""

import os
import socket
import subprocess
import sys
import tomllib

from drover_case import Cluster
from processes import wait_until

FILE = """
defaults
  mode http
  timeout connect {connect}
  timeout client {body}
  timeout server {response}
  timeout http-request {head}
  timeout tunnel 10s
  option forwardfor
  option http-no-delay
frontend web
  bind 127.0.0.1:{port}
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Request-ID %[uuid()]
  http-request set-header X-Request-Start t=%[date(0,ms)]
  http-request set-header Via 1.1\\ haproxy
  default_backend shop
backend shop
  http-reuse safe
  server one 127.0.0.1:{worker}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class HaproxyCluster(Cluster):
    def start(self, ready=True, **_):
        with open(self.config_path, "rb") as file:
            config = tomllib.load(file)
        self.web, worker = free_port(), free_port()
        pool = next(iter(config["pool"].values()))
        times = {**next(iter(config["listener"].values())).get("timeouts", {}), **pool.get("timeouts", {})}
        name, value = self.marker.split("=")
        self.worker = subprocess.Popen([part.replace("${PORT}", str(worker)).replace("${HOST}", "127.0.0.1") for part in pool["command"]],
                                       env={**os.environ, name: value, "PORT": str(worker)})
        path = self.write("haproxy.cfg", FILE.format(port=self.web, worker=worker, connect=times.get("connect", "2s"), body=times.get("body", "30s"),
                                                     response=times.get("response", "60s"), head=times.get("head", "10s")))
        with open(self.path("stderr"), "wb") as err:
            self.process = subprocess.Popen(["haproxy", "-db", "-f", path], stderr=err, start_new_session=True)
        wait_until(lambda: answers(worker) and answers(self.web), 10, "worker and haproxy listen")
        return self

    def port(self, listener="web"):
        return self.web

    def proxy_pid(self):
        return self.process.pid

    def stop(self, expect=0):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.worker.terminate()
            self.worker.wait()
            self.process = None


if __name__ == "__main__":
    sys.exit("not a program: set TARGET=haproxy and run test_http.py, test_framing.py, test_limits.py, test_bodies.py or test_servers.py")
