"""More requests as data: lines and characters, versions, targets and Host, methods, Max-Forwards, Expect, hop-by-hop fields."""

from conformance_cases import CHUNKED, Case, HOST, SMUGGLED, bad, get, good, head, plain, post, to_worker


def line(text, *fields, host=b"test"):
    return head(text, *fields, host=host)


def lines():
    controls = [n for n in range(0x20) if n not in (9, 10, 13)] + [0x7f]
    for n in controls:
        byte = bytes([n])
        yield bad(f"Control{n:02x}InValue", get(b"X-A: a" + byte + b"b"))
        yield bad(f"Control{n:02x}InName", get(b"X" + byte + b"A: b"))
        yield bad(f"Control{n:02x}InTarget", line(b"GET /a" + byte + b"b HTTP/1.1"))
        yield bad(f"Control{n:02x}InMethod", line(b"GE" + byte + b"T / HTTP/1.1"))
    for byte in b'"(),/:;<=>?@[\\]{} \t':
        if byte != ord(":"):
            yield bad(f"Delimiter{byte:02x}InName", get(b"X" + bytes([byte]) + b"A: b"))
        yield bad(f"Delimiter{byte:02x}InMethod", line(b"GE" + bytes([byte]) + b"T / HTTP/1.1"))
    for byte in (b"\r", b"\n"):
        what = "Cr" if byte == b"\r" else "Lf"
        yield bad(f"Bare{what}InValue", get(b"X-A: a" + byte + b"X-B: b"))
        yield bad(f"Bare{what}InName", get(b"X" + byte + b"A: b"))
        yield bad(f"Bare{what}InTarget", line(b"GET /a" + byte + b"b HTTP/1.1"))
        yield bad(f"Bare{what}EndsTheRequestLine", b"GET / HTTP/1.1" + byte + HOST + b"\r\n")
        yield bad(f"Bare{what}EndsAField", b"GET / HTTP/1.1\r\nHost: test" + byte + b"X-A: b\r\n\r\n")
        yield bad(f"Bare{what}EndsTheHead", b"GET / HTTP/1.1\r\nHost: test\r\n" + byte + SMUGGLED)
    yield bad("BareLfEverywhere", b"GET / HTTP/1.1\nHost: test\n\n", why="a lone LF MAY be taken as a line's end (RFC 9112 2.2); drover takes none")
    yield bad("CrCrLf", b"GET / HTTP/1.1\r\r\nHost: test\r\r\n\r\n")
    yield bad("Folded", get(b"X-A: a", b" b"))
    yield bad("FoldedByTab", get(b"X-A: a", b"\tb"))
    yield bad("FoldedEmpty", get(b"X-A: a", b" "))
    yield bad("FoldedHost", line(b"GET / HTTP/1.1", b"X-A: b", b" Host: evil"))
    yield bad("SpaceBeforeTheFirstField", b"GET / HTTP/1.1\r\n X-A: b\r\n" + HOST + b"\r\n")
    yield bad("SpaceBeforeColon", get(b"X-A : b"))
    yield bad("NameEmpty", get(b": b"))
    yield bad("NoColon", get(b"nonsense"))
    yield bad("NameNotAscii", get(b"X-\xe9: b"))
    yield bad("TwoSpacesInTheRequestLine", line(b"GET  / HTTP/1.1"))
    yield bad("TabInTheRequestLine", line(b"GET\t/ HTTP/1.1"))
    yield bad("SpaceBehindTheVersion", line(b"GET / HTTP/1.1 "))
    yield bad("SpaceBeforeTheMethod", line(b" GET / HTTP/1.1"))
    yield bad("ManyFields", get(*[b"X-%d: 1" % n for n in range(200)]), 431, why="more fields than drover takes (RFC 9110 5.4)")
    yield good("EmptyLineBefore", b"\r\n" + get(), to_worker(b"GET / HTTP/1.1"))
    yield good("EmptyLinesBefore", b"\r\n\r\n\r\n" + get(), to_worker(b"GET / HTTP/1.1"))
    yield plain("ValueNotAscii", b"X-A: caf\xe9 \xff\x80")
    yield plain("ValueEmpty", b"X-A: ", why="an empty value is a value")
    yield plain("ValueWithTab", b"X-A: a\tb")
    yield plain("ValueTrimmed", b"X-A: \t b \t", expect=[b"X-A: b"])
    yield plain("NoSpaceBehindColon", b"X-A:b", expect=[b"X-A: b"])
    yield plain("OrderAndRepeatsKept", b"X-A: 1", b"X-B: 2", b"x-a: 3", b"X-A: 4, 5", b"X-A: ")
    yield plain("NamesOfAllTokenCharacters", b"!#$%&'*+-.^_`|~0aZ: x")
    yield plain("UnknownFieldsKept", b"Foo-Bar: \"q\" (c); x=1", b"Sec-Whatever: ?1")
    yield plain("LongValue", b"X-A: " + b"a" * 8000)


