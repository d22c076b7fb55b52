"""A line client for a terminal or a pipe: what is typed is sent, what is said is shown.

::

    08:26:44 · 会话已开始
    08:26:45 ← hi
    08:26:51 → hello ✓

A line of one's own is shown when it is stored; one that the server does not take is shown with
the reason. The end of the input, or ``/quit``, leaves once everything typed before is stored, so
``echo hello | …`` does what it says.
"""

import asyncio
import os
import sys
from contextlib import suppress
from typing import Any, Literal, TextIO
from urllib.parse import parse_qs, urlsplit

from tornado_chat.client import (
    ChatClient,
    Closed,
    NotifyClient,
    ObserveClient,
    Options,
    UserClient,
    WaiterClient,
)
from tornado_chat.terminal.screen import Screen, printable
from tornado_chat.terminal.talks import (
    ChatTerminal,
    DialectTerminal,
    NotifyTerminal,
    ObserveTerminal,
    UserTerminal,
    WaiterTerminal,
)

Dialect = Literal["counselling", "support-user", "support-waiter", "observe", "notify"]

CLOSE_TEXTS = {
    403: "The server does not accept connections from here.",
    404: "There is no chat server at this address.",
    1002: "This server does not speak the expected protocol.",
    1009: "The message was too big.",
    1015: "The server's certificate is not valid.",
    4400: "The server did not understand the request.",
    4401: "The token was not accepted.",
    4403: "This token does not open this conversation.",
    4404: "There is no such conversation.",
    4409: "This conversation is over, or was opened elsewhere.",
    4429: "Too many messages or connections: the server asks to slow down.",
}


def run_terminal(url: str, token: str, dialect: Dialect, name: str) -> int:
    """Talk on the terminal until one side leaves, and return the exit code.

    :arg url: the endpoint without the token: ``ws://host/v1/ws/user/connect``,
        ``ws://host/chat?sessionId=2&type=0``, ``ws://host/observe?sessionId=2``, ``ws://host/notify``.
    :arg name: who this is, for the greeting.
    :return: 0, or 1 if the server refused, which a sentence on stderr then explains.
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
    """:func:`run_terminal` as a coroutine, for any file descriptor to read from and files to write to."""
    screen = Screen(stdout or sys.stdout, echoes=os.isatty(stdin))
    try:
        talk = _talk(url, token, dialect, screen)
    except ValueError as error:
        return _fail(f"{error}.", stderr)
    screen.say("·", f"{name}: {talk.hint}", dim=True)
    try:
        await _converse(talk, stdin)
    except Closed as closed:
        if closed.code != 1000:
            return _fail(close_text(closed), stderr)
    return 0


def close_text(closed: Closed) -> str:
    """A sentence for people about why the connection is over."""
    sentence = CLOSE_TEXTS.get(closed.code, f"The server closed the connection ({closed.code}).")
    return f"{sentence} ({printable(closed.reason)})" if closed.reason else sentence


async def _converse(talk: DialectTerminal[Any], stdin: int) -> None:
    async with talk.client:
        listening = asyncio.create_task(talk.show_received())
        obeying = asyncio.create_task(talk.run_input(stdin))
        try:
            await asyncio.wait([listening, obeying], return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                obeying.result()
                await talk.leave()
                await talk.client.close(talk.close_code)
            await listening
        finally:
            listening.cancel()
            obeying.cancel()
            await asyncio.gather(listening, obeying, return_exceptions=True)


def _talk(url: str, token: str, dialect: Dialect, screen: Screen) -> DialectTerminal[Any]:
    """The dialect's client and talk for an endpoint's address. Raises ValueError if it is not one."""
    options = Options(on_change=screen.on_change)
    match dialect:
        case "support-user":
            return UserTerminal(UserClient(_base(url, "/v1/ws/user/connect"), token, options=options), screen)
        case "support-waiter":
            return WaiterTerminal(
                WaiterClient(_base(url, "/v1/ws/waiter/connect"), token, options=options), screen
            )
        case "notify":
            return NotifyTerminal(NotifyClient(_base(url, "/notify"), token, options=options), screen)
    query = parse_qs(urlsplit(url).query)
    session_id = query.get("sessionId", [""])[0]
    if not session_id:
        raise ValueError(f"The address {url} has no sessionId")
    if dialect == "observe":
        observe = ObserveClient(_base(url, "/observe"), token, session_id, options=options)
        return ObserveTerminal(observe, screen)
    type = query.get("type", ["0"])[0]
    if type not in ("0", "1"):
        raise ValueError(f"The type in the address {url} is neither 0 nor 1")
    return ChatTerminal(
        ChatClient(_base(url, "/chat"), token, session_id, int(type), options=options), screen
    )


def _base(url: str, path: str) -> str:
    parts = urlsplit(url)
    if not parts.path.endswith(path):
        raise ValueError(f"The address {url} does not end with {path}")
    return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix(path)}"


def _fail(sentence: str, stderr: TextIO | None) -> int:
    (stderr or sys.stderr).write(sentence + "\n")
    return 1
