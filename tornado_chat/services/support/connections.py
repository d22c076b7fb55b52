"""The support connections of this process: which events each client is notified of, and in which order."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.core.close_codes import NOT_READ_BACK
from tornado_chat.core.errors import ChatError
from tornado_chat.core.texts import Language
from tornado_chat.core.types import (
    ConsentForm,
    Conversation,
    ExpectedWait,
    Handover,
    Identity,
    Role,
    Thread,
)
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.observability.logs import fields
from tornado_chat.services.messaging.consents import CONSENT_FEATURE
from tornado_chat.services.messaging.filtering import FilterQueue
from tornado_chat.services.messaging.participant_names import ParticipantNames
from tornado_chat.services.messaging.receipt_reports import ReceiptReports
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.supervision.approvals import Approvals
from tornado_chat.storage import conversations, read_marks

log = logging.getLogger(__name__)


NOT_ACCEPTED = "not_accepted"


class SupportView(Protocol):
    """Sends the notifications about conversations to one client.

    ``web.sockets.support`` implements it with the frames of the dialect. No method blocks or raises, in any
    state of the connection.
    """

    def show_agent(self, conversation: Conversation) -> None:
        """Notify a user that its conversation has a waiter."""
        ...

    def show_user(self, conversation: Conversation) -> None:
        """Notify a waiter that it serves the user of a conversation."""
        ...

    def show_position(
        self,
        conversation: Conversation,
        position: int,
        serving: int | None,
        expected: ExpectedWait | None = None,
    ) -> None:
        """Notify a waiting user of its position in the queue; 1 is the first position.

        :arg serving: the number of waiters that serve the queue; None if it is unknown.
        :arg expected: the expected wait; None if there is no estimate.
        """
        ...

    def show_handover(self, handover: Handover) -> None:
        """Notify a user that another waiter has its conversation."""
        ...

    def show_departure(self, thread: Thread, reason: str | None = None) -> None:
        """Notify the client that the other side has left the conversation for good.

        :arg reason: ``NOT_ACCEPTED`` for a waiter that has lost the user for want of a confirmation.
        """
        ...

    def show_pause(self) -> None:
        """Notify a waiter that it gets no new users until it is ready again."""
        ...

    def show_replacement(self) -> None:
        """Notify a waiter that it has signed in on another connection."""
        ...


class SupportConnection:
    """One authenticated connection of a user or a waiter.

    :arg features: the features that the client has requested.
    :arg language: the language of texts for the client.
    :arg address: the address that the server has given to the connection.
    :ivar user_conversation: of a user: the conversation that the client has requested.
    :ivar shown: the conversations that the client was notified of, until it is notified of their end: the
        address of the other side, by number. A transfer changes the address.
    :ivar positions: of a connection that another process has had: the threads that it followed, with the
        last ``seq`` that was written to it. A thread is removed when it is followed here.
    :ivar consent_form: of a user: what the user has to accept before its first message; None: nothing, or it
        has accepted it.
    :ivar departures: the threads whose departures are shown after earlier messages, in order.
    """

    __slots__ = (
        "address",
        "consent_form",
        "departures",
        "features",
        "filter_queue",
        "identity",
        "language",
        "person",
        "positions",
        "shown",
        "socket_stream",
        "user_conversation",
        "view",
    )

    def __init__(
        self,
        identity: Identity,
        socket_stream: SocketStream,
        view: SupportView,
        address: str,
        features: frozenset[str] = frozenset(),
        language: Language = "zh_CN",
    ) -> None:
        self.identity = identity
        self.person = identity.person
        self.socket_stream = socket_stream
        self.view = view
        self.address = address
        self.features = features
        self.language = language
        self.filter_queue = FilterQueue()
        self.user_conversation: UserConversation | None = None
        self.shown: dict[int, str] = {}
        self.positions: dict[Thread, int] = {}
        self.departures: list[Thread] = []
        self.consent_form: ConsentForm | None = None

    @property
    def can_ask_consent(self) -> bool:
        """True if the client shows the text that its user has to accept."""
        return CONSENT_FEATURE in self.features

    @property
    def is_engaged(self) -> bool:
        """True if the person has an unfinished conversation on this connection, or waits in the queue."""
        return self.user_conversation is not None or bool(self.shown)

    @property
    def is_agent(self) -> bool:
        """True if the person serves users."""
        return self.person.role is not Role.USER

    def run_after_departures(self, action: Callable[[], None]) -> None:
        """Run ``action`` after the departures that are pending now.

        So a client with one conversation at a time is notified of the end of a conversation before it is
        notified of the next conversation.
        """
        for thread in reversed(self.departures):
            action = partial(self.socket_stream.run_in_order, thread, action)
        action()


class UserConversation:
    """A user's unfinished conversation, with the connections of the user in this process.

    :ivar conversation: the newest version of the conversation; None until it is stored.
    :ivar position: the position in the queue that was shown last; 0 before that.
    :ivar serving: the number of serving waiters that was shown with the position; None if it is unknown.
    :ivar expected: the expected wait that was shown last; None if there was none.
    :ivar awaiting_position: the connections that have requested the position: they get the next one that is
        published, even if it has not changed.
    :ivar has_ended: True if the conversation has ended.
    """

    __slots__ = (
        "awaiting_position",
        "connections",
        "conversation",
        "expected",
        "has_ended",
        "lock",
        "position",
        "serving",
    )

    def __init__(self) -> None:
        self.conversation: Conversation | None = None
        self.connections: dict[SupportConnection, None] = {}
        self.lock = asyncio.Lock()
        self.position = 0
        self.serving: int | None = None
        self.expected: ExpectedWait | None = None
        self.awaiting_position: set[SupportConnection] = set()
        self.has_ended = False

    @property
    def row(self) -> Conversation:
        assert self.conversation is not None
        return self.conversation


class SocketNotifier:
    """Notifies connections of the start and the end of their conversations, in order with the messages.

    :arg apply_version: called with the stored version of a conversation after a connection has begun to
        follow its thread.
    """

    def __init__(
        self,
        hub: Hub,
        receipts: ReceiptStore,
        store: Store,
        apply_version: Callable[[Conversation], None],
        tasks: BackgroundTasks,
        receipt_reports: ReceiptReports,
        participant_names: ParticipantNames,
        approvals: Approvals,
    ) -> None:
        self._approvals = approvals
        self._receipt_reports = receipt_reports
        self._participant_names = participant_names
        self._hub = hub
        self._tasks = tasks
        self._store = store
        self._receipts = receipts
        self._apply_version = apply_version

    def show_agent(
        self, connection: SupportConnection, conversation: Conversation, *, is_new: bool = False
    ) -> None:
        """Notify a user's connection of the waiter, then deliver the messages.

        :arg is_new: True if the conversation was assigned just now and has no messages.
        """
        assert conversation.waiter_uuid is not None
        self._show(connection, conversation, conversation.waiter_uuid, connection.view.show_agent, is_new)

    def show_user(
        self, connection: SupportConnection, conversation: Conversation, *, is_new: bool = False
    ) -> None:
        """Notify a waiter's connection of the user, then deliver the messages. ``is_new`` as above."""
        self._show(connection, conversation, conversation.user_uuid, connection.view.show_user, is_new)

    def _show(
        self,
        connection: SupportConnection,
        conversation: Conversation,
        other_address: str,
        show: Callable[[Conversation], None],
        is_new: bool,
    ) -> None:
        thread = conversation.thread
        if thread in connection.positions and connection.shown.get(conversation.id) == other_address:
            self.start_following(connection, conversation)
            return
        connection.shown[conversation.id] = other_address
        if (
            is_new
            and not connection.departures
            and self._hub.follow_new(connection.socket_stream, thread, as_agent=connection.is_agent)
        ):
            if "sender" in connection.features and conversation.waiter is not None:
                names = {
                    conversation.user: conversation.user_name,
                    conversation.waiter: conversation.waiter_name,
                }
                self._participant_names.add(thread, names)
            if "receipt" in connection.features:
                self._receipt_reports.watch(thread)
            show(conversation)
            log.info("joined", extra=_log_fields(conversation, connection, resent=0))
            return

        def show_and_follow() -> None:
            # Repeated, since an earlier departure may have been from this conversation, which has returned,
            # and then has unfollowed the thread.
            self._prepare_follow(connection, thread)
            show(conversation)
            self._tasks.spawn(self._follow(connection, conversation))

        self._prepare_follow(connection, thread)
        connection.run_after_departures(show_and_follow)

    def show_handover(
        self, connection: SupportConnection, conversation: Conversation, handover: Handover
    ) -> None:
        """Notify a user's connection of a hand-over, after the messages from before."""
        show = partial(connection.view.show_handover, handover)
        self._hub.run_after(connection.socket_stream, conversation.thread, conversation.last_seq, show)

    def show_position(
        self,
        connection: SupportConnection,
        conversation: Conversation,
        position: int,
        serving: int | None,
        expected: ExpectedWait | None,
    ) -> None:
        """Notify a waiting user's connection of its position, after the messages of the previous waiter."""
        show = partial(connection.view.show_position, conversation, position, serving, expected)
        connection.run_after_departures(
            partial(connection.socket_stream.run_in_order, conversation.thread, show)
        )

    def notify_departure(
        self, connection: SupportConnection, conversation: Conversation, reason: str | None = None
    ) -> None:
        """Notify a connection that the other side has left, after all messages of the conversation.

        :arg reason: as ``SupportView.show_departure``.
        """
        thread = conversation.thread
        connection.shown.pop(conversation.id, None)

        def show_departure() -> None:
            connection.departures.remove(thread)
            connection.view.show_departure(thread, reason)
            self._hub.unfollow(connection.socket_stream, thread)

        run_after_messages = partial(
            self._hub.run_after, connection.socket_stream, thread, conversation.last_seq, show_departure
        )
        # If an earlier departure from the thread is pending, the return in between is not shown yet either.
        is_pending = thread in connection.departures
        connection.departures.append(thread)
        if is_pending:
            connection.socket_stream.run_in_order(thread, run_after_messages)
        else:
            run_after_messages()

    def start_following(self, connection: SupportConnection, conversation: Conversation) -> None:
        """Begin to deliver the messages that the person has not received yet, then all new messages.

        The caller does not wait, since a client that reads slowly would delay it for as long as it likes.
        """
        self._prepare_follow(connection, conversation.thread)
        self._tasks.spawn(self._follow(connection, conversation))

    def _prepare_follow(self, connection: SupportConnection, thread: Thread) -> None:
        self._hub.prepare_follow(connection.socket_stream, thread, as_agent=connection.is_agent)

    async def _follow(self, connection: SupportConnection, conversation: Conversation) -> None:
        """Deliver the messages that the person has not received yet, then all new messages.

        The waiter after a transfer has no receipt, and so receives all messages of the user.
        """
        thread = conversation.thread
        try:
            received = connection.positions.pop(thread, None)
            if received is None:
                received = await self._receipts.get(thread, connection.person)
            if "sender" in connection.features or not self._participant_names.has(thread):
                await self._participant_names.load(connection.socket_stream, thread)
            resent = await self._hub.follow(connection.socket_stream, thread, received or 0)
            log.info(
                "joined" if received is None else "resumed",
                extra=_log_fields(conversation, connection, resent=resent),
            )
            if "read" in connection.features:
                for mark in await self._store.look_up(read_marks.read_marks, thread):
                    connection.socket_stream.send_event(mark, thread, {})
            if "approval" in connection.features:
                for held in await self._approvals.events_for_sender(connection.person, thread):
                    connection.socket_stream.send_event(held, thread, {})
            if "receipt" in connection.features:
                self._receipt_reports.watch(thread)
                for receipt in await self._receipt_reports.current(thread):
                    connection.socket_stream.send_event(receipt, thread, {})
            # Read after following: an end in between is either in this result or arrives as an event.
            for current in await self._store.look_up(conversations.find_many, [conversation.id]):
                self._apply_version(current)
        except ChatError as error:
            log.warning(
                "a conversation could not be read back: %s",
                error,
                extra=_log_fields(conversation, connection),
            )
            connection.socket_stream.close(*NOT_READ_BACK)


def _log_fields(conversation: Conversation, connection: SupportConnection, **more: Any) -> dict[str, Any]:
    """Return the log fields of a connection in a conversation."""
    person = connection.person
    return fields(
        conversation=conversation.id,
        conn=connection.socket_stream.conn,
        role=person.role.value,
        id=person.id,
        **more,
    )
