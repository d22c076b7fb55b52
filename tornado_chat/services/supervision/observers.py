"""Observers: supervisors and admins who follow a session or a support conversation live.

Strategy: an observer follows the thread of the conversation in the hub, as its participants do, with an
encoder of its own. The end of a session closes all followers (``services/counselling``); the end of a support
conversation does not, as its participants keep their sockets, so the observers of this process are closed
here.
"""

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import msgspec

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.aio.deferred import Deferred
from tornado_chat.cluster.facts import (
    CoordinatorClient,
    PresenceFact,
    RoomPresence,
    RoomPresenceRequest,
    WaiterPresence,
    room_key,
    waiter_key,
)
from tornado_chat.core.close_codes import ENDED, OBSERVER_LEFT
from tornado_chat.core.errors import Conflict, Unavailable
from tornado_chat.core.events import (
    AgentReplaced,
    ConversationAssigned,
    ConversationEnded,
    ConversationRequeued,
    Event,
    ParticipationChanged,
    PresenceChanged,
    RoomEnded,
    SystemNotice,
)
from tornado_chat.core.types import (
    AppendResult,
    ConversationView,
    Identity,
    Kind,
    Part,
    Person,
    Role,
    Room,
    Thread,
)
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.domain.groups import Groups
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.messaging.event_log import log_fields
from tornado_chat.services.messaging.filtering import FilterQueue, MessageFilter
from tornado_chat.services.messaging.participant_names import ParticipantNames
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.signals import ReadMarks, TypingSignals
from tornado_chat.services.messaging.store import Store, read_in_chunks
from tornado_chat.services.supervision.rights import SupervisionRights
from tornado_chat.storage import conversations, messages, participants, rooms
from tornado_chat.storage.messages import AppendRequest

log = logging.getLogger(__name__)

SUPERVISING_ROLES = (Role.SUPERVISOR, Role.ADMIN)
"""Observers of other roles are former agents that have stayed."""

FindView = Callable[[Thread], Awaitable[ConversationView]]
"""Returns a session or support conversation. :raises NotFound: there is no such."""


class Observation:
    """A socket of an observer in a conversation.

    :arg on_part: called with the part in which the person takes part, when it changes; None: the client does
        not speak, and only observes.
    :ivar room: of a session, its newest known version.
    :ivar part: as what the person may speak: ``supervisor`` or ``agent``; None: it only observes.
    """

    __slots__ = ("filter_queue", "identity", "on_part", "part", "room", "socket_stream", "view")

    def __init__(
        self,
        identity: Identity,
        view: ConversationView,
        socket_stream: SocketStream,
        on_part: Callable[[Part | None], None] | None,
    ) -> None:
        self.identity = identity
        self.view = view
        self.socket_stream = socket_stream
        self.on_part = on_part
        self.filter_queue = FilterQueue()
        self.room: Room | None = None
        self.part: Part | None = None

    @property
    def thread(self) -> Thread:
        return self.view.thread

    @property
    def person(self) -> Person:
        return self.identity.person

    @property
    def presence_key(self) -> str:
        """The key of the presence fact of an agent."""
        if self.thread.kind is Kind.SESSION:
            return room_key(self.thread, self.person)
        return waiter_key(self.person)


