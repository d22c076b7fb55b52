"""The terminal client, with a pipe as its input, against a scripted server."""

import asyncio
import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.client.test_client import (
    Peer,
    ScriptedServer,
    ack,
    fake_server,
    frame,
    run,
    said,
    start_task,
    stored,
)
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.client import ConnectionClosed
from tornado_chat.terminal import FEATURES, Dialect, close_text, terminal
from tornado_chat.terminal.screen import Screen, read_lines

CHAT = "/chat?sessionId=2&type=0"
USER = "/v1/ws/user/connect"
WAITER = "/v1/ws/waiter/connect"


class Pipe(io.StringIO):
    """A run of the terminal client with a pipe as input and this buffer as output."""

    def __init__(self, url: str, dialect: Dialect) -> None:
        super().__init__()
        self.stderr = io.StringIO()
        self._read, self._write = os.pipe()
        self._grown = asyncio.Event()
        self._task = start_task(
            terminal(url, "t", dialect, "Alice", stdin=self._read, stdout=self, stderr=self.stderr)
        )

    def enter(self, text: str) -> None:
        os.write(self._write, text.encode())

    def end(self) -> None:
        if self._write >= 0:
            os.close(self._write)
            self._write = -1

    def flush(self) -> None:
        self._grown.set()

    @property
    def lines(self) -> list[str]:
        """The output after the first line; times that are not the server's are replaced by ``now``."""
        lines = self.getvalue().splitlines()
        assert not lines or re.fullmatch(r"\d\d:\d\d:\d\d · Alice: .*", lines[0])
        return [re.sub(r"^(?!08:26:4)\d\d:\d\d:\d\d", "now", line) for line in lines[1:]]

    async def shows(self, *lines: str) -> None:
        """Wait for the next lines and compare them with ``lines``."""
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while len(self.lines) < len(lines):
                self._grown.clear()
                await self._grown.wait()
        assert self.lines == list(lines)
        head = self.getvalue().split("\n", 1)[0]
        self.seek(0)
        self.truncate()
        self.write(head + "\n")

    async def exit_code(self) -> int:
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            return await self._task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        self.end()
        os.close(self._read)


async def admit(server: ScriptedServer, then: str) -> Peer:
    peer = await server.accept()
    await peer.admit(*FEATURES, then=then)
    return peer


@run
async def test_a_counselling_session(server: ScriptedServer) -> None:
    async with Pipe(server.url + CHAT, "counselling") as pipe:
        peer = await server.accept()
        assert peer.query["sessionId"] == ["2"]
        assert peer.query["token"] == ["t"]
        peer.send_frame(isSystem=True, system=True, msg="会话已开始", time="2025-03-20T08:26:44.391706")
        peer.send_frame(**frame("hi\nthere", seq=1))
        await pipe.shows("08:26:44 · 会话已开始", "08:26:45 ← hi", "           there")
        pipe.enter("hello\n\n//slash\nhal")
        sent = [await peer.next_frame(), await peer.next_frame()]
        assert [one["msg"] for one in sent] == ["hello", "/slash"]
        peer.send_frame(**ack(sent[0]["id"], 2))
        peer.send_frame(isSystem=True, msg="错误: 不行", id=sent[1]["id"])
        await pipe.shows("08:26:46 → hello ✓", "now ✗ /slash (错误: 不行)")
        pipe.enter("f\n")
        assert (await peer.next_frame())["msg"] == "half"
        peer.send_frame(isSystem=True, system=True, msg="会话已结束", time="2025-03-20T08:26:47.391706")
        peer.close(1000)
        assert await pipe.exit_code() == 0
        await pipe.shows("08:26:47 · 会话已结束", "now ✗ half (not confirmed)")


