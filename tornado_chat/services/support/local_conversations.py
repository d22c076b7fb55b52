"""The users and waiters with connections in this process, and their conversations.

Strategy: each change of a conversation stores a new version of its row. ``apply_version`` compares a version
with the last one shown and notifies the connections of the differences. So it makes no difference whether a
version comes with an event, or was read because a client connected or an event was missed. This module does
not decide on queue and matches: it reports the users and waiters that are connected here to the coordinator
(``cluster/facts.py``), and receives the coordinator's decisions as events.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tornado_chat import config
from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.cluster.bus import Bus
from tornado_chat.cluster.facts import (
    CoordinatorClient,
    QueuePresence,
    WaiterPresence,
    queue_key,
    waiter_key,
)
from tornado_chat.core.errors import ChatError, Conflict
from tornado_chat.core.events import (
    ConversationAccepted,
    ConversationAssigned,
    ConversationEnded,
    ConversationPrioritised,
    ConversationRequeued,
    Event,
    QueuePositionChanged,
    WaiterPaused,
)
from tornado_chat.core.handed_over import SupportDetails
from tornado_chat.core.types import (
    DEFAULT_GROUP,
    Action,
    ConsentForm,
    Conversation,
    ConversationState,
    Handover,
    Part,
    Participant,
    Person,
    Role,
)
from tornado_chat.delivery.answer_watch import AnswerWatch
from tornado_chat.delivery.hub import Hub
from tornado_chat.domain.expected_wait import is_noticeable
from tornado_chat.observability.logs import fields
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.messaging.consents import Consents
from tornado_chat.services.messaging.participant_names import ParticipantNames
from tornado_chat.services.messaging.receipt_reports import ReceiptReports
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store, read_in_chunks
from tornado_chat.services.supervision.approvals import Approvals
from tornado_chat.services.support.connections import (
    NOT_ACCEPTED,
    SocketNotifier,
    SupportConnection,
    UserConversation,
)
from tornado_chat.services.support.group_registry import GroupRegistry
from tornado_chat.services.support.repository import ConversationRepository
from tornado_chat.services.support.sign_ins import WaiterSignIns
from tornado_chat.storage import conversations

log = logging.getLogger(__name__)

MAX_SEEN_VERSIONS = 10_000
"""Conversations whose newest version is remembered: many more than can change while a row is being read."""


class LocalWaiter:
    """A waiter's connections in this process, and the waiter's conversations.

    :ivar address: the address of the waiter for its users, if the waiter has no address yet.
    :ivar claims: the claims of the waiter's last token.
    :ivar ready: True if the waiter takes new users.
    :ivar rows: the newest versions of the conversations, by number.
    :ivar accepted: the conversations that the waiter has confirmed, as far as this process knows.
    """

    __slots__ = ("accepted", "address", "claims", "connections", "name", "person", "ready", "rows")

    def __init__(self, person: Person, address: str) -> None:
        self.person = person
        self.address = address
        self.name: str | None = None
        self.claims: Mapping[str, Any] = {}
        self.ready = False
        self.connections: dict[SupportConnection, AnswerWatch] = {}
        self.rows: dict[int, Conversation] = {}
        self.accepted: set[int] = set()

    @property
    def is_answering(self) -> bool:
        """True if a connection answers its pings; see ``AnswerWatch``."""
        return any(watch.is_answering for watch in self.connections.values())

    @property
    def presence(self) -> WaiterPresence:
        return WaiterPresence(
            *(self.person, self.ready, self.name, self.address, self.claims, self.is_answering),
            takes_offers=any("offer" in connection.features for connection in self.connections),
        )


def _allow() -> None:
    """Allow a new conversation."""


def _ask_nothing(form: ConsentForm) -> None:
    """Ignore what a user has to accept."""


class LocalConversations:
    """The support conversations of the connections of this process."""

    def __init__(
        self,
        settings: config.Support,
        store: Store,
        repository: ConversationRepository,
        hub: Hub,
        receipts: ReceiptStore,
        loop: asyncio.AbstractEventLoop,
        bus: Bus,
        access_control: AccessControl,
        coordinator_client: CoordinatorClient,
        receipt_reports: ReceiptReports,
        participant_names: ParticipantNames,
        groups: GroupRegistry,
        approvals: Approvals,
        consents: Consents,
    ) -> None:
        self._settings = settings
        self._groups = groups
        self._consents = consents
        self._store = store
        self._repository = repository
        self._loop = loop
        self._bus = bus
        self._access_control = access_control
        self._coordinator_client = coordinator_client
        self._sign_ins = WaiterSignIns(bus)
        self._tasks = BackgroundTasks(loop)
        self._notifier = SocketNotifier(
            hub,
            receipts,
            store,
            self.apply_version,
            self._tasks,
            receipt_reports,
            participant_names,
            approvals,
        )
        self._user_conversations: dict[Person, UserConversation] = {}
        self._local_waiters: dict[Person, LocalWaiter] = {}
        self._holders: dict[int, LocalWaiter] = {}  # by conversation: its waiter, if connected here
        # The newest version of each of the last MAX_SEEN_VERSIONS conversations that have changed.
        self._seen_versions: dict[int, int] = {}
        self._is_stopping = False

    def stop(self) -> None:
        """Ignore closing connections from now on: the server closes them, so no grace starts."""
        self._is_stopping = True

    def reconfigure(self, settings: config.Support) -> None:
        """Use other settings from now on."""
        self._settings = settings

    # --- connecting and leaving ---

    async def attach_user(
        self,
        connection: SupportConnection,
        *,
        resume: bool = False,
        before_new: Callable[[], None] = _allow,
        group: str | None = None,
        shown: SupportDetails | None = None,
        accepted: ConsentForm | None = None,
        ask_consent: Callable[[ConsentForm], None] = _ask_nothing,
    ) -> bool:
        """Connect a user with its unfinished conversation; if there is none, with a new one in the queue.

        Returns False, and does not connect, if ``resume`` is set and there is no unfinished conversation.
        A user who has to accept a text first gets ``connection.consent_form``: it is connected with an
        unfinished conversation, but does not join the queue.

        :arg resume: do not create a conversation.
        :arg before_new: called before a conversation is created; the errors that it raises are raised.
        :arg group: the group of a new conversation; None: the default group.
        :arg shown: what another process has shown to the connection, which is not repeated; None: nothing.
        :arg accepted: what the user has accepted.
        :arg ask_consent: called with what the user has to accept, before the conversation is shown.
        :raises NotFound: there is no such group, or the user may not choose it.
        :raises Unavailable: the queue could not be joined; nothing has changed.
        :raises Forbidden: a plugin does not let the user join the queue; or the client cannot show the text
            that the user has to accept.
        """
        await self._access_control.is_allowed_by_plugin(connection.identity, Action.QUEUE)
        person = connection.person
        if resume and person not in self._user_conversations:
            await self._subscribe(connection)
            if await self._store.read(conversations.unfinished_of, person) is None:
                return False
        while True:
            user_conversation = self._user_conversations.get(person)
            if user_conversation is None:
                user_conversation = self._user_conversations[person] = UserConversation()
            async with user_conversation.lock:
                if self._user_conversations.get(person) is not user_conversation:
                    continue  # the conversation ended while this call waited for the lock
                try:
                    row = user_conversation.conversation
                    if row is None:
                        row = user_conversation.conversation = await self._open(
                            connection, before_new, DEFAULT_GROUP if group is None else group, accepted
                        )
                    if row is not None and shown is None:
                        await self._check_consent(connection, row, accepted)
                except BaseException:
                    self._forget_unused(person, user_conversation)
                    raise
                if connection.consent_form is not None:
                    ask_consent(connection.consent_form)
                if row is None:  # the user has to accept a text first
                    self._forget_unused(person, user_conversation)
                    return True
                if self._user_conversations.get(person) is not user_conversation:
                    continue  # the conversation ended during the check
                row = user_conversation.row
                user_conversation.connections[connection] = None
                connection.user_conversation = user_conversation
                if shown is None:
                    user_conversation.awaiting_position.add(connection)
                elif not user_conversation.position:
                    user_conversation.position, user_conversation.serving = shown.position, shown.serving
                # Reported also if the coordinator has the fact: the report requests the queue position.
                self._coordinator_client.report(QueuePresence(row, self._loop.time()))
                if row.state is ConversationState.ACTIVE:
                    self._notifier.show_agent(connection, row)
                elif row.returned or "early" in connection.features:
                    self._notifier.start_following(connection, row)
                break
        if connection.socket_stream.closed:  # it closed during this call
            self.detach(connection)
        return True

    async def attach_waiter(self, connection: SupportConnection, *, ready: bool) -> None:
        """Connect a waiter with its users, and report to the coordinator whether it takes new users.

        The connection is notified of each conversation that it was not notified of before.

        :raises Forbidden: a plugin does not let the waiter serve.
        :raises Unavailable: the waiter's conversations could not be read.
        """
        await self._access_control.is_allowed_by_plugin(connection.identity, Action.SERVE)
        waiter = self._local_waiters.get(connection.person)
        if waiter is None:
            waiter = self._local_waiters[connection.person] = LocalWaiter(
                connection.person, connection.address
            )
        is_new = connection not in waiter.connections
        waiter.ready = ready
        waiter.claims = connection.identity.claims
        waiter.name = connection.identity.name or waiter.name
        if is_new:
            waiter.connections[connection] = watch = AnswerWatch(
                connection.socket_stream, self._loop, partial(self._on_answering_changed, waiter)
            )
            connection.socket_stream.ping_watch = watch
            try:
                await self._subscribe(connection)
                for row in await self._store.look_up(conversations.active_of_waiter, connection.person):
                    self.apply_version(row)
            except ChatError:
                self.detach(connection)
                raise
        for row in waiter.rows.values():
            if row.id not in connection.shown or row.thread in connection.positions:
                self._notifier.show_user(connection, row)
        if waiter.connections:
            self._coordinator_client.report(waiter.presence)
        if connection.socket_stream.closed:
            self.detach(connection)

    def describe(self, connection: SupportConnection) -> SupportDetails:
        """Return what another process needs to continue a connection."""
        mine, waiter = connection.user_conversation, self._local_waiters.get(connection.person)
        serves = waiter is not None and connection in waiter.connections
        return SupportDetails(
            connection.address,
            dict(connection.shown),
            mine is not None or serves,
            waiter is not None and serves and waiter.ready,
            0 if mine is None else mine.position,
            None if mine is None else mine.serving,
        )

    async def continue_user(self, connection: SupportConnection, shown: SupportDetails) -> None:
        """Connect a user whose connection another process has had, as ``attach_user``."""
        await self.attach_user(connection, resume=True, shown=shown)
        await self._notify_missed_departures(connection)

    async def continue_waiter(self, connection: SupportConnection, *, ready: bool) -> None:
        """Connect a waiter whose connection another process has had, as ``attach_waiter``."""
        await self.attach_waiter(connection, ready=ready)
        await self._notify_missed_departures(connection)

    async def _notify_missed_departures(self, connection: SupportConnection) -> None:
        """Notify a connection of the ends of conversations that no process had while they ended."""
        missed = [thread.id for thread in connection.positions if thread.id in connection.shown]
        waiter = self._local_waiters.get(connection.person)
        for row in await self._store.look_up(conversations.find_many, missed):
            is_open = row.open and (row.user == connection.person or row.waiter == connection.person)
            if not is_open and not (waiter is not None and row.id in waiter.rows):
                self._notifier.start_following(connection, row)
                self._notifier.notify_departure(connection, row)

    def detach(self, connection: SupportConnection, *, has_left: bool = False) -> None:
        """Remove a closed connection; after the person's last connection here, withdraw the presence fact.

        The coordinator starts the grace when no process reports the fact any more.

        :arg has_left: True if the client has left, as ``CoordinatorClient.withdraw``.
        """
        if self._is_stopping:
            return
        self._sign_ins.remove(connection)
        user_conversation = connection.user_conversation
        if user_conversation is not None and connection in user_conversation.connections:
            del user_conversation.connections[connection]
            user_conversation.awaiting_position.discard(connection)
            if not user_conversation.connections and not user_conversation.has_ended:
                self._forget(user_conversation)
                self._coordinator_client.withdraw(queue_key(user_conversation.row.id), has_left=has_left)
                self._log_away(user_conversation.row, connection, has_left)
        waiter = self._local_waiters.get(connection.person)
        if waiter is not None and connection in waiter.connections:
            del waiter.connections[connection]
            if not waiter.connections:
                del self._local_waiters[connection.person]
                self._coordinator_client.withdraw(waiter_key(connection.person), has_left=has_left)
                for row in waiter.rows.values():
                    self._holders.pop(row.id, None)
                    self._log_away(row, connection, has_left)
            elif not waiter.is_answering:
                self._coordinator_client.report(waiter.presence)

    async def has_consented(self, connection: SupportConnection) -> bool:
        """Return True if nothing remains to be accepted: the user may have accepted it on another connection.

        :raises Unavailable: the database is away.
        """
        form, user_conversation = connection.consent_form, connection.user_conversation
        if form is not None and user_conversation is not None:
            thread = user_conversation.row.thread
            if await self._consents.is_accepted(connection.person, thread, form):
                connection.consent_form = None
        return connection.consent_form is None

    async def accept_consent(self, connection: SupportConnection, form: ConsentForm) -> None:
        """Store that a user has accepted a form in its unfinished conversation.

        :raises Conflict: the user has no conversation.
        :raises Unavailable: it could not be stored.
        """
        await self._consents.accept(connection.person, self.conversation_of(connection, None).thread, form)
        connection.consent_form = None

    async def sign_in(self, connection: SupportConnection) -> None:
        """Replace the waiter's other connections by a new one, among those with the feature ``kickout``."""
        await self._sign_ins.add(connection)
        if connection.socket_stream.closed:  # it closed during this call
            self._sign_ins.remove(connection)

    async def end(self, conversation: Conversation, gone: Person, *, withdraws: bool = False) -> Conversation:
        """End a conversation because ``gone`` leaves it for good. Ending it twice has no effect.

        :arg withdraws: as in ``ConversationRepository.leave``.
        :raises Conflict: ``gone`` is not in the conversation any more.
        """
        return await self._repository.leave(conversation, gone, withdraws=withdraws)

    async def accept(self, connection: SupportConnection, row: Conversation) -> None:
        """Confirm the assignment of a conversation to the waiter, if that is needed and was not done before.

        :raises Conflict: the waiter does not serve the user any more.
        :raises Unavailable: the confirmation could not be stored.
        """
        waiter = self._local_waiters.get(connection.person)
        if not self._settings.accept_timeout or waiter is None or row.id in waiter.accepted:
            return
        waiter.accepted.add(row.id)
        if row.accepted is not None:
            return
        try:
            await self._repository.accept(row, connection.person)
        except BaseException:
            waiter.accepted.discard(row.id)
            raise

    def accept_later(self, connection: SupportConnection, row: Conversation) -> None:
        """Confirm an assignment as ``accept``, without waiting: the waiter writes, or types."""
        waiter = self._local_waiters.get(connection.person)
        if self._settings.accept_timeout and waiter is not None and row.id not in waiter.accepted:
            self._tasks.spawn(self._accept_or_log(connection, row))

    def conversation_of(self, connection: SupportConnection, address: str | None) -> Conversation:
        """Return the conversation that a request of the client refers to.

        :arg address: the address of the user, in a request of a waiter; ignored in a request of a user.
        :raises Conflict: there is no such conversation, or another waiter has it.
        """
        if connection.person.role is Role.USER:
            if connection.user_conversation is None:
                raise Conflict("not_connected")
            return connection.user_conversation.row
        if not address:
            raise Conflict("to_missing")
        waiter = self._local_waiters.get(connection.person)
        for row in waiter.rows.values() if waiter else ():
            if row.user_uuid == address:
                return row
        raise Conflict("not_your_user", to=address[:64])

    # --- events ---

    events = (
        ConversationAssigned,
        ConversationEnded,
        ConversationRequeued,
        ConversationAccepted,
        ConversationPrioritised,
        QueuePositionChanged,
        WaiterPaused,
        *WaiterSignIns.events,
    )

    def on_event(self, event: Event) -> None:
        """Notify the connections of a committed change or a position; called for the types in ``events``."""
        if isinstance(event, ConversationAssigned):
            row = event.conversation
            self.apply_version(row, is_new=event.previous is None and row.last_seq == 0)
        elif isinstance(event, ConversationEnded | ConversationRequeued | ConversationPrioritised):
            self.apply_version(event.conversation)
        elif isinstance(event, ConversationAccepted):
            self._on_accepted(event.conversation)
        elif isinstance(event, WaiterPaused):
            self._on_paused(event.waiter)
        elif isinstance(event, QueuePositionChanged):
            self._on_position(event)
        else:
            self._sign_ins.on_event(event)

    def _on_position(self, event: QueuePositionChanged) -> None:
        self.apply_version(event.conversation)
        user_conversation = self._user_conversations.get(event.conversation.user)
        row = None if user_conversation is None else user_conversation.conversation
        if user_conversation is None or row is None or row.id != event.conversation.id:
            return
        has_moved = user_conversation.position != event.place
        has_serving_changed = user_conversation.serving != event.serving
        has_wait_changed = is_noticeable(user_conversation.expected, event.expected)
        user_conversation.position, user_conversation.serving = event.place, event.serving
        if has_moved or has_wait_changed:
            user_conversation.expected = event.expected
        for connection in user_conversation.connections:
            if (
                has_moved
                or connection in user_conversation.awaiting_position
                or (has_serving_changed and "seq" in connection.features)
                or (has_wait_changed and "eta" in connection.features)
            ):
                self._notifier.show_position(connection, row, event.place, event.serving, event.expected)
        user_conversation.awaiting_position.clear()

    def apply_version(self, row: Conversation, *, is_new: bool = False) -> None:
        """Notify the connections of the differences to the last version. An older version is ignored.

        :arg is_new: True if the first assignment made the version and the conversation has no messages.
        """
        seen = self._seen_versions.pop(row.id, 0)
        self._seen_versions[row.id] = max(seen, row.changes)
        if row.changes < seen:  # the row was read before a change that was applied meanwhile
            return
        if len(self._seen_versions) > MAX_SEEN_VERSIONS:
            del self._seen_versions[next(iter(self._seen_versions))]
        user_conversation = self._user_conversations.get(row.user)
        known = None if user_conversation is None else user_conversation.conversation
        if (
            user_conversation is not None
            and known is not None
            and known.id == row.id
            and row.changes > known.changes
        ):
            self._update_user(user_conversation, row, is_new)
        holder = self._holders.get(row.id)
        if holder is not None and holder.person != row.waiter:
            self._update_waiter(holder, row, is_new)
        waiter = self._local_waiters.get(row.waiter) if row.waiter is not None else None
        if waiter is not None:
            self._update_waiter(waiter, row, is_new)

    async def resync(self) -> None:
        """Read from the database the changes whose events may have been missed in this process.

        :raises Unavailable: the database is away.
        """
        self._sign_ins.republish()
        ids = [each.row.id for each in self._user_conversations.values() if each.conversation is not None]
        ids += [row_id for waiter in self._local_waiters.values() for row_id in waiter.rows]
        async for row in read_in_chunks(self._store, conversations.find_many, ids):
            self.apply_version(row)
        async for row in read_in_chunks(
            self._store, conversations.active_of_waiters, list(self._local_waiters)
        ):
            self.apply_version(row)

    # --- inside ---

    def _update_user(self, user_conversation: UserConversation, row: Conversation, is_new: bool) -> None:
        before, user_conversation.conversation = user_conversation.row, row
        if row.state is ConversationState.ACTIVE:
            handover = _handover(before, row)
            for connection in user_conversation.connections:
                if handover is not None and row.id in connection.shown:
                    self._notifier.show_handover(connection, row, handover)
                if connection.shown.get(row.id) != row.waiter_uuid:
                    self._notifier.show_agent(connection, row, is_new=is_new)
        elif row.state is ConversationState.WAITING:
            if before.state is ConversationState.WAITING and before.returned is row.returned:
                return  # another score
            user_conversation.position = 0
            for connection in user_conversation.connections:
                connection.shown.pop(row.id, None)
        else:
            user_conversation.has_ended = True
            self._forget(user_conversation)
            self._coordinator_client.withdraw(queue_key(row.id))
            for connection in user_conversation.connections:
                connection.user_conversation = connection.consent_form = None
                self._notifier.notify_departure(connection, row)

    def _update_waiter(self, waiter: LocalWaiter, row: Conversation, is_new: bool) -> None:
        known = waiter.rows.get(row.id)
        if known is not None and row.changes <= known.changes:
            return
        if row.waiter == waiter.person and row.state is ConversationState.ACTIVE:
            waiter.rows[row.id] = row
            self._holders[row.id] = waiter
            for connection in waiter.connections:
                if row.id not in connection.shown:
                    self._notifier.show_user(connection, row, is_new=is_new)
                    connection.socket_stream.ping(self._loop.time())  # is the waiter still there?
        elif known is not None:
            del waiter.rows[row.id]
            waiter.accepted.discard(row.id)
            reason = NOT_ACCEPTED if waiter.person in row.missed_by else None
            if self._holders.get(row.id) is waiter:
                del self._holders[row.id]
            for connection in waiter.connections:
                if row.id in connection.shown:
                    self._notifier.notify_departure(connection, row, reason)

    async def _accept_or_log(self, connection: SupportConnection, row: Conversation) -> None:
        try:
            await self.accept(connection, row)
        except Conflict:
            pass  # the waiter has lost the user at this moment, and is notified of it
        except ChatError as error:  # the next sign of life is the next attempt
            log.warning("a confirmation could not be stored: %s", error, extra=fields(conversation=row.id))

    def _on_accepted(self, row: Conversation) -> None:
        """Note a confirmation, maybe by another socket of the waiter in another process."""
        waiter = None if row.waiter is None else self._local_waiters.get(row.waiter)
        if waiter is not None and row.id in waiter.rows and waiter.rows[row.id].changes == row.changes:
            waiter.accepted.add(row.id)
            waiter.rows[row.id] = row

    def _on_paused(self, person: Person) -> None:
        """Pause a waiter, as the coordinator has decided, and notify it."""
        waiter = self._local_waiters.get(person)
        if waiter is None:
            return
        waiter.ready = False
        self._coordinator_client.report(waiter.presence)
        for connection in waiter.connections:
            connection.view.show_pause()

    def _on_answering_changed(self, waiter: LocalWaiter) -> None:
        """Report whether the waiter takes new users: a waiter that answers no ping does not."""
        if self._local_waiters.get(waiter.person) is not waiter:
            return
        is_answering = waiter.is_answering
        log.info(
            "answers again" if is_answering else "does not answer",
            extra=fields(role=waiter.person.role.value, id=waiter.person.id),
        )
        self._coordinator_client.report(waiter.presence)

    async def _open(
        self,
        connection: SupportConnection,
        before_new: Callable[[], None],
        group: str,
        accepted: ConsentForm | None,
    ) -> Conversation | None:
        """Return the user's unfinished conversation, a new one if it has none.

        Returns None, and sets ``connection.consent_form``, if the user has to accept a text first.
        """
        identity, claims = connection.identity, {}
        for claim in self._settings.queue_claims:
            if claim in identity.claims:
                claims[claim] = identity.claims[claim]
        await self._subscribe(connection)
        while True:
            # A user that returns needs no commit, and does not wait for the users that do. Lookups are
            # answered in the order of the calls, so users that come at the same time keep their order.
            row = await self._repository.find_unfinished(connection.person)
            if row is None:
                self._groups.require_open(identity, group)
                form = self._consents.of_new(group, connection.language, can_ask=connection.can_ask_consent)
                if form is not None and not form.is_same_version(accepted):
                    connection.consent_form = form
                    return None
                before_new()
                row = await self._repository.join(
                    connection.person, identity.name, connection.address, claims, group, form
                )
                if form is not None and row.group == group:
                    self._consents.report(connection.person, row.thread, form)
            if row.changes >= self._seen_versions.get(row.id, 0):  # else it has changed since it was read
                return row

    async def _check_consent(
        self, connection: SupportConnection, row: Conversation, accepted: ConsentForm | None
    ) -> None:
        """Set what the user has to accept in its unfinished conversation.

        :arg accepted: what the user has accepted: it is stored, if it is what the conversation needs.
        """
        form = await self._consents.missing(
            connection.person,
            row.thread,
            row.group,
            connection.language,
            can_ask=connection.can_ask_consent,
        )
        if form is not None and form.is_same_version(accepted):
            await self._consents.accept(connection.person, row.thread, form)
            form = None
        connection.consent_form = form

    async def _subscribe(self, connection: SupportConnection) -> None:
        """Subscribe to the person's channel. A closed connection does not, as it would never unsubscribe."""
        if not connection.socket_stream.closed:
            await self._bus.subscribe(connection.person)

    def _forget_unused(self, user: Person, user_conversation: UserConversation) -> None:
        """Forget a conversation without connections, whose first one could not be attached."""
        if self._user_conversations.get(user) is user_conversation and not user_conversation.connections:
            del self._user_conversations[user]

    def _forget(self, user_conversation: UserConversation) -> None:
        if self._user_conversations.get(user_conversation.row.user) is user_conversation:
            del self._user_conversations[user_conversation.row.user]

    def _log_away(self, row: Conversation, connection: SupportConnection, has_left: bool) -> None:
        person, grace = connection.person, self._settings.grace(has_left=has_left)
        log.info("away", extra=fields(conversation=row.id, role=person.role.value, id=person.id, grace=grace))


def _handover(before: Conversation, after: Conversation) -> Handover | None:
    """Return the hand-over between two versions of a conversation; None if the waiter is the same."""
    if before.waiter is None or after.waiter is None or before.waiter == after.waiter:
        return None
    assigned = after.assigned or 0
    previous = Participant(
        after.thread, before.waiter, Part.AGENT, before.waiter_name, before.assigned or 0, assigned
    )
    return Handover(
        previous, Participant(after.thread, after.waiter, Part.AGENT, after.waiter_name, assigned)
    )
