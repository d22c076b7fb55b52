"""Conversion of the services' values to the structs of ``web.api.schemas``.

Times are written as local times, as in the frames.
"""

from collections.abc import Mapping
from typing import Any

from tornado_chat.core.types import Conversation, Notification, Person, Room
from tornado_chat.web.api.schemas import (
    EndedConversation,
    InboxItem,
    QueueStatus,
    Session,
    SupervisionRecord,
    SupportStatus,
    WaiterStatus,
    Waiting,
)
from tornado_chat.wire.times import LocalTimes


def session(room: Room, times: LocalTimes) -> Session:
    """Convert the room of a session between visitor and consultant."""
    return Session(
        session_id=room.thread.id,
        user_id=room.asker.host_id,
        consultant_id=room.helper.host_id,
        user_name=room.asker_name,
        consultant_name=room.helper_name,
        appointment_id=room.appointment_id,
        state=room.state,
        created=times.format(room.created),
        started=_format_optional(room.started, times),
        ended=_format_optional(room.ended, times),
        rate=room.rate,
        feedback=room.feedback,
    )


def record(room: Room, times: LocalTimes) -> SupervisionRecord:
    """Convert the room of a supervision record."""
    return SupervisionRecord(
        record_id=room.thread.id,
        session_id=room.session_id,
        consultant_id=room.asker.host_id,
        supervisor_id=room.helper.host_id,
        consultant_name=room.asker_name,
        supervisor_name=room.helper_name,
        state=room.state,
        created=times.format(room.created),
        started=_format_optional(room.started, times),
        ended=_format_optional(room.ended, times),
    )


def notification(item: Notification, times: LocalTimes) -> InboxItem:
    return InboxItem(
        notification_id=item.id,
        seq=item.seq,
        type=item.type,
        msg=item.msg,
        time=times.format(item.time),
        data=item.data,
        read=item.read,
        read_at=_format_optional(item.read_at, times),
    )


def support_status(status: Mapping[str, Any], now: int, times: LocalTimes) -> SupportStatus:
    """Convert the status of the support service.

    :arg status: the result of ``Support.status``.
    :arg now: microseconds since 1970 UTC.
    """
    queue = status["queue"]
    return SupportStatus(
        time=times.format(now),
        waiters=[
            WaiterStatus(
                id=Person.from_key(each["person"]).host_id,
                name=each["name"],
                ready=each["ready"],
                connected=each["connected"],
                conversations=each["conversations"],
                capacity=each["capacity"],
            )
            for each in status["waiters"]
        ],
        queue=QueueStatus(
            length=queue["length"],
            waiting_since=_format_optional(queue["waiting_since"], times),
            first=[
                Waiting(
                    id=Person.from_key(each["person"]).host_id,
                    name=each["name"],
                    since=times.format(each["since"]),
                )
                for each in queue["first"]
            ],
        ),
        conversations=status["conversations"],
    )


def conversation(item: Conversation, times: LocalTimes) -> EndedConversation:
    """Convert a finished support conversation."""
    return EndedConversation(
        conversation=item.id,
        user_id=item.user.host_id,
        user_name=item.user_name,
        waiter_id=None if item.waiter is None else item.waiter.host_id,
        waiter_name=item.waiter_name,
        created=times.format(item.created),
        assigned=_format_optional(item.assigned, times),
        ended=_format_optional(item.ended, times),
        messages=item.last_seq,
        rate=item.rate,
        feedback=item.feedback,
    )


def _format_optional(time: int | None, times: LocalTimes) -> str | None:
    return None if time is None else times.format(time)
