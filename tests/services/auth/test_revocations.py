"""Revocations: refused tokens and closed sockets in each process, with and without the bus."""

import asyncio

import pytest

from tests.delivery.conftest import Dialect, HubFixture, Socket
from tornado_chat.core.close_codes import TOKEN_REVOKED
from tornado_chat.core.errors import Conflict, NotFound, Unauthenticated
from tornado_chat.core.events import Event, TokensRevoked, event_channels
from tornado_chat.core.types import Grant, Identity, Person, Revocation, Role
from tornado_chat.observability.metrics import EndpointMeter
from tornado_chat.services.auth import revocations as revocations_service
from tornado_chat.services.auth.revocations import Revocations
from tornado_chat.services.messaging.connections import Connections
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import revocations as rows

PERSON = Person(Role.CONSULTANT, "7")
HOST = Person(Role.SERVICE, "host")
HOUR = 3600


class Process:
    """The revocations and sockets of one process."""

    def __init__(self, store: Store) -> None:
        fixture = HubFixture()
        self.now = 0.0
        self.connections = Connections(fixture.hub, 9, None, fixture.clock)  # type: ignore[arg-type]
        self.connections._emit_presence = lambda person, *, online: None  # type: ignore[method-assign]
        self.revocations = Revocations(store, self.connections, lambda: self.now)

    def refuses(self, issued: float | None, person: Person = PERSON) -> bool:
        try:
            self.revocations.check(Grant(Identity(person), issued=issued))
        except Unauthenticated as error:
            return error.code == "token_revoked"
        return False

    def open(self, issued: float | None, person: Person = PERSON) -> Socket:
        socket = Socket()
        grant = Grant(Identity(person), issued=issued)
        self.connections.open(grant, socket, Dialect(), EndpointMeter(), "")
        return socket


async def revoke(store: Store, process: Process, **options: bool) -> Revocation:
    added = await process.revocations.revoke(PERSON, HOUR, options.get("all_tokens", False), HOST)
    process.now = added.since / 1_000_000
    return added


@pytest.mark.gen_test
async def test_earlier_tokens_are_refused_and_their_sockets_closed(
    store: Store, published: list[Event]
) -> None:
    here, there = Process(store), Process(store)
    added = await revoke(store, here)
    now = here.now = there.now = added.since / 1_000_000
    assert published == [TokensRevoked(added)]
    assert event_channels(published[0]) == (PERSON,)
    for process in (here, there):
        earlier, unknown, later = process.open(now - 5), process.open(None), process.open(now + 1)
        other = process.open(now - 5, Person(Role.USER, "7"))
        process.revocations.on_event(published[0])
        assert [socket.closed for socket in (earlier, unknown)] == [TOKEN_REVOKED] * 2
        assert [socket.closed for socket in (later, other)] == [None] * 2
        assert [process.refuses(issued) for issued in (now - 1, None, now + 1)] == [True, True, False]
        assert not process.refuses(now - 1, Person(Role.USER, "7"))
        process.now += HOUR
        assert not process.refuses(None)


@pytest.mark.gen_test
async def test_all_tokens_are_refused_on_request(store: Store, published: list[Event]) -> None:
    process = Process(store)
    await revoke(store, process, all_tokens=True)
    process.revocations.on_event(published[0])
    assert process.refuses(process.now + 60)


@pytest.mark.gen_test
async def test_a_process_that_missed_the_event_reads_the_table(store: Store) -> None:
    here, there = Process(store), Process(store)
    await revoke(store, here)
    there.now = here.now
    socket = there.open(there.now - 1)
    await there.revocations.read()
    assert (there.refuses(there.now - 1), socket.closed) == (True, TOKEN_REVOKED)
    late = there.open(there.now - 1)  # its token was checked before the revocation arrived
    await there.revocations.read()
    assert late.closed == TOKEN_REVOKED
    await here.revocations.undo(PERSON, HOST)
    await there.revocations.read()
    assert not there.refuses(there.now - 1)


@pytest.mark.gen_test
async def test_a_read_that_began_before_an_event_does_not_undo_it(
    store: Store, published: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process(store)
    added = await revoke(store, process)
    read = store.read

    async def outdated(query: object, *arguments: object) -> list[Revocation]:
        process.revocations.on_event(published[0])
        return []

    monkeypatch.setattr(store, "read", outdated)
    await process.revocations.read()
    assert process.refuses(added.since / 1_000_000 - 1)
    monkeypatch.setattr(store, "read", read)


@pytest.mark.gen_test
async def test_the_table_keeps_no_ended_revocation(store: Store) -> None:
    process = Process(store)
    await revoke(store, process)
    process.now += HOUR
    await process.revocations.read()
    assert await process.revocations.page(0, 10) == []


@pytest.mark.gen_test
async def test_a_second_revocation_replaces_the_first(store: Store) -> None:
    process = Process(store)
    first = await revoke(store, process)
    second = await revoke(store, process, all_tokens=True)
    assert await process.revocations.page(0, 10) == [second]
    assert second.since > first.since
    assert await process.revocations.undo(PERSON, HOST) == second
    with pytest.raises(NotFound):
        await process.revocations.undo(PERSON, HOST)


@pytest.mark.gen_test
async def test_the_number_of_revocations_is_limited(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_REVOCATIONS", 1)
    process = Process(store)
    await revoke(store, process)
    await revoke(store, process)  # the same person
    with pytest.raises(Conflict) as refused:
        await process.revocations.revoke(Person(Role.USER, "8"), HOUR, False, HOST)
    assert refused.value.code == "too_many_revocations"


@pytest.mark.gen_test
async def test_an_error_does_not_end_the_reading(
    store: Store, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    expected_logs.append("reading the revocations failed, it is repeated")
    monkeypatch.setattr(revocations_service, "READ_INTERVAL_SECONDS", 0.01)
    here, there = Process(store), Process(store)
    await there.revocations.start()
    read, calls = store.read, 0

    async def fail_once(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a bug")
        return await read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "read", fail_once)
    there.now = (await revoke(store, here)).since / 1_000_000
    while not there.refuses(there.now - 1):  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.01)
    await there.revocations.stop()
    assert calls > 1
