"""The workers' answers of conformance_answers.py through HAProxy and nginx beside drover: what a client gets of each, and whether the
worker's connection is used again. python3 calibrate_answers.py prints the answers in which they differ, and how many they agree in.
Not a test, like calibrate.py: it says how others judge, not who is right."""

import itertools
import json
import re
import sys

import conformance_answers as cases
from calibrate import WAIT, Drover, Peer
from conformance_cases import head
from raw_http import Connection, NoAnswer, Truncated, request


def ask(peer, case, offer):
    """(what the client got, is the worker's connection used again: True, False or None where the client's was closed)"""
    path = "/" + case.name
    then = [["echo", "bye"]] if case.raw.startswith((b"HTTP/1.1 101", b"HTTP/1.1 100")) and offer else [[case.then]] if case.then else []
    peer.recorder.on(path, ["body"], ["send", case.raw.decode("latin-1")], *then)
    with Connection(peer.web, timeout=WAIT) as connection:
        fields = (*cases.OFFER, *cases.FIELDS) if offer else ()
        connection.send(head(case.method.encode() + b" " + path.encode() + b" HTTP/1.1", *fields))
        got = answered(connection, case)
        return got, reused(peer, connection, path)


def answered(connection, case):
    words = []
    try:
        answer = connection.response(case.method, keep_interim=False)
        while 100 <= answer.status < 200 and answer.status != 101:
            words.append(str(answer.status))
            answer = connection.response(case.method, keep_interim=False)
        words.append(str(answer.status))
        if answer.status == 101:
            words.append("tunnel" if echoes(connection) else "no tunnel")
        if b"evil" in answer.head + answer.body:
            words.append("evil")
    except NoAnswer:
        words.append("closed")
    except Truncated as cut:
        words.append("cut" if cut.response is None else f"{cut.response.status} cut")
    except TimeoutError:
        words.append("waits")
    except (ValueError, AssertionError):
        words.append("unreadable")
    return ", ".join(f"{each} \u00d7 {len(list(same))}" if each == "102" else each for each, same in itertools.groupby(words))


def echoes(connection):
    try:
        connection.send(b"ping")
        return connection.exactly(4) == b"ping"
    except (OSError, Truncated):
        return False


def reused(peer, connection, path):
    """A second request behind the first, where the client's connection goes on."""
    try:
        told = json.loads(connection.exchange(request(target="/next")).body)
    except (OSError, Truncated, ValueError, AssertionError):
        return None
    return told["connection"] == peer.recorder.events(path)[-1]["connection"]


def alike(one, other):
    """Passed on by both or refused by both, whatever the exact status; the worker's connection kept by both or by neither."""
    def kind(got):
        return "refused" if re.search(r"50\d$|cut$|closed$|unreadable$", got) else got
    return kind(one[0]) == kind(other[0]) and (one[1] or False) == (other[1] or False)


def word(result):
    return result[0] + {True: ", kept", False: "", None: ""}[result[1]]


# What explains a difference; the first that fits the case's name.
BECAUSE = (
    (r"Hints|UnknownInterim|InterimWith", "1xx are passed on (RFC 9110 15.2) and have no length (8.6); nginx takes them for the final answer"),
    (r"BehindContinue", "100 before 101 is due where both are asked for (RFC 9110 7.8)"),
    (r"ThousandInterims", "drover passes on 32 and ends it; the others pass on what comes until their buffer is full"),
    (r"Http10KeepAlive", "HTTP/1.0 is kept where keep-alive says so (RFC 9112 9.3)"),
    (r"HeadWithLength|HeadChunked|NotModifiedWithLength", "it speaks of a body, which some servers send a moment later: to whoever is next"),
    (r"BodyOnHead", "bytes behind an answer end the use of the connection; nginx drops what it has read of them"),
    (r"Garbage|Icy|LowerCase|Signed", "no status line; nginx takes such an answer for one of HTTP/0.9"),
    (r"LengthPlus|LengthMinus|LengthHuge", "no number, or none that fits; nginx goes by the end of the connection instead"),
    (r"^TwoLengths|LengthAndCoding", "two framings: the worker's connection is in doubt (RFC 9112 6.3)"),
    (r"StatusOf|StatusSix|StatusBelow", "three digits (RFC 9112 4), from 100 to 599 (RFC 9110 15)"),
    (r"LastSpace", "the space is due (RFC 9112 4); the others forgive it"),
    (r"Version", "no version that was asked for"),
    (r"TwoSame|LengthList", "may be taken as one length (RFC 9112 6.3); refused"),
    (r"Http10", "codings in HTTP/1.0 are faulty framing (RFC 9112 6.1)"),
    (r"CodingAndLength", "both framings: passed on by the chunks there, refused by drover (RFC 9112 6.3)"),
    (r"Folded", "unfolding is allowed (RFC 9112 5.2); drover refuses"),
    (r"Split|Lf", "a lone LF is no line's end: what is behind it would be the worker's word by accident, or by an attacker"),
    (r"Control|Nul", "control characters: drover refuses all (RFC 9110 5.5 asks it of CR, LF and NUL)"),
    (r"NoColon|NotAscii", "no field (RFC 9112 5); nginx leaves the line out"),
    (r"Coding", "codings that are not understood leave the length unknown (RFC 9112 6.3)"),
    (r"NoContent", "no length and no coding in 204 (RFC 9110 8.6, RFC 9112 6.1): where the next answer begins is in doubt"),
    (r"ProtocolUnasked|ExtensionUnasked|AcceptMissing", "without Sec-WebSocket-Accept: the client's to refuse (RFC 6455 4.1)"),
    (r"SwitchUnasked", "a switch that nobody asked for (RFC 9110 7.8)"),
    (r"Agreed", "a switch to what was not offered, or does not say so (RFC 9110 7.8)"),
)


def because(case):
    return next((text for pattern, text in BECAUSE if re.search(pattern, case.name)), "the others are more lenient")


def main():
    peers = {"drover": Drover(), "HAProxy": Peer("haproxy", reuse="always"), "nginx": Peer("nginx")}
    try:
        print("| answers | drover | HAProxy | nginx | because |\n|---|---|---|---|---|")
        for title, group, offer in (("well-formed answers", cases.WELL_FORMED, False), ("broken answers", cases.BROKEN, False),
                                    ("answers to an offer of websocket", cases.AGREEMENTS, True)):
            same, rows = 0, {}
            for case in group:
                results = {name: ask(peer, case, offer) for name, peer in peers.items()}
                if all(alike(results["drover"], each) for each in results.values()):
                    same += 1
                else:
                    rows.setdefault((*map(word, results.values()), because(case)), []).append(case.name)
            print(f"| **{title}: {same} of {len(group)} alike** | | | | |")
            for (*words, why), names in rows.items():
                print(f"| {', '.join(names)} | " + " | ".join(words) + f" | {why} |", flush=True)
    finally:
        for peer in peers.values():
            peer.end()


if __name__ == "__main__":
    sys.exit(main())
