"""Greedy clients: they ask for much, and read nothing."""

import asyncio

from scripts.attacks.attack import ATTACKER_ADDRESS, Attack, Trial
from scripts.attacks.people import open_session, token
from scripts.attacks.raw_http import connect
from scripts.attacks.raw_socket import RawSocket, frame
from tornado_chat.wire.websocket import TEXT

MESSAGE_BYTES = 57 * 1024
PAGE_MESSAGES = 60
HOLD_SECONDS = 4.0  # for which a client does not read
USER, CONSULTANT = 21, 22


async def prepare_session(trial: Trial) -> int:
    """Open a session with a page of large messages of each participant. Returns its number."""
    session = await open_session(trial.server, USER, CONSULTANT)
    for role, id in (("user", USER), ("consultant", CONSULTANT)):
        bearer = token(role, id)
        socket = await trial.socket(f"/chat?token={bearer}&sessionId={session}&type=0&features=ack")
        for number in range(PAGE_MESSAGES):
            await socket.send_json({"msg": "x" * MESSAGE_BYTES, "id": f"{number}"})
        last = f"{PAGE_MESSAGES - 1}"
        while (await socket.receive_json()).get("ack") != last:
            pass
        socket.start_reading()
    return session


async def prepare_conversation(trial: Trial) -> RawSocket:
    """Open a support conversation with a page of large messages. Returns the user's socket."""
    user = await trial.support("user", token("user", USER), "ack")
    # The victims' waiter has free places.
    await user.send_json({"id": "c", "type": "connect", "payload": None})
    while (await user.receive_json())["type"] != "connect_success":
        pass
    for number in range(PAGE_MESSAGES):
        payload = {"message": "x" * MESSAGE_BYTES}
        await user.send_json({"id": f"{number}", "type": "message_text", "payload": payload})
    stored = 0
    while stored < PAGE_MESSAGES:
        stored += (await user.receive_json())["type"] == "message_text_success"
    return user


async def run_history(trial: Trial) -> None:
    """Ask for pages of the history by one socket, and read none."""
    path = f"/chat?token={token('user', USER)}&sessionId={trial.prepared}&type=0&features=history"
    socket = await trial.socket(path)
    await _ask(trial, socket, b'{"history":null}', trial.number(250, 60))


async def run_support_history(trial: Trial) -> None:
    text = b'{"id":"h","type":"get_history","payload":{"limit":100}}'
    await _ask(trial, trial.prepared, text, trial.number(250, 60))


async def _ask(trial: Trial, socket: RawSocket, text: bytes, times: int) -> None:
    for _ in range(times):
        socket.write(frame(TEXT, text))
    await asyncio.sleep(HOLD_SECONDS)
    code = await socket.wait_closed(0.1) if socket.close_code is None else socket.close_code
    trial.refused("served slowly" if code is None else f"{code}", times)


async def run_exports(trial: Trial) -> None:
    """Ask for transcripts, and read none."""
    path = f"/api/v1/sessions/{trial.prepared}/export?format="
    await _ask_by_http(trial, [path + each for each in ("txt", "json", "html")] * 5)


async def run_pages(trial: Trial) -> None:
    """Ask for pages of messages, many on one connection, and read none."""
    path = f"/api/v1/sessions/{trial.prepared}/messages?limit=500"
    await _ask_by_http(trial, [path] * 15, per_connection=4)


async def _ask_by_http(trial: Trial, paths: list[str], per_connection: int = 1) -> None:
    bearer = token("user", USER)
    writers = []
    for path in paths:
        reader, writer = await connect(trial.server.port, ATTACKER_ADDRESS)
        writers.append((reader, writer))
        request = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\n\r\n"
        writer.write(request.encode() * per_connection)
    await asyncio.sleep(HOLD_SECONDS)
    for reader, writer in writers:
        # What the kernel holds is read; the rest was not sent yet, or the server has given up.
        start = await asyncio.wait_for(reader.read(12), 5.0) if not reader.at_eof() else b""
        trial.refused(start[9:12].decode() if start.startswith(b"HTTP") else "cut", per_connection)
        writer.transport.abort()


async def run_unread(trial: Trial) -> None:
    """A participant does not read, while the other writes as much as it may."""
    session = await open_session(trial.server, USER, CONSULTANT)
    reader = await trial.socket(f"/chat?token={token('user', USER)}&sessionId={session}&type=0")
    writer = await trial.socket(f"/chat?token={token('consultant', CONSULTANT)}&sessionId={session}&type=0")
    await trial.hold(writer)
    count = trial.number(800, 200)
    text = b'{"msg":"' + b"x" * MESSAGE_BYTES + b'"}'
    for _ in range(count):
        if writer.close_code is not None:
            break
        try:
            async with asyncio.timeout(0.5):
                await writer.send(frame(TEXT, text))
        except TimeoutError:
            break
    await asyncio.sleep(HOLD_SECONDS)
    code = await reader.wait_closed(5.0)
    trial.refused("kept" if code is None else f"{code}", count)


ATTACKS = [
    Attack(
        "greedy-history",
        "pages of the history that one socket asks for and does not read",
        run_history,
        prepare_session,
    ),
    Attack("greedy-support", "the same of a support conversation", run_support_history, prepare_conversation),
    Attack("greedy-exports", "transcripts that are asked for and not read", run_exports, prepare_session),
    Attack("greedy-pages", "pages of messages that are asked for and not read", run_pages, prepare_session),
    Attack("greedy-reader", "a participant that does not read what the other writes", run_unread),
]
