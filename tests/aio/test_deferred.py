"""Tests of ``Deferred``: its callback and its use as an awaitable."""

import asyncio

import pytest

from tornado_chat.aio.deferred import Deferred


def test_the_callback_is_called_immediately() -> None:
    results: list[int] = []
    before, after = Deferred[int](), Deferred[int]()
    before.set_callback(lambda deferred: results.append(deferred.result))
    before.settle(1)
    after.settle(2)
    after.set_callback(lambda deferred: results.append(deferred.result))
    assert results == [1, 2]


def test_the_result_raises_the_error() -> None:
    deferred = Deferred[int]()
    deferred.settle(error=ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        _ = deferred.result


def test_a_deferred_can_be_awaited_before_and_after_it_is_settled() -> None:
    async def wait() -> list[int | BaseException]:
        early, late, wrong = Deferred[int](), Deferred[int](), Deferred[int]()
        late.settle(2)
        waiting = asyncio.gather(early, late, wrong, return_exceptions=True)
        await asyncio.sleep(0)
        early.settle(1)
        wrong.settle(error=KeyError("3"))
        return await waiting

    *numbers, error = asyncio.run(wait())
    assert numbers == [1, 2]
    assert isinstance(error, KeyError)


def test_a_cancelled_waiting_task_does_no_harm() -> None:
    async def wait() -> int:
        deferred = Deferred[int]()
        waiting = asyncio.ensure_future(deferred)
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        deferred.settle(1)
        return deferred.result

    assert asyncio.run(wait()) == 1
