"""The plugin manager: combination of hooks by kind, failures and suspensions."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tornado_chat import (
    Draft,
    Forbidden,
    Identity,
    Kind,
    Person,
    Plugin,
    PluginSettings,
    Refused,
    Role,
    Thread,
    Unavailable,
    hookimpl,
)
from tornado_chat.aio.deferred import Deferred
from tornado_chat.core.types import AppendResult
from tornado_chat.observability.metrics import Metrics
from tornado_chat.plugins.discovery import FoundPlugin, LoadedPlugin
from tornado_chat.plugins.manager import PluginError, PluginManager
from tornado_chat.services.messaging.filtering import FilterQueue, MessageFilter
from tornado_chat.storage.messages import AppendRequest

WHO = Identity(Person(Role.USER, "1"))
DRAFT = Draft(Thread(Kind.SESSION, 1), WHO, "hi")

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def run(io_loop: IOLoop) -> Run:
    return lambda coroutine: io_loop.run_sync(lambda: coroutine, timeout=10)


def made(*plugins: Plugin, first_suspension: float = 60) -> tuple[PluginManager, Metrics]:
    metrics = Metrics()
    loaded = [
        LoadedPlugin(FoundPlugin(f"{type(plugin).__name__.lower()}", "here", "1", lambda: None), plugin)  # type: ignore[arg-type,return-value]
        for plugin in plugins
    ]
    return PluginManager(
        loaded, asyncio.get_running_loop(), metrics, first_suspension=first_suspension
    ), metrics


def settings(**options: Any) -> PluginSettings:
    return PluginSettings(**{"timeout": 0.05, **options})


def count(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"tornado_chat_plugin_{name}", labels) or 0.0


class Adds(Plugin):
    @hookimpl
    def filter_message(self, draft: Draft) -> Draft:
        return draft.replace(draft.text + "+")


class AddsToo(Adds):
    pass


class AddsLater(Plugin):
    @hookimpl
    async def filter_message(self, draft: Draft) -> Draft | None:
        await asyncio.sleep(0)
        return draft.replace(draft.text + "*")


class LeavesIt(Plugin):
    @hookimpl
    def filter_message(self) -> None:
        return None


class Refuses(Plugin):
    @hookimpl
    def filter_message(self, draft: Draft) -> Draft:
        raise Refused("no")


class Crashes(Plugin):
    @hookimpl
    def filter_message(self, draft: Draft) -> Draft:
        raise ValueError("oops")

    @hookimpl
    async def authorize(self) -> bool:
        raise ValueError("oops")

    @hookimpl
    def message_posted(self) -> None:
        raise ValueError("oops")


class Hangs(Plugin):
    @hookimpl
    async def filter_message(self) -> None:
        await asyncio.Event().wait()

    @hookimpl
    async def authenticate(self) -> None:
        await asyncio.Event().wait()


class Returns(Plugin):
    @hookimpl
    def filter_message(self) -> Any:
        return "a text"


def test_each_plugin_of_a_chain_gets_the_previous_draft(run: Run) -> None:
    async def test() -> None:
        plugins, _ = made(Adds(settings()), LeavesIt(settings()), AddsToo(settings()))
        assert plugins.filter("filter_message", DRAFT) == DRAFT.replace("hi++")
        plugins, _ = made(Adds(settings()), AddsLater(settings()), LeavesIt(settings()), AddsToo(settings()))
        waiting = plugins.filter("filter_message", DRAFT)
        assert not isinstance(waiting, Draft)
        assert (await waiting).text == "hi+*+"

    run(test())


def test_a_refusal_ends_a_chain(run: Run) -> None:
    async def test() -> None:
        plugins, _ = made(Refuses(settings()), Adds(settings()))
        for _ in range(20):  # a refusal is no failure and leads to no suspension
            with pytest.raises(Refused):
                plugins.filter("filter_message", DRAFT)
        assert not plugins.suspended_for("refuses")

    run(test())


@pytest.mark.parametrize("broken", [Crashes, Hangs, Returns])
def test_a_plugin_that_fails_in_a_chain_is_skipped_or_rejects(
    run: Run, expected_logs: list[str], broken: type[Plugin]
) -> None:
    expected_logs.append("plugin .* (failed|did not answer in time) in filter_message")

    async def filtered(on_error: str) -> Draft:
        plugins, _ = made(broken(settings(on_error=on_error)), Adds(settings()))
        result = plugins.filter("filter_message", DRAFT)
        return result if isinstance(result, Draft) else await result

    async def test() -> None:
        assert (await filtered("allow")).text == "hi+"
        with pytest.raises(Unavailable, match="not_checked"):
            await filtered("reject")

    run(test())


def test_a_decision_that_fails_refuses(run: Run, expected_logs: list[str]) -> None:
    expected_logs += ["failed in authorize", "did not answer in time in authenticate"]

    async def test() -> None:
        plugins, _ = made(Crashes(settings()), Hangs(settings()))
        for _ in range(10):  # a decision is refused each time: a suspension would let a request through
            with pytest.raises(Unavailable, match="not_checked"):
                await plugins.decide("authorize", identity=WHO, action="chat", thread=None)
        with pytest.raises(Unavailable, match="not_checked"):
            await plugins.decide("authenticate", token="x")

    run(test())


def test_the_first_answer_counts(run: Run) -> None:
    class Says(Plugin):
        answer: Any = None

        @hookimpl
        async def authorize(self) -> Any:
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

    def says(answer: Any) -> Plugin:
        plugin = type(f"Says{id(answer)}", (Says,), {})(settings())
        plugin.answer = answer
        return plugin

    async def test() -> None:
        async def ask(*answers: Any) -> Any:
            plugins, _ = made(*map(says, answers))
            return await plugins.decide("authorize", identity=WHO, action="chat", thread=None)

        assert await ask(None, False, True) is False
        assert await ask(None) is None
        with pytest.raises(Forbidden):
            await ask(Forbidden("not_allowed"), True)

    run(test())


def test_a_plugin_that_keeps_failing_is_suspended_and_resumed(
    run: Run, expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs += ["failed in message_posted", "suspended for 0 s, as it failed 5 times"]
    caplog.set_level(logging.INFO)

    async def test() -> None:
        plugins, metrics = made(Crashes(settings()), first_suspension=0.2)
        for _ in range(5):
            assert not plugins.suspended_for("crashes")
            await plugins.deliver("crashes", "message_posted", message=None)
        assert plugins.suspended_for("crashes")
        assert count(metrics, "suspended", plugin="crashes") == 1
        assert count(metrics, "failures_total", plugin="crashes", hook="message_posted", kind="error") == 5
        assert plugins.filter("filter_message", DRAFT) == DRAFT  # skipped without a call
        assert count(metrics, "skipped_total", plugin="crashes", hook="filter_message") == 1
        await asyncio.sleep(plugins.suspended_for("crashes") + 0.01)  # until the suspension has ended
        assert not plugins.suspended_for("crashes")
        assert count(metrics, "suspended", plugin="crashes") == 0

    run(test())
    assert len([record for record in caplog.records if "failed in" in record.getMessage()]) == 1
    assert "plugin crashes is called again" in caplog.messages


def test_a_blocking_event_hook_delays_only_its_own_plugin(run: Run, expected_logs: list[str]) -> None:
    expected_logs.append("did not answer in time in session_started")
    gate = threading.Event()
    heard: list[int] = []

    class Blocks(Plugin):
        @hookimpl
        def session_started(self, room: int) -> None:
            gate.wait(5)
            heard.append(room)

    class Works(Plugin):
        @hookimpl
        def session_started(self, room: int) -> None:
            heard.append(-room)

    async def test() -> None:
        plugins, metrics = made(Blocks(settings()), Works(settings()))
        for room in (1, 2):
            plugins.emit("session_started", room=room)
        await plugins.stop()
        assert heard == [-1, -2]
        assert count(metrics, "failures_total", plugin="blocks", hook="session_started", kind="timeout") == 2
        gate.set()

    run(test())


def test_events_are_delivered_in_order(run: Run) -> None:
    heard: list[int] = []

    class Listens(Plugin):
        @hookimpl
        async def session_ended(self, room: int) -> None:
            await asyncio.sleep(0.001 if room % 3 else 0)
            heard.append(room)

    async def test() -> None:
        plugins, _ = made(Listens(settings()))
        for room in range(50):
            plugins.emit("session_ended", room=room)
        await plugins.stop()

    run(test())
    assert heard == list(range(50))


def test_a_plugin_that_fails_at_the_start_stops_the_start(run: Run, expected_logs: list[str]) -> None:
    expected_logs.append("failed in startup")

    class NoStart(Plugin):
        @hookimpl
        async def startup(self) -> None:
            raise ConnectionError("no such host")

        @hookimpl
        def register_models(self) -> Any:
            raise KeyError("x")

    async def test() -> None:
        plugins, _ = made(NoStart(settings()))
        with pytest.raises(PluginError, match=r"plugin nostart \(here\) failed in startup: .*no such host"):
            await plugins.start({"nostart": None})  # type: ignore[dict-item]
        with pytest.raises(PluginError, match="failed in register_models"):
            plugins.collect("register_models")

    run(test())


def test_a_hook_that_blocks_the_loop_is_logged(run: Run, expected_logs: list[str]) -> None:
    expected_logs.append(
        "plugin sleeps blocked the server for 0.1. s in filter_message: a hook that waits must be `async def`"
    )

    class Sleeps(Plugin):
        @hookimpl
        def filter_message(self, draft: Draft) -> None:
            threading.Event().wait(0.11)

    async def test() -> None:
        plugins, metrics = made(Sleeps(settings()))
        assert plugins.filter("filter_message", DRAFT) is DRAFT
        assert count(metrics, "failures_total", plugin="sleeps", hook="filter_message", kind="slow") == 1

    run(test())


class Holds(Plugin):
    """Delays messages that begin with a letter until that letter is released."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.gates: dict[str, asyncio.Event] = {}

    @hookimpl
    async def filter_message(self, draft: Draft) -> None:
        await self.gates.setdefault(draft.text[0], asyncio.Event()).wait()


