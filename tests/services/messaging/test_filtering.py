"""Message filtering: the order per connection, refusals, and the end."""

import asyncio
from typing import Any

import pytest

from tests.services.plugins import StubPlugin, manage
from tornado_chat import hookimpl
from tornado_chat.aio.deferred import Deferred
from tornado_chat.core.errors import Refused
from tornado_chat.core.types import AppendResult, Draft, Identity, Kind, Person, Role, Thread
from tornado_chat.services.messaging.filtering import (
    BURST_SECONDS,
    FAILURES_BURST,
    FAILURES_PER_SECOND,
    LONG_TEXT_CHARS,
    FilterQueue,
    MessageFilter,
)
from tornado_chat.storage.messages import AppendRequest

SENDER = Identity(Person(Role.USER, "1"))


class Shout(StubPlugin):
    @hookimpl
    def filter_message(self, draft: Draft) -> Draft:
        if draft.text == "rude":
            raise Refused("not like this")
        return draft.replace(draft.text.upper())


class Wait(StubPlugin):
    """Passes a message when the test releases its text."""

    def __init__(self) -> None:
        super().__init__()
        self.released: dict[str, asyncio.Event] = {}

    def release(self, text: str) -> None:
        self.released.setdefault(text, asyncio.Event()).set()

    @hookimpl
    async def filter_message(self, draft: Draft) -> Draft:
        await self.released.setdefault(draft.text, asyncio.Event()).wait()
        if draft.text == "rude":
            raise Refused("not like this")
        return draft


class Writer:
    """The texts that were stored, in order; each commit is done at once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def append(self, request: AppendRequest, received: float) -> Deferred[AppendResult]:
        self.texts.append(request.text)
        result: Deferred[AppendResult] = Deferred()
        result.settle(AppendResult(len(self.texts), 0))
        return result


def make_filter(writer: Writer, *plugins: StubPlugin) -> MessageFilter:
    return MessageFilter(manage(*plugins), writer.append, asyncio.get_running_loop(), share=0.1)


def submit(filtering: MessageFilter, queue: FilterQueue, text: str) -> Deferred[Any]:
    return filtering.submit(
        queue, SENDER, AppendRequest(Thread(Kind.SESSION, 1), SENDER.person, text, None), 0.0
    )


@pytest.mark.gen_test
async def test_without_a_filter_a_message_goes_to_the_writer_at_once() -> None:
    writer = Writer()
    assert submit(make_filter(writer), FilterQueue(), "a").settled
    assert writer.texts == ["a"]


@pytest.mark.gen_test
async def test_a_filter_changes_the_text_or_refuses_it() -> None:
    writer = Writer()
    filtering, queue = make_filter(writer, Shout()), FilterQueue()
    submit(filtering, queue, "a")
    with pytest.raises(Refused):
        submit(filtering, queue, "rude")
    assert writer.texts == ["A"]


@pytest.mark.gen_test
async def test_a_slow_message_delays_its_own_connection_only() -> None:
    writer, plugin = Writer(), Wait()
    filtering, slow, quick = make_filter(writer, plugin), FilterQueue(), FilterQueue()
    for text in ("1", "2", "3"):
        submit(filtering, slow, text)
    plugin.release("2")
    plugin.release("3")
    plugin.release("other")
    await submit(filtering, quick, "other")
    assert writer.texts == ["other"]
    plugin.release("1")
    await slow.wait_empty()
    assert writer.texts == ["other", "1", "2", "3"]


@pytest.mark.gen_test
async def test_a_message_refused_later_fails_alone() -> None:
    writer, plugin = Writer(), Wait()
    filtering, queue = make_filter(writer, plugin), FilterQueue()
    refused, accepted = submit(filtering, queue, "rude"), submit(filtering, queue, "polite")
    plugin.release("rude")
    plugin.release("polite")
    assert (await accepted).seq == 1
    assert isinstance(refused.error, Refused)
    assert writer.texts == ["polite"]


@pytest.mark.gen_test
async def test_no_filter_sees_a_message_before_the_message_ahead_of_it() -> None:
    writer, plugin = Writer(), Wait()
    filtering, queue = make_filter(writer, Shout(), plugin), FilterQueue()
    submit(filtering, queue, "first")
    refused = submit(filtering, queue, "rude")  # a filter that is not async would refuse it at once
    assert not refused.settled
    plugin.release("FIRST")
    await queue.wait_empty()
    assert isinstance(refused.error, Refused)
    assert writer.texts == ["FIRST"]


@pytest.mark.gen_test
async def test_finishing_waits_for_submitted_messages_up_to_a_limit() -> None:
    writer, plugin = Writer(), Wait()
    filtering, queue = make_filter(writer, plugin), FilterQueue()
    submit(filtering, queue, "late")
    await filtering.finish(0)
    assert writer.texts == []
    plugin.release("late")
    await filtering.finish(60)
    assert writer.texts == ["late"]
    assert not queue.is_busy


# --- the share of a sender ---


class Work:
    """A clock that only the filter ``Busy`` moves, by ``seconds`` a message."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Busy(StubPlugin):
    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work

    @hookimpl
    def filter_message(self, draft: Draft) -> Draft:
        self.work.now += self.work.seconds
        if draft.text == "rude":
            raise Refused("not like this")
        return draft


def make_busy_filter(writer: Writer, work: Work) -> MessageFilter:
    return MessageFilter(manage(Busy(work)), writer.append, asyncio.get_running_loop(), 1.0, work)


