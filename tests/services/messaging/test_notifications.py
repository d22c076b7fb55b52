"""Notifications: stored, filtered, delivered to sockets, and read back."""

import asyncio
from collections.abc import Callable

import pytest

from tests.delivery.conftest import Socket, turns
from tests.services.plugins import StubPlugin, manage
from tests.storage.conftest import COUNSELLOR, VISITOR, new_session
from tornado_chat import hookimpl
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


Connect = Callable[[Person], tuple[Socket, SocketStream]]


class Inboxes:
    """Notifications with a hub whose sockets keep the texts that they receive."""

    def __init__(self, store: Store, *plugins: StubPlugin) -> None:
        loop = asyncio.get_running_loop()
        receipts = ReceiptStore(store, loop)
        self.hub = Hub(
            loop,
            store.items_after,
            on_receipt=receipts.record,
            ping_interval=20,
            ping_timeout=8,
        )
        self.service = Notifications(store, self.hub, receipts, manage(*plugins), "en")

    async def connect(self, person: Person) -> Socket:
        socket = Socket()
        await self.service.attach(self.hub.open(person, socket, Encoder()))
        return socket


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
