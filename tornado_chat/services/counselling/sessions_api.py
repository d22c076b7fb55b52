"""Sessions and records for the HTTP API, which host systems and people call."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import peewee as pw

from tornado_chat.core.errors import Forbidden, NotFound
from tornado_chat.core.lists import MAX_PAGE_BYTES
from tornado_chat.core.session_lists import SessionFilter, SessionPosition
from tornado_chat.core.types import (
    DEFAULT_GROUP,
    Action,
    Activity,
    Identity,
    Kind,
    Message,
    Page,
    Person,
    Role,
    Room,
    Thread,
)
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.auth.access import HOST_ROLES, AccessControl
from tornado_chat.services.counselling.room_lookup import RoomLookup
from tornado_chat.services.counselling.service import Counselling, Progress
from tornado_chat.services.messaging.notifications import Notifications
from tornado_chat.services.messaging.participant_names import stored_names
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.messaging.transcripts import chunks_of
from tornado_chat.services.supervision.rights import NOT_YOURS, SupervisionRights
from tornado_chat.storage import messages, rooms, session_lists
from tornado_chat.storage.session_lists import SessionPage
from tornado_chat.storage.writer import Transaction

MAX_PRESENCES = (
    50  # open sessions of a page whose presence is asked for, each by a request to the coordinator
)


class SessionList(NamedTuple):
    """A page of a list of sessions, newest first.

    :ivar present: by open session, the roles of the participants who are in it now; a session is missing if
        that is unknown.
    :ivar next: where the next page begins; None: this is the last page.
    """

    rooms: Sequence[Room]
    present: Mapping[Thread, Sequence[Role]]
    next: SessionPosition | None


class Sessions:
    """Opening, reading, rating and ending sessions, and opening supervision records.

    Every method checks the rights of ``identity``. It raises ``Forbidden`` if they do not suffice, and
    ``NotFound`` if there is no such session or record.
    """

    def __init__(
        self,
        store: Store,
        notifications: Notifications,
        counselling: Counselling,
        room_lookup: RoomLookup,
        access_control: AccessControl,
        plugins: PluginManager,
        rights: SupervisionRights,
        require_group: Callable[[str], None],
    ) -> None:
        self._store = store
        self._notifications = notifications
        self._counselling = counselling
        self._room_lookup = room_lookup
        self._access_control = access_control
        self._plugins = plugins
        self._rights = rights
        self._require_group = require_group

    async def open(
        self,
        identity: Identity,
        *,
        user_id: str,
        consultant_id: str,
        user_name: str | None = None,
        consultant_name: str | None = None,
        appointment_id: int | None = None,
        session_id: int | None = None,
        actor: str = "",
        group: str | None = None,
    ) -> tuple[Room, bool]:
        """Create a session and notify its consultant. Returns the session and True.

        A repeated call with the same ``session_id`` and people returns the existing session and False.
        ``consultant_name`` of a visitor is ignored: a visitor does not name its consultant.

        :arg actor: the actor of the ``Activity``, if it is not the caller.
        :arg group: the group of the session, which only hosts and admins choose; None: the default group.
        :raises Conflict: ``session_id`` is the id of a session of other people.
        :raises NotFound: there is no such group.
        """
        caller = identity.person
        if not await self._access_control.is_allowed_by_plugin(identity, Action.OPEN):
            if caller.role not in (*HOST_ROLES, Role.USER):
                raise Forbidden("role_not_allowed", role=caller.role.value)
            if caller.role is Role.USER and caller.id != user_id:
                raise Forbidden("only_yourself")
        _require_host_number(caller, "session_id", session_id)
        _require_host_number(caller, "group", group)
        if group is not None:
            self._require_group(group)
        msg = await self._notifications.announcement(Person(Role.CONSULTANT, consultant_id))

        def work(tx: Transaction) -> tuple[Room, bool]:
            room, created = rooms.create_session(
                tx,
                user_id=user_id,
                consultant_id=consultant_id,
                user_name=user_name or (identity.name if caller.role is Role.USER else None),
                consultant_name=None if caller.role is Role.USER else consultant_name,
                appointment_id=appointment_id,
                session_id=session_id,
                group=DEFAULT_GROUP if group is None else group,
            )
            if created:
                self._notifications.announce(tx, room.helper, msg, room)
            return room, created

        room, created = await self._store.write(work)
        if created:
            detail = f"{room.asker.key} with {room.helper.key}"
            self._plugins.report_action(Activity(actor or caller.key, "opened session", room.thread, detail))
        return room, created

    async def call_supervisor(
        self,
        identity: Identity,
        thread: Thread,
        *,
        supervisor_id: str,
        supervisor_name: str | None = None,
        record_id: int | None = None,
    ) -> tuple[Room, bool]:
        """Create a record of a conversation's agent with a supervisor, who is notified; as ``open``.

        :arg thread: a session or a support conversation.
        :raises Conflict: ``record_id`` is the id of another record; or the conversation has no agent.
        """
        view = await self._room_lookup.view(thread)
        if not await self._access_control.is_allowed_by_plugin(identity, Action.SUPERVISE, thread) and (
            identity.person.role not in HOST_ROLES and identity.person != view.agent
        ):
            raise Forbidden(NOT_YOURS[thread.kind])
        _require_host_number(identity.person, "record_id", record_id)
        msg = await self._notifications.announcement(Person(Role.SUPERVISOR, supervisor_id))

        def work(tx: Transaction) -> tuple[Room, bool]:
            room, created = rooms.create_record(
                tx,
                view,
                supervisor_id=supervisor_id,
                supervisor_name=supervisor_name,
                record_id=record_id,
            )
            if created:
                self._notifications.announce(tx, room.helper, msg, room, observe=True)
            return room, created

        room, created = await self._store.write(work)
        if created:
            self._report(
                identity.person,
                "asked for supervision",
                thread,
                f"record {room.thread.id} with {room.helper.key}",
            )
        return room, created

    async def read(self, identity: Identity, thread: Thread) -> Room:
        """Return a session or record.

        Its participants, the supervisors of the session, admins and the host may read it.
        """
        room = await self._room_lookup.get(thread)
        await self._require_reader(identity, room)
        return room

    async def progress(self, room: Room) -> Progress:
        """Return how far the participants of a room have got. The caller has got the room by ``read``."""
        return await self._counselling.progress(room)

    async def _require_reader(self, identity: Identity, room: Room) -> None:
        caller, thread = identity.person, room.thread
        if await self._access_control.is_allowed_by_plugin(identity, Action.READ, thread):
            return
        if caller in (room.asker, room.helper) or caller.role in HOST_ROLES:
            return
        if thread.kind is Kind.SESSION and await self._rights.supervises(identity, room.view):
            return
        self._report(caller, "refused to read", thread)
        raise Forbidden("not_your_session")

    async def list_page(
        self, identity: Identity, wanted: SessionFilter, after: SessionPosition | None, limit: int
    ) -> SessionList:
        """Return a page of the sessions that ``wanted`` describes: for hosts all, else the caller's own.

        Sessions that only a plugin knows in the host's tables are not listed.

        :raises Forbidden: the caller takes no part in sessions, or asks for those of another person.
        """
        page = await self.find_page(identity, wanted, after, limit)
        open_rooms = [room for room in page.rooms if room.open][:MAX_PRESENCES]
        present = await asyncio.gather(*map(self._counselling.present_roles, open_rooms))
        known = {
            room.thread: roles for room, roles in zip(open_rooms, present, strict=True) if roles is not None
        }
        return SessionList(page.rooms, known, page.next)

    async def find_page(
        self, identity: Identity, wanted: SessionFilter, after: SessionPosition | None, limit: int
    ) -> SessionPage:
        """Return the sessions of ``list_page``, with the same rights."""
        if not await self._access_control.is_allowed_by_plugin(identity, Action.LIST):
            wanted = _restrict_to_own(identity.person, wanted)
        return await self._store.read(session_lists.page_of_sessions, wanted, after, limit)

    async def page(self, identity: Identity, thread: Thread, after: int, limit: int) -> Page[Message]:
        """Return the messages after the ``seq`` ``after``, oldest first, and whether there are more.

        If the database has gone back to a copy without the message ``after``: from the first message on.
        There may be fewer than ``limit`` if they are large (``MAX_PAGE_BYTES``).
        """
        try:
            room, found = await self._store.read(_room_and_page, thread, after, limit)
        except NotFound:  # a plugin may find the room in the host's tables
            room = await self._room_lookup.get(thread)
            found = await self._store.read(messages.page_for_client, thread, after, limit, MAX_PAGE_BYTES)
        await self._require_reader(identity, room)
        await self._plugins.check("transcript_requested", thread=thread, identity=identity, how="messages")
        self._plugins.emit("transcript_read", thread=thread, identity=identity, how="messages")
        return found

    async def names(self, thread: Thread) -> dict[Person, str | None]:
        """Return the names of the participants of a room that the caller may read.

        ``page`` or ``transcript`` has checked that.
        """
        return await self._store.look_up(stored_names, thread)

    async def transcript(
        self, identity: Identity, thread: Thread
    ) -> tuple[Room, AsyncIterator[Sequence[Message]]]:
        """Return the room and its messages in chunks, each of which is read when it is asked for.

        The messages are those that are stored now: later ones do not belong to the transcript, however long
        it takes to read it.

        :raises NotFound: from the iterator: the messages were removed meanwhile.
        """
        room = await self.read(identity, thread)
        await self._plugins.check("transcript_requested", thread=thread, identity=identity, how="export")
        self._plugins.emit("transcript_read", thread=thread, identity=identity, how="export")
        return room, chunks_of(self._store, thread, room.last_seq)

    async def end(self, identity: Identity, session_id: int) -> Room:
        """End a session at once. A finished session stays as it is."""
        room = await self._room_lookup.get(Thread(Kind.SESSION, session_id))
        if not await self._access_control.is_allowed_by_plugin(identity, Action.END, room.thread) and (
            identity.person not in (room.asker, room.helper) and identity.person.role not in HOST_ROLES
        ):
            raise Forbidden("not_your_session")
        ended = await self._counselling.end(room.thread, identity.person)
        if room.open:
            self._report(identity.person, "ended", room.thread)
        return ended

    async def rate(self, identity: Identity, session_id: int, stars: int, feedback: str | None) -> Room:
        """Store the visitor's rating, which replaces an earlier one."""
        room = await self._room_lookup.get(Thread(Kind.SESSION, session_id))
        if identity.person != room.asker:
            raise Forbidden("not_your_session")
        rated = await self._store.write(lambda tx: rooms.rate(tx, session_id, stars, feedback), room.thread)
        self._report(identity.person, "rated", room.thread, f"{stars} of 5")
        self._plugins.emit(
            "conversation_rated", thread=room.thread, person=identity.person, stars=stars, feedback=feedback
        )
        return rated

    def _report(self, actor: Person, action: str, thread: Thread, detail: str | None = None) -> None:
        self._plugins.report_action(Activity(actor.key, action, thread, detail))


