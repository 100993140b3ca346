"""Requests as data: the raw bytes, and what must become of them. One list for the tests (test_conformance_requests.py and _smuggling.py),
which play it against drover, and for calibrate.py, which plays it against HAProxy and nginx too.

refused    the statuses one of which must be the answer; the connection is closed then and the worker gets not one byte
forwarded  every byte that the worker gets; <id> and <ms> stand for what differs each time
here       drover answers itself with one of these statuses and the connection stays usable
why        for the calibration: where others do otherwise, or drover is stricter than it must be
"""

from dataclasses import dataclass

HOST = b"Host: test\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"


@dataclass(frozen=True)
class Case:
    name: str
    raw: bytes
    refused: tuple = ()
    forwarded: bytes = None
    here: tuple = ()
    method: str = "GET"
    why: str = ""


def head(line, *fields, host=b"test"):
    lines = [line] + ([b"Host: " + host] if host is not None else []) + list(fields)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def get(*fields, line=b"GET / HTTP/1.1", host=b"test"):
    return head(line, *fields, host=host)


def post(*fields, body=b"", line=b"POST / HTTP/1.1"):
    return head(line, *fields) + body


def chunky(body, *fields):
    return post(b"Transfer-Encoding: chunked", *fields, body=body)


def to_worker(line, *fields, host=b"test", via=b"1.1", last=(), body=b""):
    """What drover writes: the client's fields in their order, then its own."""
    own = [b"X-Forwarded-For: 127.0.0.1", b"X-Forwarded-Host: " + host, b"X-Forwarded-Proto: http", b"X-Request-ID: <id>",
           b"X-Request-Start: t=<ms>", b"Via: " + via + b" drover"]
    return head(line, *fields, *own, *last, host=host) + body


def bad(name, raw, *statuses, why=""):
    return Case(name, raw, refused=statuses or (400,), why=why)


def good(name, raw, forwarded, method="GET", why=""):
    return Case(name, raw, forwarded=forwarded, method=method, why=why)


def plain(name, *fields, expect=None, why=""):
    """A GET with these fields of which the worker gets `expect` (the same where that is None)."""
    return good(name, get(*fields), to_worker(b"GET / HTTP/1.1", *(fields if expect is None else expect)), why=why)


CHUNKED = b"Transfer-Encoding: chunked"

# --- request smuggling: one form of Transfer-Encoding each, alone and beside a Content-Length, a second request behind the first end.
CODINGS = {
    "Plain": (CHUNKED,),
    "UpperCase": (b"TRANSFER-ENCODING: CHUNKED",),
    "MixedCase": (b"Transfer-Encoding: chUnKed",),
    "AfterTab": (b"Transfer-Encoding:\tchunked",),
    "TabBehind": (b"Transfer-Encoding: chunked\t",),
    "NoSpace": (b"Transfer-Encoding:chunked",),
    "SpaceBeforeColon": (b"Transfer-Encoding : chunked",),
    "TabBeforeColon": (b"Transfer-Encoding\t: chunked",),
    "XChunked": (b"Transfer-Encoding: xchunked",),
    "ChunkedX": (b"Transfer-Encoding: chunkedx",),
    "CutShort": (b"Transfer-Encoding: chunke",),
    "ThenIdentity": (b"Transfer-Encoding: chunked, identity",),
    "IdentityBefore": (b"Transfer-Encoding: identity, chunked",),
    "CommaBehind": (b"Transfer-Encoding: chunked,",),
    "CommaBefore": (b"Transfer-Encoding: ,chunked",),
    "Spaced": (b"Transfer-Encoding: chunked chunked",),
    "Quoted": (b'Transfer-Encoding: "chunked"',),
    "SingleQuoted": (b"Transfer-Encoding: 'chunked'",),
    "Parameter": (b"Transfer-Encoding: chunked;q=1",),
    "SemicolonBehind": (b"Transfer-Encoding: chunked;",),
    "VerticalTab": (b"Transfer-Encoding: \x0bchunked",),
    "VerticalTabBehind": (b"Transfer-Encoding: chunked\x0b",),
    "FormFeed": (b"Transfer-Encoding: \x0cchunked",),
    "NulBefore": (b"Transfer-Encoding: \0chunked",),
    "NoBreakSpace": (b"Transfer-Encoding: \xa0chunked",),
    "NextLine": (b"Transfer-Encoding: \x85chunked",),
    "Twice": (CHUNKED, CHUNKED),
    "TwiceSecondUnknown": (CHUNKED, b"Transfer-Encoding: x"),
    "TwiceFirstUnknown": (b"Transfer-Encoding: x", CHUNKED),
    "TwiceSecondEmpty": (CHUNKED, b"Transfer-Encoding:"),
    "Folded": (b"Transfer-Encoding:", b" chunked"),
    "FoldedByTab": (b"Transfer-Encoding: chunked", b"\t, identity"),
    "FoldedName": (b"X-A: b", b" Transfer-Encoding: chunked"),
    "BareLineFeedBefore": (b"X-A: b\nTransfer-Encoding: chunked",),
    "BareLineFeedBeforeColon": (b"Transfer-Encoding\n: chunked",),
    "BareCarriageReturnBefore": (b"X-A: b\rTransfer-Encoding: chunked",),
    "BareCarriageReturnBehind": (b"Transfer-Encoding: chunked\r",),
    "NulInName": (b"Transfer-Encoding\0: chunked",),
    "NotAsciiInName": (b"Transfer-Encodin\xe7: chunked",),
    "Gzip": (b"Transfer-Encoding: gzip, chunked",),
    "GzipAlone": (b"Transfer-Encoding: gzip",),
    "ChunkedTwiceInAList": (b"Transfer-Encoding: chunked, chunked",),
    "Empty": (b"Transfer-Encoding:",),
}
LEGAL_CODINGS = {"Plain", "UpperCase", "MixedCase", "AfterTab", "TabBehind", "NoSpace"}
NOT_IMPLEMENTED = {"Gzip", "IdentityBefore"}
WHY_CODING = {
    "CommaBehind": "an empty list element could be ignored (RFC 9110 5.6.1.2); no honest sender frames its body so",
    "CommaBefore": "as above",
    "Parameter": "chunked has no parameters: an error (RFC 9112 7.1)",
    "IdentityBefore": "identity is no coding any more (RFC 9112 7.3)",
    "Gzip": "legal, but not implemented: 501 (RFC 9112 6.1)",
}


