"""The faults of a plugin: a problem for operators that begins and ends by itself."""

import pytest

from tornado_chat.plugins.faults import (
    BACKGROUND_TASK,
    FAULT_SECONDS,
    RANK,
    SLOW_CALLS,
    UNREPEATED_FAULT_SECONDS,
    Faults,
)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """Faults with a clock, and the names of the hooks whose faults have ended."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ended: list[str] = []
        self.faults = Faults(self.clock, self.ended.append)

    def text(self, on_error: str = "allow", *, is_suspended: bool = False) -> str:
        return self.faults.describe(on_error, is_suspended=is_suspended)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_fault_names_the_hook_the_consequence_and_the_remedy(watched: Watched) -> None:
    assert watched.text() == ""
    watched.faults.record_failure("filter_message", "ValueError")
    watched.faults.record_failure("filter_message", "KeyError")
    assert watched.text() == (
        "filter_message failed 2 times (last: KeyError): the texts for which it fails pass without it "
        "(on_error = allow); the log has the lines of code. Correct the plugin or take it out of [plugins] "
        "enabled, then restart"
    )
    assert "are refused (on_error = reject)" in watched.text("reject")


@pytest.mark.parametrize(
    ("hook", "consequence"),
    [
        ("authenticate", "the requests that it has to decide are refused"),
        ("transcript_requested", "the requests that it has to check are refused"),
        ("message_posted", "it misses these events"),
        ("session_started", "it misses these events"),
        (RANK, "the default policy decides for these users"),
        ("reload", "its previous settings stay"),
        ("shutdown", "the server goes on"),
        (BACKGROUND_TASK, "the task has ended"),
    ],
)
def test_each_kind_of_work_has_its_consequence(watched: Watched, hook: str, consequence: str) -> None:
    watched.faults.record_failure(hook, "ValueError")
    assert watched.text().startswith(f"{hook} failed once (last: ValueError): {consequence}; ")


def test_a_fault_ends_after_a_success_and_a_minute_without_failure(watched: Watched) -> None:
    watched.faults.record_failure("filter_message", "ValueError")
    watched.clock.now += FAULT_SECONDS * 10
    assert watched.faults, "it has not worked since"
    watched.faults.record_success("filter_message")
    assert not watched.faults
    assert watched.ended == ["filter_message"]
    watched.faults.record_failure("filter_message", "ValueError")
    watched.faults.record_success("filter_message")
    assert watched.faults, "it would begin and end with every second text"
    watched.clock.now += FAULT_SECONDS
    assert watched.text() == ""
    assert watched.ended == ["filter_message", "filter_message"]


def test_the_success_of_another_hook_ends_nothing(watched: Watched) -> None:
    watched.faults.record_failure("filter_message", "ValueError")
    watched.faults.record_success("message_posted")
    watched.clock.now += FAULT_SECONDS
    assert watched.faults


def test_the_fault_of_a_task_ends_by_time(watched: Watched) -> None:
    watched.faults.record_failure(BACKGROUND_TASK, "ValueError")
    watched.clock.now += UNREPEATED_FAULT_SECONDS - 1
    assert watched.faults
    watched.clock.now += 1
    assert not watched.faults


def test_a_short_block_is_a_fault_when_it_is_repeated(watched: Watched) -> None:
    for _ in range(SLOW_CALLS - 1):
        watched.faults.record_slow_call("filter_message", 0.2)
        watched.faults.record_success("filter_message")
    assert not watched.faults
    watched.faults.record_slow_call("filter_message", 0.3)
    assert watched.text().startswith(
        "filter_message blocked the server 3 times (last: for 0.30 s): all clients waited; "
    )


def test_a_long_block_is_a_fault_at_once(watched: Watched) -> None:
    watched.faults.record_slow_call("filter_message", 1.5)
    assert "blocked the server once (last: for 1.50 s)" in watched.text()


def test_many_faults_and_a_suspension_make_one_text(watched: Watched) -> None:
    for hook in ("message_posted", "session_started", "session_ended", "presence_changed", "authorize"):
        watched.clock.now += 1
        watched.faults.record_failure(hook, "ValueError")
    text = watched.text(is_suspended=True)
    assert text.startswith("authorize failed")
    assert "; 2 more of its hooks fail; it is suspended: it gets no events" in text
