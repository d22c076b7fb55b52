"""The test kit for plugins: a real server, clients and a clock, for pytest. See ``docs/plugins.md``.

In ``conftest.py``, or in the test module::

    pytest_plugins = ["tornado_chat.testing"]

A test is a plain function, and needs no asyncio plugin; a coroutine of any asyncio plugin does as well::

    from greeter import Greeter

    def test_greets(chat_server):
        server = chat_server(plugins=[Greeter], greeter={"text": "Hello", "on_duty": "3"})
        supervisor = server.notify("supervisor", 3)
        session = server.session()
        server.visitor(session)
        server.counsellor(session)
        assert supervisor.receive().msg == "Hello"

A plugin that fails (raises, or is later than its ``timeout``) fails the test: a wait ends at once, and
otherwise the end of the test, with :class:`PluginFailed`, whose cause is the plugin's exception.
``raise_failures=False`` switches this off; ``failures`` of the server lists what has failed.

PYTEST_DONT_REWRITE: a test module may import this one before pytest does.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from tornado_chat.client import ConnectionClosed, MessageRefused
from tornado_chat.server.bootstrap import StartError
from tornado_chat.testing.clients import Answer, Api, Chat, Notified, Observer, User, Waiter
from tornado_chat.testing.failures import PluginFailed, PluginFailure
from tornado_chat.testing.plugins_under_test import PluginSource
from tornado_chat.testing.recorder import HookEvent
from tornado_chat.testing.server import ChatServer, Clock
from tornado_chat.testing.server_thread import ServerThread

__all__ = [
    "Answer",
    "Api",
    "Chat",
    "ChatServer",
    "Clock",
    "ConnectionClosed",
    "HookEvent",
    "MessageRefused",
    "Notified",
    "Observer",
    "PluginFailed",
    "PluginFailure",
    "PluginSource",
    "StartChatServer",
    "StartError",
    "User",
    "Waiter",
    "chat_server",
]

THREAD = pytest.StashKey[ServerThread]()
"""The thread of the servers of a test."""


class StartChatServer(Protocol):
    """The type of the fixture ``chat_server``."""

    def __call__(
        self,
        *,
        plugins: Sequence[PluginSource] | Mapping[str, PluginSource] = (),
        raise_failures: bool = True,
        **sections: Mapping[str, Any],
    ) -> ChatServer:
        """Start a server, and return when it accepts connections.

        :arg plugins: the plugins in the order of their calls: classes, modules, paths (``pathlib.Path``) of
            files or folders, or names of bundled and installed ones. A class ``KeywordFilter`` has the name
            ``keyword_filter``; a mapping gives classes and modules other names.
        :arg raise_failures: False: failures of plugins do not fail the test.
        :arg sections: options by section, or by the name of the plugin for its own:
            ``greeter={"text": "Hello"}, support={"capacity": 2}``.
        :raises StartError: as the server would not start: with all mistakes in the options, or the plugin's.
        """


@pytest.fixture
def chat_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartChatServer]:
    """A function that starts a server with the plugins under test; see :class:`StartChatServer`.

    The servers of a test share a clock, and are stopped at its end.
    """
    thread = ServerThread()
    request.node.stash[THREAD] = thread
    started = 0

    def start(
        *,
        plugins: Sequence[PluginSource] | Mapping[str, PluginSource] = (),
        raise_failures: bool = True,
        **sections: Mapping[str, Any],
    ) -> ChatServer:
        __tracebackhide__ = True  # pytest shows the line of the test instead
        nonlocal started
        started += 1
        thread.failures.is_raising = thread.failures.is_raising and raise_failures
        return ChatServer(thread, tmp_path / f"chat-server-{started}", plugins, sections)

    try:
        yield start
    finally:
        thread.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test in which a plugin has failed.

    The servers are stopped for this, so that a plugin that fails with the last event is noticed, too. In the
    teardown of the fixture it would be too late: the test would have passed.
    """
    try:
        result = yield
    except PluginFailed:
        raise
    except Exception as error:
        if THREAD in item.stash:
            for failure in item.stash[THREAD].failures.failures:
                error.add_note(str(failure))
        raise
    if THREAD in item.stash:
        thread = item.stash[THREAD]
        thread.stop()
        thread.failures.raise_first()
    return result
