"""Bombs: small requests and frames that expand, nest, or hold numbers and texts that break parsers."""

import gzip
import json
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

from scripts.attacks.attack import Attack, Trial
from scripts.attacks.people import open_session, token
from scripts.attacks.raw_socket import RawSocket, SocketClosed, UpgradeRefused, frame
from tornado_chat.wire.websocket import BINARY, CONTINUATION, PING, TEXT

USER, CONSULTANT = 21, 22
FRAME_BYTES = 65536  # [limits] frame_bytes


def documents() -> Iterator[tuple[str, bytes]]:
    """Yield texts in place of JSON."""
    for depth in (500, 2_000, 30_000):
        yield f"{depth} lists", b"[" * depth
        yield f"{depth} closed lists", b"[" * depth + b"]" * depth
        yield f"{depth} objects", b'{"a":' * depth + b"1" + b"}" * depth
    yield "nested in a key of its own", b'{"msg":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    yield "nested in an unknown key", b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b',"msg":"a"}'
    for digits in (20, 400, 5_000, 60_000):
        yield f"a number of {digits} digits", b'{"msg":' + b"9" * digits + b"}"
        yield f"an id of {digits} digits", b'{"id":' + b"9" * digits + b',"msg":"a"}'
        yield f"a user of {digits} digits", b'{"user_id":' + b"9" * digits + b',"consultant_id":2}'
    for number in (
        b"1e999",
        b"-1e999",
        b"1e-999",
        b"-0",
        b"NaN",
        b"Infinity",
        b"0x1",
        b"01",
        b"1.",
        b".5",
        b"+1",
    ):
        yield f"the number {number.decode()}", b'{"msg":' + number + b',"history":' + number + b"}"
        yield f"the page {number.decode()}", b'{"history":' + number + b"}"
    for size in (FRAME_BYTES - 20, FRAME_BYTES + 1, 4 * FRAME_BYTES, 2**20 - 100):
        yield f"a text of {size} bytes", b'{"msg":"' + b"x" * size + b'"}'
    yield "escapes", b'{"msg":"' + b"\\u0041" * 10_000 + b'"}'
    yield "NUL", b'{"msg":"a\\u0000b"}'
    yield "a raw NUL", b'{"msg":"a\0b"}'
    yield "control characters", b'{"msg":"\\u001b[2J\\u0007\\u0085"}'
    for escape in (b"\\ud800", b"\\udc00", b"\\ud800\\ud800", b"\\udc00\\ud800", b"\\uD83D"):
        yield f"a lone surrogate {escape.decode()}", b'{"msg":"a' + escape + b'b","id":"' + escape + b'"}'
    for raw in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"):
        yield f"the bytes {raw.hex()}", b'{"msg":"' + raw + b'"}'
    yield "a byte order mark", b'\xef\xbb\xbf{"msg":"a"}'
    yield "UTF-16", '{"msg":"a"}'.encode("utf-16")
    yield "10,000 keys", json.dumps({f"k{n}": n for n in range(6000)}).encode()
    yield "one key 5,000 times", b'{"msg":"a",' + b'"msg":"b",' * 5000 + b'"msg":"c"}'
    yield (
        "keys of one hash",
        json.dumps(dict.fromkeys((f"{n * (2**61 - 1)}" for n in range(2500)), 0)).encode(),
    )
    for text in (
        b"",
        b" ",
        b"null",
        b"true",
        b"1",
        b'""',
        b"[]",
        b"{}",
        b"[{}]",
        b"{",
        b'{"msg"',
        b'"msg":1',
    ):
        yield f"the text {text.decode()!r}", text
    for key in ("__class__", "__proto__", "constructor", "", "\0", "msg\0", "MSG", "type", "tag"):
        yield f"the key {key!r}", json.dumps({key: {"a": 1}, "msg": "a"}).encode()
    values: tuple[Any, ...] = (None, 1, -1, 1.5, True, [], {}, "", "x" * 5000, ["a"], {"a": {}})
    for name in ("type", "payload", "id", "to"):
        for value in values:
            frame_of_support = {"id": "1", "type": "message_text", "payload": {"message": "a"}, name: value}
            yield f"{name} {str(value)[:12]}", json.dumps(frame_of_support).encode()


async def run_documents(trial: Trial) -> None:
    """Send each text as a body, as a frame of a session, and as a frame of support."""
    session = await open_session(trial.server, USER, CONSULTANT)
    chat = f"/chat?token={token('user', USER)}&sessionId={session}&type=0&features=ack,history"
    cases = [*documents()]
    await trial.together(partial(_as_body, trial, what, text) for what, text in cases)
    for connect in (lambda: trial.socket(chat), lambda: trial.support("user", token("user", USER))):
        await trial.together(partial(_as_frame, trial, connect, what, text) for what, text in cases)


