"""HTTP requests that a proxy and a server may read differently, and requests that are too big."""

from collections.abc import Iterator
from functools import partial

from scripts.attacks.attack import Attack, Trial
from scripts.attacks.people import token
from scripts.attacks.raw_http import statuses

HIDDEN = b"GET /api/v1/sessions/1 HTTP/1.1\r\nHost: a\r\n\r\n"
"""The request that a proxy would not see. Without a token the server answers 401 if it reads it."""

ANSWER_TIMEOUT_SECONDS = 1.0


def post(headers: str, body: bytes = b"", path: str = "/api/v1/sessions", version: str = "1.1") -> bytes:
    return f"POST {path} HTTP/{version}\r\nHost: a\r\n{headers}\r\n".encode("latin-1") + body


def ambiguous() -> Iterator[tuple[str, bytes]]:
    """Yield requests whose end is not certain. Behind each is a hidden one, which must not be answered."""
    chunked = b"0\r\n\r\n" + HIDDEN
    te = "Transfer-Encoding: chunked\r\n"
    for name, headers in (
        ("CL and TE", f"Content-Length: 5\r\n{te}"),
        ("TE and CL", f"{te}Content-Length: 5\r\n"),
        ("CL 0 and TE", f"Content-Length: 0\r\n{te}"),
        ("CL of all and TE", f"Content-Length: {len(chunked)}\r\n{te}"),
        ("TE behind a tab", "Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n"),
        ("TE with a space before the colon", "Transfer-Encoding : chunked\r\n"),
        ("TE in a folded line", "Transfer-Encoding:\r\n chunked\r\n"),
        ("TE folded with CL", "Content-Length: 5\r\nX: y\r\n Transfer-Encoding: chunked\r\n"),
        ("two TE", f"{te}{te}"),
        ("TE identity", "Transfer-Encoding: identity\r\n"),
        ("TE chunked, identity", "Transfer-Encoding: chunked, identity\r\n"),
        ("TE identity, chunked", "Transfer-Encoding: identity, chunked\r\n"),
        ("TE gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n"),
        ("TE xchunked", "Transfer-Encoding: xchunked\r\n"),
        ("TE chunked with a vertical tab", "Transfer-Encoding: \x0bchunked\r\n"),
        ("TE in quotes", 'Transfer-Encoding: "chunked"\r\n'),
        ("TE with a parameter", "Transfer-Encoding: chunked;a=b\r\n"),
        ("TE empty", "Transfer-Encoding:\r\n"),
        ("TE with NUL", "Transfer-Encoding: chunked\0\r\n"),
        ("TE with a bare CR", "X: y\rTransfer-Encoding: chunked\r\n"),
        ("an underscore for TE", "Transfer_Encoding: chunked\r\nContent-Length: 0\r\n"),
    ):
        yield name, post(headers, chunked)
    for value in (
        *("-1", "+0", "0x0", "0, 5", "5, 0", "0 0", "0.0", "0e0", "1_0", "", " ", "\x0b0", "\u00b2", "NaN"),
        *("00000000000000000000000", "18446744073709551616", "9" * 400),
    ):
        yield f"CL {value[:12]!r}", post(f"Content-Length: {value}\r\n", HIDDEN)
    yield "two CL", post("Content-Length: 0\r\nContent-Length: 5\r\n", HIDDEN)
    yield "CL with a space before the colon", post("Content-Length : 0\r\n", HIDDEN)
    yield "TE in HTTP/1.0", post(te, chunked, version="1.0")
    yield "an end without CR", b"POST /api/v1/sessions HTTP/1.1\nHost: a\nContent-Length: 5\n\n" + HIDDEN
    for size in (
        *(
            "-0",
            "+0",
            "0x0",
            "0_0",
            " 0",
            "0 ",
            "\t0",
            "",
            "g",
            "00000000000000000000000000",
            "0\0",
            "\u0660",
        ),
        *("ffffffffffffffff", "8000000000000000", "f" * 300, "1;" + "a" * 70000),
    ):
        body = size.encode("utf-8") + b"\r\n\r\n" + HIDDEN
        yield f"a chunk of the size {size[:12]!r}", post(te, body)
    yield "a chunk behind LF only", post(te, b"0\n\n" + HIDDEN)
    yield "a chunk that is longer than its size", post(te, b"1\r\nabc\r\n0\r\n\r\n" + HIDDEN)
    yield "a chunk without its end", post(te, b"1\r\na0\r\n\r\n" + HIDDEN)
    yield "an extension with LF", post(te, b"0;a=\n" + b"b\r\n\r\n" + HIDDEN)
    yield "trailers", post(te, b"0\r\nContent-Length: 5\r\n\r\n" + HIDDEN)


