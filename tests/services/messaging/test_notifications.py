"""Notifications: stored, filtered, delivered to sockets, and read back."""

import asyncio

import pytest

from tests.delivery.conftest import Socket, turns
from tests.services.plugins import StubPlugin, manage
from tests.storage.conftest import COUNSELLOR, VISITOR, new_session
from tornado_chat import config, hookimpl
from tornado_chat.core.errors import NotFound, Refused
from tornado_chat.core.events import Event
from tornado_chat.core.types import Notification, NotificationDraft, Person
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.services.messaging.notifications import CONVERSATION, Notifications
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store


class Filter(StubPlugin):
    @hookimpl
    def filter_notification(self, draft: NotificationDraft) -> NotificationDraft:
        if "refuse" in draft.msg or draft.type == CONVERSATION:
            raise Refused("not this")
        return draft.replace(msg=f"{draft.msg}!")


class Encoder:
    def encode(self, event: Event, own: bool) -> bytes | None:
        return event.msg.encode() if isinstance(event, Notification) else None


class Inboxes:
    """Notifications with a hub whose sockets keep the texts that they receive."""

    def __init__(self, store: Store, *plugins: StubPlugin, repeat: int = 3) -> None:
        loop = asyncio.get_running_loop()
        receipts = ReceiptStore(store, loop)
        self.hub = Hub(
            loop,
            store.items_after,
            on_receipt=receipts.record,
            ping_interval=20,
            ping_timeout=8,
        )
        self.store, self.receipts = store, receipts
        settings = config.Notifications(repeat=repeat)
        self.service = Notifications(store, self.hub, receipts, manage(*plugins), "en", settings)

    async def connect(self, person: Person, *, is_plain: bool = False) -> Socket:
        """Return the socket of a new connection, which has not answered any ping."""
        return (await self.connect_stream(person, is_plain=is_plain))[0]

    async def connect_stream(self, person: Person, *, is_plain: bool) -> tuple[Socket, SocketStream]:
        socket = Socket()
        socket_stream = self.hub.open(person, socket, Encoder())
        await self.service.attach(socket_stream, is_plain=is_plain)
        return socket, socket_stream

    async def visit(self, person: Person, *, is_plain: bool = True) -> list[str]:
        """Connect, answer the pings, and disconnect. Return the frames."""
        socket, socket_stream = await self.connect_stream(person, is_plain=is_plain)
        await turns()
        if socket.pings:
            socket_stream.pong(socket.pings[-1], 0.0)
        self.hub.discard(socket_stream)
        await self.stored()
        return socket.frames

    async def stored(self) -> None:
        """Wait until everything that was passed to the writer is stored."""
        await self.store.write(lambda tx: None)


@pytest.mark.gen_test
async def test_notifications_are_kept_for_a_recipient_who_connects_later(store: Store) -> None:
    inboxes = Inboxes(store)
    for text in ("one", "two"):
        await inboxes.service.notify(VISITOR, 0, text, {"key": 1})
    await inboxes.service.notify(COUNSELLOR, 0, "for another", None)
    socket = await inboxes.connect(VISITOR)
    assert socket.frames == ["one", "two"]


@pytest.mark.gen_test
async def test_a_connected_recipient_receives_new_notifications(store: Store, published: list[Event]) -> None:
    inboxes = Inboxes(store)
    socket = await inboxes.connect(VISITOR)
    note = await inboxes.service.notify(VISITOR, 0, "new", None)
    assert published == [note]
    inboxes.hub.deliver(note)
    await turns()
    assert socket.frames == ["new"]


@pytest.mark.gen_test
async def test_filters_change_and_refuse_notifications(store: Store) -> None:
    inboxes = Inboxes(store, Filter())
    assert (await inboxes.service.notify(VISITOR, 0, "hello", None)).msg == "hello!"
    with pytest.raises(Refused):
        await inboxes.service.notify(VISITOR, 0, "refuse", None)
    assert [note.msg for note in (await inboxes.service.page(VISITOR, 0, 10))[0]] == ["hello!"]


@pytest.mark.gen_test
async def test_the_announcement_of_a_session_cannot_be_refused(store: Store) -> None:
    service = Inboxes(store, Filter()).service
    text = await service.announcement(COUNSELLOR)
    assert text

    def open_session(tx):  # type: ignore[no-untyped-def]
        service.announce(tx, COUNSELLOR, text, new_session(tx), observe=True)

    await store.write(open_session)
    (note,), has_more = await service.page(COUNSELLOR, 0, 10)
    assert not has_more
    assert (note.type, note.data) == (CONVERSATION, {"sessionId": 1, "observeSessionId": 1})


