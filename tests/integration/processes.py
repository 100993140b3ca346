"""What the tests ask of /proc: which processes belong to a run, their memory, and whether a peer has read what was sent."""

import os
import time

TICK = 0.01


def wait_until(condition, seconds, what):
    """Polls until condition() is true and returns its value; fails by name once the deadline has passed."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(TICK)


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def alive(pid):
    """Exists and is not a zombie."""
    stat = read(f"/proc/{pid}/stat")
    return bool(stat) and stat.rsplit(b")", 1)[1].split()[0] not in (b"Z", b"X")


def state(pid):
    stat = read(f"/proc/{pid}/stat")
    return stat.rsplit(b")", 1)[1].split()[0].decode() if stat else ""


def marked(marker):
    """Processes whose environment carries the marker: everything one drover run has started, however it escaped."""
    needle = marker.encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid() and needle in read(f"/proc/{name}/environ").split(b"\0"):
            found.append(int(name))
    return found


def describe(pids):
    return ", ".join(f"{pid} ({read(f'/proc/{pid}/cmdline').replace(bytes(1), b' ').decode(errors='replace').strip()})" for pid in pids)


def memory(pid, field="VmRSS"):
    """Bytes, by a line of /proc/PID/status; 0 when the process is gone."""
    for line in read(f"/proc/{pid}/status").decode().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


class PeakMemory:
    """Growth of a process's resident memory between construction and growth(), by the kernel's own high-water mark."""

    def __init__(self, pid):
        self.pid = pid
        with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        self.before = memory(pid)

    def growth(self):
        peak = memory(self.pid, "VmHWM")
        assert peak, "the process whose memory is watched is gone"
        return peak - self.before


def unread_by_peer(sock):
    """Bytes that this IPv4 loopback socket sent and the program at the other end has not read yet; None once the peer's end is gone."""
    def text(address):
        host = "".join(f"{int(part):02X}" for part in reversed(address[0].split(".")))
        return f"{host}:{address[1]:04X}"

    try:
        local, remote = text(sock.getpeername()), text(sock.getsockname())
    except OSError:
        return None
    with open("/proc/net/tcp", encoding="ascii") as table:
        for row in table:
            fields = row.split()
            if fields[1:3] == [local, remote]:
                return int(fields[4].split(":")[1], 16)
    return None


def wait_consumed(sock, seconds=10):
    """Returns when the peer has read everything sent so far: the honest way to force a split between two reads."""
    deadline = time.monotonic() + seconds
    while unread_by_peer(sock):
        if time.monotonic() > deadline:
            raise AssertionError("the peer does not read")