def test_messages_of_one_socket_stay_in_order_and_others_do_not_wait(run: Run) -> None:
    stored: list[str] = []

    def append(message: AppendRequest, received: float) -> Deferred[AppendResult]:
        stored.append(message.text)
        pending: Deferred[AppendResult] = Deferred()
        pending.settle(AppendResult(len(stored), 0))
        return pending

    async def test() -> None:
        holds = Holds(settings(timeout=5))
        plugins, _ = made(holds)
        filtering, mine, theirs = (
            MessageFilter(plugins, append, asyncio.get_running_loop(), share=0.1),
            FilterQueue(),
            FilterQueue(),
        )

        def submit(filter_queue: FilterQueue, text: str) -> Deferred[AppendResult]:
            return filtering.submit(filter_queue, WHO, AppendRequest(DRAFT.thread, WHO.person, text), 0.0)

        for letter in "ab":
            holds.gates[letter] = asyncio.Event()
        first, second = (submit(mine, text) for text in ("a", "b"))
        holds.gates["b"].set()
        other = submit(theirs, "b of another")
        assert (await other).seq == 1
        assert stored == ["b of another"]
        holds.gates["a"].set()
        assert ((await first).seq, (await second).seq) == (2, 3)
        await mine.wait_empty()
        assert stored == ["b of another", "a", "b"]

    run(test())


