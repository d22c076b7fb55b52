"""Observers: supervisors and admins who follow a session or a support conversation live.

Strategy: an observer follows the thread of the conversation in the hub, as its participants do, with an
encoder of its own. The end of a session closes all followers (``services/counselling``); the end of a support
conversation does not, as its participants keep their sockets, so the observers of this process are closed
here.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import msgspec

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.cluster.facts import CoordinatorClient, RoomPresenceRequest
from tornado_chat.core.close_codes import ENDED
from tornado_chat.core.errors import Conflict, Unavailable
from tornado_chat.core.events import ConversationEnded, Event, PresenceChanged, RoomEnded, SystemNotice
from tornado_chat.core.types import ConversationView, Identity, Kind, Thread
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.domain.groups import Groups
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.messaging.event_log import log_fields
from tornado_chat.services.messaging.participant_names import ParticipantNames
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store, read_in_chunks
from tornado_chat.services.supervision.rights import SupervisionRights
from tornado_chat.storage import conversations, messages, rooms

log = logging.getLogger(__name__)

FindView = Callable[[Thread], Awaitable[ConversationView]]
"""Returns a session or support conversation. :raises NotFound: there is no such."""


class Observation:
    """A socket of an observer in a conversation."""

    __slots__ = ("identity", "socket_stream", "view")

    def __init__(self, identity: Identity, view: ConversationView, socket_stream: SocketStream) -> None:
        self.identity = identity
        self.view = view
        self.socket_stream = socket_stream

    @property
    def thread(self) -> Thread:
        return self.view.thread


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
        self._observations: dict[Thread, dict[Observation, None]] = {}

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
    ) -> Observation:
        """Let a supervisor or an admin observe a conversation, from the last message that they have received.

        The participants are not informed, unless ``[group] tell_observing`` says so. The caller calls
        ``stop`` once for the result.

        :arg since: the time at which the socket was opened; an observer without a receipt receives the
            messages from then on.
        :arg needs_names: whether the client shows the names of the senders of messages.
        :arg position: of a socket that another process has had: the last ``seq`` that was written to it.
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
        observation = Observation(identity, view, socket_stream)
        self._observations.setdefault(thread, {})[observation] = None
        try:
            await self._require_open(observation)
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

    def stop(self, observation: Observation) -> None:
        """The socket of an observer, for whom ``observe`` has returned, has closed."""
        self._forget(observation)
        self._plugins.emit("observer_left", thread=observation.thread, identity=observation.identity)
        self._tell(observation, has_come=False)

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

    events = (ConversationEnded,)

    def on_event(self, event: Event) -> None:
        """Close the observers of a conversation that has ended; called for the types of ``events``."""
        if isinstance(event, ConversationEnded):
            for observation in tuple(self._observations.get(event.conversation.thread, ())):
                self._end(observation, event)

    async def resync(self) -> None:
        """Read from the database which support conversations have ended, as events may have been missed.

        :raises Unavailable: the database is away.
        """
        ids = [thread.id for thread in self._observations if thread.kind is Kind.SUPPORT]
        async for row in read_in_chunks(self._store, conversations.find_many, ids):
            if not row.open:
                self.on_event(ConversationEnded(row, row.user))

    # --- inside ---

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
        observation.view = room.view
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

    def _tell(self, observation: Observation, *, has_come: bool) -> None:
        code = "observing" if has_come else "observing_ended"
        if self._rules()[observation.view.group].tells_observing:
            self._publish(SystemNotice(observation.thread, code, now_microseconds()))

    def _forget(self, observation: Observation) -> None:
        remaining = self._observations.get(observation.thread, {})
        remaining.pop(observation, None)
        if not remaining:
            self._observations.pop(observation.thread, None)