@run
async def test_the_end_of_the_input_waits_for_stored_messages(server: ScriptedServer) -> None:
    async with Pipe(server.url + CHAT, "counselling") as pipe:
        pipe.enter("one\ntwo without a newline")
        pipe.end()
        peer = await server.accept()
        sent = [await peer.next_frame(), await peer.next_frame()]
        assert [one["msg"] for one in sent] == ["one", "two without a newline"]
        peer.send_frame(**ack(sent[0]["id"], 1))
        await pipe.shows("08:26:46 → one ✓")
        peer.send_frame(**ack(sent[1]["id"], 2))
        assert await pipe.exit_code() == 0
        assert (await peer.closed())[0] == 1000
        await pipe.shows("08:26:46 → two without a newline ✓")
        assert pipe.stderr.getvalue() == ""


@run
async def test_the_command_end_ends_the_session_after_earlier_lines(server: ScriptedServer) -> None:
    async with Pipe(server.url + CHAT, "counselling") as pipe:
        pipe.enter("bye\n/end\nnever said\n")
        peer = await server.accept()
        sent = await peer.next_frame()
        assert sent["msg"] == "bye"
        peer.send_frame(**ack(sent["id"], 1))
        assert await pipe.exit_code() == 0
        assert (await peer.closed())[0] == 4000
        assert peer.has_received_all


@run
async def test_commands(server: ScriptedServer) -> None:
    async with Pipe(server.url + CHAT, "counselling") as pipe:
        await server.accept()
        pipe.enter("/help\n")
        help = ["now · /end           end the session for all participants"]
        help += ["now · /quit          leave; you can return within the grace time"]
        await pipe.shows(*help)
        pipe.enter("/nonsense\n")
        await pipe.shows("now ! there is no command /nonsense", *help)
        pipe.enter("/quit\n")
        assert await pipe.exit_code() == 0


@run
async def test_connection_changes(server: ScriptedServer) -> None:
    async with Pipe(server.url + CHAT, "counselling") as pipe:
        peer = await server.accept()
        pipe.enter("hello\n")
        first = await peer.next_frame()
        peer.close(1012)
        await pipe.shows("now … connection lost, reconnecting", "now … connected again")
        peer = await server.accept()
        assert await peer.next_frame() == first
        peer.send_frame(**ack(first["id"], 1))
        await pipe.shows("08:26:46 → hello ✓")


@run
async def test_a_missing_server(server: ScriptedServer) -> None:
    async with fake_server() as other:
        url = other.url
    async with Pipe(url + CHAT, "counselling") as pipe:
        await pipe.shows("now … no answer from the server, trying again")
        await asyncio.sleep(0.02)
        assert pipe.lines == []


@run
async def test_a_refused_token(server: ScriptedServer) -> None:
    async with Pipe(server.url + CHAT, "counselling") as pipe:
        (await server.accept()).close(4401, "expired")
        assert await pipe.exit_code() == 1
        assert pipe.stderr.getvalue() == "The token was not accepted. (expired)\n"
    async with Pipe(server.url + USER, "support-user") as pipe:
        peer = await server.accept()
        peer.send_frame(id="0", to="me", type="initialize", payload=None)
        auth = await peer.next_frame()
        peer.send_frame(id="1", to="me", type="error", payload={"message": "expired"}, reply_id=auth["id"])
        peer.close(4401)
        assert await pipe.exit_code() == 1
        assert pipe.stderr.getvalue() == "The token was not accepted.\n"


def test_close_texts() -> None:
    assert close_text(ConnectionClosed(403)) == "The server does not accept connections from this address."
    assert close_text(ConnectionClosed(4999, "odd")) == "The server closed the connection (4999). (odd)"


@pytest.mark.parametrize(
    ("url", "dialect", "sentence"),
    [
        ("ws://host/chat", "counselling", "The URL ws://host/chat has no sessionId."),
        ("ws://host/chat?sessionId=1&type=x", "counselling", "neither 0 nor 1."),
        ("ws://host/chat?sessionId=1", "support-user", "does not end with /v1/ws/user/connect."),
        ("ftp://host/notify", "notify", "does not start with ws:// or wss://."),
    ],
)
def test_invalid_urls(url: str, dialect: Dialect, sentence: str) -> None:
    errors = io.StringIO()
    code = asyncio.run(terminal(url, "t", dialect, "Alice", stdout=io.StringIO(), stderr=errors))
    assert code == 1
    assert errors.getvalue().endswith(sentence + "\n")


