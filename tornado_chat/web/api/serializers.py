"""Conversion of the services' values to the structs of ``web.api.schemas``."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from tornado_chat.core.status import ConversationSummary, Status
from tornado_chat.core.types import (
    DEFAULT_GROUP,
    Consent,
    Conversation,
    Message,
    Notification,
    Participant,
    Person,
    Role,
    Room,
)
from tornado_chat.services.counselling.service import Progress
from tornado_chat.web.api.ids import Id
from tornado_chat.web.api.schemas import (
    Agent,
    ConsentGiven,
    ConversationDetails,
    ConversationParticipant,
    EndedConversation,
    GivenConsents,
    InboxItem,
    QueueStatus,
    Session,
    SessionDetails,
    SupervisionDetails,
    SupervisionRecord,
    SupportMessage,
    SupportStatus,
    WaiterStatus,
    Waiting,
)
from tornado_chat.wire.counselling_frames import DATA_IDS
from tornado_chat.wire.support import message_id
from tornado_chat.wire.times import LocalTimes


def session(room: Room, times: LocalTimes) -> Session:
    """Convert the room of a session between visitor and agent."""
    is_consultant = room.helper.role is Role.CONSULTANT
    return Session(
        session_id=Id(room.thread.id),
        user_id=Id.of(room.asker),
        consultant_id=Id.of(room.helper) if is_consultant else None,
        user_name=room.asker_name,
        consultant_name=room.helper_name if is_consultant else None,
        appointment_id=Id.of_optional(room.appointment_id),
        state=room.state,
        created=times.format(room.created),
        started=_format_optional(room.started, times),
        ended=_format_optional(room.ended, times),
        rate=room.rate,
        feedback=room.feedback,
        end_reason=room.end_reason,
        group=room.group,
        agent=Agent(room.helper.role.value, Id.of(room.helper), room.helper_name),
    )


def record(room: Room, times: LocalTimes) -> SupervisionRecord:
    """Convert the room of a supervision record."""
    return SupervisionRecord(
        record_id=Id(room.thread.id),
        session_id=Id.of_optional(room.session_id),
        consultant_id=Id.of(room.asker),
        supervisor_id=Id.of(room.helper),
        consultant_name=room.asker_name,
        supervisor_name=room.helper_name,
        state=room.state,
        created=times.format(room.created),
        started=_format_optional(room.started, times),
        ended=_format_optional(room.ended, times),
        end_reason=room.end_reason,
        conversation=Id.of_optional(room.conversation_id),
    )


def _by_role(seqs: Mapping[Role, int]) -> dict[str, int]:
    return {role.value: seq for role, seq in seqs.items()}


def session_details(
    room: Room, progress: Progress, given: Sequence[Consent], times: LocalTimes
) -> SessionDetails:
    """Convert the room of a session, how far its participants have got, and what the visitor has accepted."""
    shown = msgspec.structs.asdict(session(room, times))
    return SessionDetails(
        **shown,
        received=_by_role(progress.received),
        read=_by_role(progress.read),
        consents=given_consents(given, times),
    )


def given_consents(given: Sequence[Consent], times: LocalTimes) -> GivenConsents:
    """Convert the consents of a conversation; unset if there are none."""
    shown = [
        ConsentGiven(each.group, each.version, each.language, times.format(each.accepted)) for each in given
    ]
    return shown or UNSET


def record_details(room: Room, progress: Progress, times: LocalTimes) -> SupervisionDetails:
    """Convert the room of a supervision record, and how far its participants have got."""
    shown = msgspec.structs.asdict(record(room, times))
    return SupervisionDetails(**shown, received=_by_role(progress.received), read=_by_role(progress.read))


def notification(item: Notification, times: LocalTimes) -> InboxItem:
    return InboxItem(
        notification_id=Id(item.id),
        seq=item.seq,
        type=item.type,
        msg=item.msg,
        time=times.format(item.time),
        data=_notification_data(item.data),
        read=item.read,
        read_at=_format_optional(item.read_at, times),
    )


def support_status(
    status: Mapping[str, Any], now: int, times: LocalTimes, first_words: Mapping[int, str]
) -> SupportStatus:
    """Convert the status of the support service.

    :arg status: the result of ``Support.status``.
    :arg now: microseconds since 1970 UTC.
    :arg first_words: the beginnings of first words that the caller may read, by conversation.
    """
    queue = status["queue"]
    return SupportStatus(
        time=times.format(now),
        waiters=[
            WaiterStatus(
                id=Id.of(Person.from_key(each["person"])),
                name=each["name"],
                ready=each["ready"],
                connected=each["connected"],
                conversations=each["conversations"],
                capacity=each["capacity"],
                role=Person.from_key(each["person"]).role.value,
                groups=each.get("groups", []),  # a coordinator of an earlier version does not say it
            )
            for each in status["waiters"]
        ],
        queue=QueueStatus(
            length=queue["length"],
            waiting_since=_format_optional(queue["waiting_since"], times),
            first=[
                Waiting(
                    id=Id.of(Person.from_key(each["person"])),
                    name=each["name"],
                    since=times.format(each["since"]),
                    group=each.get("group", DEFAULT_GROUP),
                    conversation=Id(each["conversation"]) if "conversation" in each else UNSET,
                    first_words=first_words.get(each.get("conversation", 0), UNSET),
                )
                for each in queue["first"]
            ],
        ),
        conversations=status["conversations"],
    )


def conversation(item: Conversation, times: LocalTimes) -> EndedConversation:
    """Convert a support conversation."""
    return EndedConversation(
        conversation=Id(item.id),
        user_id=Id.of(item.user),
        user_name=item.user_name,
        waiter_id=None if item.waiter is None else Id.of(item.waiter),
        waiter_name=item.waiter_name,
        created=times.format(item.created),
        assigned=_format_optional(item.assigned, times),
        ended=_format_optional(item.ended, times),
        messages=item.last_seq,
        rate=item.rate,
        feedback=item.feedback,
        group=item.group,
        state=item.state,
        waiter_role=None if item.waiter is None else item.waiter.role.value,
    )


def conversation_details(
    item: Conversation, people: Sequence[Participant], times: LocalTimes
) -> ConversationDetails:
    """Convert a support conversation with its participants."""
    participants = [participant(each, times) for each in people]
    return ConversationDetails(**msgspec.structs.asdict(conversation(item, times)), participants=participants)


def participant(each: Participant, times: LocalTimes) -> ConversationParticipant:
    return ConversationParticipant(
        each.person.role.value,
        Id.of(each.person),
        each.name,
        each.part,
        times.format(each.joined),
        _format_optional(each.left, times),
    )


def support_message(message: Message, times: LocalTimes, name: str | None) -> SupportMessage:
    """Convert a message of a support conversation. :arg name: the name of its sender."""
    return SupportMessage(
        id=message_id(message),
        seq=message.seq,
        sender=message.sender.role.value,
        sender_id=message.sender.id,
        sender_name=name,
        type=f"message_{message.media}",
        message=message.text,
        time=times.format(message.time),
    )


def status_for_pages(status: Status) -> Status:
    """Return ``status``, as the processes exchange it, with ids as texts."""
    replace = msgspec.structs.replace
    line, waiters = status.line, status.waiters
    first = [replace(each, conversation=str(each.conversation), id=str(each.id)) for each in line.first]
    return replace(
        status,
        line=replace(line, first=first),
        waiters=replace(waiters, items=[replace(each, id=str(each.id)) for each in waiters.items]),
        conversations=_summary_for_pages(status.conversations),
        rooms=_summary_for_pages(status.rooms),
    )


def _summary_for_pages(summary: ConversationSummary) -> ConversationSummary:
    replace = msgspec.structs.replace
    items = [
        replace(each, id=str(each.id), people=[replace(one, id=str(one.id)) for one in each.people])
        for each in summary.items
    ]
    return replace(summary, items=items)


def _notification_data(data: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if data is None:
        return None
    return {
        key: Id(value) if key in DATA_IDS and isinstance(value, int) else value for key, value in data.items()
    }


def _format_optional(time: int | None, times: LocalTimes) -> str | None:
    return None if time is None else times.format(time)
