"""The lease in the database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.delivery.conftest import Clock
from tornado_chat.core.errors import Unavailable
from tornado_chat.services.leadership.db_lease import LEASE_SECONDS, DatabaseLease
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import leases
from tornado_chat.storage.writer import Transaction


def make_lease(store: Store, clock: Clock, name: str = "work", *, shared: bool = True) -> DatabaseLease:
    return DatabaseLease(name, store, clock, shared=shared, clock=clock.time)  # type: ignore[arg-type]


@asynccontextmanager
async def released(*several: DatabaseLease) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for lease in several:
            await lease.release()


@pytest.mark.gen_test
async def test_one_process_at_a_time_holds_a_lease(store: Store) -> None:
    clock = Clock()
    first, second, other = (
        make_lease(store, clock),
        make_lease(store, clock),
        make_lease(store, clock, "other work"),
    )
    async with released(first, second, other):
        assert await first.acquire()
        assert not await second.acquire()
        assert await other.acquire()
        assert (first.is_held, second.is_held) == (True, False)
        await first.release()
        assert not first.is_held
        assert await second.acquire()
        assert not await first.acquire()


@pytest.mark.gen_test
async def test_the_lease_of_a_dead_process_expires(store: Store) -> None:
    lease = make_lease(store, Clock())
    async with released(lease):
        await store.write(lambda tx: leases.acquire(tx, "work", "dead", -1.0))
        assert await lease.acquire()


@pytest.mark.gen_test
async def test_a_holder_that_cannot_renew_stops_before_the_lease_expires(store: Store) -> None:
    clock = Clock()
    lease = make_lease(store, clock)
    async with released(lease):
        assert await lease.acquire()
        clock.advance(LEASE_SECONDS - DatabaseLease.CLOCK_SKEW_SECONDS - 0.1)
        assert lease.is_held
        clock.advance(0.2)
        assert not lease.is_held
        assert await lease.acquire()  # the row is still its own
        assert lease.is_held


@pytest.mark.gen_test
async def test_a_lease_whose_commit_took_longer_than_it_lasts_is_not_held(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, write = Clock(), store.write

    def stand_still(work: Callable[[Transaction], bool]) -> "asyncio.Future[bool]":
        clock.advance(LEASE_SECONDS)
        return write(work)

    lease = make_lease(store, clock)
    async with released(lease):
        with monkeypatch.context() as patch:
            patch.setattr(store, "write", stand_still)
            assert not await lease.acquire()
        assert not lease.is_held
        assert await lease.acquire()


@pytest.mark.gen_test
async def test_a_single_process_needs_no_database(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise Unavailable("database_away")

    monkeypatch.setattr(store, "write", fail)
    monkeypatch.setattr(store, "read", fail)
    lease = make_lease(store, Clock(), shared=False)
    assert lease.is_held
    assert await lease.acquire()
    await lease.release()
    assert lease.is_held
