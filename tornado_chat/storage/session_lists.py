"""Lists of counselling sessions, newest first, in pages.

Strategy: every list follows an index that ends with ``created``, so a page costs as many rows as it has,
however many sessions there are. A search for a name looks at up to ``SCAN_ROWS`` sessions at a time, newest
first, because no index finds a part of a name; its pages may therefore be short, or empty, and still have a
next one.
"""

from typing import Any, NamedTuple

import peewee as pw

from tornado_chat.core.numbers import MAX_NUMBER
from tornado_chat.core.session_lists import SessionFilter, SessionPosition
from tornado_chat.core.types import Kind, Role, Room, Thread
from tornado_chat.storage import rooms
from tornado_chat.storage.raw_sql import fetch_rows
from tornado_chat.storage.retention import REMOVED_ID

SCAN_ROWS = 2_000
"""Sessions whose names one search compares: a few milliseconds of a reader thread."""

_SELECT = (
    "SELECT id, created, asker, asker_name, helper, helper_name FROM consultation_session {hint}"
    " WHERE {conditions} ORDER BY created DESC, id DESC LIMIT ?"
)
_REMOVED = f"{Role.USER.value}:{REMOVED_ID}"


class SessionPage(NamedTuple):
    """A page of a list, newest first.

    :ivar next: where the next page begins; None: this is the last page.
    """

    rooms: list[Room]
    next: SessionPosition | None


class _Candidate(NamedTuple):
    id: int
    created: int
    asker: str
    asker_name: str | None
    helper: str
    helper_name: str | None

    @property
    def position(self) -> SessionPosition:
        return SessionPosition(self.created, self.id)


def page_of_sessions(
    database: pw.Database, wanted: SessionFilter, after: SessionPosition | None, limit: int
) -> SessionPage:
    """Return the newest sessions that ``wanted`` describes.

    A page has fewer than ``limit`` sessions if it is the last, or if a search for a name ended at its bound.

    :arg after: ``next`` of the page before; None: the first page.
    """
    name = wanted.name.strip().casefold()
    scanned = max(limit, SCAN_ROWS) if name else limit
    found = _candidates(database, wanted, after, scanned + 1)
    page: list[_Candidate] = []
    last: _Candidate | None = None
    for candidate in found[:scanned]:
        if len(page) == limit:
            break
        last = candidate
        if candidate.asker != _REMOVED and (not name or _is_named(candidate, name, wanted)):
            page.append(candidate)
    has_more = last is not None and last is not found[-1]
    by_id = {
        room.thread.id: room
        for room in rooms.find_many(database, [Thread(Kind.SESSION, each.id) for each in page])
    }
    # A session may have been removed since the first query.
    listed = [by_id[each.id] for each in page if each.id in by_id]
    return SessionPage(listed, last.position if last is not None and has_more else None)


def _candidates(
    database: pw.Database, wanted: SessionFilter, after: SessionPosition | None, limit: int
) -> list[_Candidate]:
    conditions: list[str] = []
    values: list[Any] = []

    def require(condition: str, *more: Any) -> None:
        conditions.append(condition)
        values.extend(more)

    if wanted.user is not None:
        require("asker = ?", wanted.user.key)
    if wanted.consultant is not None:
        require("helper = ?", wanted.consultant.key)
    if wanted.states:
        marks = ", ".join("?" * len(wanted.states))
        require(f"state IN ({marks})", *(state.value for state in wanted.states))
    if wanted.opened_from is not None:
        require("created >= ?", wanted.opened_from)
    # Of two upper bounds SQLite would use one for its range, and compare the other with each row.
    last = MAX_NUMBER if wanted.opened_before is None else wanted.opened_before - 1
    if after is not None:
        last = min(last, after.created)
        require("NOT (created = ? AND id >= ?)", *after)
    if last < MAX_NUMBER:
        require("created <= ?", last)
    sql = _SELECT.format(hint=_index_hint(database, wanted), conditions=" AND ".join(conditions) or "1 = 1")
    return [_Candidate(*row) for row in fetch_rows(database, sql, *values, limit)]


def _index_hint(database: pw.Database, wanted: SessionFilter) -> str:
    """Return the SQL by which a MySQL server reads the rows in their order, and no others.

    To save sorting, MariaDB would else go through all sessions that are newer than the page.
    """
    if not isinstance(database, pw.MySQLDatabase):
        return ""  # SQLite finds the index by itself
    if wanted.user is not None:
        columns = "asker_created"
    elif wanted.consultant is not None:
        columns = "helper_state_created" if wanted.states else "helper_created"
    else:
        columns = "state_created" if wanted.states else "created"
    return f"FORCE INDEX (consultation_session_{columns})"


def _is_named(candidate: _Candidate, name: str, wanted: SessionFilter) -> bool:
    """Return True if a participant other than those of ``wanted`` has the name or the id."""
    participants = (
        (wanted.user, candidate.asker, candidate.asker_name),
        (wanted.consultant, candidate.helper, candidate.helper_name),
    )
    return any(
        name in (shown_name or "").casefold() or name == key.partition(":")[2].casefold()
        for known, key, shown_name in participants
        if known is None
    )
