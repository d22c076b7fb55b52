"""Counselling: entering and leaving rooms, messages, and ending rooms.

Strategy: this module handles the sockets of this process and their actions. It reports the participants who
are present here to the coordinator (``cluster/facts.py``), whose ``room_lifecycle.py`` decides on starts and
grace timers. The database has the last word on a room's state: an end is a conditional update, and its commit
publishes the events for the participants.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import NamedTuple, NoReturn

import msgspec

from tornado_chat import config
from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.aio.deferred import Deferred
from tornado_chat.cluster.facts import (
    CoordinatorClient,
    RoomPresence,
    RoomPresenceRequest,
    WaitRequest,
    room_key,
)
from tornado_chat.core.close_codes import AGENT_REPLACED, ENDED
from tornado_chat.core.errors import ChatError, Conflict, Forbidden, Unavailable
from tornado_chat.core.events import (
    AgentReplaced,
    PresenceChanged,
    ReadAdvanced,
    RoomEnded,
    SystemNotice,
    TypingChanged,
)
from tornado_chat.core.events import Event as Published
from tornado_chat.core.texts import Language
from tornado_chat.core.types import (
    Action,
    Activity,
    AppendResult,
    ConsentForm,
    Identity,
    Kind,
    Message,
    Page,
    Person,
    Role,
    Room,
    SessionState,
    Thread,
)
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.domain.approval import needs_approval
from tornado_chat.domain.room_state import Event, RoomEffect, end_reason, transition
from tornado_chat.observability.logs import fields
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.counselling.room_lookup import RoomLookup
from tornado_chat.services.leadership.retries import retry_seconds
from tornado_chat.services.messaging.consents import Consents, group_of_room
from tornado_chat.services.messaging.event_log import log_fields
from tornado_chat.services.messaging.filtering import FilterQueue, MessageFilter
from tornado_chat.services.messaging.participant_names import ParticipantNames, stored_names
from tornado_chat.services.messaging.receipt_reports import ReceiptReports
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.signals import ReadMarks, TypingSignals
from tornado_chat.services.messaging.store import Store, read_in_chunks
from tornado_chat.services.supervision.approvals import Approvals
from tornado_chat.storage import agents, participants, read_marks, rooms
from tornado_chat.storage.join_queries import MissedItems
from tornado_chat.storage.messages import AppendRequest
from tornado_chat.storage.writer import Transaction

log = logging.getLogger(__name__)

BROADCAST_EVENTS = (SystemNotice, PresenceChanged, TypingChanged, ReadAdvanced)
"""The events that are delivered to all followers of a thread, also of a support conversation."""

CLOSE_CODE_END = 4000
CLOSE_CODE_CANCEL = 4001
RETRY_SECONDS = 5.0  # seconds until a failed write of an end is tried again


class Progress(NamedTuple):
    """Up to which message each participant of a room has got, by role; a role without any is missing.

    :ivar received: its client has received the messages.
    :ivar read: it has read them.
    """

    received: Mapping[Role, int]
    read: Mapping[Role, int]


class RoomConnection:
    """A socket of a participant in a room.

    :ivar approval_group: the group of a session, for the socket of its agent; None for all others, whose
        messages need no approval.
    :ivar consent_form: what the visitor has to accept before its first message; None: nothing, or the visitor
        has accepted it.
    """

    __slots__ = ("approval_group", "consent_form", "filter_queue", "identity", "room", "socket_stream")

    def __init__(
        self,
        identity: Identity,
        room: Room,
        socket_stream: SocketStream,
        consent_form: ConsentForm | None = None,
    ) -> None:
        self.consent_form = consent_form
        self.identity = identity
        self.room = room
        is_agent = room.thread.kind is Kind.SESSION and identity.person.role is Role.CONSULTANT
        self.approval_group = room.view.group if is_agent else None
        self.socket_stream = socket_stream
        self.filter_queue = FilterQueue()

    @property
    def thread(self) -> Thread:
        return self.room.thread

    @property
    def person(self) -> Person:
        return self.identity.person

    @property
    def is_agent_of_session(self) -> bool:
        """True if the person takes part in a session as its agent, who can be replaced."""
        return _is_agent_of_session(self.room.thread, self.person)


def _is_agent_of_session(thread: Thread, participant: Person) -> bool:
    return thread.kind is Kind.SESSION and participant.role is not Role.USER


class _LocalRoom:
    """The connections of a room in this process.

    Joins and departures hold ``lock``, so they happen one after the other.
    """

    __slots__ = ("connections", "lock", "lock_users", "room")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.connections: dict[Person, set[RoomConnection]] = {}
        self.lock_users = 0  # tasks that hold the lock, or wait for it

        self.room: Room | None = None  # with the agent that was told to the connections last

    def take_newer(self, room: Room) -> bool:
        """Take over a room with a later agent. Returns False if that agent is known here already."""
        if self.room is not None and self.room.agent_changes >= room.agent_changes:
            return False
        self.room = room
        for connection in self.all_connections:
            connection.room = room
        return True

    @property
    def all_connections(self) -> list[RoomConnection]:
        """The connections of all participants in this process."""
        return [each for of_person in self.connections.values() for each in of_person]


class Counselling:
    """The actions of sockets in rooms.

    :arg publish: publishes events that are not stored.
    :arg accept_offer: accepts the offer of a session to a person that enters it; False: there is none.
    """

    def __init__(
        self,
        settings: config.Counselling,
        store: Store,
        hub: Hub,
        receipts: ReceiptStore,
        loop: asyncio.AbstractEventLoop,
        publish: Callable[[Published], None],
        *,
        room_lookup: RoomLookup,
        access_control: AccessControl,
        filtering: MessageFilter,
        plugins: PluginManager,
        coordinator_client: CoordinatorClient,
        receipt_reports: ReceiptReports,
        participant_names: ParticipantNames,
        approvals: Approvals,
        consents: Consents,
        accept_offer: Callable[[Identity, Thread], Awaitable[bool]],
    ) -> None:
        self._accept_offer = accept_offer
        self._approvals = approvals
        self._receipt_reports = receipt_reports
        self._participant_names = participant_names
        self._consents = consents
        self._settings = settings
        self._store = store
        self._hub = hub
        self._receipts = receipts
        self._loop = loop
        self._typing = TypingSignals(publish)
        self._read_marks = ReadMarks(store)
        self._room_lookup = room_lookup
        self._access_control = access_control
        self._filtering = filtering
        self._plugins = plugins
        self._coordinator_client = coordinator_client
        self._local_rooms: dict[Thread, _LocalRoom] = {}
        self._tasks = BackgroundTasks(loop)
        self._stopping = False

    # --- life of the service ---

    def reconfigure(self, settings: config.Counselling) -> None:
        """Use other settings from now on."""
        self._settings = settings

    def stop(self) -> None:
        """Ignore closing sockets from now on: the server closes them, and no room ends."""
        self._stopping = True

    # --- the room ---

    async def enter(
        self,
        identity: Identity,
        thread: Thread,
        socket_stream: SocketStream,
        *,
        needs_names: bool = False,
        position: int | None = None,
        can_ask_consent: bool = False,
        language: Language = "zh_CN",
    ) -> RoomConnection:
        """Let a socket enter its room: it receives the missed messages first, then the room's events.

        The caller calls ``leave`` once for the connection, also if the socket has closed during this call.

        :arg needs_names: whether the client shows the names of the senders of messages.
        :arg position: of a socket that another process has had in the room: the last ``seq`` that was written
            to it. None: a new socket.
        :arg can_ask_consent: whether the client shows the text that a visitor has to accept.
        :arg language: the language of that text.
        :raises NotFound: there is no such room.
        :raises Forbidden: the person is no participant of the room; or the client cannot show the text that
            the visitor has to accept.
        :raises Conflict: the room has ended (the missed messages and the end were delivered before).
        """
        await self._access_control.is_allowed_by_plugin(identity, Action.CHAT, thread)
        async with self._locked_room(thread) as local:
            room, missed = await self._look_up(identity, thread, socket_stream)
            try:
                form = None
                if position is None:
                    form = await self._missing_consent(
                        identity.person, room, language, can_ask=can_ask_consent
                    )
            except ChatError:
                self._hub.unfollow(socket_stream, thread)
                raise
            if local.room is None or not local.connections:
                local.take_newer(room)
            elif local.room.agent_changes > room.agent_changes:  # replaced while the room was read
                room = local.room
            connection = RoomConnection(identity, room, socket_stream, form)
            if room.open:
                self._join(connection, local, is_announced=position is not None)
        # Without the lock, as a client that reads slowly must not delay the others in its room.
        known = self._receipts.latest(thread, connection.person, missed.receipt)
        try:
            if room.open:
                await self._store_name(connection)
            # A third participant is named in its texts, so plain clients need names, too.
            if needs_names or not self._participant_names.has(thread):
                await self._participant_names.load(socket_stream, thread)
            if position is None:
                resent = await self._hub.follow(socket_stream, thread, known or 0, missed.page)
            else:
                resent = await self._hub.follow(socket_stream, thread, position)
        except ChatError:
            self.leave(connection, None)
            raise
        if not room.open:
            _refuse_finished(room, socket_stream)
        log.info(
            "joined" if known is None else "resumed",
            extra=log_fields(thread, connection.person, conn=socket_stream.conn, resent=resent),
        )
        return connection

    def send(self, connection: RoomConnection, text: str, client_id: str | None) -> Deferred[AppendResult]:
        """Filter and store a message in the room of ``connection``; its commit publishes it.

        A message that needs an approval is held instead; the result has its number then.

        The result has the error ``Conflict`` if the room has ended, or has another agent now. It may also
        have one of the errors below.

        :raises Unavailable: the server is overloaded, and the message is not stored.
        :raises Refused: a filter refuses the message.
        :raises Conflict: the visitor has to accept a text first.
        """
        if connection.consent_form is not None:
            raise Conflict("consent_first")
        message = AppendRequest(
            *(connection.thread, connection.person, text, client_id),
            as_agent=connection.is_agent_of_session,
        )
        identity, group, append = connection.identity, connection.approval_group, None
        if group is not None and needs_approval(group, self._approvals.groups_on, identity.claims):
            append = partial(self._approvals.hold, group)
        received = connection.socket_stream.last_received_at
        return self._filtering.submit(connection.filter_queue, identity, message, received, append)

    def typing(self, connection: RoomConnection, typing: bool) -> None:
        """Publish that a participant is typing, or has stopped; this is not stored.

        :raises Conflict: the visitor has to accept a text first.
        """
        if connection.consent_form is not None:
            raise Conflict("consent_first")
        self._typing.set(connection.thread, connection.person, typing)

    def mark_read(self, connection: RoomConnection, seq: int) -> None:
        """Store and publish how far a participant has read.

        The caller does not wait for the commit: clients repeat a mark that is lost.
        """
        self._read_marks.set(connection.thread, connection.person, seq)

    async def wait_longer(self, connection: RoomConnection, seconds: float) -> None:
        """Extend the time for which the room waits for its absent participant; see ``WaitRequest``.

        :raises Conflict: no absent participant is awaited, or the wait is as long as it may be.
        :raises Unavailable: the coordinator cannot be asked.
        """
        await self._coordinator_client.call(WaitRequest(connection.thread, connection.person, seconds))

    async def has_consented(self, connection: RoomConnection) -> bool:
        """Return True if nothing remains to be accepted: the visitor may have accepted it on another socket.

        :raises Unavailable: the database is away.
        """
        form = connection.consent_form
        if form is not None and await self._consents.is_accepted(connection.person, connection.thread, form):
            connection.consent_form = None
        return connection.consent_form is None

    async def accept_consent(self, connection: RoomConnection, form: ConsentForm) -> None:
        """Store that a visitor has accepted the form of its socket.

        :raises Unavailable: it could not be stored.
        """
        await self._consents.accept(connection.person, connection.thread, form)
        connection.consent_form = None

    async def initial_events(self, connection: RoomConnection) -> list[Published]:
        """Return the events for a new connection: the read marks and the presence of the participants."""
        marks = await self._store.look_up(read_marks.read_marks, connection.thread)
        return [*marks, await self.presence(connection.room)]

    async def watch_receipts(self, connection: RoomConnection) -> list[Published]:
        """Return what the other participant has received; from now on, the connection gets each change.

        Observers receive the messages, too, but the participants are not told of them.
        """
        room = connection.room
        self._receipt_reports.watch(room.thread, (room.asker, room.helper))
        current = await self._receipt_reports.current(room.thread)
        return [event for event in current if event.reader != connection.person]

    def leave(self, connection: RoomConnection, close_code: int | None, *, has_left: bool = False) -> None:
        """The socket of ``connection`` has closed. Called once for each connection.

        Code 4000 ends the room; code 4001 (no answer in time) lets the asker cancel a session.

        :arg has_left: True if the client has left, as ``CoordinatorClient.withdraw``.
        """
        if not self._stopping:
            self._tasks.spawn(self._leave(connection, close_code, has_left))

    async def end(self, thread: Thread, by: Person) -> Room:
        """End a room at once, also with participants in it. A finished room stays as it is.

        :arg by: the caller, for the log.
        :raises NotFound: there is no such room.
        """
        log.info("ending", extra=log_fields(thread, by, why="requested by the API"))
        return await self._store.write(lambda tx: rooms.finish(tx, thread, SessionState.COMPLETED), thread)

    # --- presence ---

    async def presence(self, room: Room) -> PresenceChanged:
        """Return the presence of a room's participants; all absent while the coordinator cannot be asked."""
        try:
            answer = await self._coordinator_client.call(RoomPresenceRequest(room.thread, with_graces=True))
        except Unavailable:
            answer = None
        if isinstance(answer, Mapping):
            return msgspec.convert(answer, PresenceChanged)
        present_keys = answer or []  # a list of a coordinator of version 0.1.0
        return PresenceChanged(
            room.thread, {each.role: each.key in present_keys for each in (room.asker, room.helper)}
        )

    async def present_roles(self, room: Room) -> list[Role] | None:
        """Return the roles of the participants who have a socket in a room.

        None if that is unknown: the coordinator cannot be asked.
        """
        try:
            present_keys = await self._coordinator_client.call(RoomPresenceRequest(room.thread))
        except Unavailable:
            return None
        return [each.role for each in (room.asker, room.helper) if each.key in present_keys]

    async def progress(self, room: Room) -> Progress:
        """Return how far the participants of a room have got."""
        people = (room.asker, room.helper)
        receipts = {each: await self._receipts.get(room.thread, each) for each in people}
        marks = await self._store.look_up(read_marks.read_marks, room.thread)
        return Progress(
            {each.role: seq for each, seq in receipts.items() if seq},
            {mark.reader.role: mark.seq for mark in marks if mark.reader in people},
        )

    # --- history ---

    async def history(
        self, connection: RoomConnection, before: int | None, limit: int, max_bytes: int
    ) -> Page[Message]:
        """Return the last messages before the ``seq`` ``before``, as ``agents.page_before``."""
        return await self._store.look_up(
            agents.page_before, connection.thread, connection.person, before, limit, max_bytes
        )

    # --- events ---

    events = (*BROADCAST_EVENTS, AgentReplaced, RoomEnded)

    def on_event(self, event: Published) -> None:
        """Deliver an event to the followers of its thread; called for the types in ``events``."""
        if isinstance(event, BROADCAST_EVENTS):
            self._hub.deliver_event(event, event.thread)
        elif isinstance(event, AgentReplaced):
            self._on_replaced(event)
        elif isinstance(event, RoomEnded):
            self._hub.deliver_event(event, event.thread, upto=event.room.last_seq if event.room else 0)
            # Close in the next turn of the loop, after the acknowledgements of the same commit are sent.
            self._loop.call_soon(self._hub.close_thread, event.thread, *ENDED)

    async def resync(self) -> None:
        """Read from the database which rooms have ended, as events may have been missed.

        :raises Unavailable: the database is away.
        """
        threads = [thread for thread in self._hub.threads if thread.kind in (Kind.SESSION, Kind.RECORD)]
        async for room in read_in_chunks(self._store, rooms.find_many, threads):
            if room.agent_changes:
                await self._resync_agent(room)
            if not room.open:
                self.on_event(_end_of(room))
        await self._receipt_reports.resync()
        await self._approvals.resync()

    async def _resync_agent(self, room: Room) -> None:
        """Tell of the last change of the agent, and close the sockets of former agents, after an outage."""
        replaced = await self._store.read(rooms.last_replacement, room)
        if replaced is not None:
            self._on_replaced(replaced)
        local = self._local_rooms.get(room.thread)
        connections = local.all_connections if local else ()
        people = {each.person for each in connections if each.is_agent_of_session}
        for person in people - {room.helper}:
            last = await self._store.read(agents.last_visible, room.thread, person)
            if last is not None:
                self._hub.close_former_agent(room.thread, person, last, *AGENT_REPLACED)

    def _on_replaced(self, event: AgentReplaced) -> None:
        """Tell the participants of the next agent, and close the sockets of the former one."""
        room = event.room
        local = self._local_rooms.get(room.thread)
        if local is not None and local.take_newer(room):
            self._receipt_reports.replace_readers(room.thread, (room.asker, room.helper))
            self._hub.deliver_event(event, room.thread, upto=room.last_seq)
        # In the next turn of the loop, after the acknowledgements of the same commit are sent.
        self._loop.call_soon(
            self._hub.close_former_agent, room.thread, event.previous, room.last_seq, *AGENT_REPLACED
        )

    # --- inside ---

    @asynccontextmanager
    async def _locked_room(self, thread: Thread) -> AsyncIterator[_LocalRoom]:
        local = self._local_rooms.setdefault(thread, _LocalRoom())
        local.lock_users += 1
        try:
            async with local.lock:
                yield local
        finally:
            local.lock_users -= 1
            if not local.lock_users and not local.connections:
                del self._local_rooms[thread]

    async def _look_up(
        self, identity: Identity, thread: Thread, socket_stream: SocketStream
    ) -> tuple[Room, MissedItems[Message]]:
        """Return the room and what the participant has missed; its events are held back from now on.

        A person to whom the session is offered accepts that by entering.
        """
        person = identity.person
        # Subscribe first: an end during the query is either in its result, or arrives as an event.
        as_agent = _is_agent_of_session(thread, person)
        await self._hub.subscribe_and_prepare(socket_stream, thread, as_agent=as_agent)
        try:
            room, missed = await self._room_lookup.get_with_missed(thread, person)
            is_offered = room.open and _is_agent_of_session(thread, person)
            is_stranger = person not in (room.asker, room.helper)
            if is_stranger and is_offered and await self._accept_offer(identity, thread):
                room, missed = await self._room_lookup.get_with_missed(thread, person)
            if person not in (room.asker, room.helper):
                self._plugins.report_action(Activity(person.key, "refused to enter", thread))
                raise Forbidden("not_your_session")
        except ChatError:
            self._hub.unfollow(socket_stream, thread)
            raise
        return room, missed

    async def _missing_consent(
        self, person: Person, room: Room, language: Language, *, can_ask: bool
    ) -> ConsentForm | None:
        """Return what a participant has to accept first; only the visitors of sessions have to."""
        if not room.open or room.thread.kind is not Kind.SESSION or person != room.asker:
            return None
        return await self._consents.missing(
            person, room.thread, group_of_room(room), language, can_ask=can_ask
        )

    def _join(self, connection: RoomConnection, local: _LocalRoom, *, is_announced: bool) -> None:
        """Add a connection to its room, and report its participant after the first.

        :arg is_announced: the others know that the participant is there.
        """
        connections = local.connections.setdefault(connection.person, set())
        connections.add(connection)
        if len(connections) == 1:
            identity, room = connection.identity, connection.room
            self._plugins.emit("participant_joined", thread=room.thread, identity=identity)
            name = identity.name or _display_name(room, connection.person)
            self._coordinator_client.report(RoomPresence(room, connection.person, name, is_announced))

    async def _store_name(self, connection: RoomConnection) -> None:
        """Store the name in the participant's token, if the host has opened the room without a name.

        A name that could not be stored does not keep the participant out; the next connection stores it.
        """
        room, person, name = connection.room, connection.person, connection.identity.name
        given = room.asker_name if person == room.asker else room.helper_name
        if given or name is None:
            return
        stored = await self._store.look_up(stored_names, room.thread)
        if stored.get(person) != name:
            with suppress(ChatError):  # the writer has logged it
                await self._store.write(lambda tx: participants.rename(tx, room.thread, person, name))

    async def _leave(self, connection: RoomConnection, close_code: int | None, has_left: bool) -> None:
        await connection.filter_queue.wait_empty()  # the last messages come before the end
        async with self._locked_room(connection.thread) as local:
            connections = local.connections.get(connection.person, set())
            was_last = connections == {connection}
            connections.discard(connection)
            if was_last:
                local.connections.pop(connection.person, None)
                self._plugins.emit("participant_left", thread=connection.thread, person=connection.person)
            if close_code == CLOSE_CODE_END:
                await self._end_with_retry(connection, Event.ENDED)
            elif (
                close_code == CLOSE_CODE_CANCEL
                and connection.person == connection.room.asker
                and connection.thread.kind is Kind.SESSION
            ):
                await self._end_with_retry(connection, Event.CANCELLED)
            if was_last:
                key = room_key(connection.thread, connection.person)
                self._coordinator_client.withdraw(key, has_left=has_left)

    async def _end_with_retry(self, connection: RoomConnection, event: Event) -> None:
        """End the room, if the state table says so. A failed write is tried again later."""
        try:
            ended = await self._store.write(
                lambda tx: _end_room(tx, connection.thread, connection.person, event), connection.thread
            )
            if ended:
                person = connection.person
                self._plugins.report_action(Activity(person.key, "ended", connection.thread))
        except ChatError as error:
            named = connection.thread.named
            log.warning("an end could not be stored, trying again: %s", error, extra=fields(**named))
            pause = retry_seconds(error, RETRY_SECONDS)
            self._loop.call_later(pause, self._retry_end, connection, event)

    def _retry_end(self, connection: RoomConnection, event: Event) -> None:
        if not self._stopping:
            self._tasks.spawn(self._end_with_retry(connection, event))


def _end_room(tx: Transaction, thread: Thread, person: Person, event: Event) -> bool:
    """End the room for ``person``, if the state table says so. Return True if this call has ended it."""
    room = rooms.lock(tx, thread)
    if person not in (room.asker, room.helper):  # replaced in the meantime
        return False
    state, effects = transition(room.state, event, is_other_present=False)
    if RoomEffect.FINISH in effects:
        rooms.finish(tx, thread, state, expected=room.state, reason=end_reason(room.state, event))
        log.info("ending", extra=fields(**thread.named, why=event.value))
        return True
    return False


def _end_of(room: Room) -> RoomEnded:
    """Return the event of the end of a finished room."""
    return RoomEnded(room.thread, room.state, room.ended or 0, room)


def _refuse_finished(room: Room, socket_stream: SocketStream) -> NoReturn:
    """Send the end of a finished room to a socket that comes late. :raises Conflict: always."""
    socket_stream.send_event(_end_of(room), room.thread, {})
    raise Conflict("session_finished")


def _display_name(room: Room, person: Person) -> str:
    """Return the name of a participant whose token has none: from the room, else the id."""
    name = room.asker_name if person == room.asker else room.helper_name
    return name or person.id
