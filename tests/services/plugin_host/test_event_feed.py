"""The event feed: stored items from each plugin's cursor on, and other events as they happen."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.delivery.conftest import turns
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tests.services.plugins import StubPlugin, manage
from tests.storage.conftest import VISITOR, new_session
from tornado_chat import DeliveryError, Forbidden, OutboxTimes, RetryLater, hookimpl
from tornado_chat.core.events import Event, RoomEnded
from tornado_chat.core.types import Message, Notification, Room, SessionState, Thread
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.plugin_host import notification_delivery
from tornado_chat.services.plugin_host.event_feed import PluginEventFeed
from tornado_chat.storage import deliveries, notifications, retention, rooms, streams
from tornado_chat.storage.messages import AppendRequest
from tornado_chat.storage.models import PluginDelivery


class Listener(StubPlugin):
    """Keeps the texts of messages, the notifications, and the states of ended rooms."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.notifications: list[tuple[str, bool]] = []
        self.ended: list[SessionState] = []

    @hookimpl
    def message_posted(self, message: Message) -> None:
        if message.text == "broken":
            raise ValueError("a bug in the plugin")
        self.texts.append(message.text)

    @hookimpl
    async def deliver_notification(self, notification: Notification, online: bool) -> None:
        self.notifications.append((notification.msg, online))

    @hookimpl
    def session_ended(self, room: Room) -> None:
        self.ended.append(room.state)


class Online:
    """A presence lookup in which every inbox has a socket."""

    async def can_be_notified(self, inbox: Thread) -> bool:
        return True


@asynccontextmanager
async def feeding(store: Store, plugin: StubPlugin) -> AsyncIterator[PluginEventFeed]:
    plugins: Any = manage(plugin)
    feed = PluginEventFeed(plugins, store, Online(), asyncio.get_running_loop(), shared=False)  # type: ignore[arg-type]
    await feed.open()
    feed.start()
    yield feed
    await feed.stop()
    await plugins.stop()


async def post(store: Store, room: Room, *texts: str) -> None:
    for text in texts:
        await store.append(AppendRequest(room.thread, VISITOR, text, text), 0.0)


@pytest.fixture
def wake(published: list[Event]) -> Callable[[PluginEventFeed], None]:
    """Passes the published events to a feed, once each."""

    def wake(feed: PluginEventFeed) -> None:
        for event in published:
            if isinstance(event, PluginEventFeed.events):
                feed.on_event(event)
        published.clear()

    return wake


@pytest.mark.gen_test
async def test_a_plugin_receives_the_messages_since_its_first_start_in_order(
    store: Store, wake: Callable[[PluginEventFeed], None]
) -> None:
    room = await store.write(new_session)
    await post(store, room, "before the plugin was installed")
    plugin = Listener()
    async with feeding(store, plugin) as feed:
        await post(store, room, "one", "two")
        wake(feed)
        await post(store, room, "three")
        wake(feed)
    assert plugin.texts == ["one", "two", "three"]


@pytest.mark.gen_test
async def test_a_restart_continues_at_the_saved_cursor(
    store: Store, wake: Callable[[PluginEventFeed], None]
) -> None:
    room = await store.write(new_session)
    plugin = Listener()
    async with feeding(store, plugin) as feed:
        for text in ("one", "two"):
            await post(store, room, text)
            wake(feed)
            async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
                while text not in plugin.texts:
                    await turns()
    await post(store, room, "while the server was down")
    plugin = Listener()
    async with feeding(store, plugin):
        pass
    assert plugin.texts == ["while the server was down"]


@pytest.mark.gen_test
async def test_a_message_on_which_the_plugin_fails_is_not_repeated(
    store: Store, wake: Callable[[PluginEventFeed], None], expected_logs: list[str]
) -> None:
    expected_logs.append("listener")
    room = await store.write(new_session)
    plugin = Listener()
    async with feeding(store, plugin) as feed:
        await post(store, room, "one", "broken", "two")
        wake(feed)
    assert plugin.texts == ["one", "two"]


@pytest.mark.gen_test
async def test_notifications_tell_whether_the_recipient_is_online(
    store: Store, wake: Callable[[PluginEventFeed], None]
) -> None:
    plugin = Listener()
    async with feeding(store, plugin) as feed:
        await store.write(lambda tx: notifications.create(tx, VISITOR, 0, "hello", None))
        wake(feed)
    assert plugin.notifications == [("hello", True)]


