"""The grace timers of the dispatcher, while a change that follows from one of them is being stored."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.services.books import Books
from tests.services.support.test_dispatcher import LI, WU, assigned, begun, coordinator, join, on_duty, until
from tornado_chat import config
from tornado_chat.cluster.facts import TransferRequest
from tornado_chat.core.errors import InternalError, Unavailable
from tornado_chat.core.types import Conversation
from tornado_chat.domain.queue import FifoLeastLoaded
from tornado_chat.services.support import absences as module
from tornado_chat.services.support import decisions
from tornado_chat.services.support.dispatcher import Dispatcher
from tornado_chat.storage import conversations
from tornado_chat.storage.writer import Transaction


def hold_next_write(books: Books) -> tuple[Callable[[], bool], asyncio.Future[Any]]:
    """Let the next write wait for a result.

    Returns whether the write was called, and the future of its result.
    """
    result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    write, calls = books.write, []

    def hold(work: Callable[[Transaction], Any], thread: Any = None) -> asyncio.Future[Any]:
        calls.append(work)
        books.write = write  # type: ignore[method-assign]
        return result

    books.write = hold  # type: ignore[method-assign]
    return lambda: bool(calls), result


def set_grace(dispatcher: Dispatcher, seconds: float) -> None:
    dispatcher.reconfigure(config.Support(capacity=1, rejoin_grace=seconds), FifoLeastLoaded())


def assign_to_wu(books: Books, row: Conversation) -> None:
    books.change(lambda tx: conversations.assign(tx, row, WU, None, "waiter-7", "first"))


@pytest.mark.gen_test
async def test_a_waiter_that_returned_and_left_during_a_refused_requeue_is_awaited_for_the_whole_grace(
    books: Books, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.05)
    expected_logs.append("users of a lost waiter could not be requeued")
    dispatcher = await begun(books)
    row = await assigned(books, dispatcher)
    set_grace(dispatcher, 0.01)
    is_requeued, requeued = hold_next_write(books)
    dispatcher.on_waiter_absent("a", WU)
    await until(is_requeued)
    set_grace(dispatcher, 60)
    dispatcher.on_waiter_present("a", on_duty(WU))
    requeued.set_exception(Unavailable("not_stored"))
    await asyncio.sleep(0.01)
    dispatcher.on_waiter_absent("a", WU)
    await asyncio.sleep(0.1)
    assert dispatcher.cases[row.id].row.waiter == WU
    dispatcher.end()


@pytest.mark.gen_test
async def test_the_user_of_a_lost_waiter_is_requeued_after_its_transfer_was_refused(
    books: Books, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    for each in (module, decisions):
        monkeypatch.setattr(each, "RETRY_SECONDS", 0.02)
    expected_logs.append("a match could not be stored, trying again")
    dispatcher = await begun(books)
    row = await assigned(books, dispatcher)
    dispatcher.on_waiter_present("a", on_duty(LI))
    set_grace(dispatcher, 0.01)
    is_transferred, transferred = hold_next_write(books)
    transfer = asyncio.ensure_future(dispatcher.transfer(TransferRequest(row.id, WU, LI)))
    await until(is_transferred)
    dispatcher.on_waiter_absent("a", WU)
    await until(lambda: not dispatcher.waiters[WU].ready)  # the grace is over
    transferred.set_exception(Unavailable("not_stored"))
    with pytest.raises(Unavailable):
        await transfer
    await until(lambda: dispatcher.cases[row.id].row.waiter == LI)
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_requeue_of_an_earlier_term_ends_with_that_term(books: Books) -> None:
    rows = [join(books, id) for id in (1, 2)]
    for row in rows:
        assign_to_wu(books, row)
    dispatcher = coordinator(books)
    set_grace(dispatcher, 0.01)
    is_requeued, requeued = hold_next_write(books)
    await dispatcher.begin()
    for row in rows:
        dispatcher.on_user_present("a", row)
    await until(is_requeued)
    set_grace(dispatcher, 60)
    await dispatcher.begin()
    dispatcher.on_waiter_present("a", on_duty(WU))
    requeued.set_result(None)
    await asyncio.sleep(0.01)
    assert [dispatcher.cases[row.id].row.waiter for row in rows] == [WU, WU]
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_conversation_that_cannot_be_requeued_does_not_keep_the_others_of_its_waiter(
    books: Books, expected_logs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected_logs.append("users of a lost waiter could not be requeued")
    rows = [join(books, id) for id in (1, 2)]
    for row in rows:
        assign_to_wu(books, row)
    dispatcher, requeue = coordinator(books), conversations.requeue

    def fail_for_the_first(tx: Transaction, conversation: Conversation) -> Conversation:
        if conversation.id == rows[0].id:
            raise InternalError("internal_error")
        return requeue(tx, conversation)

    monkeypatch.setattr(conversations, "requeue", fail_for_the_first)
    set_grace(dispatcher, 0.01)
    await dispatcher.begin()
    for row in rows:
        dispatcher.on_user_present("a", row)
    await until(lambda: dispatcher.cases[rows[1].id].row.waiter is None)
    assert dispatcher.cases[rows[0].id].row.waiter == WU
    dispatcher.end()


@pytest.mark.gen_test
async def test_users_that_a_silent_waiter_cannot_have_seen_go_to_another(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.02)
    dispatcher = await begun(books)
    row = await assigned(books, dispatcher)
    dispatcher.cases[row.id].assigned_at -= 60  # it has answered since
    silent = msgspec.structs.replace(on_duty(WU), answers=False)
    dispatcher.on_waiter_present("a", silent)
    dispatcher.on_waiter_present("a", on_duty(LI))
    await asyncio.sleep(0.1)
    assert dispatcher.cases[row.id].row.waiter == WU
    dispatcher.on_waiter_present("a", on_duty(WU))
    dispatcher.cases[row.id].assigned_at += 60
    dispatcher.on_waiter_present("a", silent)
    dispatcher.on_waiter_present("b", on_duty(WU))  # a socket in another process answers
    await asyncio.sleep(0.1)
    assert dispatcher.cases[row.id].row.waiter == WU
    dispatcher.on_waiter_absent("b", WU)
    await until(lambda: dispatcher.cases[row.id].row.waiter == LI)
    pooled = dispatcher.queue.pool.get(WU)
    assert pooled is not None
    assert pooled.load == 0
    dispatcher.end()