def te_cl(lines):
    """Whoever goes by the length leaves the request behind the last chunk."""
    return post(b"Content-Length: 4", *lines, body=b"5c\r\n" + SMUGGLED + b"\r\n0\r\n\r\n")


def cl_te(lines):
    """Whoever goes by the chunks leaves it behind the length."""
    body = b"0\r\n\r\n" + SMUGGLED
    return post(b"Content-Length: " + str(len(body)).encode(), *lines, body=body)


def smuggling():
    for name, lines in CODINGS.items():
        statuses = (501,) if name in NOT_IMPLEMENTED else (400,)
        why = WHY_CODING.get(name, "")
        both = "both lengths: a server MAY go by the chunks and close; drover refuses" if name in LEGAL_CODINGS else why
        either = (400, 501) if name in NOT_IMPLEMENTED else (400,)
        yield bad("ClTe" + name, cl_te(lines), *either, why=both)
        yield bad("TeCl" + name, te_cl(lines), *either, why=both)
        if name in LEGAL_CODINGS:
            raw = post(*lines, body=b"5\r\nhello\r\n0\r\n\r\n")
            yield good("Te" + name, raw, to_worker(b"POST / HTTP/1.1", last=(CHUNKED,), body=b"5\r\nhello\r\n0\r\n\r\n"), "POST")
        else:
            yield bad("Te" + name, post(*lines, body=b"0\r\n\r\n" + SMUGGLED), *statuses, why=why)