# Checks, and problems that plugins report


class Recorder(Plugin):
    settings = settings()
    error: Exception | None = None

    def __init__(self) -> None:
        self.calls: list[str] = []

    @hookimpl
    async def transcript_requested(self, thread: Thread, identity: Identity, how: str) -> bool:
        self.calls.append(how)
        if self.error:
            raise self.error
        return True


class SecondRecorder(Recorder):
    pass


REQUEST = {"thread": DRAFT.thread, "identity": WHO, "how": "export"}


def test_a_check_calls_all_plugins_and_waits(run: Run) -> None:
    async def test() -> None:
        first, second = Recorder(), SecondRecorder()
        plugins, _ = made(first, second)
        await plugins.check("transcript_requested", **REQUEST)
        assert first.calls == second.calls == ["export"], "an answer must not end a check"

    run(test())


@pytest.mark.parametrize(
    ("error", "raised"), [(ValueError("broken"), Unavailable), (Forbidden("not_your_session"), Forbidden)]
)
def test_a_check_that_fails_or_refuses_prevents_the_action(
    run: Run, error: Exception, raised: type[Exception], expected_logs: list[str]
) -> None:
    expected_logs.append("plugin recorder failed in transcript_requested")

    async def test() -> None:
        recorder = Recorder()
        recorder.error = error
        plugins, _ = made(recorder)
        for _ in range(7):  # a check is never suspended: without it nothing may be read
            with pytest.raises(raised):
                await plugins.check("transcript_requested", **REQUEST)
        assert len(recorder.calls) == 7

    run(test())


def test_a_problem_is_shown_until_it_is_cleared(
    run: Run, caplog: pytest.LogCaptureFixture, expected_logs: list[str]
) -> None:
    expected_logs.append("plugin recorder reports a problem")

    async def test() -> None:
        plugins, metrics = made(Recorder(), SecondRecorder())
        find = plugins.problems()
        assert {part: function() for part, function in find.items()} == {
            "plugin secondrecorder": "",
            "plugin recorder": "",
        }
        for _ in range(3):
            plugins.report_problem("recorder", "the disk is full: free space")
        assert find["plugin recorder"]() == "the disk is full: free space"
        assert find["plugin secondrecorder"]() == ""
        assert count(metrics, "problem", plugin="recorder") == 1
        assert [record.getMessage() for record in caplog.records] == [
            "plugin recorder reports a problem: the disk is full: free space"
        ]
        plugins.report_problem("recorder", None)
        assert find["plugin recorder"]() == ""
        assert count(metrics, "problem", plugin="recorder") == 0

    run(test())
