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
from tornado_chat import hookimpl
from tornado_chat.core.events import Event, RoomEnded
from tornado_chat.core.types import Message, Notification, Room, SessionState, Thread
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.plugin_host.event_feed import PluginEventFeed
from tornado_chat.storage import notifications, rooms
from tornado_chat.storage.messages import AppendRequest


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
    await feed.start()
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
