"""A line client for a terminal or a pipe: it sends each line of the input and shows received messages.

::

    08:26:44 · 会话已开始
    08:26:45 ← hi
    08:26:51 → hello ✓
    08:26:51 · delivered
    08:26:58 · seen

A sent line is shown when it is stored (``✓``). Then a line says what has become of the last one: it has
arrived at the other side's client, it was read there. A refused line is shown with the server's reason. At
the end of the input, or after ``/quit``, the client waits until all earlier lines are stored before it
leaves, so ``echo hello | …`` works.
"""

import asyncio
import os
import sys
from contextlib import suppress
from typing import Any, Literal, TextIO
from urllib.parse import parse_qs, urlsplit

from tornado_chat.client import (
    ChatClient,
    ConnectionClosed,
    NotifyClient,
    ObserveClient,
    Options,
    UserClient,
    WaiterClient,
)
from tornado_chat.core.plain_text import escape_controls
from tornado_chat.terminal.dialects import (
    ChatTerminal,
    DialectTerminal,
    NotifyTerminal,
    ObserveTerminal,
    UserTerminal,
    WaiterTerminal,
)
from tornado_chat.terminal.screen import Screen

Dialect = Literal["counselling", "support-user", "support-waiter", "observe", "notify"]

FEATURES = ("ack", "seq", "receipt", "read", "sender")
"""The features of participants."""

CLOSE_TEXTS = {
    403: "The server does not accept connections from this address.",
    404: "There is no chat server at this address.",
    1002: "This server does not speak the expected protocol.",
    1009: "The message was too long.",
    1015: "The server's certificate is not valid.",
    4400: "The server did not understand the request.",
    4401: "The token was not accepted.",
    4403: "The token gives no access to this conversation.",
    4404: "The conversation does not exist.",
    4409: "The conversation has ended, or was opened elsewhere.",
    4429: "There were too many messages or connections. Try again later.",
}


def run_terminal(url: str, token: str, dialect: Dialect, name: str) -> int:
    """Run the client on stdin and stdout until one side leaves, and return the exit code.

    :arg url: the endpoint without the token: ``ws://host/v1/ws/user/connect``,
        ``ws://host/chat?sessionId=2&type=0``, ``ws://host/observe?sessionId=2``, ``ws://host/notify``.
    :arg name: the name of the person, for the first line.
    :return: 0; or 1 if the server refused the client, with the reason on stderr.
    """
    with suppress(KeyboardInterrupt):
        return asyncio.run(terminal(url, token, dialect, name))
    return 0


async def terminal(
    url: str,
    token: str,
    dialect: Dialect,
    name: str,
    *,
    stdin: int = 0,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> int:
    """Run the client as :func:`run_terminal` does, on any file descriptor of the input and output files."""
    screen = Screen(stdout or sys.stdout, echoes=os.isatty(stdin))
    try:
        dialect_terminal = _make_dialect_terminal(url, token, dialect, screen)
    except ValueError as error:
        return _fail(f"{error}.", stderr)
    screen.show_line("·", f"{name}: {dialect_terminal.hint}", dim=True)
    try:
        await _converse(dialect_terminal, stdin)
    except ConnectionClosed as closed:
        if closed.code != 1000:
            return _fail(close_text(closed), stderr)
    return 0


def close_text(closed: ConnectionClosed) -> str:
    """Return a sentence for people with the reason of the close."""
    sentence = CLOSE_TEXTS.get(closed.code, f"The server closed the connection ({closed.code}).")
    return f"{sentence} ({escape_controls(closed.reason)})" if closed.reason else sentence


async def _converse(terminal: DialectTerminal[Any], stdin: int) -> None:
    """Show received frames and run the input, until either ends."""
    async with terminal.client:
        output_task = asyncio.create_task(terminal.show_received())
        input_task = asyncio.create_task(terminal.run_input(stdin))
        try:
            await asyncio.wait([output_task, input_task], return_when=asyncio.FIRST_COMPLETED)
            if not output_task.done():
                input_task.result()
                await terminal.leave()
                await terminal.client.close(terminal.close_code)
            await output_task
        finally:
            output_task.cancel()
            input_task.cancel()
            await asyncio.gather(output_task, input_task, return_exceptions=True)


def _make_dialect_terminal(url: str, token: str, dialect: Dialect, screen: Screen) -> DialectTerminal[Any]:
    """Make the client and the terminal of a dialect.

    :raises ValueError: ``url`` is not an endpoint of the dialect.
    """
    options = Options(on_change=screen.on_change)
    match dialect:
        case "support-user":
            user = UserClient(_base(url, "/v1/ws/user/connect"), token, FEATURES, options)
            return UserTerminal(user, screen)
        case "support-waiter":
            return WaiterTerminal(
                WaiterClient(_base(url, "/v1/ws/waiter/connect"), token, FEATURES, options), screen
            )
        case "notify":
            return NotifyTerminal(NotifyClient(_base(url, "/notify"), token, options=options), screen)
    query = parse_qs(urlsplit(url).query)
    session_id = query.get("sessionId", [""])[0]
    if not session_id:
        raise ValueError(f"The URL {url} has no sessionId")
    if dialect == "observe":
        observe = ObserveClient(_base(url, "/observe"), token, session_id, options=options)
        return ObserveTerminal(observe, screen)
    type = query.get("type", ["0"])[0]
    if type not in ("0", "1"):
        raise ValueError(f"The type in the URL {url} is neither 0 nor 1")
    return ChatTerminal(
        ChatClient(_base(url, "/chat"), token, session_id, int(type), FEATURES, options), screen
    )


def _base(url: str, path: str) -> str:
    parts = urlsplit(url)
    if not parts.path.endswith(path):
        raise ValueError(f"The URL {url} does not end with {path}")
    return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix(path)}"


def _fail(sentence: str, stderr: TextIO | None) -> int:
    (stderr or sys.stderr).write(sentence + "\n")
    return 1
