"""Many that want much and send little: no descriptor left, and thousands of connections that drip their heads."""

import os
import resource
import socket
import threading
import time

from drover_case import RELEASE, DroverCase, main
from processes import memory, wait_until
from raw_http import request

OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Exhaustion(DroverCase):
    def test_WithoutDescriptors_AcceptingPausesAndWhoIsInsideIsServed(self):
        cluster = self.cluster()
        worker = cluster.recorder()
        cluster.configure({"shop": {"command": worker.command(), "workers": 1}}, {"web": {"timeouts": {"idle": "300s"}}})
        binary = cluster.binary
        cluster.binary = cluster.write("limited", f'#!/bin/sh\nulimit -n 256\nexec "{binary}" "$@"\n')
        os.chmod(cluster.binary, 0o755)
        cluster.start()
        cluster.binary = binary
        worker.answer("/", OK)
        proxy = cluster.proxy_pid()
        crowd = [socket.create_connection(("127.0.0.1", cluster.port())) for _ in range(300)]
        try:
            wait_until(lambda: cluster.metric("drover_accept_pauses_total") >= 1, 20, "accepting pauses")
            self.assertLess(descriptors(proxy), 256 - 20, "some are kept for workers")
            # Those who came first are inside; each gets a connection to the worker, all of them at once.
            inside = crowd[:20]
            for client in inside:
                client.settimeout(20)
                client.sendall(request())
            for client in inside:
                self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 200 "))
            # CPU time is spent or it is not, however busy the machine: waiting for the half minute's second is the measurement.
            before = cpu_seconds(proxy)
            threading.Event().wait(3)
            self.assertLess(cpu_seconds(proxy) - before, 0.15, "it spins")
        finally:
            for client in crowd:
                client.close()
        wait_until(lambda: descriptors(proxy) < 100, 20, "the crowd's descriptors are free")
        self.assertEqual(cluster.fetch().status, 200)

    def test_ThousandsWhoDripTheirHeads_KeepNobodyWaiting(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        count = min(8000, hard // 2 if hard != resource.RLIM_INFINITY else 8000)
        cluster = self.cluster(RELEASE)
        worker = cluster.recorder()
        cluster.configure({"shop": {"command": worker.command(), "workers": 2}},
                          {"web": {"limits": {"connections": count + 200}, "timeouts": {"head": "300s"}}})
        cluster.start()
        worker.answer("/", OK)
        self.assertEqual(cluster.fetch().status, 200)
        proxy = cluster.proxy_pid()
        before = memory(proxy)
        crowd = []
        try:
            for _ in range(count):
                client = socket.create_connection(("127.0.0.1", cluster.port()))
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: drip\r\nX-Drip: ")
                crowd.append(client)
            wait_until(lambda: cluster.metric("drover_client_connections", listener="web") >= count, 30, "all are inside")
            spent = cpu_seconds(proxy)
            stop = threading.Event()

            def drip():
                while not stop.is_set():
                    for client in crowd[::4]:
                        client.sendall(b"x")
            dripping = threading.Thread(target=drip)
            dripping.start()
            try:
                answers, seconds = [], []
                for _ in range(200):
                    began = time.monotonic()
                    answers.append(cluster.fetch(timeout=20).status)
                    seconds.append(time.monotonic() - began)
            finally:
                stop.set()
                dripping.join()
            self.assertEqual(answers, [200] * 200)
            each = (memory(proxy) - before) / count
            seconds.sort()
            print(f"\n{count} dripping heads: {each:.0f} bytes of the proxy's memory each, {cpu_seconds(proxy) - spent:.2f} s of CPU; "
                  f"others' requests p50 {seconds[100] * 1000:.1f} ms, p99 {seconds[197] * 1000:.1f} ms, max {seconds[-1] * 1000:.1f} ms")
            self.assertLess(each, 16 * 1024)
        finally:
            for client in crowd:
                client.close()


if __name__ == "__main__":
    main()