def malformed() -> Iterator[tuple[str, bytes]]:
    """Yield requests that are no HTTP, or far too big."""
    end = b"Host: a\r\n\r\n"
    for line in (
        *(b"GET", b"GET /", b"GET / HTTP/9.9", b"GET / HTTP/1.1 x", b"GET  / HTTP/1.1", b" GET / HTTP/1.1"),
        *(
            b"get / HTTP/1.1",
            b"G\0T / HTTP/1.1",
            b"/ HTTP/1.1",
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"PRI * HTTP/2.0",
        ),
        *(
            b"GET " + b"/a" * 50000 + b" HTTP/1.1",
            b"G" * 70000,
            b"GET \xff\xfe HTTP/1.1",
            b"GET /\t HTTP/1.1",
        ),
        *(
            b"CONNECT evil.example:443 HTTP/1.1",
            b"GET http://evil.example/metrics HTTP/1.1",
            b"OPTIONS * HTTP/1.1",
        ),
        *(
            b"GET //evil.example/ HTTP/1.1",
            b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1",
            b"GET /..\\..\\x HTTP/1.1",
        ),
        *(
            b"GET http://localhost/metrics HTTP/1.1",
            b"GET /static/../../secret HTTP/1.1",
            b"GET /metrics;a HTTP/1.1",
        ),
        *(b"GET /%00 HTTP/1.1", b"GET /room%0d%0aSet-Cookie:a=b HTTP/1.1", b"GET //metrics HTTP/1.1"),
    ):
        yield f"the line {line[:32]!r}", line + b"\r\n" + end
    start = b"GET /metrics HTTP/1.1\r\n"
    for name, headers in (
        ("10,000 headers", b"".join(b"A%d: b\r\n" % n for n in range(10_000))),
        ("a header of 1 MB", b"A: " + b"b" * 2**20 + b"\r\n"),
        ("a name of 1 MB", b"A" * 2**20 + b": b\r\n"),
        ("1,000 cookies", b"Cookie: " + b"; ".join(b"a%d=b" % n for n in range(1000)) + b"\r\n"),
        ("NUL in a header", b"A: b\0c\r\n"),
        ("a header without a colon", b"abc\r\n"),
        ("an empty name", b": b\r\n"),
        ("a control character", b"A: \x1b[2J\r\n"),
        ("two Hosts", b"Host: b\r\n"),
        ("a range", b"Range: bytes=0-0,1-1,2-2\r\n"),
        ("Expect", b"Expect: 100-continue\r\n"),
        ("an unknown Expect", b"Expect: a\r\n"),
        (
            "an upgrade to h2c",
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\n",
        ),
    ):
        yield name, start + headers + end
    upgrade = "GET /notify HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    for name, more in (
        ("no key", "Sec-WebSocket-Version: 13\r\n"),
        ("a short key", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YQ==\r\n"),
        ("version 8", "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"),
        ("a body", "Sec-WebSocket-Version: 13\r\nContent-Length: 3\r\n"),
    ):
        yield f"an upgrade with {name}", (upgrade + more + "\r\n").encode() + b"abc"


async def run(trial: Trial) -> None:
    plain = await trial.bytes(HIDDEN + HIDDEN, timeout=ANSWER_TIMEOUT_SECONDS)
    trial.require(statuses(plain) == [401, 401], f"two requests are answered by {statuses(plain)}")
    await trial.together(partial(_try_ambiguous, trial, what, data) for what, data in ambiguous())


async def _try_ambiguous(trial: Trial, what: str, data: bytes) -> None:
    found = statuses(await trial.bytes(data, timeout=ANSWER_TIMEOUT_SECONDS))
    # A request with one clear end may be followed by another: then both are plain requests, and a proxy that
    # forwards the first reads the second as one, too.
    clear = what in CLEAR
    trial.judge(401 in found[1:] and not clear, _shown(found), what)
    if any(status >= 500 for status in found):
        trial.harmed(f"{what}: {found}")


CLEAR = ("CL '000000000000'", "a chunk of the size '000000000000'", "trailers")
"""Requests that have one end only, also for a proxy: RFC 9112 allows zeros before a length."""


async def run_malformed(trial: Trial) -> None:
    await trial.together(partial(_try_malformed, trial, what, data) for what, data in malformed())
    bearer = token("user", 21)
    path = f"/api/v1/sessions/{trial.world.session}"
    for name in ("X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix"):
        answer = await trial.http("GET", "/api/v1/notifications", bearer, headers=[(name, path)])
        trial.judge(b"session_id" in answer.body, answer.status, f"{name}: {path}")


async def _try_malformed(trial: Trial, what: str, data: bytes) -> None:
    answer = await trial.bytes(data, timeout=ANSWER_TIMEOUT_SECONDS)
    found = statuses(answer)
    trial.judge(b"tornado_chat_" in answer or b"root:" in answer, _shown(found), what)
    if any(status >= 500 and status != 505 for status in found):
        trial.harmed(f"{what}: {found}")


def _shown(found: list[int]) -> str:
    return "+".join(map(str, found)) or "no answer"


ATTACKS = [
    Attack("http-smuggling", "requests that a proxy may read differently: length, chunks, folded lines", run),
    Attack(
        "http-malformed", "requests that are no HTTP, absolute addresses, floods of headers", run_malformed
    ),
]
