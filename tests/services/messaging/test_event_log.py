"""The log of conversations."""

import logging

import pytest

from tests.services.books import Books
from tests.storage.conftest import COUNSELLOR, VISITOR, new_session
from tornado_chat.core.events import Event
from tornado_chat.core.types import SessionState
from tornado_chat.services.messaging.event_log import EventLog
from tornado_chat.storage import conversations, rooms


def test_each_change_of_state_is_one_line_with_the_number_of_its_conversation(
    books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    log, events = EventLog(), list[Event]()
    room, _ = books.change(new_session)
    for work in (
        lambda tx: rooms.start(tx, room.thread),
        lambda tx: rooms.finish(tx, room.thread, SessionState.CANCELLED),
    ):
        events += books.change(work)[1]
    waiting, more = books.change(lambda tx: conversations.join(tx, VISITOR, None, "uuid", {}))
    ended = books.change(lambda tx: conversations.end(tx, waiting.id, COUNSELLOR))[1]
    for event in [*events, *more, *ended]:
        if isinstance(event, EventLog.events):
            log.on_event(event)
    assert [(record.getMessage(), record.fields) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("started", {"session": room.thread.id}),
        ("ended", {"session": room.thread.id, "state": "cancelled", "reason": "ended"}),
        ("queued", {"conversation": waiting.id, "role": "user", "id": VISITOR.id}),
        ("ended", {"conversation": waiting.id, "role": "consultant", "id": COUNSELLOR.id}),
    ]
