"""Random frames: valid ones with changed bytes, and random JSON made of the words of the protocols."""

import json
import random
from functools import partial
from typing import Any

from scripts.attacks.attack import Attack, Trial
from scripts.attacks.people import open_session, token
from scripts.attacks.raw_socket import RawSocket, UpgradeRefused, frame
from tornado_chat.wire.websocket import CLOSE, CONTINUATION, PING, PONG, TEXT

USER, CONSULTANT, WAITER, SUPERVISOR = 21, 22, 24, 13
FRAMES_PER_SOCKET = 40
END_TIMEOUT_SECONDS = 1.0

KEYS = (
    *(
        "id",
        "type",
        "to",
        "payload",
        "from",
        "reply_id",
        "msg",
        "history",
        "typing",
        "read",
        "alive",
        "isSystem",
    ),
    *(
        "token",
        "features",
        "message",
        "url",
        "before",
        "limit",
        "seq",
        "waiter",
        "rate",
        "feedback",
        "uuid",
        "group",
    ),
)
TYPES = (
    *(
        "auth",
        "connect",
        "ready",
        "unready",
        "disconnect",
        "message_text",
        "message_image",
        "get_history",
        "typing",
    ),
    *("read", "transfer", "rate", "initialize", "kickout", "error", "x", "", "AUTH"),
)


def random_json(source: random.Random, depth: int = 0) -> Any:
    """Return a random value."""
    kind = source.randrange(9 if depth < 3 else 7)
    match kind:
        case 0:
            return source.choice((None, True, False))
        case 1:
            return source.choice((0, 1, -1, 2**31, 2**53, 2**63, 2**64, -(2**63), source.randrange(100)))
        case 2:
            return source.choice((0.5, -0.0, 1e300, 1e-300))
        case 3 | 4:
            return source.choice(TYPES)
        case 5:
            return "".join(
                chr(source.choice((0, 10, 34, 92, 127, 0x4E00, 0x202E, 0x1F600))) for _ in range(5)
            )
        case 6:
            return "x" * source.choice((0, 1, 64, 65, 2000))
        case 7:
            return [random_json(source, depth + 1) for _ in range(source.randrange(4))]
        case _:
            return {source.choice(KEYS): random_json(source, depth + 1) for _ in range(source.randrange(5))}


def random_message(source: random.Random) -> bytes:
    """Return a text that often is nearly a command."""
    value: dict[str, Any] = {"id": f"{source.randrange(50)}", "type": source.choice(TYPES), "payload": {}}
    if source.random() < 0.4:
        value = {"msg": "a"}
    for _ in range(source.randrange(4)):
        value[source.choice(KEYS)] = random_json(source)
    text = json.dumps(value if source.random() < 0.9 else random_json(source)).encode(
        "utf-8", "surrogatepass"
    )
    if source.random() < 0.2:
        data = bytearray(text)
        for _ in range(source.randrange(1, 4)):
            data[source.randrange(len(data))] = source.randrange(256 if source.random() < 0.1 else 128)
        text = bytes(data)
    return text


def random_frame(source: random.Random) -> bytes:
    """Return the bytes of one frame, seldom of an invalid one: the server closes behind that."""
    message = random_message(source)
    chance = source.random()
    if chance < 0.6:
        return frame(TEXT, message, mask=source.randbytes(4))
    if chance < 0.75:
        cut = source.randrange(len(message) + 1)
        return frame(TEXT, message[:cut], fin=False) + frame(CONTINUATION, message[cut:])
    if chance < 0.9:
        return frame(source.choice((PING, PONG)), source.randbytes(source.randrange(126)))
    if chance < 0.93:
        return frame(CLOSE, source.choice((b"", b"\x03\xe8", source.randbytes(2), source.randbytes(9))))
    if chance < 0.97:
        return frame(
            source.randrange(16),
            message[:200],
            fin=source.random() < 0.7,
            reserved=source.choice((0, 0, 1, 2, 4, 7)),
            mask=source.choice((b"abcd", None)),
        )
    data = bytearray(frame(TEXT, message))
    data[source.randrange(min(len(data), 8))] ^= 1 << source.randrange(8)
    return bytes(data)


async def run(trial: Trial) -> None:
    session = await open_session(trial.server, USER, CONSULTANT)
    endpoints = (
        f"/chat?token={token('user', USER)}&sessionId={session}&type=0&features=ack,history,typing,read,seq",
        f"/chat?token={token('consultant', CONSULTANT)}&sessionId={session}&type=0",
        f"/notify?token={token('consultant', CONSULTANT)}",
        f"/observe?token={token('supervisor', SUPERVISOR)}&sessionId={trial.world.session}",
        "user",
        "waiter",
        "/v1/ws/user/connect",
    )
    count = trial.number(300, 35)
    await trial.together(
        partial(_fuzz, trial, endpoints[number % len(endpoints)], trial.random.randrange(2**32))
        for number in range(count)
    )


async def _fuzz(trial: Trial, endpoint: str, seed: int) -> None:
    source = random.Random(seed)
    try:
        if endpoint.startswith("/"):
            socket = await trial.socket(endpoint)
        else:
            features = ("ack", "history", "seq", "typing", "read")
            person = token(endpoint, USER if endpoint == "user" else WAITER)
            socket = await trial.support(endpoint, person, *features)
    except UpgradeRefused as error:
        trial.refused(error.status)
        return
    await _send(trial, socket, source)


async def _send(trial: Trial, socket: RawSocket, source: random.Random) -> None:
    await trial.hold(socket)
    sent = 0
    for _ in range(FRAMES_PER_SOCKET):
        if socket.close_code is not None:
            break
        await socket.send(random_frame(source))
        sent += 1
    code = await socket.wait_closed(END_TIMEOUT_SECONDS)
    trial.refused("no effect" if code is None else f"{code}", sent)
    socket.abort()


ATTACKS = [Attack("fuzz-frames", "random frames and random JSON at every socket", run)]
