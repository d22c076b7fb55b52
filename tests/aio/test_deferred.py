"""What will be known soon: told by a call, or awaited."""

import asyncio

import pytest

from tornado_chat.aio.deferred import Deferred


def test_who_waits_is_told_at_once() -> None:
    told: list[int] = []
    before, after = Deferred[int](), Deferred[int]()
    before.set_callback(lambda pending: told.append(pending.result))
    before.settle(1)
    after.settle(2)
    after.set_callback(lambda pending: told.append(pending.result))
    assert told == [1, 2]


def test_an_error_is_raised_where_the_result_is_wanted() -> None:
    pending = Deferred[int]()
    pending.settle(error=ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        _ = pending.result


def test_it_may_be_awaited_before_and_after() -> None:
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


def test_who_does_not_wait_any_more_is_no_trouble() -> None:
    async def wait() -> int:
        pending = Deferred[int]()
        waiting = asyncio.ensure_future(pending)
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        pending.settle(1)
        return pending.result

    assert asyncio.run(wait()) == 1