def lengths():
    rest = b"hello" + SMUGGLED
    wrong = {
        "Plus": b"+5", "Minus": b"-5", "MinusZero": b"-0", "Hexadecimal": b"0x5", "HexadecimalBare": b"a", "Same": b"5, 5", "Different": b"5, 6",
        "CommaBehind": b"5,", "CommaBefore": b",5", "TwoNumbers": b"5 5", "Fraction": b"5.0", "Exponent": b"5e0", "Empty": b"", "Letter": b"5x",
        "Quoted": b'"5"', "TwentyDigits": b"10000000000000000005", "BeyondSixtyFourBits": b"18446744073709551621", "Underscore": b"1_0",
        "VerticalTab": b"\x0b5", "NulBehind": b"5\0", "NoBreakSpace": b"5\xa0", "BareCarriageReturn": b"5\r", "ArabicDigit": b"\xd9\xa5",
        "SpaceInside": b"1 0", "Parameter": b"5;q=1",
    }
    for name, value in wrong.items():
        # Twenty digits may still fit 64 bits: then the body is merely not whole.
        if name == "TwentyDigits":
            continue
        why = {"Same": "may be taken as one length (RFC 9112 6.3); refused"}.get(name, "")
        yield bad("Length" + name, post(b"Content-Length: " + value, body=rest), why=why)
    yield bad("LengthTwentyDigits", post(b"Content-Length: 99999999999999999999", body=rest))
    yield bad("LengthTwiceDifferent", post(b"Content-Length: 5", b"Content-Length: 6", body=rest))
    yield bad("LengthTwiceSame", post(b"Content-Length: 5", b"Content-Length: 5", body=rest), why="may be taken as one length; refused")
    yield bad("LengthTwiceZeroFirst", post(b"Content-Length: 0", b"Content-Length: 5", body=rest))
    yield bad("LengthFolded", post(b"Content-Length:", b" 5", body=rest))
    yield bad("LengthSpaceBeforeColon", post(b"Content-Length : 5", body=rest))
    yield bad("LengthBareLineFeedBefore", post(b"X-A: b\nContent-Length: 5", body=rest))
    yield good("LengthLeadingZeros", post(b"Content-Length: 0005", body=b"hello"),
               to_worker(b"POST / HTTP/1.1", b"Content-Length: 0005", body=b"hello"), "POST")
    yield good("LengthSpaced", post(b"Content-Length: \t 5 \t", body=b"hello"),
               to_worker(b"POST / HTTP/1.1", b"Content-Length: 5", body=b"hello"), "POST")
    yield good("LengthUnderscore", post(b"Content_Length: 9", b"Content-Length: 5", body=b"hello"),
               to_worker(b"POST / HTTP/1.1", b"Content_Length: 9", b"Content-Length: 5", body=b"hello"), "POST",
               why="a name like any other; nginx drops names with an underscore")
    yield good("CodingUnderscore", post(b"Transfer_Encoding: chunked", b"Content-Length: 5", body=b"hello"),
               to_worker(b"POST / HTTP/1.1", b"Transfer_Encoding: chunked", b"Content-Length: 5", body=b"hello"), "POST",
               why="as above")
    yield good("LengthOnGet", get(b"Content-Length: 5") + b"hello", to_worker(b"GET / HTTP/1.1", b"Content-Length: 5", body=b"hello"))


