"""Listeners that are a pool's own: they are not the proxy's, which keeps its own under their names; and a cluster without any of the
proxy's."""

import os
import re

from drover_case import DroverCase, main
from processes import wait_until
from raw_http import request

# Listens where it was told to unless it was given a socket, says that it is ready, and accepts nothing.
WORKER = """
import os, signal, socket
own = "LISTEN_FDS" not in os.environ and socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
signal.pause()
"""
O_NONBLOCK = 0o4000


def inode_of(port):
    """Of the socket that listens there."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table:
            words = line.split()
            if len(words) > 9 and words[1].endswith(f":{port:04X}") and words[3] == "0A":
                return words[9]
    raise AssertionError(f"nobody listens on {port}")


def descriptors_of(pid, inode):
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{number}") == f"socket:[{inode}]":
                found.append(number)
        except FileNotFoundError:
            pass
    return found


def flags_of(pid, inode):
    with open(f"/proc/{pid}/fdinfo/{descriptors_of(pid, inode)[0]}", encoding="ascii") as file:
        return int(re.search(r"flags:\s*(\d+)", file.read())[1], 8)


class Listeners(DroverCase):
    def start(self, pools=(), listener=None):
        cluster = self.cluster()
        worker = cluster.write("worker.py", WORKER)
        net = {"command": ["python3", worker], "dispatch": "shared", "workers": 1, "ready": {"notify": True}}
        cluster.configure({"net": net, **dict(pools)}, listener)
        return cluster.start()

    def test_APoolsOwnListener_IsNotTheProxys_WhichKeepsItsOwnNames(self):
        shop = {"command": ["drover", "demo-worker"], "workers": 1}
        cluster = self.start({"shop": shop}.items(), {"door": {"pool": "net"}, "web": {"limits": {"connections": 1}}})
        door, web = inode_of(cluster.port("door")), inode_of(cluster.port("web"))
        self.assertEqual(descriptors_of(cluster.proxy_pid(), door), [])
        self.assertNotEqual(descriptors_of(cluster.proxy_pid(), web), [])
        self.assertEqual(flags_of(cluster.supervisor_pid(), door) & O_NONBLOCK, 0, "workers that accept on it expect it to block")
        self.assertNotEqual(flags_of(cluster.supervisor_pid(), web) & O_NONBLOCK, 0)
        with cluster.connect() as first:
            self.assertEqual(first.exchange(request()).status, 200)
            with cluster.connect() as second:
                second.send(request())
                self.assertEqual({each["name"]: each["connections"] for each in cluster.status()["listeners"]}, {"door": 0, "web": 1},
                                 "the limit of one is that of web")
                first.close()
                self.assertEqual(second.response().status, 200)

    def test_TheProxyIsReplaced_TheDoorStays(self):
        shop = {"command": ["drover", "demo-worker"], "workers": 1}
        cluster = self.start({"shop": shop}.items(), {"door": {"pool": "net"}, "web": {}})
        before = cluster.proxy_pid()
        os.kill(before, 9)
        wait_until(lambda: cluster.status()["proxies"][0]["pid"] not in (0, before), 15, "another proxy")
        wait_until(lambda: cluster.fetch().status == 200, 15, "it answers")
        self.assertEqual(descriptors_of(cluster.proxy_pid(), inode_of(cluster.port("door"))), [])

    def test_WithoutAListenerOfTheProxys_TheClusterIsReadyAndStops(self):
        cluster = self.start()
        self.assertEqual(cluster.status()["listeners"][0]["connections"], 0)
        self.assertNotEqual(cluster.proxy_pid(), 0)
        self.assertEqual(descriptors_of(cluster.proxy_pid(), inode_of(cluster.port())), [])
        cluster.stop()


if __name__ == "__main__":
    main()
