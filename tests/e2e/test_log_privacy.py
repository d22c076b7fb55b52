"""No message text and no token is logged by the real process, in any error.

All texts here carry a mark: messages, malformed frames, close reasons, tokens, request bodies. The log level
is debug, and plugins raise errors that contain their arguments.
"""

import asyncio
import contextlib
import resource
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Harness, Peer, token
from tests.e2e.conftest import Process
from tornado_chat.client import ConnectionClosed, RawClient

MARK = "zKw7Qm2XvT"
HOST = token("service", "host")

PLUGIN = """
import asyncio, logging, threading
from tornado_chat import Plugin, Unauthenticated, hookimpl

class Careless(Plugin):
    @hookimpl
    def authenticate(self, token):
        if "boom" in token:
            raise KeyError(token)

    @hookimpl
    async def startup(self, context):
        self.context = context

    @hookimpl
    def filter_message(self, draft):
        text = draft.text
        if "value" in text:
            try:
                raise ValueError(text)
            except ValueError as error:
                raise RuntimeError(f"cannot read {text}") from error
        if "exit" in text:
            raise SystemExit(text)
        if "wrong" in text:
            return text
        if "thread" in text:
            threading.Thread(target=self.fall, args=(text,)).start()
        if "callback" in text:
            asyncio.get_running_loop().call_soon(self.fall, text)
        if "forgotten" in text:
            asyncio.get_running_loop().create_task(self.fall_later(text))
        if "background" in text:
            self.context.spawn(self.fall_later(text))

    def fall(self, text):
        raise LookupError(text)

    async def fall_later(self, text):
        raise LookupError([text, {text: text}])

    @hookimpl
    async def filter_notification(self, draft):
        raise ValueError(draft.msg)

    @hookimpl
    def message_posted(self, message):
        raise UnicodeDecodeError("utf-8", message.text.encode(), 0, 1, message.text)

    @hookimpl
    async def notification_created(self, notification):
        raise ValueError(notification)
"""

KINDS_OF_FALLS = ("value", "exit", "wrong", "thread", "callback", "forgotten", "background")


def mark(where: str) -> str:
    return f"{where} {MARK}"


async def drain(socket: RawClient) -> None:
    with contextlib.suppress(ConnectionClosed, TimeoutError):
        while True:
            await socket.recv_json(0.5)


async def drained(*sockets: RawClient) -> None:
    await asyncio.gather(*(drain(socket) for socket in sockets))


async def counselling(harness: Harness) -> None:
    """Cause every error at ``/chat``, besides normal use."""
    session = await harness.session()
    visitor = await harness.chat(token("user", 1, mark("name")), session, features="ack,history,typing")
    counsellor = await harness.chat(token("consultant", 2, "C"), session)
    for kind in ("plain", *KINDS_OF_FALLS):
        await visitor.send_json({"msg": mark(kind), "id": f"{kind}{MARK}"})
    frames: list[Any] = [
        f'{{"msg": "{MARK}"',
        f'{{"msg": ["{MARK}"]}}',
        f'{{"{MARK}": 1}}',
        f'{{"msg": "x", "id": ["{MARK}"]}}',
        MARK,
    ]
    for frame in frames:
        await counsellor.send(frame.encode())
    await drained(visitor, counsellor)
    for n in range(10):
        await counsellor.send(f"{MARK} {n}".encode())
    await drained(counsellor)
    await visitor.close(4321, mark("closing"))
    for path in (
        f"/chat?token={MARK}&sessionId={session}",
        f"/chat?token=boom{MARK}&sessionId={session}",
        f"/chat?token={token('user', 9)}{MARK}&sessionId={session}",
        f"/chat?token={token('user', 1)}&sessionId={MARK}",
        f"/chat?token={token('user', 1)}&sessionId={session}&type={MARK}",
        f"/observe?token={token('user', 1)}&sessionId={session}&features={MARK}",
        f"/notify?token=boom.{MARK}.x",
    ):
        await drained(await harness.connect(path))
    observer = await harness.connect(f"/observe?token={token('admin', 1)}&sessionId={session}")
    await observer.send_json({"msg": mark("observer")})
    await drained(observer)