@run
async def test_a_user(server: ScriptedServer) -> None:
    async with Pipe(server.url + USER, "support-user") as pipe:
        peer = await admit(server, "connect")
        peer.send_frame(id="2", to="me", type="connect_queue", payload={"location": 2})
        peer.send_frame(id="2", to="me", type="connect_queue", payload={"location": 1, "serving": 0})
        peer.send_frame(id="3", to="me", type="connect_success", payload={"uuid": "w", "conversation": 1})
        peer.send_frame(**said("hi", 1))
        peer.send_frame(
            **said("", 2) | {"type": "message_image", "payload": {"url": "https://example.org/a.png"}}
        )
        await pipe.shows(
            "now · waiting, position 2 in the queue",
            "now · waiting, position 1 in the queue; no agent is on duty",
            "now · connected",
            "now ← hi",
            "now ← [image] https://example.org/a.png",
        )
        pipe.enter("hello\n")
        sent = await peer.next_frame()
        peer.send_frame(**stored(sent, 3))
        await pipe.shows("08:26:46 → hello ✓")
        peer.send_frame(id="9", to="me", type="error", payload={"message": "oh"})
        await pipe.shows("now ! oh")
        pipe.enter("/end\n")
        assert (await peer.next_frame())["type"] == "disconnect"
        assert await pipe.exit_code() == 0
        assert (await peer.closed())[0] == 1000


@run
async def test_the_end_of_a_users_conversation(server: ScriptedServer) -> None:
    async with Pipe(server.url + USER, "support-user") as pipe:
        peer = await admit(server, "connect")
        peer.send_frame(**{"id": "4", "from": "w", "to": "me", "type": "disconnected", "payload": None})
        assert await pipe.exit_code() == 0
        await pipe.shows("now · the conversation has ended")


@run
async def test_a_waiter(server: ScriptedServer) -> None:
    async with Pipe(server.url + WAITER, "support-waiter") as pipe:
        peer = await admit(server, "ready")

        def arrive(uuid: str, conversation: int) -> None:
            payload = {"uuid": uuid, "conversation": conversation}
            peer.send_frame(id="3", to="me", type="new_connection", payload=payload)

        def leave(uuid: str) -> None:
            peer.send_frame(**{"id": "4", "from": uuid, "to": "me", "type": "disconnected", "payload": None})

        async def hears(to: str, text: str, number: int) -> None:
            sent = await peer.next_frame()
            assert (sent["to"], sent["payload"]) == (to, {"message": text})
            peer.send_frame(**stored(sent, 9))
            await pipe.shows(f"08:26:46 → user {number}: {text} ✓")

        pipe.enter("anyone?\n")
        await pipe.shows("now ! there is no user yet")
        arrive("u1", 1)
        arrive("u2", 2)
        arrive("u1", 1)
        peer.send_frame(**said("hi", 1, "u2"))
        await pipe.shows("now · user 1 connected", "now · user 2 connected", "now ← user 2: hi")
        pipe.enter("to the first\n")
        await hears("u1", "to the first", 1)
        pipe.enter("/to 2 to the second\n")
        await hears("u2", "to the second", 2)
        pipe.enter("again\n")
        await hears("u2", "again", 2)
        pipe.enter("/to 1\nback\n")
        await hears("u1", "back", 1)
        pipe.enter("/to 3 hello\n")
        await pipe.shows("now ! there is no user 3")
        arrive("u3", 3)
        leave("u1")
        await pipe.shows("now · user 3 connected", "now · user 1 has left")
        pipe.enter("who?\n")
        await pipe.shows("now ! there is no current user: choose one by /to N")
        leave("u2")
        await pipe.shows("now · user 2 has left")
        pipe.enter("/to 3 only you\n")
        await hears("u3", "only you", 3)
        pipe.enter("/end\n/end\n")
        ended = await peer.next_frame()
        assert (ended["type"], ended["to"]) == ("disconnect", "u3")
        await pipe.shows("now · user 3 has left", "now ! there is no current user")
        leave("u3")
        pipe.end()
        assert await pipe.exit_code() == 0
        assert pipe.lines == []


