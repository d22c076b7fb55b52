"""The plugin manager: combination of hooks by kind, failures and suspensions."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat import (
    Draft,
    Forbidden,
    Identity,
    Kind,
    NotificationDraft,
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
from tornado_chat.core.errors import InternalError
from tornado_chat.core.types import AppendResult
from tornado_chat.observability.metrics import Metrics
from tornado_chat.plugins import runner
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
        with pytest.raises(Unavailable if broken is Hangs else InternalError) as refused:
            await filtered("reject")
        assert refused.value.code == ("not_checked" if broken is Hangs else "check_failed")

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
    expected_logs += ["failed in (message_posted|filter_message)", "suspended for 0 s, as it failed 5 times"]
    caplog.set_level(logging.INFO)

    async def test() -> None:
        plugins, metrics = made(Crashes(settings()), first_suspension=0.2)
        for _ in range(5):
            assert not plugins.suspended_for("crashes")
            await plugins.deliver("crashes", "message_posted", message=None)
        assert plugins.suspended_for("crashes")
        assert count(metrics, "suspended", plugin="crashes") == 1
        assert count(metrics, "failures_total", plugin="crashes", hook="message_posted", kind="error") == 5
        assert plugins.filter("filter_message", DRAFT) == DRAFT  # a filter is called all the same
        assert count(metrics, "failures_total", plugin="crashes", hook="filter_message", kind="error") == 1
        await asyncio.sleep(plugins.suspended_for("crashes") + 0.01)  # until the suspension has ended
        assert not plugins.suspended_for("crashes")
        assert count(metrics, "suspended", plugin="crashes") == 0

    run(test())
    assert len([record for record in caplog.records if "failed in message" in record.getMessage()]) == 1
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


def test_each_reload_that_fails_has_its_reason_in_the_log(
    run: Run, expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs += ["failed in reload", "keeps its previous settings"]
    reasons = iter(("line 3 has no letters", "line 7 has no letters"))

    class Fails(Plugin):
        @hookimpl
        async def reload(self) -> None:
            raise ValueError(next(reasons))

    async def test() -> None:
        plugins, _ = made(Fails(settings()))
        for _ in range(2):
            assert (await plugins.reload({"fails": settings()})).failed == ["fails"]

    run(test())
    logged = [message for message in caplog.messages if "failed in reload" in message]
    assert ["line 3" in logged[0], "line 7" in logged[1]] == [True, True]


def test_a_plugin_that_fails_at_the_start_stops_the_start(run: Run, expected_logs: list[str]) -> None:
    expected_logs.append("failed in startup")

    class NoStart(Plugin):
        @hookimpl
        async def startup(self) -> None:
            raise ConnectionError("no such host")

    async def test() -> None:
        plugins, _ = made(NoStart(settings()))
        with pytest.raises(PluginError, match=r"plugin nostart \(here\) failed in startup: .*no such host"):
            await plugins.start({"nostart": None})  # type: ignore[dict-item]

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


# Failures that must not spread


@pytest.mark.parametrize("on_error", ["allow", "reject"])
def test_a_filter_is_never_suspended(run: Run, expected_logs: list[str], on_error: str) -> None:
    expected_logs.append("plugin picky failed in filter_message")

    class Picky(Plugin):
        @hookimpl
        def filter_message(self, draft: Draft) -> Draft:
            if draft.text == "bad":
                raise ValueError
            return draft.replace("filtered")

    async def test() -> None:
        plugins, metrics = made(Picky(settings(on_error=on_error)))
        failed: list[bool] = []
        for _ in range(20):
            try:
                assert plugins.filter("filter_message", DRAFT.replace("bad"), lambda: failed.append(True))
            except InternalError:
                assert on_error == "reject"
            assert plugins.filter("filter_message", DRAFT, lambda: failed.append(False)).text == "filtered"  # type: ignore[union-attr]
        assert failed == [True] * 20
        assert not plugins.suspended_for("picky")
        assert count(metrics, "failures_total", plugin="picky", hook="filter_message", kind="error") == 20

    run(test())


def test_events_that_fail_do_not_count_as_working_because_a_filter_works(
    run: Run, expected_logs: list[str]
) -> None:
    expected_logs += ["plugin halfbroken failed in message_posted", "plugin halfbroken is suspended"]

    class HalfBroken(Adds):
        @hookimpl
        async def message_posted(self) -> None:
            raise Refused("it is posted already")

    async def test() -> None:
        plugins, _ = made(HalfBroken(settings()))
        for _ in range(5):
            plugins.filter("filter_message", DRAFT)
            await plugins.deliver("halfbroken", "message_posted", message=None)
        assert plugins.suspended_for("halfbroken")

    run(test())


@pytest.mark.parametrize("on_error", ["allow", "reject"])
@pytest.mark.parametrize("text", [None, 7, "", "x" * 100_000, "\ud83d"])
def test_a_wrong_replacement_is_refused_for_good(
    run: Run, expected_logs: list[str], on_error: str, text: Any
) -> None:
    expected_logs.append("plugin replaces failed in filter_message: the text of the filter_message draft")

    class Replaces(Plugin):
        @hookimpl
        async def filter_message(self, draft: Draft) -> Draft:
            return draft.replace(text)

    async def test() -> None:
        plugins, _ = made(Replaces(settings(on_error=on_error)))
        with pytest.raises(InternalError, match="check_failed"):
            await plugins.filter("filter_message", DRAFT)  # type: ignore[misc]

    run(test())


class Raises(Plugin):
    """Raises an error in hooks of all kinds."""

    error: BaseException = ValueError()

    @hookimpl
    def filter_message(self) -> None:
        raise self.error

    @hookimpl
    async def filter_notification(self) -> None:
        raise self.error

    @hookimpl
    def authorize(self) -> None:
        raise self.error

    @hookimpl
    async def authenticate(self) -> None:
        raise self.error

    @hookimpl
    async def transcript_requested(self) -> None:
        raise self.error

    @hookimpl
    def message_posted(self) -> None:
        raise self.error

    @hookimpl
    async def session_started(self) -> None:
        raise self.error

    @hookimpl
    def register_models(self) -> None:
        raise self.error

    @hookimpl
    async def startup(self) -> None:
        raise self.error

    @hookimpl
    def reload(self) -> None:
        raise self.error

    @hookimpl
    def shutdown(self) -> None:
        raise self.error


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        StopIteration(),
        Unreadable(),
        Forbidden("no_such_code"),
        RecursionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_each_kind_of_hook_survives_each_kind_of_error(
    run: Run, expected_logs: list[str], error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs += ["plugin raises (failed|keeps)"]
    notification = NotificationDraft(WHO.person, 0, "hi")

    async def test() -> None:
        plugin = Raises(settings(timeout=WAIT_TIMEOUT_SECONDS))
        plugin.error = error
        plugins, metrics = made(plugin)
        with pytest.raises(PluginError, match=r"plugin raises .* failed in startup"):
            await plugins.start({"raises": None})  # type: ignore[dict-item]
        assert not [line for line in caplog.messages if "UncaughtExit" in line], "the error itself is named"
        assert plugins.filter("filter_message", DRAFT) is DRAFT
        assert await plugins.filter("filter_notification", notification) is notification  # type: ignore[misc]
        for hook, values in (
            ("authorize", {"identity": WHO, "action": "chat", "thread": None}),
            ("authenticate", {"token": "x"}),
        ):
            with pytest.raises(Unavailable, match="not_checked"):
                await plugins.decide(hook, **values)
        with pytest.raises(Unavailable, match="not_checked"):
            await plugins.check("transcript_requested", **REQUEST)
        await plugins.deliver("raises", "message_posted", message=None)
        await plugins.deliver("raises", "session_started", room=None)
        assert (await plugins.reload({"raises": settings()})).failed == ["raises"]
        await plugins.stop()
        for hook in (
            *("startup", "filter_message", "filter_notification", "authorize", "authenticate"),
            *("transcript_requested", "message_posted", "session_started", "reload"),
        ):
            assert count(metrics, "failures_total", plugin="raises", hook=hook, kind="error") == 1, hook

    run(test())


def test_hooks_of_the_lifecycle_have_the_timeout_that_was_chosen(run: Run, expected_logs: list[str]) -> None:
    expected_logs += [
        r"did not answer in time in (startup|reload|shutdown): no answer within 0\.05 s",
        "keeps",
    ]

    class Sleeps(Plugin):
        sleeps = True

        @hookimpl
        async def startup(self) -> None:
            await self.wait()

        @hookimpl
        async def reload(self) -> None:
            await self.wait()

        @hookimpl
        async def shutdown(self) -> None:
            await self.wait()

        async def wait(self) -> None:
            if self.sleeps:
                await asyncio.Event().wait()

    async def test() -> None:
        plugin = Sleeps(settings())
        plugins, _ = made(plugin)
        with pytest.raises(
            PluginError,
            match=r"failed in startup: no answer within 0.05 s, see `timeout` in \[plugin:sleeps\]",
        ):
            await plugins.start({"sleeps": None})  # type: ignore[dict-item]
        plugin.sleeps = False
        await plugins.start({"sleeps": None})  # type: ignore[dict-item]
        plugin.sleeps = True
        assert (await plugins.reload({"sleeps": settings()})).failed == ["sleeps"]
        await plugins.stop()

    run(test())


def test_a_hook_that_cannot_be_cancelled_takes_no_memory_without_end(
    run: Run, expected_logs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected_logs.append("plugin stubborn did not answer in time in filter_message")
    monkeypatch.setattr(runner, "MAX_ABANDONED_CALLS", 3)
    end = asyncio.Event()
    calls: list[int] = []

    class Stubborn(Plugin):
        @hookimpl
        async def filter_message(self) -> None:
            calls.append(1)
            while not end.is_set():
                try:
                    await end.wait()
                except asyncio.CancelledError:
                    continue

    async def test() -> None:
        plugins, metrics = made(Stubborn(settings(timeout=0.001)))
        for _ in range(6):
            assert await plugins.filter("filter_message", DRAFT) is DRAFT  # type: ignore[misc]
        assert len(calls) == 3
        assert count(metrics, "failures_total", plugin="stubborn", hook="filter_message", kind="timeout") == 6
        end.set()
        await asyncio.sleep(0.01)  # the tasks end
        assert await plugins.filter("filter_message", DRAFT) is DRAFT  # type: ignore[misc]
        assert len(calls) == 4

    run(test())


def test_a_plugin_cannot_take_its_settings_away(run: Run, expected_logs: list[str]) -> None:
    expected_logs.append("plugin careless failed in filter_message")

    class Careless(Plugin):
        @hookimpl
        async def filter_message(self) -> None:
            del self.settings
            raise ValueError

    async def test() -> None:
        plugins, _ = made(Careless(settings(on_error="reject")))
        for _ in range(2):
            with pytest.raises(InternalError):
                await plugins.filter("filter_message", DRAFT)  # type: ignore[misc]
        assert "are refused (on_error = reject)" in plugins.problems()["plugin careless"]()

    run(test())


def test_an_async_hook_that_blocks_the_loop_is_logged(run: Run, expected_logs: list[str]) -> None:
    expected_logs.append(
        r"plugin sleeps blocked the server for 0\.\d+ s in filter_message: an `async def` must await"
    )

    class Sleeps(Plugin):
        @hookimpl
        async def filter_message(self, draft: Draft) -> None:
            threading.Event().wait(runner.SLOW_STEP_SECONDS + 0.01)

    async def test() -> None:
        plugins, metrics = made(Sleeps(settings(timeout=5)))
        assert await plugins.filter("filter_message", DRAFT) is DRAFT  # type: ignore[misc]
        assert count(metrics, "failures_total", plugin="sleeps", hook="filter_message", kind="slow") == 1

    run(test())
