"""The query and the answer of ``GET /api/v1/sessions``, as structs, and their conversion."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tornado_chat.core.errors import Malformed
from tornado_chat.core.plain_text import MAX_NAME_CHARS
from tornado_chat.core.session_lists import SessionFilter, SessionPosition
from tornado_chat.core.types import Person, Role, Room, SessionState
from tornado_chat.web.api.ids import Id
from tornado_chat.web.api.schemas import MAX_PAGE_ITEMS, AnyId, SessionNumber, State, WhyEnded
from tornado_chat.wire.times import LocalTimes, Time

OPEN_STATES = (SessionState.READY, SessionState.ACTIVE)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SessionsQuery(msgspec.Struct, frozen=True):
    user_id: Annotated[
        str, Meta(max_length=MAX_NAME_CHARS, description="Only sessions of this visitor.", examples=["1"])
    ] = ""
    consultant_id: Annotated[
        str, Meta(max_length=MAX_NAME_CHARS, description="Only sessions of this consultant.", examples=["2"])
    ] = ""
    state: Annotated[
        Literal["", "open", "ready", "active", "completed", "cancelled"],
        Meta(description="Only sessions in this state; `open` is `ready` or `active`."),
    ] = ""
    name: Annotated[
        str,
        Meta(
            max_length=MAX_NAME_CHARS,
            description=(
                "Only sessions with a participant whose name contains this text, or whose id it is. The "
                "caller does not count. A request compares 2000 sessions, so a page may be short, or empty, "
                "and still have a `next`."
            ),
        ),
    ] = ""
    opened_from: Annotated[
        str | None,
        Meta(
            description=(
                "Only sessions that were opened at this time or later: ISO 8601 with an offset, whose `+` is "
                "written as `%2B`. A day is given as its beginning and its end."
            ),
            extra_json_schema={"format": "date-time"},
            examples=["2025-03-20T00:00:00+08:00"],
        ),
    ] = None
    opened_before: Annotated[
        str | None,
        Meta(
            description="Only sessions that were opened before this time.",
            extra_json_schema={"format": "date-time"},
            examples=["2025-03-21T00:00:00+08:00"],
        ),
    ] = None
    after: Annotated[
        str, Meta(description="The `next` of the previous page; leave it out for the first page.")
    ] = ""
    limit: Annotated[
        int, Meta(ge=1, le=MAX_PAGE_ITEMS, description="The maximum number of items in the page.")
    ] = 100


class ListedSession(msgspec.Struct, frozen=True):
    """A session in a list."""

    session_id: SessionNumber
    user_id: AnyId
    consultant_id: Annotated[AnyId, Meta(examples=["2"])]
    user_name: Annotated[str | None, Meta(examples=["小林"])]
    consultant_name: Annotated[str | None, Meta(examples=["陈老师"])]
    appointment_id: Annotated[Id | None, Meta(examples=["8"])]
    state: State
    present: Annotated[
        list[str] | None,
        Meta(
            description=(
                "The roles of the participants who are in the session now. Null if it has ended, if that is "
                "unknown at the moment, and beyond the first 50 open sessions of a page."
            ),
            examples=[["user"]],
        ),
    ]
    created: Time
    started: Annotated[
        Time | None,
        Meta(
            description="The time at which both participants were present for the first time.",
            examples=[None],
        ),
    ]
    ended: Annotated[Time | None, Meta(examples=[None])]
    messages: Annotated[int, Meta(description="The number of messages.", examples=[12])]
    rate: Annotated[int | None, Meta(description="The visitor's rating, 1 to 5.", examples=[None])]
    end_reason: WhyEnded


class SessionPage(msgspec.Struct, frozen=True):
    items: Annotated[list[ListedSession], Meta(description="The sessions, newest first.")]
    next: Annotated[
        str | None,
        Meta(description="The value of `after` for the following page; null on the last page."),
    ]


def filter_of(query: SessionsQuery) -> SessionFilter:
    """Convert the query of a list of sessions. :raises Malformed: a time is malformed."""
    states: tuple[SessionState, ...] = ()
    if query.state:
        states = OPEN_STATES if query.state == "open" else (SessionState(query.state),)
    return SessionFilter(
        user=Person(Role.USER, query.user_id) if query.user_id else None,
        consultant=Person(Role.CONSULTANT, query.consultant_id) if query.consultant_id else None,
        states=states,
        name=query.name,
        opened_from=_microseconds("opened_from", query.opened_from),
        opened_before=_microseconds("opened_before", query.opened_before),
    )


def position_of(query: SessionsQuery) -> SessionPosition | None:
    """Return where the page of a query begins; None: at the first session.

    :raises Malformed: ``after`` was not the ``next`` of a page.
    """
    if not query.after:
        return None
    position = SessionPosition.parse(query.after)
    if position is None:
        raise Malformed("bad_parameter", name="after", reason="the `next` of a page is expected")
    return position


def _microseconds(name: str, text: str | None) -> int | None:
    """Return the time of a query parameter in microseconds since 1970; None if it is missing.

    :raises Malformed: ``text`` is no time with an offset.
    """
    if text is None:
        return None
    try:
        time: datetime = msgspec.convert(text, Annotated[datetime, msgspec.Meta(tz=True)])
    except msgspec.ValidationError:
        reason = "a time with its offset is expected, such as 2025-03-20T00:00:00%2B08:00"
        raise Malformed("bad_parameter", name=name, reason=reason) from None
    return (time - EPOCH) // timedelta(microseconds=1)


def listed_session(room: Room, present: Sequence[Role] | None, times: LocalTimes) -> ListedSession:
    """Convert a session in a list. :arg present: the participants who are in it; None: unknown."""
    return ListedSession(
        session_id=Id(room.thread.id),
        user_id=Id.of(room.asker),
        consultant_id=Id.of(room.helper),
        user_name=room.asker_name,
        consultant_name=room.helper_name,
        appointment_id=Id.of_optional(room.appointment_id),
        state=room.state,
        present=None if present is None else [role.value for role in present],
        created=times.format(room.created),
        started=None if room.started is None else times.format(room.started),
        ended=None if room.ended is None else times.format(room.ended),
        messages=room.last_seq,
        rate=room.rate,
        end_reason=room.end_reason,
    )