def _require_host_number(caller: Person, name: str, number: int | str | None) -> None:
    """Check that a caller may choose a number or group. :raises Forbidden: a person chooses one."""
    if number is not None and caller.role not in HOST_ROLES:
        raise Forbidden("number_by_host", name=name)


def _restrict_to_own(caller: Person, wanted: SessionFilter) -> SessionFilter:
    """Return the filter for the sessions of ``wanted`` that the caller may list.

    :raises Forbidden: see ``Sessions.list_page``.
    """
    if caller.role in HOST_ROLES:
        return wanted
    if caller.role not in (Role.USER, Role.CONSULTANT):
        raise Forbidden("role_not_allowed", role=caller.role.value)
    own = wanted.user if caller.role is Role.USER else wanted.consultant
    if own is not None and own != caller:
        raise Forbidden("only_your_sessions")
    if caller.role is Role.USER:
        return msgspec.structs.replace(wanted, user=caller)
    return msgspec.structs.replace(wanted, consultant=caller)


def _room_and_page(
    database: pw.Database, thread: Thread, after: int, limit: int
) -> tuple[Room, Page[Message]]:
    # The room is read last: the caller is checked by its present agent, see ``storage/agents.py``.
    page = messages.page_for_client(database, thread, after, limit, MAX_PAGE_BYTES)
    return rooms.get(database, thread), page
