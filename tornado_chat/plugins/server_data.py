"""The server's stored data, as plugins read it where they have a database."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tornado_chat.core.lists import (
    MAX_PAGE_BYTES,
    ConversationFilter,
    KnownPerson,
    ListPage,
    require_limit,
)
from tornado_chat.core.numbers import MAX_NUMBER
from tornado_chat.core.session_lists import SessionFilter, SessionPosition
from tornado_chat.core.types import (
    Conversation,
    ConversationState,
    Kind,
    Message,
    Notification,
    Operation,
    Participant,
    Person,
    Role,
    Room,
    SessionState,
    Thread,
)
from tornado_chat.storage import (
    conversation_lists,
    conversations,
    database_info,
    known_people,
    messages,
    notifications,
    operations,
    participants,
    rooms,
    session_lists,
)

if TYPE_CHECKING:
    import peewee

DEFAULT_LIMIT = 100
ROOM_KINDS = (Kind.SESSION, Kind.RECORD)


def thread_of(about: Thread | int) -> Thread:
    """Return the thread of a conversation; a number is that of a session."""
    return Thread(Kind.SESSION, about) if isinstance(about, int) else about


class ServerData:
    """The server's stored data, for plugins with a database: in transactions, keepers and commands.

    The methods are those of ``Context``, without ``await``; they run on the thread that calls them. In a
    transaction they see its changes.

    :arg database: ``tx.database``, or that of a keeper, a command or ``Context.read``.
    """

    def __init__(self, database: "peewee.Database") -> None:
        self._database = database

    # --- one item ---

    def room(self, thread: Thread) -> Room | None:
        """Return a session or a supervision record; None if there is none."""
        return rooms.find(self._database, thread) if thread.kind in ROOM_KINDS else None

    def conversation(self, conversation_id: int) -> Conversation | None:
        """Return a support conversation; None if there is none."""
        return conversations.get(self._database, conversation_id)

    def operation(self, operation_id: int) -> Operation | None:
        """Return an operator's command; None if there is none."""
        return operations.get(self._database, operation_id)

    # --- the parts of a conversation ---

    def supervision(self, about: Thread | int) -> Sequence[Room]:
        """Return the supervision records of a conversation, oldest first; ``helper`` is the supervisor.

        ``about`` is a session or support conversation; a number is that of a session.
        """
        return rooms.supervision_records(self._database, thread_of(about))

    def participants(self, thread: Thread) -> Sequence[Participant]:
        """Return the participants of a session, record or support conversation, in the order of joining."""
        return [] if thread.kind is Kind.INBOX else participants.of_thread(self._database, thread)

    def messages(
        self, thread: Thread, *, after: int = 0, limit: int = DEFAULT_LIMIT
    ) -> ListPage[Message, int]:
        """Return the messages of a thread after the ``seq`` ``after``, oldest first."""
        require_limit(limit)
        found, has_more = messages.page_after(self._database, thread, after, limit, MAX_PAGE_BYTES)
        return ListPage(found, found[-1].seq if has_more else None)

    def last_messages(
        self, thread: Thread, *, before: int | None = None, limit: int = DEFAULT_LIMIT
    ) -> ListPage[Message, int]:
        """Return the last messages of a thread before the ``seq`` ``before``, oldest first."""
        require_limit(limit)
        found, has_more = messages.page_before(self._database, thread, before, limit, MAX_PAGE_BYTES)
        return ListPage(found, found[0].seq if has_more else None)

    def last_seq_before(self, thread: Thread, time: int) -> int:
        """Return the ``seq`` of the last message that was stored before ``time``; 0 if there is none."""
        return messages.last_before(self._database, thread, time)

    # --- lists ---

    def sessions(
        self,
        *,
        user: Person | None = None,
        consultant: Person | None = None,
        states: Sequence[SessionState] = (),
        name: str | None = None,
        opened_from: int | None = None,
        opened_before: int | None = None,
        after: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> ListPage[Room, str]:
        """Return sessions, newest first; see ``Context.sessions``."""
        require_limit(limit)
        wanted = SessionFilter(user, consultant, tuple(states), name or "", opened_from, opened_before)
        found, following = session_lists.page_of_sessions(
            self._database, wanted, session_position(after), limit
        )
        return ListPage(found, None if following is None else str(following))

    def conversations(
        self,
        *,
        user: Person | None = None,
        waiter: Person | None = None,
        states: Sequence[ConversationState] = (),
        after: int | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> ListPage[Conversation, int]:
        """Return support conversations, newest first; see ``Context.conversations``."""
        require_limit(limit)
        wanted = ConversationFilter(user, waiter, tuple(states))
        return conversation_lists.page_of_conversations(self._database, wanted, after, limit)

    def notifications(
        self, recipient: Person, *, after: int | None = None, limit: int = DEFAULT_LIMIT
    ) -> ListPage[Notification, int]:
        """Return the notifications of a person, newest first."""
        require_limit(limit)
        inbox = notifications.find_inbox(self._database, recipient)
        if inbox is None:
            return ListPage([], None)
        found, has_more = notifications.page_before(
            self._database, inbox, MAX_NUMBER if after is None else after, limit, MAX_PAGE_BYTES
        )
        return ListPage(found, found[-1].seq if has_more else None)

    def read_times(self, notification_ids: Sequence[int]) -> Mapping[int, int]:
        """Return when each of up to ``MAX_PAGE_ITEMS`` notifications was read, without the unread ones."""
        if not notification_ids:
            return {}
        require_limit(len(notification_ids))
        return notifications.read_times(self._database, notification_ids)

    def known_people(
        self, role: Role, *, after: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> ListPage[KnownPerson, str]:
        """Return people of a role, in the order of their ids; see ``Context.known_people``."""
        require_limit(limit)
        return known_people.page_of_people(self._database, role, after, limit)

    def operations(
        self, *, after: int = 0, since: int = 0, limit: int = DEFAULT_LIMIT
    ) -> ListPage[Operation, int]:
        """Return operators' commands after the id ``after``, from the time ``since`` on, oldest first."""
        require_limit(limit)
        found = operations.page_after(self._database, after, limit + 1, since)
        return ListPage(found[:limit], found[limit - 1].id if len(found) > limit else None)

    def has_data(self, since: int | None = None) -> bool:
        """Return True if messages, sessions, support conversations or operators' commands are stored.

        With ``since`` only those from this time on count, sessions from their start.
        """
        return database_info.has_data(self._database, since)


def session_position(after: str | None) -> SessionPosition | None:
    """Parse the cursor of a list of sessions. :raises ValueError: it was not ``next`` of a page."""
    if after is None:
        return None
    position = SessionPosition.parse(after)
    if position is None:
        raise ValueError(f"after={after!r} is no cursor: pass `next` of the page before")
    return position