@pytest.mark.gen_test
async def test_a_sender_of_expensive_messages_waits_and_a_neighbour_does_not() -> None:
    writer, work = Writer(), Work(BURST_SECONDS * 4)
    filtering, queue, neighbour = make_busy_filter(writer, work), FilterQueue(), FilterQueue()
    for text in ("1", "2", "3"):
        submit(filtering, queue, text)
    assert writer.texts == ["1"]
    request = AppendRequest(Thread(Kind.SESSION, 2), Person(Role.USER, "2"), "other", None)
    filtering.submit(neighbour, Identity(request.sender), request, 0.0)
    assert writer.texts == ["1", "other"]
    work.seconds = 0.0
    work.now += 100
    await queue.wait_empty()
    assert writer.texts == ["1", "other", "2", "3"]


@pytest.mark.gen_test
async def test_all_connections_of_a_sender_have_one_share_and_refused_messages_count() -> None:
    writer, work = Writer(), Work(BURST_SECONDS * 4)
    filtering, first, second = make_busy_filter(writer, work), FilterQueue(), FilterQueue()
    with pytest.raises(Refused):
        submit(filtering, first, "rude")
    waiting = submit(filtering, second, "1")
    assert not waiting.settled
    work.now += 100
    assert (await waiting).seq == 1


@pytest.mark.gen_test
async def test_long_texts_of_many_senders_wait_and_short_ones_do_not() -> None:
    writer, work = Writer(), Work(BURST_SECONDS)
    filtering = make_busy_filter(writer, work)
    queues = []

    def send(number: int, text: str) -> None:
        sender = Identity(Person(Role.USER, str(number)))
        queues.append(FilterQueue())
        request = AppendRequest(Thread(Kind.SESSION, number), sender.person, text, None)
        filtering.submit(queues[-1], sender, request, 0.0)

    work.now = 1.0
    filtering.reconfigure(0.01)
    for number in range(10):
        send(number, str(number) * (LONG_TEXT_CHARS + 1))
    assert [text[0] for text in writer.texts] == ["0", "1"]  # the burst, and the message that exceeds it
    send(10, "short")
    assert writer.texts[-1] == "short"
    filtering.reconfigure(1.0)
    work.seconds = 0.0
    work.now += 1000
    for queue in queues:
        await queue.wait_empty()
    assert len(writer.texts) == 11


@pytest.mark.gen_test
async def test_many_senders_of_many_messages_share_the_time_and_others_do_not_wait() -> None:
    writer, work = Writer(), Work(BURST_SECONDS / 10)
    filtering = make_busy_filter(writer, work)
    filtering.reconfigure(1e-9)
    queues = [FilterQueue() for _ in range(20)]

    def send(number: int) -> None:
        sender = Identity(Person(Role.USER, str(number)))
        request = AppendRequest(Thread(Kind.SESSION, number), sender.person, f"{number}", None)
        filtering.submit(queues[number], sender, request, 0.0)

    work.now = 1.0
    for _ in range(10):
        for number in range(19):
            send(number)
    assert len(writer.texts) < 19 * 7  # half of the burst of each, and the common one; not the burst of each
    send(19)
    assert writer.texts[-1] == "19"
    filtering.reconfigure(1.0)
    work.seconds = 0.0
    work.now += 1000
    for queue in queues:
        await queue.wait_empty()
    assert len(writer.texts) == 191


@pytest.mark.gen_test
async def test_cheap_messages_never_wait() -> None:
    writer, work = Writer(), Work(50e-6)
    filtering, queue = make_busy_filter(writer, work), FilterQueue()
    for n in range(1000):
        submit(filtering, queue, str(n))
    assert len(writer.texts) == 1000


# --- senders whose messages make a filter fail ---


class Picky(StubPlugin):
    """Fails for the text "bad"."""

    @hookimpl
    def filter_message(self, draft: Draft) -> Draft:
        if draft.text == "bad":
            raise ValueError
        return draft.replace(f"{draft.text}!")


@pytest.mark.gen_test
async def test_a_sender_whose_messages_make_a_filter_fail_is_slowed_down_and_others_are_not(
    expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs += ["plugin picky failed in filter_message", "a person, who is slowed down"]
    writer, work, queue, neighbour = Writer(), Work(0.0), FilterQueue(), FilterQueue()
    filtering = MessageFilter(manage(Picky()), writer.append, asyncio.get_running_loop(), 1.0, work)
    bad = int(FAILURES_BURST) + 1
    for _ in range(bad):
        submit(filtering, queue, "bad")
    assert writer.texts == ["bad"] * bad
    waiting = submit(filtering, queue, "good")
    again = submit(filtering, FilterQueue(), "good again")  # on another socket
    assert writer.texts == ["bad"] * bad
    for number in range(10):
        other = AppendRequest(Thread(Kind.SESSION, 2), Person(Role.USER, "2"), f"other {number}", None)
        filtering.submit(neighbour, Identity(other.sender), other, 0.0)
    assert writer.texts[bad:] == [f"other {number}!" for number in range(10)], (
        "the filter still works for others"
    )
    work.now += 1 / FAILURES_PER_SECOND
    await waiting
    await again
    assert sorted(writer.texts[-2:]) == ["good again!", "good!"]
    assert len([record for record in caplog.records if "slowed down" in record.getMessage()]) == 1


@pytest.mark.gen_test
async def test_a_sender_of_few_bad_messages_does_not_wait(expected_logs: list[str]) -> None:
    expected_logs.append("plugin picky failed in filter_message")
    writer, work, queue = Writer(), Work(0.0), FilterQueue()
    filtering = MessageFilter(manage(Picky()), writer.append, asyncio.get_running_loop(), 1.0, work)
    for _ in range(20):
        submit(filtering, queue, "bad")
        work.now += 1 / FAILURES_PER_SECOND
    assert writer.texts == ["bad"] * 20
