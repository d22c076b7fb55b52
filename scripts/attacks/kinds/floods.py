"""Floods: more messages, frames, sockets, requests, guests, sessions or bytes than a person needs."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial

from scripts.attacks.attack import ATTACKER_ADDRESS, Attack, Trial
from scripts.attacks.people import HOST_ADDRESS, open_session, token
from scripts.attacks.raw_http import connect, statuses
from scripts.attacks.raw_socket import RawSocket, UpgradeRefused, frame
from tornado_chat.wire.websocket import BINARY, CONTINUATION, PING, PONG, TEXT

USER, CONSULTANT = 21, 22
FLOOD_SECONDS, QUICK_FLOOD_SECONDS = 4.0, 2.0
PAUSE_SECONDS = 0.005  # between two writes, so that the attacker's other tasks run
ANONYMOUS = "/v1/ws/user/connect"


async def pour(trial: Trial, sockets: Sequence[RawSocket], data: bytes, frames: int) -> None:
    """Write ``data`` to each socket again and again, until the time is over or the server closes all.

    :arg frames: the number of frames in ``data``.
    """
    await trial.hold(*sockets)
    sent: Counter[int] = Counter()
    end = time.monotonic() + (QUICK_FLOOD_SECONDS if trial.quick else FLOOD_SECONDS)

    async def run(number: int, socket: RawSocket) -> None:
        while time.monotonic() < end and socket.close_code is None:
            if socket.unsent_bytes < 2**20:
                socket.write(data)
                sent[number] += frames
            await asyncio.sleep(PAUSE_SECONDS)

    await asyncio.gather(*(run(number, socket) for number, socket in enumerate(sockets)))
    for number, socket in enumerate(sockets):
        trial.refused("slowed down" if socket.close_code is None else f"{socket.close_code}", sent[number])


async def _own_session(trial: Trial, features: str = "") -> RawSocket:
    session = await open_session(trial.server, USER, CONSULTANT)
    extra = f"&features={features}" if features else ""
    return await trial.socket(f"/chat?token={token('user', USER)}&sessionId={session}&type=0{extra}")


async def run_messages(trial: Trial) -> None:
    await pour(trial, [await _own_session(trial)], frame(TEXT, b'{"msg":"x"}') * 100, 100)


async def run_controls(trial: Trial) -> None:
    """Pings and pongs, by sockets without a token and by one of a session."""
    sockets = [await trial.socket(ANONYMOUS) for _ in range(4)] + [await _own_session(trial)]
    data = (frame(PING, b"p" * 125) + frame(PONG, b"p") + frame(PING)) * 100
    await pour(trial, sockets, data, 300)


async def run_fragments(trial: Trial) -> None:
    """Empty fragments, whose message never ends, by sockets without a token."""
    sockets = [await trial.socket(ANONYMOUS) for _ in range(5)]
    for each in sockets:
        each.write(frame(TEXT, b"{", fin=False))
    await pour(trial, sockets, frame(CONTINUATION, fin=False) * 2000, 2000)


async def run_big_frames(trial: Trial) -> None:
    sockets = [await trial.socket(ANONYMOUS) for _ in range(5)]
    await pour(trial, sockets, frame(BINARY, b"x" * 2**18), 1)


async def run_junk(trial: Trial) -> None:
    """Frames that are refused one by one, by sockets without a token."""
    sockets = [await trial.socket(ANONYMOUS) for _ in range(5)]
    await pour(trial, sockets, frame(TEXT, b'{"id":"1","type":"connect"}') * 50, 50)


async def run_sockets(trial: Trial) -> None:
    """Open and drop sockets, one after the other."""

    async def once() -> None:
        try:
            socket = await trial.socket(ANONYMOUS)
        except UpgradeRefused as error:
            trial.refused(error.status)
        else:
            trial.refused("opened and dropped")
            socket.abort()

    await trial.together([once] * trial.number(1500, 300))


async def run_requests(trial: Trial) -> None:
    """Send thousands of requests on one connection without waiting for answers."""
    count = trial.number(4000, 1000)
    request = b"GET /api/v1/sessions/1 HTTP/1.1\r\nHost: a\r\n\r\n"
    readers = []
    for _ in range(4):
        reader, writer = await connect(trial.server.port, ATTACKER_ADDRESS)
        writer.write(request * (count // 4))
        readers.append((reader, writer))
    for reader, writer in readers:
        received = bytearray()
        try:
            async with asyncio.timeout(10):
                while received.count(b"HTTP/1.1 ") < count // 4 and (part := await reader.read(65536)):
                    received += part
        except (TimeoutError, OSError):
            pass
        for status, times in Counter(statuses(bytes(received))).items():
            trial.refused(status, times)
        writer.transport.abort()


# --- guests, sessions, bytes ---

MAX_GUESTS = 20
"""Guests of one network that a server may admit at once; the default is 10 a minute."""


async def run_guests(trial: Trial) -> None:
    """Ask for guests from one IPv4 address, and from all addresses of one IPv6 network of 64 bits."""
    count = trial.number(199, 60)
    networks = {
        "one IPv4 address": ["198.51.100.7"] * count,
        "one IPv6 /64": [f"2001:db8:1:2::{number:x}" for number in range(count)],
        "the mapped form of one address": [f"::ffff:198.51.100.{8 + number % 1}" for number in range(count)],
    }
    unclear = False
    for what, addresses in networks.items():
        admitted = 0
        for address in addresses:
            answer = await trial.http(
                "POST", "/api/v1/guest", source=HOST_ADDRESS, headers=[("X-Forwarded-For", address)]
            )
            if answer.status == 201:
                admitted += 1
            else:
                trial.refused(answer.status)
                unclear |= answer.status == 429 and "retry-after" not in answer.headers
        if admitted > MAX_GUESTS * trial.server.processes:
            trial.got_in(f"{admitted} guests of {what}, at most {MAX_GUESTS} are expected")
        else:
            trial.refused("admitted", admitted)
    if unclear:
        trial.harmed("a guest is refused with 429 without Retry-After")


MAX_SESSIONS = 100
MAX_NOTIFICATIONS = 50
"""Sessions and notifications of one person in one process; the default limits are lower."""


async def run_sessions(trial: Trial) -> None:
    """One guest opens sessions with one counsellor."""
    guest = (await trial.http("POST", "/api/v1/guest")).json()
    body = {"user_id": guest["id"], "consultant_id": CONSULTANT}
    opened = 0
    for _ in range(trial.number(300, 120)):
        answer = await trial.http("POST", "/api/v1/sessions", guest["token"], body)
        if answer.status == 201:
            opened += 1
        else:
            trial.refused(answer.status)
    trial.refused("opened", opened)
    if opened > MAX_SESSIONS * trial.server.processes:
        trial.harmed(f"one guest opened {opened} sessions")
    inbox = await trial.http("GET", "/api/v1/notifications?limit=500", token("consultant", CONSULTANT))
    if len(inbox.json()["items"]) > MAX_NOTIFICATIONS * trial.server.processes:
        trial.harmed(f"one guest put {len(inbox.json()['items'])} notifications into an inbox")


MAX_STORED_BYTES = 24 * 2**20
WRITE_SECONDS = 7.0


async def run_bytes(trial: Trial) -> None:
    """One guest writes as many bytes as it can, by several sockets of one session."""
    guest = (await trial.http("POST", "/api/v1/guest")).json()
    body = {"user_id": guest["id"], "consultant_id": CONSULTANT}
    session = (await trial.http("POST", "/api/v1/sessions", guest["token"], body)).json()["session_id"]
    path = f"/chat?token={guest['token']}&sessionId={session}&type=0&features=ack"
    stored = 0
    end = time.monotonic() + WRITE_SECONDS
    size = 57 * 1024

    async def write(number: int, socket: RawSocket) -> None:
        nonlocal stored
        count = 0
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                while time.monotonic() < end:
                    for _ in range(4):
                        count += 1
                        await socket.send_json({"msg": "x" * size, "id": f"{number}-{count}"})
                    for _ in range(4):
                        while "ack" not in await socket.receive_json():
                            pass
                        stored += size
        except TimeoutError:
            trial.refused("slowed down")
        except Exception as error:
            trial.refused(str(error))

    sockets = [await trial.socket(path) for _ in range(4)]
    await asyncio.gather(*(write(number, socket) for number, socket in enumerate(sockets)))
    trial.refused("stored", stored // size)
    if stored > MAX_STORED_BYTES * trial.server.processes:
        trial.harmed(f"one guest stored {stored / 2**20:.0f} MiB in {WRITE_SECONDS:g} s")


async def run_filter(trial: Trial) -> None:
    """Messages that make the word filter work hardest."""
    socket = await _own_session(trial)
    await trial.hold(socket)
    for text in (
        "坏蛋" * 10_000,
        "坏" * 20_000,
        "坏 " * 15_000,
        "a" * 60_000,
        "darn " * 12_000,
        "赌" * 20_000,
    ):
        for _ in range(trial.number(10, 4)):
            await socket.send_json({"msg": text})
            trial.refused("filtered")
        await asyncio.sleep(0.05)
    await asyncio.sleep(QUICK_FLOOD_SECONDS)


# --- guessing passwords ---

MAX_GUESSES = 60
"""Guesses of one address that a server may check within the seconds of the attack."""


async def prepare_account(trial: Trial) -> None:
    words = ("staff", "add", "grace", "--role", "admin", "--generate")
    await asyncio.to_thread(trial.server.command, *words)


async def run_sign_in(trial: Trial) -> None:
    """Guess passwords of an account, and of names that do not exist."""

    async def guess(number: int) -> int:
        body = {"name": "grace" if number % 2 else f"unknown{number}", "password": f"guess {number}"}
        return (await trial.http("POST", "/api/v1/staff/session", None, body)).status

    found = Counter(await trial.together(partial(guess, number) for number in range(trial.number(200, 100))))
    for status, times in found.items():
        trial.refused(status, times)
    if found[200]:
        trial.got_in("a guessed password was accepted")
    if found[401] > MAX_GUESSES * trial.server.processes:
        trial.harmed(f"{found[401]} passwords were checked for one address")


ATTACKS = [
    Attack("flood-messages", "small messages as fast as possible", run_messages),
    Attack("flood-controls", "pings and pongs, with and without a token", run_controls),
    Attack("flood-fragments", "empty fragments of a message that never ends, without a token", run_fragments),
    Attack("flood-bytes", "large frames without a token", run_big_frames),
    Attack("flood-junk", "frames that are refused, without a token", run_junk),
    Attack("flood-sockets", "sockets that are opened and dropped", run_sockets),
    Attack("flood-requests", "requests on few connections, without waiting", run_requests),
    Attack("flood-guests", "guests of one address and of one IPv6 network", run_guests),
    Attack("flood-sessions", "sessions of one guest, and notifications by them", run_sessions),
    Attack("flood-storage", "bytes that one guest stores", run_bytes),
    Attack("flood-filter", "messages that keep the word filter busy", run_filter),
    Attack(
        "flood-passwords",
        "guessed passwords",
        run_sign_in,
        prepare_account,
        expected_logs=("many attempts to sign in, slowed down",),
    ),
]