@run
async def test_observing(server: ScriptedServer) -> None:
    async with Pipe(server.url + "/observe?sessionId=4", "observe") as pipe:
        peer = await server.accept()
        pipe.enter("me too\n")
        await pipe.shows("now ! this connection only receives: nothing can be sent")
        for sender_type in (False, True, None):
            peer.send_frame(msg="hi", senderType=sender_type, time="2025-03-20T08:26:45.391706")
        peer.close(1000)
        assert await pipe.exit_code() == 0
        await pipe.shows("08:26:45 ←    visitor: hi", "08:26:45 ← consultant: hi", "08:26:45 · hi")


@run
async def test_notifications(server: ScriptedServer) -> None:
    async with Pipe(server.url + "/notify", "notify") as pipe:
        peer = await server.accept()
        peer.send_frame(type=0, msg="plain", time="2025-03-20T08:26:45.391706", data=None)
        peer.send_frame(type=2, msg="您有新的对话", time="2025-03-20T08:26:45.391706", data={"sessionId": 4})
        await pipe.shows("08:26:45 ← plain", '08:26:45 ← 您有新的对话 {"sessionId":4}')


@run
async def test_sent_delivered_and_seen_are_three_things(server: ScriptedServer) -> None:
    async with Pipe(server.url + CHAT, "counselling") as pipe:
        peer = await server.accept()
        assert peer.query["features"] == [",".join(FEATURES)]
        pipe.enter("one\ntwo\n")
        sent = [await peer.next_frame(), await peer.next_frame()]
        for seq, one in enumerate(sent, start=1):
            peer.send_frame(**ack(one["id"], seq))
        await pipe.shows("08:26:46 → one ✓", "08:26:46 → two ✓")
        peer.send_frame(read=2, role="user")  # the own person, in another window
        peer.send_frame(receipt=1, role="consultant")  # not the last message yet
        peer.send_frame(receipt=2, role="consultant")
        await pipe.shows("now · delivered")
        peer.send_frame(read=2, role="consultant")
        peer.send_frame(receipt=2, role="consultant")
        await pipe.shows("now · seen")
        pipe.enter("three\n")
        third = await peer.next_frame()
        peer.send_frame(receipt=3, role="consultant")  # before the acknowledgement
        peer.send_frame(**ack(third["id"], 3))
        await pipe.shows("08:26:46 → three ✓", "now · delivered")


@run
async def test_a_waiter_sees_which_user_a_state_is_about(server: ScriptedServer) -> None:
    async with Pipe(server.url + WAITER, "support-waiter") as pipe:
        peer = await admit(server, "ready")
        payload = {"uuid": "u1", "conversation": 1}
        peer.send_frame(id="3", to="me", type="new_connection", payload=payload)
        await pipe.shows("now · user 1 connected")
        pipe.enter("hello\n")
        peer.send_frame(**stored(await peer.next_frame(), 2))
        await pipe.shows("08:26:46 → user 1: hello ✓")
        arrived = {"id": "4", "from": "u1", "to": "me", "payload": {"seq": 2, "conversation": 1}}
        for type in ("receipt", "read", "receipt"):
            peer.send_frame(**arrived, type=type)
        await pipe.shows("now · user 1: delivered", "now · user 1: seen")


@run
async def test_a_user_is_told_of_a_hand_over(server: ScriptedServer) -> None:
    async with Pipe(server.url + USER, "support-user") as pipe:
        peer = await admit(server, "connect")
        peer.send_frame(id="3", to="me", type="connect_success", payload={"uuid": "w", "conversation": 1})
        agents = {"from": {"id": "7", "name": "Bob"}, "to": {"id": "8", "name": None}}
        peer.send_frame(id="4", to="me", type="handed_over", payload={**agents, "time": "…"})
        peer.send_frame(id="5", to="me", type="connect_success", payload={"uuid": "x", "conversation": 1})
        await pipe.shows("now · connected", "now · Bob handed over to agent 8", "now · connected")


