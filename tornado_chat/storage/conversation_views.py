"""Sessions and support conversations as one kind of thing: what is common to both."""

import peewee as pw

from tornado_chat.core.types import ConversationView, Kind, Thread
from tornado_chat.storage import conversations, rooms


def find(database: pw.Database, thread: Thread) -> ConversationView | None:
    """Return a session or support conversation; None if there is no such, or for another kind of thread."""
    if thread.kind is Kind.SUPPORT:
        conversation = conversations.get(database, thread.id)
        return None if conversation is None else conversation.view
    if thread.kind is not Kind.SESSION:
        return None
    room = rooms.find(database, thread)
    return None if room is None else room.view
