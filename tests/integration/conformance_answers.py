"""What a worker may answer, as data: the raw bytes, then what the client gets. In .client the Date that drover adds is <date>.
One list for the tests (test_conformance_answers.py and _upgrade.py) and for calibrate_answers.py, which plays it against HAProxy and nginx too.

client   every byte that the client gets, and its connection is used again
broken   the client gets this status (502), or sees that the answer is cut; the worker's connection is never used again
"""

from dataclasses import dataclass

DATE = b"Date: <date>\r\n"


@dataclass(frozen=True)
class Answer:
    name: str
    raw: bytes
    client: bytes = None
    broken: tuple = ()
    method: str = "GET"
    then: str = ""      # what the worker does then: "close", "reset" or nothing
    reused: bool = True  # is the worker's connection used again?


def answer(status, *fields, body=b"", version=b"HTTP/1.1"):
    return version + b" " + status + b"\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def ok(*fields, body=b"ok"):
    return answer(b"200 OK", b"Content-Length: %d" % len(body), *fields, body=body)


def passed(name, raw, client, **more):
    return Answer(name, raw, client, **more)


def to_client(status, *fields, last=(), body=b""):
    return answer(status, *fields, b"Date: <date>", *last, body=body)


def broken(name, raw, **more):
    return Answer(name, raw, broken=(502,), **more)


CHUNKED = b"Transfer-Encoding: chunked"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

