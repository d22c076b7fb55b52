"""Lookup of sessions and records: in the database, or by a plugin in the host's own tables."""

from tornado_chat.core.errors import Conflict, NotFound
from tornado_chat.core.types import (
    ConversationView,
    HostRecord,
    HostSession,
    Kind,
    Message,
    Person,
    Room,
    Thread,
)
from tornado_chat.delivery.hub import PAGE_BYTES, PAGE_ITEMS
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import conversation_views, join_queries, rooms
from tornado_chat.storage.join_queries import MissedItems


class RoomLookup:
    """Finds rooms by their id."""

    def __init__(self, store: Store, plugins: PluginManager) -> None:
        self._store = store
        self._plugins = plugins

    async def get(self, thread: Thread) -> Room:
        """Return the room. A room that only the host knows is created here.

        :raises NotFound: neither the database nor a plugin knows the room.
        """
        try:
            return await self._store.look_up(rooms.get, thread)
        except NotFound:
            hook = "find_session" if thread.kind is Kind.SESSION else "find_record"
            if hook not in self._plugins.implemented_hooks:
                raise
            room = await (self._find_session if thread.kind is Kind.SESSION else self._find_record)(thread.id)
            if room is None:
                raise
            return room

    async def view(self, thread: Thread) -> ConversationView:
        """Return a session or support conversation. A session that only the host knows is created here.

        :raises NotFound: there is no such conversation.
        """
        if thread.kind is Kind.SESSION:
            return (await self.get(thread)).view
        view = await self._store.look_up(conversation_views.find, thread)
        if view is None:
            raise NotFound("no_such_conversation", id=thread.id)
        return view

    async def get_with_missed(self, thread: Thread, reader: Person) -> tuple[Room, MissedItems[Message]]:
        """Return the room as ``get``, and the first page of the items that ``reader`` has not received."""
        try:
            return await self._store.look_up(join_queries.load_room, thread, reader, PAGE_ITEMS, PAGE_BYTES)
        except NotFound:
            await self.get(thread)
            return await self._store.look_up(join_queries.load_room, thread, reader, PAGE_ITEMS, PAGE_BYTES)

    async def _find_session(self, session_id: int) -> Room | None:
        found: HostSession | None = await self._plugins.decide("find_session", session_id=session_id)
        if found is None:
            return None
        try:
            room, _ = await self._store.write(
                lambda tx: rooms.create_session(
                    tx,
                    user_id=str(found.user_id),
                    consultant_id=str(found.consultant_id),
                    user_name=found.user_name,
                    consultant_name=found.consultant_name,
                    appointment_id=found.appointment_id,
                    session_id=session_id,
                )
            )
        except Conflict:  # the API has created the session meanwhile
            return await self._store.look_up(rooms.get, Thread(Kind.SESSION, session_id))
        return room

    async def _find_record(self, record_id: int) -> Room | None:
        found: HostRecord | None = await self._plugins.decide("find_record", record_id=record_id)
        if found is None:
            return None
        session = await self.get(Thread(Kind.SESSION, found.session_id))
        try:
            room, _ = await self._store.write(
                lambda tx: rooms.create_record(
                    tx,
                    session.view,
                    supervisor_id=str(found.supervisor_id),
                    supervisor_name=found.supervisor_name,
                    record_id=record_id,
                )
            )
        except Conflict:
            return await self._store.look_up(rooms.get, Thread(Kind.RECORD, record_id))
        return room