class Observers:
    """The observers with sockets in this process.

    :arg publish: publishes events that are not stored.
    :arg find_view: finds conversations, also those that only a plugin knows.
    :arg rules: returns the groups of the configuration.
    """

    def __init__(
        self,
        store: Store,
        hub: Hub,
        receipts: ReceiptStore,
        publish: Callable[[Event], None],
        *,
        find_view: FindView,
        rights: SupervisionRights,
        rules: Callable[[], Groups],
        plugins: PluginManager,
        coordinator_client: CoordinatorClient,
        participant_names: ParticipantNames,
        filtering: MessageFilter,
    ) -> None:
        self._store = store
        self._hub = hub
        self._receipts = receipts
        self._publish = publish
        self._find_view = find_view
        self._rights = rights
        self._rules = rules
        self._plugins = plugins
        self._coordinator_client = coordinator_client
        self._participant_names = participant_names
        self._filtering = filtering
        self._typing = TypingSignals(publish)
        self._read_marks = ReadMarks(store)
        self._is_stopping = False
        self._observations: dict[Thread, dict[Observation, None]] = {}
        # The sockets here by which an agent is present, by the key of the presence fact.
        self._present: dict[str, dict[Observation, None]] = {}

    def stop_reporting(self) -> None:
        """Ignore closing sockets from now on: the server closes them, so no grace starts."""
        self._is_stopping = True

    # --- coming and going ---

    async def observe(
        self,
        identity: Identity,
        thread: Thread,
        socket_stream: SocketStream,
        since: int,
        *,
        needs_names: bool = False,
        position: int | None = None,
        on_part: Callable[[Part | None], None] | None = None,
    ) -> Observation:
        """Let a supervisor or an admin observe a conversation, from the last message that they have received.

        The participants are not informed, unless ``[group] tell_observing`` says so. The caller calls
        ``stop`` once for the result.

        :arg since: the time at which the socket was opened; an observer without a receipt receives the
            messages from then on.
        :arg needs_names: whether the client shows the names of the senders of messages.
        :arg position: of a socket that another process has had: the last ``seq`` that was written to it.
        :arg on_part: as in ``Observation``; called at once for a person that takes part already.
        :raises NotFound: there is no such conversation.
        :raises Forbidden: the person may not observe it.
        :raises Conflict: it has ended.
        """
        view = await self._find_view(thread)
        await self._rights.require_observer(identity, view)
        received = position
        if received is None:
            await self._plugins.check("transcript_requested", thread=thread, identity=identity, how="observe")
            received = await self._receipts.get(thread, identity.person)
        if received is None:
            received = await self._store.read(messages.last_before, thread, since)
            await self._receipts.begin(thread, identity.person, received)
        if needs_names:
            await self._participant_names.load(socket_stream, thread)
        resent = await self._hub.follow(socket_stream, thread, received)
        observation = Observation(identity, view, socket_stream, on_part)
        self._observations.setdefault(thread, {})[observation] = None
        try:
            await self._require_open(observation)
            if on_part is not None:
                await self._find_part(observation)
        except BaseException:
            self._forget(observation)
            raise
        log.info(
            "observing", extra=log_fields(thread, identity.person, conn=socket_stream.conn, resent=resent)
        )
        self._plugins.emit("observer_joined", thread=thread, identity=identity)
        if position is None:
            self._tell(observation, has_come=True)
        return observation

    def stop(self, observation: Observation, *, has_left: bool = False) -> None:
        """The socket of an observer, for whom ``observe`` has returned, has closed.

        :arg has_left: True if the client has left, as ``CoordinatorClient.withdraw``.
        """
        self._forget(observation, has_left=has_left)
        self._plugins.emit("observer_left", thread=observation.thread, identity=observation.identity)
        self._tell(observation, has_come=False)

    # --- taking part ---

    def send(self, observation: Observation, text: str, client_id: str | None) -> Deferred[AppendResult]:
        """Filter and store a message of a supervisor that takes part; its commit publishes it.

        The result has the error ``Conflict`` if the conversation has ended, or if the agent was replaced.

        :raises Conflict: the person only observes.
        :raises Unavailable: the server is overloaded, and the message is not stored.
        :raises Refused: a filter refuses the message.
        """
        _require_part(observation)
        message = AppendRequest(
            *(observation.thread, observation.person, text, client_id),
            as_agent=observation.part is Part.AGENT,
        )
        return self._filtering.submit(
            observation.filter_queue,
            observation.identity,
            message,
            observation.socket_stream.last_received_at,
        )

    def typing(self, observation: Observation, typing: bool) -> None:
        """Publish that a supervisor that takes part is typing. :raises Conflict: it only observes."""
        _require_part(observation)
        self._typing.set(observation.thread, observation.person, typing)

    def mark_read(self, observation: Observation, seq: int) -> None:
        """Store how far an agent has read; of other observers that is not told."""
        if observation.part is Part.AGENT:
            self._read_marks.set(observation.thread, observation.person, seq)

    async def presence(self, observation: Observation) -> PresenceChanged:
        """Return which participants are present; all absent while the coordinator cannot be asked."""
        view = observation.view
        try:
            answer = await self._coordinator_client.call(RoomPresenceRequest(view.thread, with_graces=True))
        except Unavailable:
            answer = None
        if isinstance(answer, Mapping):
            return msgspec.convert(answer, PresenceChanged)
        present_keys = answer or []  # a list of a coordinator of version 0.1.0
        people = (view.client,) if view.agent is None else (view.client, view.agent)
        return PresenceChanged(view.thread, {each.role: each.key in present_keys for each in people})

    # --- events ---

    events = (
        ConversationAssigned,
        ConversationEnded,
        ConversationRequeued,
        AgentReplaced,
        ParticipationChanged,
        RoomEnded,
    )

    def on_event(self, event: Event) -> None:
        """Let observers speak or not, or close them; called for the types in ``events``."""
        if isinstance(event, ConversationEnded):
            for observation in self._of(event.conversation.thread):
                self._set_part(observation, None)
                self._end(observation, event)
        elif isinstance(event, ConversationAssigned | ConversationRequeued):
            for observation in self._of(event.conversation.thread):
                observation.view = event.conversation.view
                self._set_agent(observation, event.conversation.waiter)
        elif isinstance(event, AgentReplaced):
            for observation in self._of(event.thread):
                observation.room, observation.view = event.room, event.room.view
                self._set_agent(observation, event.room.helper)
        elif isinstance(event, RoomEnded):
            for observation in self._of(event.thread):
                self._set_part(observation, None)
        elif isinstance(event, ParticipationChanged):
            for observation in self._of(event.thread):
                if observation.person == event.person:
                    self._on_participation(observation, event.part)

    async def resync(self) -> None:
        """Read from the database which support conversations have ended, as events may have been missed.

        :raises Unavailable: the database is away.
        """
        ids = [thread.id for thread in self._observations if thread.kind is Kind.SUPPORT]
        async for row in read_in_chunks(self._store, conversations.find_many, ids):
            if not row.open:
                self.on_event(ConversationEnded(row, row.user))
        for thread in tuple(self._observations):
            for observation in self._of(thread):
                await self._resync_part(observation)

    # --- inside ---

    async def _resync_part(self, observation: Observation) -> None:
        """Read as what an observer takes part. A former agent that has left meanwhile is closed."""
        is_there = observation.person.role in SUPERVISING_ROLES or await self._store.read(
            participants.takes_part_as, observation.thread, observation.person, Part.OBSERVER
        )
        if not is_there:
            self._on_participation(observation, None)
        elif observation.on_part is not None:
            await self._find_part(observation)

    async def _require_open(self, observation: Observation) -> None:
        """Send the end of a finished conversation to a socket that comes late.

        Called after the socket has begun to follow: an end in between is either read here, or arrives as an
        event.

        :raises Conflict: the conversation has ended.
        """
        thread = observation.thread
        if thread.kind is Kind.SUPPORT:
            row = await self._store.look_up(conversations.get, thread.id)
            if row is not None:
                observation.view = row.view
            if row is not None and not row.open:
                observation.socket_stream.send_event(ConversationEnded(row, row.user), thread, {})
                raise Conflict("conversation_finished")
            return
        room = await self._store.look_up(rooms.get, thread)
        observation.room, observation.view = room, room.view
        if not room.open:
            ended = RoomEnded(thread, room.state, room.ended or 0, room)
            observation.socket_stream.send_event(ended, thread, {})
            raise Conflict("session_finished")

    def _end(self, observation: Observation, event: ConversationEnded) -> None:
        """Send the end to an observer after all messages, then close its socket."""
        socket_stream, thread = observation.socket_stream, observation.thread

        def send_end() -> None:
            socket_stream.send_event(event, thread, {})
            socket_stream.run_in_order(thread, partial(socket_stream.close, *ENDED))

        self._hub.run_after(socket_stream, thread, event.conversation.last_seq, send_end)

    # --- parts ---

    async def _find_part(self, observation: Observation) -> None:
        """Read as what a person takes part: it may have joined before, or be the agent."""
        thread, person = observation.thread, observation.person
        if thread.kind is Kind.SESSION:
            observation.room = await self._store.look_up(rooms.get, thread)
            view = observation.room.view
        else:
            row = await self._store.look_up(conversations.get, thread.id)
            view = observation.view if row is None else row.view
        has_joined = await self._store.look_up(participants.takes_part_as, thread, person, Part.SUPERVISOR)
        observation.view = view
        if not view.is_open or observation.socket_stream.closed:
            return
        if view.agent == person:
            self._set_part(observation, Part.AGENT)
        else:
            self._set_part(observation, Part.SUPERVISOR if has_joined else None)

    def _on_participation(self, observation: Observation, part: Part | None) -> None:
        if part is not Part.OBSERVER and observation.part is not Part.AGENT:
            self._set_part(observation, part)
        if part is None and observation.person.role not in SUPERVISING_ROLES:
            # A former agent that has left sees nothing more.
            self._hub.unfollow(observation.socket_stream, observation.thread)
            observation.socket_stream.close(*OBSERVER_LEFT)

    def _set_agent(self, observation: Observation, agent: Person | None) -> None:
        """Take over the agent of a conversation: this person, or another one in its place."""
        if observation.person == agent:
            self._set_part(observation, Part.AGENT)
        elif observation.part is Part.AGENT:
            self._set_part(observation, None)

    def _set_part(self, observation: Observation, part: Part | None) -> None:
        """Let an observer speak in this part, and report the presence of an agent."""
        if observation.on_part is None or observation not in self._of(observation.thread):
            return
        before, observation.part = observation.part, part
        if part is Part.AGENT and before is not Part.AGENT:
            self._present.setdefault(observation.presence_key, {})[observation] = None
            self._report_presence(observation)
        elif before is Part.AGENT and part is not Part.AGENT:
            self._withdraw_presence(observation)
        if part is not before:
            observation.on_part(part)

    def _report_presence(self, observation: Observation) -> None:
        person, name = observation.person, observation.identity.name
        if observation.room is not None:
            fact: PresenceFact = RoomPresence(observation.room, person, name or person.id)
        else:
            # Not ready: a supervisor serves the conversations that it has taken over, and no others.
            fact = WaiterPresence(person, False, name, str(uuid.uuid4()))
        self._coordinator_client.report(fact)

    def _withdraw_presence(self, observation: Observation, *, has_left: bool = False) -> None:
        """After the last socket here of a supervisor that is an agent, its grace starts."""
        key = observation.presence_key
        present = self._present.get(key, {})
        present.pop(observation, None)
        if not present and self._present.pop(key, None) is not None and not self._is_stopping:
            self._coordinator_client.withdraw(key, has_left=has_left)

    def _of(self, thread: Thread) -> tuple[Observation, ...]:
        return tuple(self._observations.get(thread, ()))

    def _tell(self, observation: Observation, *, has_come: bool) -> None:
        code = "observing" if has_come else "observing_ended"
        if self._rules()[observation.view.group].tells_observing:
            self._publish(SystemNotice(observation.thread, code, now_microseconds()))

    def _forget(self, observation: Observation, *, has_left: bool = False) -> None:
        if observation.part is Part.AGENT:
            self._withdraw_presence(observation, has_left=has_left)
        remaining = self._observations.get(observation.thread, {})
        remaining.pop(observation, None)
        if not remaining:
            self._observations.pop(observation.thread, None)


def _require_part(observation: Observation) -> None:
    """Check that a person takes part. :raises Conflict: it only observes."""
    if observation.part is None:
        raise Conflict("join_first")