async def _as_body(trial: Trial, what: str, text: bytes) -> None:
    for path in (
        "/api/v1/sessions",
        "/api/v1/staff/session",
        f"/api/v1/sessions/{trial.world.session}/rating",
    ):
        answer = await trial.http("POST", path, token("user", USER), text)
        trial.judge(200 <= answer.status < 300, answer.status, f"{what} as the body of {path}")
        if answer.status >= 500:
            trial.harmed(f"{what} as the body of {path} is answered by {answer.status}")


async def _as_frame(
    trial: Trial, connect: Callable[[], Coroutine[Any, Any, RawSocket]], what: str, text: bytes
) -> None:
    """Send a frame; the server may refuse it or take it, and must be able to go on."""
    socket = await connect()
    try:
        await socket.exchange(frame(TEXT, text))
        trial.refused("answered")
    except SocketClosed as closed:
        trial.refused(f"{closed}")
    except TimeoutError:
        trial.harmed(f"{what} as a frame: the socket is neither closed nor served")
    finally:
        socket.abort()


async def run_bodies(trial: Trial) -> None:
    """Bodies that are compressed, declared to be huge, or of another type."""
    bearer = token("user", USER)
    bomb = gzip.compress(b"[" * 50_000_000)
    for name, value in (
        ("Content-Encoding", "gzip"),
        ("Content-Encoding", "gzip, gzip"),
        ("Content-Encoding", "br"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Type", "multipart/form-data; boundary=a"),
        ("Content-Type", "multipart/form-data; boundary=" + "a" * 5000),
        ("Content-Type", "application/json; charset=utf-7"),
    ):
        answer = await trial.http("POST", "/api/v1/sessions", bearer, bomb[:60_000], headers=[(name, value)])
        trial.judge(
            answer.status < 400 and answer.status > 0, answer.status, f"a bomb with {name}: {value[:40]}"
        )
    for length in (65537, 2**20, 2**31, 2**63):
        head = f"POST /api/v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode()
        answer_bytes = await trial.bytes(head + b"x" * min(length, 2**20), timeout=1.0)
        trial.judge(
            b"HTTP/1.1 2" in answer_bytes, answer_bytes[9:12].decode() or "cut", f"a body of {length} bytes"
        )
    parts = b"".join(b"--a\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n" for _ in range(900))
    answer = await trial.http(
        "POST",
        "/api/v1/sessions",
        bearer,
        parts,
        headers=[("Content-Type", "multipart/form-data; boundary=a")],
    )
    trial.judge(answer.status < 400 and answer.status > 0, answer.status, "900 parts of a form")


async def run_frames(trial: Trial) -> None:
    """Messages in fragments, compressed frames and lengths that are never sent."""
    session = await open_session(trial.server, USER, CONSULTANT)
    chat = f"/chat?token={token('user', USER)}&sessionId={session}&type=0"
    many = trial.number(20_000, 5_000)
    cases = {
        "a message in fragments of one byte": frame(TEXT, b"{", fin=False)
        + frame(CONTINUATION, b" ", fin=False) * many
        + frame(CONTINUATION, b'"msg":"a"}'),
        "empty fragments": frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * many,
        "pings between fragments": frame(TEXT, b"{", fin=False)
        + (frame(PING, b"x") + frame(CONTINUATION, b" ", fin=False)) * (many // 2),
        "a frame of 2^62 bytes": b"\x81\xff" + (2**62).to_bytes(8, "big") + b"\0" * 100,
        "a frame of 2^63 bytes": b"\x81\xff" + (2**63).to_bytes(8, "big") + b"\0" * 100,
        "a frame that is compressed": frame(TEXT, b"\xaa\x56\xca", reserved=4),
        "fragments up to the limit": frame(BINARY, b"x" * 65000, fin=False)
        + frame(CONTINUATION, b"x" * 65000, fin=False) * 60,
    }
    for data in cases.values():
        for path in (chat, "/v1/ws/user/connect"):
            try:
                socket = await trial.socket(
                    path, headers=[("Sec-WebSocket-Extensions", "permessage-deflate")]
                )
            except UpgradeRefused as error:
                trial.refused(error.status)
                continue
            await trial.hold(socket)
            socket.write(data)
            code = await socket.wait_closed(2.0)
            trial.refused("kept" if code is None else f"{code}")
            socket.abort()


ATTACKS = [
    Attack("bomb-json", "nested, huge, broken and hostile JSON, as bodies and frames", run_documents),
    Attack("bomb-bodies", "compressed and declared bodies, forms", run_bodies),
    Attack("bomb-frames", "fragments, compressed frames, lengths that are never sent", run_frames),
]