async def support(harness: Harness) -> None:
    user = await harness.user(5, name=mark("name"), features=["ack", "typing"])
    waiter = await harness.waiter("w")
    address = (await waiter.until("new_connection"))["payload"]["uuid"]
    for kind in ("plain", *KINDS_OF_FALLS):
        await user.send_frame("message_text", {"message": mark(kind)})
        await waiter.send_frame("message_text", {"message": mark(kind)}, to=address)
    for peer in (user, waiter):
        for type, payload in (
            (MARK, {}),
            ("message_text", {"message": [MARK]}),
            ("message_text", {MARK: MARK}),
            ("message_text", MARK),
            ("message_image", {"url": MARK}),
            ("get_history", {"before": MARK}),
            ("transfer", {"waiter": MARK}),
            ("rate", {"rate": 9, "feedback": MARK}),
            ("rate", {"rate": 3, "feedback": MARK}),
            ("typing", {"typing": MARK}),
        ):
            await peer.send_frame(type, payload, to=MARK)
        await peer.client.send(f'{{"id": "{MARK}", "type":'.encode())
        await drained(peer.client)
    await user.close()
    for text in (MARK, f"boom{MARK}", token("user", 9) + MARK, token("waiter", 1)):
        peer = Peer(await harness.connect("/v1/ws/user/connect"))
        with contextlib.suppress(ConnectionClosed):
            await peer.sign_in_with(text)
        await drained(peer.client)


async def api(harness: Harness) -> None:
    session = {"user_id": 1, "consultant_id": 2}
    for path, body in (
        ("/sessions", {**session, "user_name": mark("name") * 20}),
        ("/sessions", {"user_id": MARK * 20}),
        ("/sessions", {**session, MARK: 1}),
        ("/sessions/1/rating", {"rate": 5, "feedback": mark("feedback")}),
        ("/notifications", {"role": "user", "id": 1, "type": 0, "msg": mark("notice")}),
        ("/notifications", {"role": MARK, "id": 1, "type": 0, "msg": mark("notice")}),
        ("/notifications", {"role": "user", "id": 1, "type": 1, "msg": "x", "data": {"apointmentId": MARK}}),
    ):
        for who in (HOST, token("user", 1), f"boom{MARK}", MARK, f"{HOST}{MARK}"):
            await harness.api("POST", f"/api/v1{path}", who, body)
    await harness.api("GET", f"/api/v1/notifications?after={MARK}", HOST)
    await harness.api("GET", f"/api/v1/sessions/1/export?format={MARK}", HOST)


def limit_files(process: Process, size: int) -> None:
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def full_disk(process: Process, harness: Harness) -> None:
    session = await harness.session(user=7)
    visitor = await harness.chat(token("user", 7, "V"), session, features="ack")
    limit_files(process, (process.directory / "state" / "tornado-chat.sqlite3-wal").stat().st_size)
    await visitor.send_json({"msg": mark("full") + 9000 * "x", "id": MARK})
    while "错误" not in (await visitor.recv_json()).get("msg", ""):
        pass
    await harness.api(
        "POST", "/api/v1/notifications", HOST, {"role": "user", "id": 1, "type": 0, "msg": mark("full")}
    )
    limit_files(process, resource.RLIM_INFINITY)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.gen_test
async def test_no_text_and_no_token_is_logged(process: Process, tmp_path: Path, format: str) -> None:
    folder = tmp_path / "plugins.d"
    folder.mkdir()
    (folder / "careless.py").write_text(PLUGIN)
    harness = (
        await process.start(f"plugins.paths={folder}", "logging.level=debug", f"logging.format={format}")
    ).harness
    await counselling(harness)
    await support(harness)
    await api(harness)
    await full_disk(process, harness)
    for client in harness.clients:
        await client.close()
    await process.stop()
    log, process.log = process.log, []
    text = "\n".join(log)
    # The log is complete: it has the people's actions, and the place of the plugin's error.
    for told in (
        *("authenticated", "joined", "frame refused", "refused", "left", "matched", "request"),
        *("failed in filter_message: RuntimeError", "failed in filter_message: SystemExit"),
        *("failed in message_posted: UnicodeDecodeError", "failed in filter_notification: ValueError"),
        *("failed in authenticate: KeyError", "failed in a background task: LookupError"),
        *("the database refused a batch", "failed in a thread: LookupError"),
        *("careless.py", "in filter_message", "in fall", "this error was the cause of"),
    ):
        assert told in text, told
    found = [line for line in log if MARK in line]
    assert not found, "\n".join(found)
    assert not [line for line in log if "eyJ" in line]
