"""Verbs run to their end or followed, and requests to the API, on a real cluster."""

import http.client
import re
import socket
import subprocess
import threading

from drover_case import DROVER, DroverCase
from processes import wait_until

DEMO = {"command": ["drover", "demo-worker", "--port", "${PORT}"]}
TOKEN = "a-token-of-enough-characters"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


class OperatorCase(DroverCase):
    def socket_of(self, cluster):
        return cluster.path("drover.sock")

    def command(self, cluster, *arguments):
        return [DROVER, *arguments, "--socket", self.socket_of(cluster)]

    def drover(self, cluster, *arguments, seconds=30, **options):
        """Runs a verb to its end: exit code, standard output, standard error."""
        done = subprocess.run(self.command(cluster, *arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=seconds, check=False, **options)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def fine(self, cluster, *arguments, **options):
        code, out, err = self.drover(cluster, *arguments, **options)
        self.assertEqual(code, 0, f"{arguments}: {out}{err}")
        return out

    def follow(self, cluster, *arguments):
        """A verb that stays: its process, and a function that waits for a line."""
        process = subprocess.Popen(self.command(cluster, *arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        lines = []
        reader = threading.Thread(target=lambda: [lines.append(line) for line in process.stdout], daemon=True)
        reader.start()

        def end():
            process.kill()
            process.wait()
            reader.join(5)
            process.stdout.close()
            process.stderr.close()
        self.addCleanup(end)
        return process, lambda pattern, seconds=15: wait_until(lambda: next((x for x in list(lines) if re.search(pattern, x)), None), seconds,
                                                               f"a line with {pattern}")

    def post(self, connection, path, body, headers=None):
        try:
            connection.request("POST", path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()
