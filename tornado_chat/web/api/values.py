"""The bodies of the HTTP API, in and out."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tornado_chat.errors import Malformed
from tornado_chat.services.notifications import APPOINTMENT, CONVERSATION, PLAIN
from tornado_chat.types import Notification, Person, Role, Room
from tornado_chat.wire.times import LocalTimes

Id = Annotated[int, Meta(ge=0, le=2**62)] | Annotated[str, Meta(min_length=1, max_length=64)]
"""A person's id: hosts use integers or strings; 7 and "7" are the same person."""

Number = Annotated[int, Meta(ge=1, le=2**62)]
Name = Annotated[str, Meta(max_length=64)]
Feedback = Annotated[str, Meta(max_length=2000)]


class OpenSession(msgspec.Struct, frozen=True):
    user_id: Id
    consultant_id: Id
    session_id: Number | None = None
    appointment_id: Number | None = None
    user_name: Name | None = None
    consultant_name: Name | None = None


class CallSupervisor(msgspec.Struct, frozen=True):
    supervisor_id: Id
    supervisor_name: Name | None = None
    record_id: Number | None = None


class Rating(msgspec.Struct, frozen=True):
    rate: Annotated[int, Meta(ge=1, le=5)]
    feedback: Feedback | None = None


class Notify(msgspec.Struct, frozen=True):
    role: Literal["user", "consultant", "supervisor", "waiter", "admin"]
    id: Id
    type: Literal[0, 1, 2]
    msg: Annotated[str, Meta(min_length=1, max_length=2000)]
    data: dict[str, Any] | None = None

    @property
    def recipient(self) -> Person:
        return Person(Role(self.role), str(self.id))

    def check(self) -> None:
        """Hold ``data`` to what the seed says of the type.

        :raises Malformed: a client of the seed could not read it.
        """
        if self.type == PLAIN and self.data is not None:
            raise Malformed("bad_shape", reason="`data` of type 0 must be null")
        for type_, key in ((APPOINTMENT, "apointmentId"), (CONVERSATION, "sessionId")):
            if self.type == type_ and key not in (self.data or {}):
                raise Malformed("bad_shape", reason=f"`data` of type {type_} needs `{key}` (spelled so)")


class Page(msgspec.Struct, frozen=True):
    """A part of a list. ``next`` is the ``after`` of the following part, null at the end."""

    items: list[Any]
    next: int | None


def session(room: Room, times: LocalTimes) -> dict[str, Any]:
    """A session as the API shows it. Times are local, as in the frames."""

    def text(time: int | None) -> str | None:
        return None if time is None else times.text(time)

    return {
        "session_id": room.thread.id,
        "user_id": room.asker.plain_id,
        "consultant_id": room.helper.plain_id,
        "user_name": room.asker_name,
        "consultant_name": room.helper_name,
        "appointment_id": room.appointment_id,
        "state": room.state.value,
        "created": text(room.created),
        "started": text(room.started),
        "ended": text(room.ended),
        "rate": room.rate,
        "feedback": room.feedback,
    }


def notification(item: Notification, times: LocalTimes) -> dict[str, Any]:
    return {
        "notification_id": item.id,
        "seq": item.seq,
        "type": item.type,
        "msg": item.msg,
        "time": times.text(item.time),
        "data": item.data,
        "read": item.read,
        "read_at": None if item.read_at is None else times.text(item.read_at),
    }