@pytest.mark.gen_test
async def test_only_the_owner_reads_and_marks_its_notifications(store: Store) -> None:
    service = Inboxes(store).service
    notes = [await service.notify(VISITOR, 0, text, None) for text in ("one", "two", "three")]
    page, has_more = await service.page(VISITOR, 1, 1)
    assert ([note.msg for note in page], has_more) == (["two"], True)
    assert await service.page(COUNSELLOR, 0, 10) == ([], False)
    marked = await service.mark_read(VISITOR, notes[0].id)
    assert marked.read
    with pytest.raises(NotFound):
        await service.mark_read(COUNSELLOR, notes[1].id)


# --- delivery again, to clients that cannot say what their page has shown ---


@pytest.mark.gen_test
async def test_a_plain_client_gets_an_unread_notification_again_a_few_times(store: Store) -> None:
    inboxes = Inboxes(store, repeat=2)
    for text in ("one", "two"):
        await inboxes.service.notify(VISITOR, 0, text, None)
    # The receipt is stored with a delay, so the first visits find it in memory only.
    visits = [await inboxes.visit(VISITOR) for _ in range(3)]
    await inboxes.receipts.flush()
    assert [*visits, await inboxes.visit(VISITOR)] == [["one", "two"], ["one", "two"], ["one", "two"], []]


@pytest.mark.gen_test
async def test_a_notification_that_was_read_is_not_repeated(store: Store) -> None:
    inboxes = Inboxes(store)
    notes = [await inboxes.service.notify(VISITOR, 0, text, None) for text in ("one", "two", "three")]
    await inboxes.visit(VISITOR)
    await inboxes.service.mark_read(VISITOR, notes[1].id)
    await inboxes.service.notify(VISITOR, 0, "four", None)
    assert await inboxes.visit(VISITOR) == ["one", "three", "four"]  # in the order of their numbers
    await inboxes.receipts.flush()
    assert await inboxes.visit(VISITOR) == ["one", "three", "four"]


@pytest.mark.gen_test
async def test_a_client_with_features_gets_each_notification_once(store: Store) -> None:
    inboxes = Inboxes(store)
    await inboxes.service.notify(VISITOR, 0, "one", None)
    assert await inboxes.visit(VISITOR, is_plain=False) == ["one"]
    assert await inboxes.visit(VISITOR, is_plain=False) == []
    assert await inboxes.visit(VISITOR) == ["one"]  # its page may be another one than the plain client's


@pytest.mark.gen_test
async def test_a_repetition_counts_when_it_has_arrived(store: Store) -> None:
    inboxes = Inboxes(store, repeat=1)
    await inboxes.service.notify(VISITOR, 0, "one", None)
    await inboxes.visit(VISITOR)
    for _ in range(2):  # cut before the pong
        assert (await inboxes.connect(VISITOR, is_plain=True)).frames == ["one"]
    assert await inboxes.visit(VISITOR) == ["one"]
    assert await inboxes.visit(VISITOR) == []


@pytest.mark.gen_test
async def test_only_the_answer_to_a_ping_after_the_repetition_proves_its_arrival(store: Store) -> None:
    inboxes = Inboxes(store, repeat=1)
    await inboxes.service.notify(VISITOR, 0, "one", None)
    await inboxes.visit(VISITOR)
    socket = Socket()
    socket_stream = inboxes.hub.open(VISITOR, socket, Encoder())
    socket_stream.ping(0.0)  # an early ping of the sweep is outstanding
    await inboxes.service.attach(socket_stream, is_plain=True)
    socket_stream.pong(socket.pings[0], 0.0)
    assert await inboxes.visit(VISITOR) == ["one"]
    await turns()
    socket_stream.pong(socket.pings[1], 0.0)
    await inboxes.stored()
    assert await inboxes.visit(VISITOR) == []


@pytest.mark.gen_test
async def test_the_number_of_repetitions_can_be_reloaded(store: Store) -> None:
    inboxes = Inboxes(store, repeat=0)
    await inboxes.service.notify(VISITOR, 0, "one", None)
    assert await inboxes.visit(VISITOR) == ["one"]
    assert await inboxes.visit(VISITOR) == []
    inboxes.service.reconfigure(config.Notifications(repeat=1))
    assert [await inboxes.visit(VISITOR) for _ in range(2)] == [["one"], []]


@pytest.mark.gen_test
async def test_a_new_notification_follows_the_repeated_ones(store: Store) -> None:
    inboxes = Inboxes(store)
    await inboxes.service.notify(VISITOR, 0, "one", None)
    await inboxes.visit(VISITOR)
    socket = await inboxes.connect(VISITOR, is_plain=True)
    inboxes.hub.deliver(await inboxes.service.notify(VISITOR, 0, "two", None))
    await turns()
    assert socket.frames == ["one", "two"]
