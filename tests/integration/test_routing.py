"""Routes with the real binary, raw bytes on both sides: who gets which request, and what of it, and what drover answers itself."""

import json
import re

from drover_case import Cluster, DroverCase, main
from raw_http import request

OWN = re.compile(rb"X-Forwarded-For: 127\.0\.0\.1\r\n|X-Request-ID: [0-9a-f]{32}\r\n|X-Request-Start: t=\d+\r\n|traceparent: [^\r]*\r\n")

ROUTES = [
    {"pool": "web"},
    {"host": "shop.example.com", "pool": "shop"},
    {"host": "*.example.com", "pool": "api"},
    {"host": "h", "path": "/", "pool": "web"},
    {"host": "h", "path": "/admin", "respond": {"status": 403, "body": "not here\n"}},
    {"host": "h", "path": "/public", "pool": "shop"},
    {"host": "h", "path": "/public", "methods": ["POST", "PUT"], "pool": "api"},
    {"host": "h", "path": "/public", "headers": {"X-Ring": "beta"}, "pool": "api"},
    {"host": "h", "path": "/page", "exact": True, "pool": "shop"},
    {"host": "h", "path": "/v1", "strip": "/v1", "pool": "api"},
    {"host": "h", "path": "/v2", "strip": "/v2", "prefix": "/new", "pool": "api"},
    {"host": "edit", "pool": "shop",
     "request": {"remove": ["Cookie"], "set": {"X-User": "nobody", "Host": "inner"}, "add": {"X-Tag": "2"}},
     "response": {"remove": ["Server"], "set": {"Cache-Control": "no-store"}, "add": {"X-Tag": "2"}}},
    {"host": "go", "redirect": {"to": "https://${host}${path}${query}", "status": 308}, "response": {"add": {"X-Why": "tls"}}},
    {"host": "go", "path": "/trim", "strip": "/trim", "redirect": {"to": "${path}"}},
    {"host": "fixed", "respond": {"status": 200, "body": "{\"up\":true}", "type": "application/json"}, "response": {"set": {"X-Up": "1"}}},
    {"host": "fixed", "path": "/none", "respond": {"status": 204}},
    {"host": "canary", "split": {"shop": 3, "api": 1, "web": 0}},
    {"host": "broken", "pool": "broken"},
]


