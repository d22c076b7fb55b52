"""A plugin that records the events of a server for the test."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tornado_chat.client.socket import ReceiveQueue
from tornado_chat.plugin_api import (
    Activity,
    AgentState,
    Context,
    Conversation,
    Identity,
    Message,
    Notification,
    Person,
    Plugin,
    Room,
    Thread,
    hookimpl,
)

NAME = "testing"
"""The name of the plugin in the server."""


class HookEvent(NamedTuple):
    """An event as plugins get it: the name of the hook, and the values of its arguments by name."""

    hook: str
    values: Mapping[str, Any]


class Recorder(Plugin):
    """Has all hooks of events, except ``deliver_notification``, which is a delivery and no event.

    :ivar context: of this plugin: the test's access to the database.
    :ivar events: all events so far.
    :ivar unread: the events that the test has not waited for yet.
    """

    context: Context

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.events: list[HookEvent] = []
        self.unread: ReceiveQueue[HookEvent] = ReceiveQueue()

    def _record(self, hook: str, **values: Any) -> None:
        event = HookEvent(hook, values)
        self.events.append(event)
        self.unread.put(event)

    @hookimpl
    async def startup(self, context: Context) -> None:
        self.context = context

    @hookimpl
    async def message_posted(self, message: Message) -> None:
        self._record("message_posted", message=message)

    @hookimpl
    async def session_started(self, room: Room) -> None:
        self._record("session_started", room=room)

    @hookimpl
    async def session_ended(self, room: Room) -> None:
        self._record("session_ended", room=room)

    @hookimpl
    async def participant_joined(self, thread: Thread, identity: Identity) -> None:
        self._record("participant_joined", thread=thread, identity=identity)

    @hookimpl
    async def participant_left(self, thread: Thread, person: Person) -> None:
        self._record("participant_left", thread=thread, person=person)

    @hookimpl
    async def transcript_read(self, thread: Thread, identity: Identity, how: str) -> None:
        self._record("transcript_read", thread=thread, identity=identity, how=how)

    @hookimpl
    async def action_taken(self, activity: Activity) -> None:
        self._record("action_taken", activity=activity)

    @hookimpl
    async def observer_joined(self, thread: Thread, identity: Identity) -> None:
        self._record("observer_joined", thread=thread, identity=identity)

    @hookimpl
    async def observer_left(self, thread: Thread, identity: Identity) -> None:
        self._record("observer_left", thread=thread, identity=identity)

    @hookimpl
    async def conversation_queued(self, conversation: Conversation) -> None:
        self._record("conversation_queued", conversation=conversation)

    @hookimpl
    async def conversation_assigned(self, conversation: Conversation, reason: str) -> None:
        self._record("conversation_assigned", conversation=conversation, reason=reason)

    @hookimpl
    async def conversation_ended(self, conversation: Conversation, gone: Person) -> None:
        self._record("conversation_ended", conversation=conversation, gone=gone)

    @hookimpl
    async def conversation_rated(
        self, thread: Thread, person: Person, stars: int, feedback: str | None
    ) -> None:
        self._record("conversation_rated", thread=thread, person=person, stars=stars, feedback=feedback)

    @hookimpl
    async def messages_read(self, thread: Thread, person: Person, seq: int) -> None:
        self._record("messages_read", thread=thread, person=person, seq=seq)

    @hookimpl
    async def agent_changed(self, agent: Person, state: AgentState, previous: AgentState) -> None:
        self._record("agent_changed", agent=agent, state=state, previous=previous)

    @hookimpl
    async def token_refused(self, code: str, count: int) -> None:
        self._record("token_refused", code=code, count=count)

    @hookimpl
    async def presence_changed(self, person: Person, online: bool) -> None:
        self._record("presence_changed", person=person, online=online)

    @hookimpl
    async def notification_created(self, notification: Notification) -> None:
        self._record("notification_created", notification=notification)