WELL_FORMED = [
    passed("Plain", ok(b"X-A: b"), to_client(b"200 OK", b"Content-Length: 2", b"X-A: b", body=b"ok")),
    passed("DateKept", ok(b"Date: yesterday"), answer(b"200 OK", b"Content-Length: 2", b"Date: yesterday", body=b"ok")),
    passed("ReasonEmpty", answer(b"200 ", b"Content-Length: 0"), to_client(b"200 ", b"Content-Length: 0")),
    passed("ReasonNotAscii", answer(b"200 caf\xe9 \tx", b"Content-Length: 0"), to_client(b"200 caf\xe9 \tx", b"Content-Length: 0")),
    passed("UnknownStatus299", answer(b"299 Odd", b"Content-Length: 2", body=b"ok"), to_client(b"299 Odd", b"Content-Length: 2", body=b"ok")),
    passed("UnknownStatus599", answer(b"599 Odder", b"Content-Length: 0"), to_client(b"599 Odder", b"Content-Length: 0")),
    passed("ValueNotAscii", ok(b"X-A: caf\xe9\xff"), to_client(b"200 OK", b"Content-Length: 2", b"X-A: caf\xe9\xff", body=b"ok")),
    passed("OrderAndRepeatsKept", ok(b"Set-Cookie: a=1", b"X-B: 1", b"Set-Cookie: b=2", b"set-cookie: c=3"),
           to_client(b"200 OK", b"Content-Length: 2", b"Set-Cookie: a=1", b"X-B: 1", b"Set-Cookie: b=2", b"set-cookie: c=3", body=b"ok")),
    passed("HopByHopRemoved", ok(b"Connection: keep-alive, X-Hop", b"X-Hop: 1", b"Keep-Alive: timeout=90", b"Proxy-Connection: x", b"Upgrade: h2c", b"TE: x"),
           to_client(b"200 OK", b"Content-Length: 2", body=b"ok")),
    passed("ConnectionCannotTakeTheLength", ok(b"Connection: Content-Length, Date"), to_client(b"200 OK", b"Content-Length: 2", body=b"ok")),
    passed("CredentialsKept", answer(b"401 Unauthorized", b"WWW-Authenticate: Basic realm=\"a, b\", X y", b"WWW-Authenticate: Z",
                                     b"Proxy-Authenticate: Basic", b"Authentication-Info: n=1", b"Content-Length: 0"),
           to_client(b"401 Unauthorized", b"WWW-Authenticate: Basic realm=\"a, b\", X y", b"WWW-Authenticate: Z", b"Proxy-Authenticate: Basic",
                     b"Authentication-Info: n=1", b"Content-Length: 0")),
    passed("ContentUntouched", ok(b"Cache-Control: no-transform", b"Content-Encoding: gzip", b"Vary: *", b"Server: x", b"Allow: GET"),
           to_client(b"200 OK", b"Content-Length: 2", b"Cache-Control: no-transform", b"Content-Encoding: gzip", b"Vary: *", b"Server: x", b"Allow: GET",
                     body=b"ok")),
    passed("UpgradeRequiredKeepsUpgrade", answer(b"426 Upgrade Required", b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 0"),
           to_client(b"426 Upgrade Required", b"Content-Length: 0", last=(b"Upgrade: websocket", b"Connection: Upgrade"))),
    passed("Chunked", answer(b"200 OK", CHUNKED, b"Trailer: X-Sum", body=b"002;a=b\r\nok\r\n0;c\r\nX-Sum: 1\r\nContent-Type: x\r\n\r\n"),
           to_client(b"200 OK", b"Trailer: X-Sum", last=(CHUNKED,), body=b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")),
    passed("HeadWithLength", answer(b"200 OK", b"Content-Length: 77"), to_client(b"200 OK", b"Content-Length: 77"), method="HEAD", reused=False),
    passed("HeadChunked", answer(b"200 OK", CHUNKED), to_client(b"200 OK"), method="HEAD", reused=False),
    passed("NotModifiedWithLength", answer(b"304 Not Modified", b'ETag: "x"', b"Content-Length: 77"),
           to_client(b"304 Not Modified", b'ETag: "x"', b"Content-Length: 77"), reused=False),
    passed("NoContentWithLengthZero", answer(b"204 No Content", b"Content-Length: 0"), to_client(b"204 No Content")),
    passed("ResetContent", answer(b"205 Reset Content", b"Content-Length: 0"), to_client(b"205 Reset Content", b"Content-Length: 0")),
    passed("ResetContentWithContent", answer(b"205 Reset Content", b"Content-Length: 2", body=b"ok"),
           to_client(b"205 Reset Content", b"Content-Length: 2", body=b"ok")),
    passed("Http10KeepAlive", answer(b"200 OK", b"Connection: keep-alive", b"Content-Length: 2", body=b"ok", version=b"HTTP/1.0"),
           to_client(b"200 OK", b"Content-Length: 2", body=b"ok")),
    passed("Http10", answer(b"200 OK", b"Content-Length: 2", body=b"ok", version=b"HTTP/1.0"),
           to_client(b"200 OK", b"Content-Length: 2", body=b"ok"), reused=False),
    passed("ConnectionClose", ok(b"Connection: close"), to_client(b"200 OK", b"Content-Length: 2", body=b"ok"), reused=False),
    passed("UntilTheEnd", answer(b"200 OK", body=b"ok"), to_client(b"200 OK", last=(CHUNKED,), body=b"2\r\nok\r\n0\r\n\r\n"), then="close", reused=False),
    passed("Hints", answer(b"103 Early Hints", b"Link: </a>", b"Connection: X-Hop", b"X-Hop: 1") + ok(),
           answer(b"103 Early Hints", b"Link: </a>") + to_client(b"200 OK", b"Content-Length: 2", body=b"ok")),
    passed("UnknownInterim", answer(b"199 Odd", b"X-A: b") + ok(), answer(b"199 Odd", b"X-A: b") + to_client(b"200 OK", b"Content-Length: 2", body=b"ok")),
    passed("ExtraBytesAfterLength", ok() + EVIL, to_client(b"200 OK", b"Content-Length: 2", body=b"ok"), reused=False),
    passed("BodyOnHead", answer(b"200 OK", b"Content-Length: 4", body=b"evil"), to_client(b"200 OK", b"Content-Length: 4"), method="HEAD", reused=False),
    passed("BodyOnNotModified", answer(b"304 Not Modified", b"Content-Length: 4", body=b"evil"), to_client(b"304 Not Modified", b"Content-Length: 4"),
           reused=False),
    passed("BodyOnNoContent", answer(b"204 No Content", body=b"evil"), to_client(b"204 No Content"), reused=False),
]

BROKEN = [
    broken("StatusOfTwoDigits", answer(b"20 OK", b"Content-Length: 0")), broken("StatusOfFourDigits", answer(b"2000 OK", b"Content-Length: 0")),
    broken("StatusSixHundred", answer(b"600 X", b"Content-Length: 0")), broken("StatusBelow", answer(b"099 X", b"Content-Length: 0")),
    broken("StatusSigned", answer(b"+200 OK", b"Content-Length: 0")), broken("StatusLineGarbage", b"hello\r\n\r\n"),
    broken("StatusLineWithoutItsLastSpace", answer(b"200", b"Content-Length: 0")),
    broken("VersionTwo", answer(b"200 OK", b"Content-Length: 0", version=b"HTTP/2.0")),
    broken("VersionLowerCase", answer(b"200 OK", b"Content-Length: 0", version=b"http/1.1")), broken("Icy", answer(b"200 OK", version=b"ICY")),
    broken("SplitByLf", ok(b"X-A: b\nSet-Cookie: evil=1")), broken("SplitByCr", ok(b"X-A: b\rSet-Cookie: evil=1")),
    broken("SplitByLfCrLf", ok(b"X-A: b\n\r\n" + EVIL)), broken("SplitInReason", answer(b"200 OK\nX-A: b", b"Content-Length: 0")),
    broken("SplitInName", ok(b"X-A\n: b")), broken("NulInValue", ok(b"X-A: \0")), broken("ControlInValue", ok(b"X-A: \x01")),
    broken("ControlInReason", answer(b"200 O\x01K", b"Content-Length: 0")), broken("Folded", ok(b"X-A: b", b" c")),
    broken("FoldedFirst", ok(b"X-A: b", b"\tTransfer-Encoding: chunked")), broken("SpaceBeforeColon", ok(b"X-A : b")),
    broken("NoColon", ok(b"nonsense")), broken("NameNotAscii", ok(b"X\xe9: b")), broken("BareLfEverywhere", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    broken("TwoLengths", ok(b"Content-Length: 3")), broken("TwoSameLengths", ok(b"Content-Length: 2")),
    broken("LengthList", answer(b"200 OK", b"Content-Length: 2, 2", body=b"ok")), broken("LengthPlus", answer(b"200 OK", b"Content-Length: +2", body=b"ok")),
    broken("LengthMinus", answer(b"200 OK", b"Content-Length: -2", body=b"ok")), broken("LengthHuge", answer(b"200 OK", b"Content-Length: " + b"9" * 20)),
    broken("LengthLargestAndCut", answer(b"200 OK", b"Content-Length: 9223372036854775807", body=b"ok"), then="close"),
    broken("LengthAndCoding", ok(CHUNKED)), broken("CodingAndLength", answer(b"200 OK", CHUNKED, b"Content-Length: 2", body=b"2\r\nok\r\n0\r\n\r\n")),
    broken("CodingUnknown", answer(b"200 OK", b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")),
    broken("CodingTwice", answer(b"200 OK", CHUNKED, CHUNKED, body=b"0\r\n\r\n")),
    broken("CodingInHttp10", answer(b"200 OK", CHUNKED, body=b"0\r\n\r\n", version=b"HTTP/1.0")),
    broken("NoContentWithLength", answer(b"204 No Content", b"Content-Length: 4", body=b"evil")),
    broken("NoContentChunked", answer(b"204 No Content", CHUNKED, body=b"0\r\n\r\n")),
    broken("InterimWithLength", answer(b"103 Early Hints", b"Content-Length: 4", body=b"evil")),
    broken("SwitchUnasked", answer(b"101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: websocket")),
    broken("HeadOfTenMebibytes", answer(b"200 OK", b"X-A: " + b"a" * (10 << 20), b"Content-Length: 0")),
    broken("HeadOfManyFields", answer(b"200 OK", *[b"X-%d: 1" % n for n in range(500)], b"Content-Length: 0")),
    broken("ThousandInterims", answer(b"102 Processing") * 1000 + ok()),
    broken("LengthTooLong", answer(b"200 OK", b"Content-Length: 9", body=b"ok"), then="close"),
    broken("ChunkSizePrefixed", answer(b"200 OK", CHUNKED, body=b"0x2\r\nok\r\n0\r\n\r\n")),
    broken("ChunkSizeSigned", answer(b"200 OK", CHUNKED, body=b"+2\r\nok\r\n0\r\n\r\n")),
    broken("ChunkSizeHuge", answer(b"200 OK", CHUNKED, body=b"10000000000000002\r\nok\r\n0\r\n\r\n")),
    broken("ChunkEndedByLf", answer(b"200 OK", CHUNKED, body=b"2\nok\r\n0\r\n\r\n")),
    broken("ChunkExtensionLf", answer(b"200 OK", CHUNKED, body=b'2;a="\n"\r\nok\r\n0\r\n\r\n')),
    broken("ChunkUnended", answer(b"200 OK", CHUNKED, body=b"2\r\nok\r\n"), then="close"),
    broken("ChunkTrailerSplit", answer(b"200 OK", CHUNKED, body=b"2\r\nok\r\n0\r\nX-A: b\nX-C: d\r\n\r\n")),
]

# --- answers to an offer of websocket (test_conformance_upgrade.py)
FIELDS = (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Origin: http://test", b"Sec-WebSocket-Protocol: chat, superchat",
          b"Sec-WebSocket-Protocol: third", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
          b"Sec-WebSocket-Extensions: x")
OFFER = (b"Upgrade: websocket", b"Connection: keep-alive, Upgrade")
BOTH = (b"Upgrade: websocket", b"Connection: Upgrade")


def agreed(*fields):
    return answer(b"101 Switching Protocols", *fields)


NOT_OFFERED = [broken("AgreedToAnother", agreed(b"Upgrade: other", b"Connection: Upgrade")),
               broken("AgreedToNothing", agreed(b"Connection: Upgrade")), broken("AgreedWithoutConnection", agreed(b"Upgrade: websocket")),
               broken("AgreedToOneMore", agreed(b"Upgrade: websocket, other", b"Connection: Upgrade")),
               broken("AgreedToAnEmptyName", agreed(b"Upgrade:", b"Connection: Upgrade"))]


def odd(name, field):
    return passed(name, agreed(b"Date: yesterday", field, *BOTH), agreed(b"Date: yesterday", field, *BOTH))


FOR_THE_CLIENT_TO_REFUSE = [odd("AcceptWrong", b"Sec-WebSocket-Accept: wrong"), odd("ProtocolUnasked", b"Sec-WebSocket-Protocol: unasked"),
                            odd("ExtensionUnasked", b"Sec-WebSocket-Extensions: unasked"), odd("AcceptMissing", b"X-A: b")]
AGREEMENTS = [
    passed("Agreed", agreed(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", b"Date: yesterday", *BOTH),
           agreed(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", b"Date: yesterday", *BOTH)),
    passed("AgreedBehindContinue", answer(b"100 Continue") + agreed(b"Date: yesterday", *BOTH),
           answer(b"100 Continue") + agreed(b"Date: yesterday", *BOTH)),
    passed("RefusedByVersion", answer(b"426 Upgrade Required", *BOTH, b"Sec-WebSocket-Version: 13", b"Content-Length: 0"), b"426"),
    passed("NotFound", answer(b"404 No", b"Content-Length: 0"), b"404"),
    passed("AnsweredInstead", ok(), b"200"),
    *FOR_THE_CLIENT_TO_REFUSE, *NOT_OFFERED,
]