class Routing(DroverCase):
    @classmethod
    def setUpClass(cls):
        cluster = cls.share(Cluster())
        cls.recorders = {name: cluster.recorder(name) for name in ("web", "shop", "api")}
        pools = {name: {"command": recorder.command()} for name, recorder in cls.recorders.items()}
        page = cluster.write("busy.html", "<h1>{{status}}</h1><p>{{reason}}</p><i>{{request_id}}</i>")
        broken = cluster.recorder("broken")
        broken.on("/cut", ["body"], ["close"])
        pools["broken"] = {"command": broken.command(), "errors": {"502": page}, "outlier": {"errors": 0, "ratio": "0%"}}
        cluster.configure(pools, route=ROUTES)
        cluster.start()

    def ask(self, target="/", host="h", method="GET", headers=(), **more):
        return self.shared.fetch(method, target, headers, host=host, **more)

    def pool_of(self, *arguments, **options):
        answer = self.ask(*arguments, **options)
        return json.loads(answer.body)["pool"] if answer.status == 200 else answer.status

    def forwarded(self, pool, target, host, headers):
        """The head that the pool's worker got for this request, without what differs each time; and the answer."""
        mark = f"{target} {host}"
        with self.shared.connect() as connection:
            answer = connection.exchange(request(target=target, host=host, headers=[*headers, ("X-Mark", mark)]))
        self.assertEqual(answer.status, 200, answer)
        line = f"X-Mark: {mark}\r\n".encode()
        got = [head + b"\r\n" for head in self.recorders[pool].received().split(b"\r\n\r\n") if line in head + b"\r\n"]
        self.assertEqual(len(got), 1)
        return OWN.sub(b"", got[0].replace(line, b"")).decode(), answer

    def sizes(self):
        return {name: recorder.size() for name, recorder in self.recorders.items()}

    def test_Host_Path_Method_Header_EachLeadsToItsPool(self):
        for expected, options in (
                ("shop", {"host": "shop.example.com"}), ("shop", {"host": "SHOP.example.com.:8080"}), ("api", {"host": "a.b.example.com"}),
                ("web", {"host": "example.com"}), ("web", {"host": "nobody"}), ("shop", {"target": "/public/x"}), ("web", {"target": "/publicx"}),
                ("api", {"target": "/public", "method": "PUT"}), ("shop", {"target": "/public", "method": "DELETE"}),
                ("api", {"target": "/public", "headers": [("x-ring", "alpha"), ("X-RING", "beta")]}),
                ("shop", {"target": "/public", "headers": [("X-Ring", "Beta")]}), ("shop", {"target": "/page"}), ("shop", {"target": "/page?x=/y"}),
                ("web", {"target": "/page/"}), (403, {"target": "/admin/x"})):
            with self.subTest(**options):
                self.assertEqual(self.pool_of(**options), expected)

    def test_APathThatCanBeReadInTwoWays_ReachesNobody(self):
        self.ask("/public/warm")
        before = self.sizes()
        for target in ("/public/../admin", "/public/%2e%2e/admin", "/public/.%2E/admin", "//admin", "/admin/../public/x", "/public/..%2fadmin",
                       "/public/..;/admin", "/public/..\\admin", "/./admin", "/admin;x=1", "http://h/public/../admin", "/v1/../v1/x", "/v1/%2e%2e/secret",
                       "/v2/..;/x", "/%2e%2e/admin?x"):
            with self.subTest(target=target):
                answer = self.ask(target)
                self.assertEqual(answer.status, 400, answer)
                self.assertEqual(answer.get("Connection"), "close")
        self.assertEqual(self.sizes(), before, "not a byte was forwarded")

    def test_APathThatAllReadAlike_IsForwardedAsItWasSent(self):
        for target, pool in (("/public/a%2Fb/%7Eu/caf%c3%a9", "shop"), ("/public//x/./y/../z;v=1", "shop"), ("/x/%2e%2e/y", "web"),
                             ("/.well-known/x", "web"), ("/%70ublic/x", "shop")):
            with self.subTest(target=target):
                answer = json.loads(self.ask(target).body)
                self.assertEqual((answer["pool"], answer["target"]), (pool, target))

    def test_StripAndPrefix_OfTheTargetAlone(self):
        for target, expected, prefix in (("/v1", "/", "/v1"), ("/v1?q=/v1", "/?q=/v1", "/v1"), ("/v1/x/y?q", "/x/y?q", "/v1"),
                                         ("/%761/x", "/x", "/v1"), ("/v2", "/new", "/v2"), ("/v2/x?q", "/new/x?q", "/v2")):
            with self.subTest(target=target):
                head, _ = self.forwarded("api", target, "h", [("X-Forwarded-Prefix", "/evil")])
                self.assertEqual(head, f"GET {expected} HTTP/1.1\r\nHost: h\r\nX-Forwarded-Host: h\r\nX-Forwarded-Proto: http\r\n"
                                       f"X-Forwarded-Prefix: {prefix}\r\nVia: 1.1 drover\r\n")
        self.assertEqual(json.loads(self.ask("*", method="OPTIONS", host="v").body)["target"], "*")

    def test_Heads_AreChangedOnBothSides(self):
        self.recorders["shop"].answer("/edited", "HTTP/1.1 200 OK\r\nServer: old\r\nCACHE-CONTROL: public\r\nX-Tag: 1\r\nContent-Length: 2\r\n\r\nok")
        head, answer = self.forwarded("shop", "/edited", "edit:80", [
            ("cookie", "a=b"), ("X-User", "root"), ("X_User", "root"), ("X-Tag", "1"), ("X-Kept", "yes")])
        self.assertEqual(head, "GET /edited HTTP/1.1\r\nHost: inner\r\nX-Tag: 1\r\nX-Kept: yes\r\nX-Forwarded-Host: edit:80\r\n"
                               "X-Forwarded-Proto: http\r\nX-User: nobody\r\nX-Tag: 2\r\nVia: 1.1 drover\r\n")
        self.assertEqual((answer.all("Server"), answer.all("Cache-Control"), answer.all("X-Tag"), answer.body), ([], ["no-store"], ["1", "2"], b"ok"))

    def test_WhatIsTakenOut_DoesNotComeByTheTrailer(self):
        body = "2\r\nhi\r\n0\r\nX-User: root\r\nCookie: a\r\nX-Kept: 1\r\n\r\n"
        answer = self.shared.fetch("POST", "/trailer", [("Transfer-Encoding", "chunked"), ("Trailer", "X-Kept")], body.encode(), host="edit")
        self.assertEqual(json.loads(answer.body)["trailers"], [["X-Kept", "1"]])

    def test_Redirect(self):
        with self.shared.connect() as connection:
            answer = connection.exchange(request(target="/a%20b?c=d", host="go:8080"))
            self.assertEqual((answer.status, answer.get("Location"), answer.get("X-Why")), (308, "https://go/a%20b?c=d", "tls"))
            self.assertEqual(answer.body, b"this is found at https://go/a%20b?c=d\n")
            head = connection.exchange(request("HEAD", "/a%20b?c=d", host="go"), "HEAD")
            self.assertEqual((head.status, head.get("Content-Length"), head.body), (308, str(len(answer.body)), b""))
            posted = connection.exchange(request("POST", "/x", host="go", body=b"field=1"))
            self.assertEqual((posted.status, posted.get("Connection")), (308, None), "its small body is passed over")
            again = connection.exchange(request(target="/trim//evil.example", host="go"))
            self.assertEqual((again.status, again.get("Location")), (302, "/evil.example"))

    def test_FixedResponse(self):
        with self.shared.connect() as connection:
            answer = connection.exchange(request(host="fixed", target="/x"))
            self.assertEqual((answer.status, answer.get("Content-Type"), answer.get("X-Up"), answer.body), (200, "application/json", "1", b'{"up":true}'))
            head = connection.exchange(request("HEAD", host="fixed"), "HEAD")
            self.assertEqual((head.status, head.get("Content-Length")), (200, "11"))
            none = connection.exchange(request(host="fixed", target="/none"))
            self.assertEqual((none.status, none.get("Content-Length"), none.get("Content-Type")), (204, None, None))
            self.assertEqual(connection.exchange(request(host="fixed")).status, 200, "the connection is kept")
            large = connection.exchange(request("POST", host="fixed", headers=[("Content-Length", "99999999")]))
            self.assertEqual((large.status, large.get("Connection")), (200, "close"), "nobody reads such a body")

    def test_Canary_EachPoolGetsItsPart(self):
        counts = {"shop": 0, "api": 0}
        with self.shared.connect() as connection:
            for _ in range(200):
                counts[json.loads(connection.exchange(request(host="canary")).body)["pool"]] += 1
        self.assertGreater(counts["api"], 15, counts)    # 50 are due; fewer by chance once in 10^10 runs
        self.assertLess(counts["api"], 90, counts)

    def test_ErrorPage_OfThePool(self):
        answer = self.ask("/cut", host="broken", method="POST")
        self.assertEqual((answer.status, answer.get("Content-Type")), (502, "text/html; charset=utf-8"))
        self.assertEqual(answer.body.decode(), f"<h1>502</h1><p>the worker closed the connection without an answer</p><i>{answer.get('X-Request-ID')}</i>")
        self.assertEqual(answer.get("Content-Length"), str(len(answer.body)))
        head = self.ask("/cut", host="broken", method="HEAD")
        self.assertEqual((head.status, head.body), (502, b""))
        wants = self.ask("/cut", host="broken", method="POST", headers=[("Accept", "application/json")])
        self.assertEqual((wants.status, json.loads(wants.body)["status"]), (502, 502))
        self.assertEqual(self.ask("/admin/../x", host="h").get("Content-Type"), "text/plain; charset=utf-8", "before a pool is known")


if __name__ == "__main__":
    main()
