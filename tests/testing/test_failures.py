"""A plugin that fails fails the test, with its own error."""

import textwrap

import pytest

from tornado_chat.testing import StartChatServer

PLUGIN = """
import asyncio
import pytest
from tornado_chat.plugin_api import Plugin, hookimpl
from tornado_chat.testing import PluginFailed, StartError

class Faulty(Plugin):
    @hookimpl
    async def startup(self, context):
        self.context = context
        if self.settings.on_error == "reject":
            raise LookupError("no start")

    @hookimpl
    async def filter_message(self, draft):
        if draft.text == "filter":
            raise ZeroDivisionError("in the filter")

    @hookimpl
    async def message_posted(self, message):
        if message.text == "event":
            raise ZeroDivisionError("in the event")
        if message.text == "late":
            await asyncio.Event().wait()

    async def spawn(self):
        async def task():
            raise ZeroDivisionError("in the background")
        self.context.spawn(task())

    @hookimpl
    def session_ended(self, room):
        raise ZeroDivisionError("at the end")

def talk(server):
    session = server.session()
    return server.visitor(session), server.counsellor(session)
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> "Run":
    return Run(pytester, monkeypatch)


class Run:
    """Runs tests of a plugin author in another pytest, and returns its lines."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self._pytester = pytester
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # pytest alone
        monkeypatch.setenv("COLUMNS", "200")

    def __call__(self, body: str, **outcomes: int) -> pytest.LineMatcher:
        self._pytester.makeconftest('pytest_plugins = ["tornado_chat.testing"]')
        self._pytester.makepyfile(test_plugin=PLUGIN + textwrap.dedent(body))
        result = self._pytester.runpytest_subprocess("-p", "no:cacheprovider")
        result.assert_outcomes(**outcomes)
        return result.stdout


@pytest.mark.slow
def test_a_wait_ends_at_once_with_the_error_of_the_plugin(run: Run) -> None:
    lines = run(
        """
        def test_waits(chat_server):
            visitor, counsellor = talk(server := chat_server(plugins=[Faulty]))
            visitor.send("event")
            server.notify("supervisor", 3).receive()

        def test_succeeds_before_the_failure_is_seen(chat_server):
            visitor, counsellor = talk(chat_server(plugins=[Faulty]))
            counsellor.send("filter")

        def test_fails_when_the_server_stops(chat_server):
            visitor, counsellor = talk(server := chat_server(plugins=[Faulty]))
            server.event("session_started")
            visitor.close(4000)

        def test_is_late(chat_server):
            visitor, counsellor = talk(server := chat_server(plugins=[Faulty], faulty={"timeout": 1}))
            visitor.send("late")
            server.clock.advance(1)

        def test_has_a_task(chat_server):
            server = chat_server(plugins=[Faulty])
            server.run(server.plugin("faulty").spawn())

        def test_fails_itself(chat_server):
            visitor, counsellor = talk(chat_server(plugins=[Faulty], raise_failures=False))
            visitor.send("filter")
            assert counsellor.receive().msg == "another text"
        """,
        failed=6,
    )
    lines.fnmatch_lines(
        [
            '*raise ZeroDivisionError("in the event")*',
            "E*ZeroDivisionError: in the event",
            "*The above exception was the direct cause of the following exception:*",
            "E*PluginFailed: plugin faulty failed in message_posted*ZeroDivisionError('in the event')",
        ]
    )
    lines.fnmatch_lines(
        [
            "E*plugin faulty failed in filter_message*ZeroDivisionError('in the filter')",
            "FAILED *test_waits - *PluginFailed: plugin faulty failed in message_posted*",
            "FAILED *test_succeeds_before_the_failure_is_seen - *PluginFailed: *in filter_message*",
            "FAILED *test_fails_when_the_server_stops - *PluginFailed: *in session_ended*",
            "FAILED *test_is_late - *PluginFailed: plugin faulty did not answer in time in message_posted*",
            "FAILED *test_has_a_task - *PluginFailed: plugin faulty failed in a background task: *",
            "FAILED *test_fails_itself - *",
        ]
    )


def test_failures_that_a_test_expects(run: Run) -> None:
    run(
        """
        def test_goes_on(chat_server):
            server = chat_server(plugins=[Faulty], raise_failures=False)
            visitor, counsellor = talk(server)
            visitor.send("filter")
            assert counsellor.receive().msg == "filter"
            failure, = server.failures
            assert (failure.plugin, failure.hook) == ("faulty", "filter_message")
            assert isinstance(failure.error, ZeroDivisionError)

        def test_catches(chat_server):
            visitor, counsellor = talk(chat_server(plugins=[Faulty]))
            with pytest.raises(PluginFailed) as failed:
                visitor.send("filter")
                counsellor.receive()
                counsellor.receive()
            assert failed.value.failure.hook == "filter_message"
            assert isinstance(failed.value.__cause__, ZeroDivisionError)

        def test_the_start_fails(chat_server):
            with pytest.raises(StartError, match="plugin faulty .* failed in startup: LookupError"):
                chat_server(plugins=[Faulty], faulty={"on_error": "reject"})
        """,
        passed=3,
    )


def test_a_failing_plugin_of_this_run(chat_server: StartChatServer) -> None:
    assert chat_server().failures == []
