"""Counselling: sockets that enter and leave rooms, and the ends that they cause."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from tests.delivery.conftest import Socket, turns
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tests.services.plugins import manage
from tests.storage.conftest import COUNSELLOR, VISITOR, new_session
from tornado_chat import config
from tornado_chat.cluster.facts import PresenceFact, RoomPresence, room_key
from tornado_chat.core.errors import Conflict, Forbidden, InternalError, Unavailable
from tornado_chat.core.events import Event, ParticipantNamed, PresenceChanged, RoomEnded
from tornado_chat.core.types import Identity, Message, Person, Role, Room, SessionState, Thread
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.counselling.room_lookup import RoomLookup
from tornado_chat.services.counselling.service import (
    CLOSE_CODE_CANCEL,
    CLOSE_CODE_END,
    RETRY_SECONDS,
    Counselling,
)
from tornado_chat.services.leadership.retries import FAULT_RETRY_SECONDS
from tornado_chat.services.messaging.consents import Consents
from tornado_chat.services.messaging.filtering import MessageFilter
from tornado_chat.services.messaging.participant_names import ParticipantNames
from tornado_chat.services.messaging.receipt_reports import ReceiptReports
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import rooms
from tornado_chat.storage.messages import AppendRequest

STRANGER = Person(Role.USER, "99")


async def no_offer(identity: Identity, thread: Thread) -> bool:
    return False


class Facts:
    """A coordinator client that keeps the facts of this process."""

    def __init__(self) -> None:
        self.facts: dict[str, PresenceFact] = {}
        self.is_away = False

    def report(self, fact: PresenceFact) -> None:
        self.facts[fact.key] = fact

    def withdraw(self, key: str, *, has_left: bool = False) -> None:
        del self.facts[key]

    async def call(self, request: Any) -> list[str]:
        if self.is_away:
            raise Unavailable("no_coordinator")
        return [fact.person.key for fact in self.facts.values() if hasattr(fact, "person")]


class Encoder:
    """Encodes the messages of others by their text."""

    def encode(self, event: Event, own: bool) -> bytes | None:
        return event.text.encode() if isinstance(event, Message) and not own else None


class NoApprovals:
    """Approvals of a server where no message is held."""

    groups_on: frozenset[str] = frozenset()

    async def resync(self) -> None:
        """Find no decision that was missed."""


class Process:
    """The counselling service of one process, with a hub and sockets that keep their texts."""

    def __init__(self, store: Store) -> None:
        loop, plugins = asyncio.get_running_loop(), manage()
        receipts = ReceiptStore(store, loop)
        self.store, self.facts = store, Facts()
        self.hub = Hub(
            loop,
            store.items_after,
            on_receipt=receipts.record,
            ping_interval=20,
            ping_timeout=8,
        )
        self.service = Counselling(
            config.Counselling(),
            store,
            self.hub,
            receipts,
            loop,
            lambda event: None,
            room_lookup=RoomLookup(store, plugins),
            access_control=AccessControl(None, plugins),  # type: ignore[arg-type]
            filtering=MessageFilter(plugins, store.append, loop, share=0.1),
            plugins=plugins,
            consents=Consents({}, store, plugins),
            coordinator_client=self.facts,
            receipt_reports=ReceiptReports(
                receipts,
                store,
                lambda event: None,
                followers=self.hub.followers,
                deliver=self.hub.deliver_event,
                is_clustered=False,
            ),
            participant_names=ParticipantNames(store, self.hub),
            accept_offer=no_offer,
            approvals=NoApprovals(),  # type: ignore[arg-type]
        )

    def open(self, person: Person) -> tuple[Socket, SocketStream]:
        socket = Socket()
        return socket, self.hub.open(person, socket, Encoder())

    async def has_no_facts(self) -> bool:
        await asyncio.sleep(0)
        return not self.facts.facts

    async def has_facts(self, *people: Person) -> bool:
        await asyncio.sleep(0)
        facts = self.facts.facts.values()
        return {fact.person for fact in facts if isinstance(fact, RoomPresence)} == {*people}

    async def state(self, room: Room) -> SessionState:
        return (await self.store.look_up(rooms.get, room.thread)).state


async def active_room(store: Store, *texts: str) -> Room:
    room = await store.write(new_session)
    active = await store.write(lambda tx: rooms.start(tx, room.thread))
    for text in texts:
        await store.append(AppendRequest(room.thread, COUNSELLOR, text, text), 0.0)
    return active


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while not await condition():
            pass


@pytest.mark.gen_test
async def test_a_participant_who_enters_receives_missed_messages_and_is_reported(store: Store) -> None:
    process, room = Process(store), await active_room(store, "one", "two")
    socket, stream = process.open(VISITOR)
    await process.service.enter(Identity(VISITOR, "Lin"), room.thread, stream)
    assert socket.frames == ["one", "two"]
    assert list(process.facts.facts) == [room_key(room.thread, VISITOR)]
    presence = await process.service.presence(room)
    assert presence == PresenceChanged(room.thread, {Role.USER: True, Role.CONSULTANT: False})
    process.facts.is_away = True
    assert not any((await process.service.presence(room)).present.values())


@pytest.mark.gen_test
async def test_only_participants_enter(store: Store) -> None:
    process, room = Process(store), await active_room(store, "secret")
    socket, stream = process.open(STRANGER)
    with pytest.raises(Forbidden):
        await process.service.enter(Identity(STRANGER), room.thread, stream)
    assert socket.frames == []
    assert not process.hub.is_followed(room.thread)
    assert process.facts.facts == {}


@pytest.mark.gen_test
async def test_an_ended_room_delivers_the_missed_messages_before_it_refuses(store: Store) -> None:
    process, room = Process(store), await active_room(store, "goodbye")
    await store.write(lambda tx: rooms.finish(tx, room.thread, SessionState.COMPLETED))
    socket, stream = process.open(VISITOR)
    with pytest.raises(Conflict):
        await process.service.enter(Identity(VISITOR), room.thread, stream)
    assert socket.frames == ["goodbye"]


@pytest.mark.gen_test
async def test_the_name_in_a_token_is_stored_once_if_the_host_has_given_none(
    store: Store, published: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, room = Process(store), await active_room(store)
    identity = Identity(COUNSELLOR, "陈老师")
    with monkeypatch.context() as context:  # the disk is full, for example: the participant gets in
        context.setattr(store, "write", Mock(side_effect=Unavailable("not_stored")))
        await process.service.enter(identity, room.thread, process.open(COUNSELLOR)[1])
    for _ in range(2):
        await process.service.enter(identity, room.thread, process.open(COUNSELLOR)[1])
    await process.service.enter(Identity(VISITOR, "Lin"), room.thread, process.open(VISITOR)[1])
    named = [event for event in published if isinstance(event, ParticipantNamed)]
    assert named == [ParticipantNamed(room.thread, COUNSELLOR, "陈老师")], "the host has named the visitor"


@pytest.mark.gen_test
async def test_a_participant_that_reads_slowly_delays_no_other_participant(store: Store) -> None:
    process, room = Process(store), await active_room(store, "one", "two")
    slow, stream = process.open(VISITOR)
    slow.stuck, slow.clogged_bytes = True, 0
    entering = asyncio.ensure_future(process.service.enter(Identity(VISITOR), room.thread, stream))

    async def is_clogged() -> bool:
        await asyncio.sleep(0)
        return stream.is_clogged

    await until(is_clogged)
    _, counsellor = process.open(COUNSELLOR)
    connection = await process.service.enter(Identity(COUNSELLOR), room.thread, counsellor)
    assert (slow.frames, entering.done()) == (["one"], False)
    process.service.leave(connection, 1001)
    await until(lambda: process.has_facts(VISITOR))
    slow.unsent = slow.clogged_bytes - 10
    await entering
    assert slow.frames == ["one", "two"]


@pytest.mark.gen_test
async def test_a_socket_that_leaves_twice_leaves_once(store: Store) -> None:
    process, room = Process(store), await active_room(store)
    connections = [
        await process.service.enter(Identity(VISITOR), room.thread, process.open(VISITOR)[1])
        for _ in range(2)
    ]
    process.service.leave(connections[0], 1001)
    process.service.leave(connections[0], 1001)
    await turns()
    assert list(process.facts.facts) == [room_key(room.thread, VISITOR)]
    process.service.leave(connections[1], 1001)
    process.service.leave(connections[1], 1001)
    await until(process.has_no_facts)


@pytest.mark.gen_test
async def test_a_participant_is_absent_when_the_last_of_its_sockets_has_left(store: Store) -> None:
    process, room = Process(store), await active_room(store)
    connections = [
        await process.service.enter(Identity(VISITOR), room.thread, process.open(VISITOR)[1])
        for _ in range(2)
    ]
    process.service.leave(connections[0], 1001)
    await turns()
    assert process.facts.facts
    process.service.leave(connections[1], 1001)
    await turns()
    assert process.facts.facts == {}
    assert await process.state(room) is SessionState.ACTIVE


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("person", "code", "state"),
    [
        (VISITOR, CLOSE_CODE_END, SessionState.COMPLETED),
        (COUNSELLOR, CLOSE_CODE_END, SessionState.COMPLETED),
        (COUNSELLOR, CLOSE_CODE_CANCEL, SessionState.ACTIVE),  # only the asker cancels
        (VISITOR, 1001, SessionState.ACTIVE),
    ],
)
async def test_close_codes_end_a_room(store: Store, person: Person, code: int, state: SessionState) -> None:
    process, room = Process(store), await active_room(store)
    connection = await process.service.enter(Identity(person), room.thread, process.open(person)[1])
    process.service.leave(connection, code)
    await until(process.has_no_facts)
    assert await process.state(room) is state


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("person", "state"), [(VISITOR, SessionState.CANCELLED), (COUNSELLOR, SessionState.READY)]
)
async def test_only_the_asker_cancels_a_session_that_has_not_started(
    store: Store, person: Person, state: SessionState
) -> None:
    process, room = Process(store), await store.write(new_session)
    connection = await process.service.enter(Identity(person), room.thread, process.open(person)[1])
    process.service.leave(connection, CLOSE_CODE_CANCEL)
    await until(process.has_no_facts)
    assert await process.state(room) is state


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("error", "pause"),
    [(Unavailable("not_stored"), RETRY_SECONDS), (InternalError("internal_error"), FAULT_RETRY_SECONDS)],
)
async def test_an_end_that_fails_by_a_fault_of_the_program_is_tried_again_much_later(
    store: Store, error: Exception, pause: float, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    expected_logs.append("an end could not be stored, trying again")
    process, room = Process(store), await active_room(store)
    connection = await process.service.enter(Identity(VISITOR), room.thread, process.open(VISITOR)[1])
    pauses: list[float] = []
    loop = SimpleNamespace(call_later=lambda seconds, *call: pauses.append(seconds))
    monkeypatch.setattr(process.service, "_loop", loop)

    def fail(work: object, thread: object = None) -> object:
        raise error

    monkeypatch.setattr(store, "write", fail)
    process.service.leave(connection, CLOSE_CODE_END)
    await until(process.has_no_facts)
    assert pauses == [pause]


@pytest.mark.gen_test
async def test_a_server_that_stops_ends_no_room(store: Store) -> None:
    process, room = Process(store), await active_room(store)
    connection = await process.service.enter(Identity(VISITOR), room.thread, process.open(VISITOR)[1])
    process.service.stop()
    process.service.leave(connection, CLOSE_CODE_END)
    await turns()
    assert await process.state(room) is SessionState.ACTIVE
    assert process.facts.facts


@pytest.mark.gen_test
async def test_the_end_of_a_room_closes_its_sockets_after_the_last_message(store: Store) -> None:
    process, room = Process(store), await active_room(store, "last")
    sockets = []
    for person in (VISITOR, COUNSELLOR):
        socket, stream = process.open(person)
        await process.service.enter(Identity(person), room.thread, stream)
        sockets.append(socket)
    ended = await process.service.end(room.thread, Person(Role.ADMIN, "1"))
    process.service.on_event(RoomEnded(room.thread, ended.state, ended.ended or 0, ended))
    await turns()
    assert [socket.frames for socket in sockets] == [["last"], []]
    assert {socket.code for socket in sockets} == {1000}


@pytest.mark.gen_test
async def test_a_resync_finds_rooms_that_have_ended_elsewhere(store: Store) -> None:
    process = Process(store)
    over, open_room = await active_room(store), await active_room(store)
    sockets = []
    for room in (over, open_room):
        socket, stream = process.open(VISITOR)
        await process.service.enter(Identity(VISITOR), room.thread, stream)
        sockets.append(socket)
    await store.write(lambda tx: rooms.finish(tx, over.thread, SessionState.COMPLETED))
    await process.service.resync()
    await turns()
    assert [socket.closed is not None for socket in sockets] == [True, False]