def chunk_tricks():
    end, over = b"\r\n0\r\n\r\n", b"\r\n0\r\n\r\n" + SMUGGLED
    wrong = {
        "Prefix0x": b"0x5\r\nhello" + over, "Prefix0X": b"0X5\r\nhello" + over, "Plus": b"+5\r\nhello" + over, "Minus": b"-5\r\nhello" + over,
        "SpaceBefore": b" 5\r\nhello" + over, "TabBefore": b"\t5\r\nhello" + over, "Empty": b"\r\nhello" + over, "Letter": b"5g\r\nhello" + over,
        "Underscore": b"0_5\r\nhello" + over, "SeventeenDigits": b"10000000000000005\r\nhello" + over,
        "SeventeenDigitsF": b"fffffffffffffffff\r\nhello" + over, "Decimal": b"5.0\r\nhello" + over, "Semicolonless": b"5 a=b\r\nhello" + over,
        "Comma": b"5,5\r\nhello" + over, "Quoted": b'"5"\r\nhello' + over, "NotAscii": b"5\xa0\r\nhello" + over, "Nul": b"5\0\r\nhello" + over,
        "VerticalTab": b"5\x0b\r\nhello" + over, "EndedByLf": b"5\nhello" + over, "EndedByCr": b"5\rhello" + over, "EndedByCrX": b"5\rXhello" + over,
        "EndedByLfCr": b"5\n\rhello" + over, "ExtensionLf": b"5;a\nhello" + over, "ExtensionCr": b"5;a\rb\r\nhello" + over,
        "ExtensionLfCr": b"5;\n\rhello" + over, "ExtensionNul": b"5;a=\0\r\nhello" + over,
        "ExtensionLfQuoted": b'5;a="\n"\r\nhello' + over, "ExtensionCrQuoted": b'5;a="\r"\r\nhello' + over,
        "ExtensionThenTerminator": b"5;\n" + b"hello\r\n0\r\n\r\n" + SMUGGLED + b"\r\n0\r\n\r\n",
        "DataWithoutEnd": b"5\r\nhello0\r\n\r\n" + SMUGGLED, "DataTooLong": b"5\r\nhelloXX" + over, "DataEndedByLf": b"5\r\nhello\n0\r\n\r\n" + SMUGGLED,
        "DataEndedByCr": b"5\r\nhello\r0\r\n\r\n" + SMUGGLED, "LastChunkLf": b"5\r\nhello\r\n0\n\n" + SMUGGLED,
        "LastChunkLfLf": b"0\n\n" + SMUGGLED, "LastChunkCrLfLf": b"0\r\n\n" + SMUGGLED, "LastChunkLfCrLf": b"0\n\r\n" + SMUGGLED,
        "LastChunkSigned": b"-0\r\n\r\n" + SMUGGLED, "LastChunkX": b"0\r\nXX" + SMUGGLED,
        "TrailerWithoutColon": b"0\r\nnonsense\r\n\r\n" + SMUGGLED, "TrailerNul": b"0\r\nX-A: \0\r\n\r\n" + SMUGGLED,
        "TrailerLf": b"0\r\nX-A: b\nX-C: d\r\n\r\n" + SMUGGLED, "TrailerLfLf": b"0\r\nX-A: b\n\n" + SMUGGLED,
        "TrailerCr": b"0\r\nX-A: b\rX-C: d\r\n\r\n" + SMUGGLED, "TrailerCrInName": b"0\r\nX\r-A: b\r\n\r\n" + SMUGGLED,
        "TrailerSpaceBeforeColon": b"0\r\nX-A : b\r\n\r\n" + SMUGGLED, "TrailerFolded": b"0\r\nX-A: b\r\n c\r\n\r\n" + SMUGGLED,
        "TrailerControl": b"0\r\nX-A: \x01\r\n\r\n" + SMUGGLED, "TrailerLfInName": b"0\r\nX\n-A: b\r\n\r\n" + SMUGGLED,
        "TrailerLength": b"0\r\nContent-Length: 9\r\n\r\n" + SMUGGLED, "TrailerCoding": b"0\r\nTransfer-Encoding: x\r\n\r\n" + SMUGGLED,
    }
    for name, body in wrong.items():
        yield bad("Chunk" + name, chunky(body))
    sent = b"5\r\nhello" + end
    right = {
        "LeadingZeros": (b"000005\r\nhello" + end, sent), "UpperCase": (b"A\r\nhellohello" + end, b"a\r\nhellohello" + end),
        "Extension": (b"5;a=b\r\nhello" + end, sent), "ExtensionQuoted": (b'5;a="b;c"\r\nhello' + end, sent),
        "ExtensionQuotedPair": (b'5;a="b\\";c\\\\"\r\nhello' + end, sent),
        "ExtensionName": (b"5;a\r\nhello" + end, sent), "ExtensionSpaced": (b"5 ; a = b\r\nhello" + end, sent),
        "ExtensionOnTheLast": (b"5\r\nhello\r\n0;a=b\r\n\r\n", sent),
        "SeveralZeros": (b"5\r\nhello\r\n0000\r\n\r\n", sent),
        "Trailer": (b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
        "TrailerForbidden": (b"5\r\nhello\r\n0\r\nHost: evil\r\nAuthorization: x\r\nConnection: X-Sum\r\nX-Sum: 1\r\n\r\n",
                             b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
        "TrailerOfDrovers": (b"5\r\nhello\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nX_Request_ID: 1\r\n\r\n", sent),
    }
    for name, (body, seen) in right.items():
        yield good("Chunk" + name, chunky(body), to_worker(b"POST / HTTP/1.1", last=(CHUNKED,), body=seen), "POST")
    yield good("ChunkTrailerNamedByConnection", chunky(b"5\r\nhello\r\n0\r\nX-Hop: 1\r\nX-Sum: 2\r\n\r\n", b"Connection: X-Hop", b"Trailer: X-Sum"),
               to_worker(b"POST / HTTP/1.1", b"Trailer: X-Sum", last=(CHUNKED,), body=b"5\r\nhello\r\n0\r\nX-Sum: 2\r\n\r\n"), "POST")


def oversized():
    """What makes them wrong comes when their beginning is on its way: that much the worker gets, and never an end."""
    over = b"\r\n0\r\n\r\n" + SMUGGLED
    for name, body in {"ExtensionHuge": b"5;" + b"a" * 200_000 + b"\r\nhello" + over,
                       "TrailerHuge": b"5\r\nhello\r\n0\r\nX-A: " + b"a" * 200_000 + b"\r\n\r\n" + SMUGGLED,
                       "TrailerMany": b"5\r\nhello\r\n0\r\n" + b"X-A: b\r\n" * 20_000 + b"\r\n" + SMUGGLED}.items():
        yield bad("Chunk" + name, chunky(body))


SMUGGLING = list(smuggling())
LENGTHS = list(lengths())
CHUNKS = list(chunk_tricks())
OVERSIZED = list(oversized())
