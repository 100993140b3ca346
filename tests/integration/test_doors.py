"""The API's two doors: token, socket, who may enter, and who does not read."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import unittest

from drover_case import DROVER, main
from operator_case import DEMO, TOKEN, OperatorCase


class Doors(OperatorCase):
    def with_token(self, text=TOKEN + "\n", mode=0o600):
        cluster = self.cluster()
        path = cluster.write("token", text)
        os.chmod(path, mode)
        return cluster.configure({"shop": {**DEMO, "workers": 1}}, admin={"token_file": path})

    def test_Token_LetsTcpChangeThings(self):
        cluster = self.with_token().start()

        def tcp():
            return http.client.HTTPConnection("127.0.0.1", cluster.admin_port, timeout=20)
        before = cluster.pids()
        body = b'{"target": "shop"}'
        for headers in ({}, {"Authorization": "Bearer wrong-token-of-enough-characters"}, {"Authorization": f"Basic {TOKEN}"}):
            status, text = self.post(tcp(), "/v1/restart", body, headers)
            self.assertEqual(status, 401, text)
            self.assertEqual(cluster.admin("/v1/events", headers=headers).status, 401)
        self.assertEqual(cluster.pids(), before)
        status, text = self.post(tcp(), "/v1/restart", body, {"Authorization": f"Bearer {TOKEN}"})
        self.assertEqual(status, 200, text)
        self.assertTrue(json.loads(text.splitlines()[-1])["ok"])
        self.assertNotEqual(cluster.pids(), before)
        self.assertNotIn(TOKEN, cluster.log())

    def test_BadTokenFiles_AreRefusedAtStart(self):
        for text, mode, says in ((TOKEN, 0o644, "chmod 600"), ("short\n", 0o600, "fewer than 16"), (None, 0o600, "No such file")):
            with self.subTest(says):
                cluster = self.with_token(text or TOKEN, mode)
                if text is None:
                    os.remove(cluster.path("token"))
                done = subprocess.run([DROVER, "run", cluster.config_path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False)
                self.assertIn(done.returncode, (1, 78), done.stdout)
                self.assertIn("token", done.stdout.decode())
                self.assertIn(says, done.stdout.decode())

    def test_StaleSocket_IsReplaced(self):
        cluster = self.cluster().configure({"shop": {**DEMO, "workers": 1}})
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(self.socket_of(cluster))
        stale.listen(1)
        stale.close()
        cluster.start()
        self.fine(cluster, "ps")

    def test_AfterKill9_TheNextOneStarts(self):
        cluster = self.cluster().configure({"shop": {**DEMO, "workers": 1}}).start()
        os.kill(cluster.supervisor_pid(), signal.SIGKILL)
        self.assertEqual(cluster.wait(), 1)
        self.assertTrue(os.path.exists(self.socket_of(cluster)), "nobody could tidy up")
        cluster.process = None
        cluster.start()
        self.fine(cluster, "ps")

    def test_NoPermissionForTheSocket_Is1AndNamed(self):
        cluster = self.cluster().configure({"shop": {**DEMO, "workers": 1}}, admin={"socket": "/proc/drover.sock"})
        done = subprocess.run([DROVER, "run", cluster.config_path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("/proc/drover.sock", done.stdout.decode())
        self.assertIn("choose another [admin] socket", done.stdout.decode())

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become somebody else")
    def test_AnotherUser_IsKeptOut(self):
        cluster = self.cluster().configure({"shop": {**DEMO, "workers": 1}}).start()
        binary = shutil.copy(DROVER, cluster.path("drover-for-all"))
        os.chmod(binary, 0o755)
        done = subprocess.run([binary, "stop", "--socket", self.socket_of(cluster)], user="nobody", cwd="/", stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, timeout=20)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"Permission denied", done.stdout)
        self.assertEqual(cluster.fetch().status, 200)

    def test_SlowReaderOfEvents_DoesNotHoldAnybodyUp(self):
        cluster = self.cluster().configure({"shop": {**DEMO, "workers": 1}}).start()
        with socket.socket(socket.AF_UNIX) as lazy:
            lazy.connect(self.socket_of(cluster))
            lazy.sendall(b"GET /v1/logs?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            for _ in range(3):
                self.fine(cluster, "restart", "shop")
            self.assertEqual(cluster.fetch().status, 200)


if __name__ == "__main__":
    main()