def versions():
    for text in (b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/9.9", b"HTTP/0.0", b"HTTP/3.0"):
        yield bad("Version" + text.decode(), line(b"GET / " + text), 505,
                  why="1.2 SHOULD be served as 1.1 (RFC 9110 2.5); there is none" if text == b"HTTP/1.2" else "")
    for name, text in {"LowerCase": b"http/1.1", "MixedCase": b"Http/1.1", "OneNumber": b"HTTP/1", "TwoDigits": b"HTTP/1.10", "LeadingZero": b"HTTP/01.1",
                       "Comma": b"HTTP/1,1", "Other": b"RTSP/1.0", "HttpTwo": b"HTTP/2", "Space": b"HTTP/ 1.1", "Sign": b"HTTP/+1.1",
                       "Letters": b"HTTP/a.b", "Nothing": b"HTTP/", "Shttp": b"HTTPS/1.1"}.items():
        yield bad("Version" + name, line(b"GET / " + text))
    yield bad("SimpleRequest", b"GET /\r\n\r\n", why="HTTP/0.9; nginx serves it")
    yield bad("SimpleRequestWithFields", line(b"GET /"))
    yield bad("PrefaceOfHttp2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0", 505)
    yield bad("TlsHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n")
    yield good("Http10", head(b"GET / HTTP/1.0", b"X-A: b"), to_worker(b"GET / HTTP/1.1", b"X-A: b", via=b"1.0"))
    yield bad("Http10Chunked", post(CHUNKED, body=b"0\r\n\r\n", line=b"POST / HTTP/1.0"))
    yield bad("Http10ChunkedWithLength", post(CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n", line=b"POST / HTTP/1.0"))


def targets():
    def absolute(name, target, origin, host=b"test", method=b"GET", sent=b"test", why=""):
        return good(name, line(method + b" " + target + b" HTTP/1.1", host=sent), to_worker(method + b" " + origin + b" HTTP/1.1", host=host), why=why)
    yield absolute("Absolute", b"http://test/a?b", b"/a?b")
    yield absolute("AbsoluteUpperCase", b"HTTP://test/a", b"/a")
    yield absolute("AbsoluteWithoutPath", b"http://test", b"/")
    yield absolute("AbsoluteQueryWithoutPath", b"http://test?a=/b", b"/?a=/b")
    yield absolute("AbsoluteOtherHost", b"http://other:81/a", b"/a", host=b"other:81",
                   why="the target's host replaces Host (RFC 9112 3.2.2)")
    yield absolute("AbsoluteOtherPort", b"http://test:80/a", b"/a", host=b"test:80", why="as above")
    yield absolute("AbsoluteWithAddressInPath", b"http://test/http://evil/", b"/http://evil/")
    yield absolute("OptionsAbsoluteWithoutPath", b"http://test", b"*", method=b"OPTIONS")
    yield absolute("OptionsAbsoluteWithPath", b"http://test/", b"/", method=b"OPTIONS")
    yield absolute("OptionsAsterisk", b"*", b"*", method=b"OPTIONS")
    yield absolute("DotSegmentsKept", b"/a/../b/./c//d", b"/a/../b/./c//d")
    yield absolute("EscapesKept", b"/%00%0d%0a%2F%2e%2E?%0A", b"/%00%0d%0a%2F%2e%2E?%0A")
    yield absolute("OddCharactersKept", b"/a|b\"c<d>[e]{f}^`\\;=", b"/a|b\"c<d>[e]{f}^`\\;=")
    yield absolute("TwoSlashes", b"//evil/a", b"//evil/a")
    yield absolute("QueryKept", b"/?", b"/?")
    yield bad("AbsoluteHttps", line(b"GET https://test/ HTTP/1.1"), 421, why="not on an unencrypted connection (RFC 9110 7.4)")
    for name, target in {"AbsoluteOtherScheme": b"ftp://test/", "AbsoluteFile": b"file:///etc/passwd", "AbsoluteUserinfo": b"http://user@test/",
                         "AbsoluteUserinfoHost": b"http://evil@test/", "AbsoluteEmptyHost": b"http:///a", "AbsolutePortOnly": b"http://:80/",
                         "AbsoluteBackslash": b"http://test\\evil/", "AbsoluteFragment": b"http://test/#a", "AbsoluteTwoPorts": b"http://test:1:2/",
                         "AbsoluteEmpty": b"http://", "AbsoluteOpenBracket": b"http://[::1/", "Relative": b"index.html", "Empty": b"",
                         "Authority": b"test:80", "Asterisk": b"*", "AsteriskPath": b"*/a", "Fragment": b"/a#b", "NotAscii": b"/caf\xe9",
                         "Utf8": b"/caf\xc3\xa9", "Space": b"/a b", "NoSlash": b"?a=b", "Backslash": b"\\a", "WebSocketScheme": b"ws://test/"}.items():
        why = {"NotAscii": "no character of a URI (RFC 3986); others pass it on", "Utf8": "as above", "Fragment": "a fragment is never sent"}.get(name, "")
        yield bad("Target" + name, line(b"GET " + target + b" HTTP/1.1"), why=why)
    for name, host in {"Empty": b"", "Userinfo": b"user@test", "UserinfoPort": b"test:80@evil", "Slash": b"test/evil", "Space": b"test evil",
                       "Comma": b"test, evil", "Query": b"test?x", "Fragment": b"test#x", "Backslash": b"test\\evil", "PortLetters": b"test:http",
                       "PortNegative": b"test:-1", "TwoPorts": b"test:1:2", "OpenBracket": b"[::1", "BracketGarbage": b"[::1]evil",
                       "NotAscii": b"t\xe9st", "Escaped": b"te%73t", "Quote": b"te'st", "PortHuge": b"test:9999999", "Scheme": b"http://test",
                       "Angle": b"<test>", "VerticalTab": b"test\x0b", "At": b"@"}.items():
        why = {"Escaped": "legal in a URI, in no name of a server; strict on purpose", "Quote": "as above"}.get(name, "")
        yield bad("Host" + name, get(host=host), why=why)
        if name in ("Empty", "Userinfo"):
            yield bad("AbsoluteAndHost" + name, line(b"GET http://test/ HTTP/1.1", host=host))
    yield bad("HostMissing", get(host=None))
    yield bad("HostMissingAbsolute", line(b"GET http://test/ HTTP/1.1", host=None))
    yield bad("HostTwice", get(b"Host: evil"))
    yield bad("HostTwiceSame", get(b"Host: test"))
    yield bad("HostTwiceOtherCase", get(b"hOST: evil"))
    yield bad("HostTwiceAbsolute", line(b"GET http://test/ HTTP/1.1", b"Host: evil"))
    yield bad("HostTwiceHttp10", line(b"GET / HTTP/1.0", b"Host: evil"))
    yield bad("HostSpaceBeforeColon", line(b"GET / HTTP/1.1", b"Host : evil"))
    for host in (b"Test.Example:81", b"[::1]:3000", b"10.0.0.1", b"xn--caf-dma.example", b"a_b.example", b"test:", b"test.", b"[2001:db8::1]"):
        yield good("Host" + host.decode(), get(host=host), to_worker(b"GET / HTTP/1.1", host=host))


def methods():
    for method in (b"CONNECT example.org:443", b"CONNECT test:80", b"CONNECT /", b"CONNECT test", b"CONNECT test:0", b"CONNECT :80", b"CONNECT *"):
        name = "Connect" + method[8:].decode()
        yield bad(name, line(method + b" HTTP/1.1"), 501, 400, why="drover is a proxy for its own workers alone")
    yield bad("ConnectWithBody", post(CHUNKED, body=b"0\r\n\r\n", line=b"CONNECT test:80 HTTP/1.1"), 501, 400)
    for method in (b"OPTIONS", b"PUT", b"DELETE", b"PATCH", b"PROPFIND", b"QUERY", b"BREW", b"get", b"M-SEARCH", b"!#$%&'*+-.^_`|~", b"X" * 30):
        yield good("Method" + method.decode(), line(method + b" / HTTP/1.1"), to_worker(method + b" / HTTP/1.1"), method.decode())
    yield good("Trace", line(b"TRACE / HTTP/1.1"), to_worker(b"TRACE / HTTP/1.1"), why="nginx refuses TRACE")
    yield bad("TraceWithLength", post(b"Content-Length: 5", body=b"hello", line=b"TRACE / HTTP/1.1"),
              why="a client MUST NOT send content with TRACE (RFC 9110 9.3.8)")
    yield bad("TraceChunked", post(CHUNKED, body=b"0\r\n\r\n" + SMUGGLED, line=b"TRACE / HTTP/1.1"), why="as above")
    # Max-Forwards counts for TRACE and OPTIONS alone.
    for method in (b"TRACE", b"OPTIONS"):
        name = method.decode().title()
        for sent, passed in ((b"1", b"0"), (b"10", b"9"), (b"007", b"6"), (b"4294967295", b"4294967294"), (b"9" * 30, b"4294967294")):
            yield good(f"{name}MaxForwards{sent.decode()}", line(method + b" / HTTP/1.1", b"Max-Forwards: " + sent, b"X-A: b"),
                       to_worker(method + b" / HTTP/1.1", b"X-A: b", last=(b"Max-Forwards: " + passed,)))
        for name_of, value in {"Negative": b"-1", "Plus": b"+1", "Hexadecimal": b"0x1", "Empty": b"", "List": b"1, 1", "Letters": b"many"}.items():
            yield bad(f"{name}MaxForwards{name_of}", line(method + b" / HTTP/1.1", b"Max-Forwards: " + value))
        yield bad(f"{name}MaxForwardsTwice", line(method + b" / HTTP/1.1", b"Max-Forwards: 1", b"Max-Forwards: 0"))
        why = "RFC 9110 7.6.2; neither HAProxy nor nginx implements it"
        yield Case(f"{name}MaxForwardsZero", line(method + b" / HTTP/1.1", b"Max-Forwards: 0"), here=(200,), why=why)
        yield Case(f"{name}MaxForwardsZeros", line(method + b" / HTTP/1.1", b"Max-Forwards: 000"), here=(200,), why=why)
    yield Case("OptionsAsteriskMaxForwardsZero", line(b"OPTIONS * HTTP/1.1", b"Max-Forwards: 0"), here=(200,), why="as above")
    yield plain("GetMaxForwardsZero", b"Max-Forwards: 0")
    yield plain("GetMaxForwardsText", b"Max-Forwards: many", b"Max-Forwards: few")


def expectations():
    yield bad("ExpectUnknown", post(b"Expect: tea", b"Content-Length: 5", body=b"hello"), 417, why="MAY be answered 417 (RFC 9110 10.1.1)")
    yield bad("ExpectUnknownBeside", post(b"Expect: 100-continue, tea", b"Content-Length: 5", body=b"hello"), 417)
    yield bad("ExpectSpoilt", post(b"Expect: y 100-continue", b"Content-Length: 5", body=b"hello"), 417, why="a form of smuggling by lengths forgotten")
    yield bad("ExpectUnknownInASecondField", post(b"Expect: 100-continue", b"Expect: tea", b"Content-Length: 5", body=b"hello"), 417)
    yield bad("ExpectUnknownOnGet", get(b"Expect: tea"), 417)
    yield good("Expect", post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"),
               to_worker(b"POST / HTTP/1.1", b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"), "POST")
    yield good("ExpectUpperCase", post(b"Expect: 100-Continue", b"Content-Length: 5", body=b"hello"),
               to_worker(b"POST / HTTP/1.1", b"Expect: 100-Continue", b"Content-Length: 5", body=b"hello"), "POST")
    yield plain("ExpectWithoutBody", b"Expect: 100-continue", expect=[])
    yield good("ExpectFromHttp10", post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello", line=b"POST / HTTP/1.0"),
               to_worker(b"POST / HTTP/1.1", b"Content-Length: 5", via=b"1.0", body=b"hello"), "POST")


def hops():
    yield plain("ConnectionNamesAField", b"Connection: X-Hop", b"X-Hop: 1", b"X-Kept: 2", expect=[b"X-Kept: 2"])
    yield plain("ConnectionNamesInAnyCase", b"connection: x-HOP", b"X-Hop: 1", b"x-hop: 2", expect=[])
    yield plain("ConnectionInTwoLines", b"Connection: X-A", b"X-A: 1", b"Connection: X-B", b"X-B: 1", expect=[])
    yield plain("ConnectionWithEmptyElements", b"Connection: , X-A ,,keep-alive,", b"X-A: 1", expect=[])
    yield plain("ConnectionNamesWhatDroverSets", b"Connection: X-Forwarded-For, X-Forwarded-Proto, X-Request-ID, Via", expect=[])
    yield plain("ConnectionNamesForwardedFor", b"Connection: close, X-Forwarded-For", b"X-Forwarded-For: 6.6.6.6", expect=[])
    yield plain("ConnectionNamesHost", b"Connection: close, Host", expect=[], why="the Host that drover writes is its own")
    yield good("ConnectionNamesContentLength", post(b"Connection: Content-Length", b"Content-Length: 5", body=b"hello"),
               to_worker(b"POST / HTTP/1.1", b"Content-Length: 5", body=b"hello"), "POST", why="what frames the message is drover's own")
    yield good("ConnectionNamesExpect", post(b"Connection: Expect", b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"),
               to_worker(b"POST / HTTP/1.1", b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"), "POST",
               why="without it the worker and the client would wait for each other")
    yield good("ConnectionNamesTransferEncoding", post(b"Connection: Transfer-Encoding", CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n"),
               to_worker(b"POST / HTTP/1.1", last=(CHUNKED,), body=b"5\r\nhello\r\n0\r\n\r\n"), "POST", why="as above")
    yield plain("ConnectionNamesCookie", b"Connection: Cookie, Authorization", b"Cookie: a=b", b"Authorization: x", expect=[],
                why="the letter of RFC 9110 7.6.1; HAProxy and nginx drop none that they don't know")
    yield plain("ConnectionNamesItself", b"Connection: Connection", expect=[])
    yield bad("ConnectionNamesTooMany", get(b"Connection: " + b", ".join(b"X-%d" % n for n in range(17))), why="more than drover takes note of")
    yield plain("KeepAliveField", b"Keep-Alive: timeout=5", b"X-Kept: 1", expect=[b"X-Kept: 1"])
    yield plain("TeField", b"TE: trailers", b"X-Kept: 1", expect=[b"X-Kept: 1"])
    yield plain("TeFieldWithOption", b"Connection: TE", b"TE: trailers, deflate;q=0.5", expect=[])
    yield plain("TeChunked", b"Connection: TE", b"TE: chunked", expect=[])
    yield plain("ProxyConnection", b"Proxy-Connection: X-Kept, close", b"X-Kept: 1", expect=[b"X-Kept: 1"])
    yield plain("UpgradeWithoutConnection", b"Upgrade: websocket", expect=[])
    yield plain("ConnectionUpgradeWithoutUpgrade", b"Connection: Upgrade", expect=[])
    yield plain("UpgradeByProxyConnection", b"Proxy-Connection: Upgrade", b"Upgrade: websocket", expect=[])
    yield good("UpgradeInHttp10", head(b"GET / HTTP/1.0", b"Connection: Upgrade", b"Upgrade: websocket"), to_worker(b"GET / HTTP/1.1", via=b"1.0"))
    yield good("UpgradeWithABody", post(b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 5", body=b"hello"),
               to_worker(b"POST / HTTP/1.1", b"Content-Length: 5", body=b"hello"), "POST", why="an Upgrade MAY be ignored (RFC 9110 7.8)")
    yield plain("TrailerFieldKept", b"Trailer: X-Sum")
    yield plain("ForwardedFieldsReplaced", b"X-Forwarded-For: 6.6.6.6", b"x-forwarded-proto: https", b"X_Forwarded_Host: evil", b"Forwarded: for=6.6.6.6",
                b"X-Request-ID: mine", b"X-Request-Start: t=1", expect=[])
    yield plain("ConditionsKept", b'If-Match: "a", W/"b"', b"If-None-Match: *", b"If-Modified-Since: Sat, 01 Jan 2022 00:00:00 GMT",
                b"If-Unmodified-Since: yesterday", b'If-Range: "a"', b"Range: bytes=0-4, -1")
    yield plain("CredentialsKept", b"Authorization: Basic  YTpi", b"Proxy-Authorization: Basic Yzpk", b"Cookie: a=b; c=\"d\"")
    yield plain("CacheFieldsKept", b"Cache-Control: no-transform, only-if-cached", b"Pragma: no-cache", b"Vary: *", b"Warning: 199 - x", b"Age: 1")
    yield plain("NegotiationKept", b"Accept: text/html;q=0.5, */*;q=0.1", b"Accept-Encoding: gzip;q=1.0, identity; q=0.5, *;q=0", b"Accept-Charset: x")
    yield plain("ViaAppended", b"Via: 1.0 fred, 1.1 p.example (Apache/1.1)", b"Via: HTTP/1.1 x")


LINES = list(lines())
VERSIONS = list(versions())
TARGETS = list(targets())
METHODS = list(methods())
EXPECTATIONS = list(expectations())
HOPS = list(hops())