# --- the screen ---


def test_control_characters_are_shown_as_such() -> None:
    out = io.StringIO()
    Screen(out, echoes=False).show_line("←", "a\x1b[2Jb\x07\x9bc\rd\n06:00:00 ← e👩‍👧", "2025-03-20T08:26:45")
    assert out.getvalue() == ("08:26:45 ← a\\x1b[2Jb\\x07\\x9bc\\rd\n           06:00:00 ← e👩‍👧\n")


def shown_on_a_terminal() -> str:
    """Return the bytes that a screen writes to a terminal, for a line of each kind."""
    master, slave = os.openpty()
    with open(slave, "w", encoding="utf-8") as out:
        screen = Screen(out, echoes=True)
        screen.erase_echo("hello")
        screen.erase_echo("long" * 1000)
        screen.show_line("→", "hello ✓", "2025-03-20T08:26:45")
        screen.show_line("·", "system", "2025-03-20T08:26:45", dim=True)
        screen.show_line("!", "error", "2025-03-20T08:26:45", red=True)
    shown = b""
    with suppress(OSError):  # reading a closed terminal raises
        while chunk := os.read(master, 4096):
            shown += chunk
    os.close(master)
    return shown.decode().replace("\r\n", "\n")


def test_a_terminal_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda fd: os.terminal_size((80, 25)))
    assert shown_on_a_terminal() == (
        "\x1b[1A\x1b[2K"
        "\x1b[2m08:26:45\x1b[0m → hello ✓\n"
        "\x1b[2m08:26:45 · system\x1b[0m\n"
        "\x1b[2m08:26:45\x1b[0m ! \x1b[31merror\x1b[0m\n"
    )


def test_colours_can_be_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(os, "get_terminal_size", lambda fd: os.terminal_size((80, 25)))
    assert shown_on_a_terminal() == (
        "\x1b[1A\x1b[2K08:26:45 → hello ✓\n08:26:45 · system\n08:26:45 ! error\n"
    )
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b" not in shown_on_a_terminal()


def test_characters_outside_the_encoding_are_replaced() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    Screen(out, echoes=False).show_line("→", "ü", "2025-03-20T08:26:45")
    assert raw.getvalue() == b"08:26:45 ? ?\n"


@pytest.fixture
def _new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_new_york")
def test_times_are_shown_in_the_terminals_zone() -> None:
    out = io.StringIO()
    screen = Screen(out, echoes=False)
    screen.show_line("←", "with offset", "2025-03-20T08:26:45.391706+08:00")
    screen.show_line("←", "published form", "2025-03-20T08:26:45.391706")
    assert out.getvalue() == "20:26:45 ← with offset\n08:26:45 ← published form\n"


def test_lines_of_a_file(tmp_path: Path) -> None:
    """A regular file can be read but not watched; a character may be split at the end of a chunk."""
    path = tmp_path / "lines"
    path.write_bytes("a\r\nü\n\nlast ü".encode() + b"\xc3")

    async def read() -> list[str]:
        fd = os.open(path, os.O_RDONLY)
        try:
            return [line async for line in read_lines(fd)]
        finally:
            os.close(fd)

    assert asyncio.run(read()) == ["a", "ü", "", "last ü�"]


@run
async def test_the_process(server: ScriptedServer) -> None:
    """The exit code and the output of the client as a process."""
    call = f"sys.exit(run_terminal('{server.url}{CHAT}', 't', 'counselling', 'Alice'))"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        f"import sys; from tornado_chat.terminal import run_terminal; {call}",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    talking = start_task(process.communicate(b"hello\n"))
    peer = await server.accept()
    peer.send_frame(**ack((await peer.next_frame())["id"], 1))
    out, errors = await talking
    assert (process.returncode, errors) == (0, b"")
    assert out.decode().splitlines()[1:] == ["08:26:46 → hello ✓"]