@pytest.mark.gen_test
async def test_the_end_of_a_room_is_an_event(
    store: Store, wake: Callable[[PluginEventFeed], None], published: list[Event]
) -> None:
    plugin = Listener()
    room = await store.write(new_session)
    async with feeding(store, plugin) as feed:
        await store.write(lambda tx: rooms.finish(tx, room.thread, SessionState.CANCELLED))
        assert any(isinstance(event, RoomEnded) for event in published)
        wake(feed)
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while not plugin.ended:
                await turns()
    assert plugin.ended == [SessionState.CANCELLED]


class Failing(StubPlugin):
    """Raises ``errors`` in turn, then keeps the texts of notifications."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)
        self.texts: list[str] = []

    @hookimpl
    async def deliver_notification(self, notification: Notification) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.texts.append(notification.msg)


async def told(store: Store, *texts: str) -> None:
    for text in texts:
        await store.write(lambda tx, text=text: notifications.create(tx, VISITOR, 0, text, None))


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notification_delivery, "TIMES", OutboxTimes(0.001, 3600, timeout=None))


@pytest.mark.gen_test
async def test_a_delivery_that_fails_is_repeated_and_delays_no_other(
    store: Store, wake: Callable[[PluginEventFeed], None], expected_logs: list[str], at_once: None
) -> None:
    expected_logs.append("plugin failing failed in deliver_notification: ValueError")
    plugin = Failing(ValueError("a bug"), DeliveryError("busy"), Forbidden("not_allowed"))
    expected_logs.append("plugin failing failed in deliver_notification: Forbidden")
    async with feeding(store, plugin) as feed:
        await told(store, "one", "two", "three", "four")
        wake(feed)
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while len(plugin.texts) < 4:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
    assert sorted(plugin.texts) == ["four", "one", "three", "two"]


@pytest.mark.gen_test
async def test_a_delivery_that_fails_moves_the_cursor_with_it(
    store: Store, wake: Callable[[PluginEventFeed], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the notification would be delivered from the stream and from the outbox after a crash."""
    plugin = Failing(RetryLater("busy", 600))
    async with feeding(store, plugin) as feed:
        await told(store, "one")
        monkeypatch.setattr(streams, "advance", _fail_to_save(streams.advance))
        wake(feed)
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while not (rows := await store.read(deliveries.undelivered, "failing", False, 9)):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
        assert await store.read(streams.cursor_position, "failing", streams.NOTIFICATIONS) == 1
    assert [(row.item, row.attempts, row.recipient) for row in rows] == [("1", 1, VISITOR.key)]


def _fail_to_save(advance: Any) -> Any:
    """Let only the first call store the cursor, as if the process died then."""
    calls = 0

    def advance_once(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            advance(*arguments)

    return advance_once


@pytest.mark.gen_test
async def test_deliveries_that_fail_suspend_no_plugin(
    store: Store, wake: Callable[[PluginEventFeed], None], expected_logs: list[str], at_once: None
) -> None:
    expected_logs.append("plugin failing failed in deliver_notification: ValueError")
    plugin = Failing(*[ValueError("a bug")] * 12)
    async with feeding(store, plugin) as feed:
        await told(store, *"abcdef")
        wake(feed)
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while len(plugin.texts) < 6:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
    assert sorted(plugin.texts) == list("abcdef")


@pytest.mark.gen_test
async def test_a_notification_that_was_removed_is_given_up(
    store: Store, wake: Callable[[PluginEventFeed], None], expected_logs: list[str]
) -> None:
    expected_logs.append("given up after 2 attempts: the notification was removed")
    plugin = Failing(RetryLater("busy", 600))
    async with feeding(store, plugin) as feed:
        await told(store, "one")
        wake(feed)
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while not await store.read(deliveries.undelivered, "failing", False, 9):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
    await store.write(lambda tx: retention.remove_notifications(tx, [1]))
    await store.write(lambda tx: PluginDelivery.update(next_at=tx.now).execute(tx.database))
    async with feeding(store, plugin):
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while (await store.read(deliveries.count_states, "failing"))["dead"] != 1:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
    assert plugin.texts == []
