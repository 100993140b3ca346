"""The conformance cases against HAProxy and nginx beside drover: what each answers, whether the worker got anything, whether a second request
behind the first was served. python3 calibrate.py prints the cases in which they differ, and how many they agree in.
Not a test: it says how others judge, not who is right; the defaults of both, with HTTP/1.1 and keep-alive towards the worker."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

import conformance_cases
import conformance_requests
from drover_case import Cluster
from haproxy_target import answers, free_port
from processes import wait_until
from recorder import Recorder

WAIT = 0.5  # seconds of silence that count as "waits for more"

HAPROXY = """
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout http-request 5s
frontend web
  bind 127.0.0.1:{port}
  default_backend shop
backend shop
  http-reuse {reuse}
  server one 127.0.0.1:{worker}
"""

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  map $http_upgrade $option {{ "" ""; default upgrade; }}
  upstream shop {{ server 127.0.0.1:{worker}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://shop; proxy_http_version 1.1; proxy_set_header Host $http_host;
                  proxy_set_header Connection $option; proxy_set_header Upgrade $http_upgrade; }}
  }}
}}
"""


class Peer:
    """HAProxy or nginx before a recording worker."""

    def __init__(self, name, reuse="safe"):
        self.folder = tempfile.mkdtemp(prefix="calibrate-")
        self.recorder = Recorder(os.path.join(self.folder, "record"))
        self.web, worker = free_port(), free_port()
        command = [part.replace("${PORT}", str(worker)) for part in self.recorder.command()]
        self.processes = [subprocess.Popen(command)]
        path = os.path.join(self.folder, name + ".conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write({"haproxy": HAPROXY, "nginx": NGINX}[name].format(port=self.web, worker=worker, folder=self.folder, reuse=reuse))
        line = ["haproxy", "-db", "-f", path] if name == "haproxy" else ["nginx", "-c", path, "-p", self.folder]
        self.processes.append(subprocess.Popen(line, stderr=subprocess.DEVNULL))
        wait_until(lambda: answers(worker) and answers(self.web), 20, f"{name} listens")

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Drover:
    def __init__(self):
        self.cluster = Cluster()
        self.recorder = self.cluster.recorder()
        self.cluster.configure({"shop": {"command": self.recorder.command(), "workers": 1, "retry": {"attempts": 1}}}, proxy={"threads": 1}).start()
        self.web = self.cluster.port()

    def end(self):
        self.cluster.stop()
        self.cluster.destroy(keep_output=False)


def play(peer, case):
    """(status or what else happened, was anything forwarded, how many answers)"""
    before = peer.recorder.size()
    data = b""
    end = "waits"
    with socket.create_connection(("127.0.0.1", peer.web)) as sock:
        sock.settimeout(WAIT)
        try:
            sock.sendall(case.raw)
            while True:
                part = sock.recv(65536)
                if not part:
                    end = "closed"
                    break
                data += part
        except TimeoutError:
            pass
        except OSError:
            end = "closed"
    statuses = [int(each) for each in re.findall(rb"HTTP/1\.[01] ([2-5]\d\d)", data)]
    verdict = str(statuses[0]) if statuses else end
    return verdict, peer.recorder.size() > before, len(statuses)


def word(result):
    verdict, forwarded, count = result
    return verdict + (", forwarded" if forwarded else "") + (f", {count} answers" if count > 1 else "")


def alike(one, other):
    """Refused by both or forwarded by both, whatever the exact status."""
    return one[1] == other[1] and one[2] <= 1 and other[2] <= 1


# What explains a difference that the case itself does not; the first that fits its name.
BECAUSE = (
    (r"MaxForwards", "RFC 9110 7.6.2 is implemented by drover alone; nginx refuses TRACE and `*`"),
    (r"TraceChunked", "a client MUST NOT send content with TRACE (RFC 9110 9.3.8)"),
    (r"OptionsAsterisk", "`*` is legal for OPTIONS (RFC 9112 3.2.4)"),
    (r"EscapesKept", "nginx decodes the path and refuses %00; drover changes no path"),
    (r"UpgradeInHttp10", "Upgrade in HTTP/1.0 is ignored (RFC 9110 7.8)"),
    (r"AbsoluteQueryWithoutPath", "an address may have a query without a path (RFC 3986 3.3)"),
    (r"ChunkLastChunkX|Semicolonless", "not in the grammar of a chunk (RFC 9112 7.1)"),
    (r"Http10", "codings in HTTP/1.0 are faulty framing (RFC 9112 6.1)"),
    (r"InTheRequestLine|BehindTheVersion", "one space between the parts of a request line (RFC 9112 3); more MAY be tolerated"),
    (r"Folded", "unfolding is allowed (RFC 9112 5.2); drover refuses"),
    (r"BareL|BareC|LastChunk|EndedBy|ThenTerminator|Lf|Cr", "a lone LF or CR taken for a line's end, or for whitespace: the root of smuggling by line ends; drover takes none"),
    (r"NotAsciiInName|NameNotAscii|InName", "no character of a name (RFC 9110 5.1)"),
    (r"SecondEmpty", "an empty second line taken as an empty element; drover refuses two lines"),
    (r"AfterTab|TabBehind|LengthSpaced", "a tab is legal whitespace around a value (RFC 9110 5.5)"),
    (r"ChunkTrailer", "trailers are dropped unread there; drover passes them on and so reads them strictly"),
    (r"Chunk", "not in the grammar of a chunk (RFC 9112 7.1)"),
    (r"Control..InValue|ValueNotAscii", "control characters in values: drover refuses all (RFC 9110 5.5 asks it of CR, LF and NUL)"),
    (r"InTarget|InMethod|^Target|OddCharacters", "not in the grammar of a target or method (RFC 9112 3), or only tolerated"),
    (r"Version|Simple|Preface|TlsHello", "another version (RFC 9110 2.5, 15.6.6), or none"),
    (r"^Host|^Absolute|^Options", "hosts and absolute targets: RFC 9112 3.2; drover keeps to names, addresses and ports"),
    (r"Connect|Trace|Method", "methods are the worker's to judge, but for CONNECT"),
    (r"Expect", "expectations other than 100-continue: 417 MAY be answered (RFC 9110 10.1.1)"),
    (r"Connection|Upgrade|Keep|Te|Proxy", "RFC 9110 7.6.1"),
    (r"", "the others are more lenient"),
)


def because(case):
    return case.why if case.why and case.why != "as above" else next(text for pattern, text in BECAUSE if re.search(pattern, case.name))


def groups():
    yield "smuggling by Transfer-Encoding", conformance_cases.SMUGGLING
    yield "Content-Length", conformance_cases.LENGTHS
    yield "chunks", conformance_cases.CHUNKS
    yield "lines and characters", conformance_requests.LINES
    yield "versions", conformance_requests.VERSIONS
    yield "targets and Host", conformance_requests.TARGETS
    yield "methods", conformance_requests.METHODS
    yield "expectations", conformance_requests.EXPECTATIONS
    yield "hop-by-hop fields", conformance_requests.HOPS


def main():
    peers = {"drover": Drover(), "HAProxy": Peer("haproxy"), "nginx": Peer("nginx")}
    try:
        print("| cases | drover | HAProxy | nginx | because |\n|---|---|---|---|---|")
        for title, cases in groups():
            same, rows = 0, {}
            for case in cases:
                results = {name: play(peer, case) for name, peer in peers.items()}
                if all(alike(results["drover"], each) for each in results.values()):
                    same += 1
                else:
                    rows.setdefault((*map(word, results.values()), because(case)), []).append(case.name)
            print(f"| **{title}: {same} of {len(cases)} alike** | | | | |")
            for (*words, why), names in rows.items():
                print("| " + ", ".join(names).replace("|", "\\|") + " | " + " | ".join(words) + f" | {why} |", flush=True)
    finally:
        for peer in peers.values():
            peer.end()


if __name__ == "__main__":
    sys.exit(main())
