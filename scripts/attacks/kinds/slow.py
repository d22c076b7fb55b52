"""Slow clients: connections that are held without a request, a body, a frame or a token."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from scripts.attacks.attack import ATTACKER_ADDRESS, Attack, Trial
from scripts.attacks.people import PEOPLE_ADDRESS, token
from scripts.attacks.raw_http import connect
from scripts.attacks.raw_socket import RawSocket, UpgradeRefused

TIMEOUT_SECONDS = 3  # of the server, for a head, a body or the next request
END_TIMEOUT_SECONDS = 12.0  # for the server to close behind its timeouts
DRIP_SECONDS = 0.5
MAX_SIGN_IN_SECONDS = 5.0
PERSON = 61

SHORT_TIMEOUTS = tuple(
    f"limits.{name}={TIMEOUT_SECONDS}"
    for name in ("header_timeout", "body_timeout", "idle_timeout", "answer_timeout")
)

HEAD = b"POST /api/v1/sessions HTTP/1.1\r\nHost: a\r\n"

DRIPS: dict[str, tuple[bytes, bytes]] = {
    "a head": (HEAD, b"X"),
    "a first line": (b"G", b"E"),
    "a body": (HEAD + b"Content-Length: 5000\r\n\r\n", b" "),
    "a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "nothing": (b"", b""),
    "a second request": (b"GET /api/v1/sessions/1 HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    "a second head": (b"GET /api/v1/sessions/1 HTTP/1.1\r\nHost: a\r\n\r\n", b"G"),
    "half an upgrade": (b"GET /notify HTTP/1.1\r\nUpgrade: websocket\r\n", b"X"),
}
"""What a connection sends at once, and then byte by byte."""


async def run_drips(trial: Trial) -> None:
    count = trial.number(60, 24)
    kinds = [*DRIPS]
    ends = [_drip(trial, *DRIPS[kinds[number % len(kinds)]]) for number in range(count)]
    held = await asyncio.gather(*ends, _sign_in(trial))
    for number, is_held in enumerate(held[:count]):
        trial.judge(
            bool(is_held),
            "closed",
            f"a connection that sends {kinds[number % len(kinds)]} is held for {END_TIMEOUT_SECONDS:g} s",
        )


async def _drip(trial: Trial, first: bytes, drop: bytes) -> bool:
    """Return True if the server still holds the connection at the end."""
    try:
        reader, writer = await connect(trial.server.port, ATTACKER_ADDRESS)
    except OSError:
        return False
    writer.write(first)
    end = asyncio.create_task(_read_to_end(reader))
    try:
        async with asyncio.timeout(END_TIMEOUT_SECONDS):
            while not end.done():
                writer.write(drop)
                await asyncio.wait({end}, timeout=DRIP_SECONDS)
        return False
    except TimeoutError:
        return True
    finally:
        end.cancel()
        writer.transport.abort()


async def _read_to_end(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(65536):
            pass
    except OSError:
        return


async def _sign_in(trial: Trial) -> None:
    """A person who signs in meanwhile must not notice."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        socket = await trial.socket(f"/notify?token={token('user', PERSON)}", source=PEOPLE_ADDRESS)
    except UpgradeRefused as error:
        trial.harmed(f"a person cannot sign in: {error.status}")
        return
    if await socket.wait_closed(0.5) is not None:
        trial.harmed(f"a person cannot sign in: {socket.close_code}")
    if loop.time() - started > MAX_SIGN_IN_SECONDS:
        trial.harmed(f"a person needs {loop.time() - started:.1f} s to sign in")


# --- many anonymous sockets ---

MAX_PER_ADDRESS = 200
"""Sockets without a token that one address may hold. The default limit is lower."""


async def run_anonymous_sockets(trial: Trial) -> None:
    """Open sockets that need no token until they sign in, from one address."""
    await _open_many(trial, trial.number(600, 300), lambda: trial.socket("/v1/ws/user/connect"))


async def run_anonymous_connections(trial: Trial) -> None:
    """Open connections and send nothing, from one address."""

    async def open_connection() -> asyncio.StreamReader:
        reader, writer = await connect(trial.server.port, ATTACKER_ADDRESS)
        writers.append(writer)
        return reader

    writers: list[asyncio.StreamWriter] = []
    count = trial.number(600, 300)
    readers = await asyncio.gather(*(open_connection() for _ in range(count)))
    ends = [asyncio.create_task(_read_to_end(reader)) for reader in readers]
    await asyncio.wait(ends, timeout=1.5)
    held = sum(1 for each in ends if not each.done())
    await _sign_in(trial)
    for end, writer in zip(ends, writers, strict=True):
        end.cancel()
        writer.transport.abort()
    _judge_many(trial, count, held, "connections")


async def _open_many(
    trial: Trial, count: int, open_one: Callable[[], Coroutine[Any, Any, RawSocket]]
) -> None:
    sockets = []
    for _ in range(count):
        try:
            sockets.append(await open_one())
        except UpgradeRefused:
            continue
    await trial.hold(*sockets)
    await asyncio.sleep(0.5)
    held = sum(1 for each in sockets if each.close_code is None)
    await _sign_in(trial)
    _judge_many(trial, count, held, "sockets without a token")


def _judge_many(trial: Trial, count: int, held: int, what: str) -> None:
    if held > MAX_PER_ADDRESS * trial.server.processes:
        trial.refused("not at all", count)
        trial.harmed(f"one address holds {held} of {count} {what}")
    else:
        trial.refused("cap", count - held)
        trial.refused("held", held)


ATTACKS = [
    Attack(
        "slow-requests",
        "heads, bodies and requests byte by byte, or never",
        run_drips,
        options=SHORT_TIMEOUTS,
    ),
    Attack("slow-sockets", "hundreds of sockets without a token, from one address", run_anonymous_sockets),
    Attack("slow-connections", "hundreds of silent connections, from one address", run_anonymous_connections),
]
