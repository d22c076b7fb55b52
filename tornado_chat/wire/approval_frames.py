"""The frames about held messages, which both dialects and the HTTP API share."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tornado_chat.core.events import HeldChanged
from tornado_chat.core.numbers import Number
from tornado_chat.core.types import HeldMessage, HeldState, Kind, Person
from tornado_chat.wire.people import Named, Sender, sender_of
from tornado_chat.wire.times import LocalTimes, Time

HeldNumber = Annotated[Number, Meta(description="The number of the held message.", examples=[12])]
State = Annotated[
    Literal["held", "approved", "edited", "refused", "expired"],
    Meta(
        description=(
            "`held` until the decision. `approved`: sent as it is, by a supervisor or because the time was "
            "over; `edited`: it was sent with another text; `refused` by a supervisor; `expired`: the "
            "time was over, or the conversation has ended. A state other than `held` is final."
        ),
        examples=["held"],
    ),
]
Note = Annotated[str, Meta(max_length=1000, description="A sentence of the supervisor for the sender.")]
Until = Annotated[Time, Meta(description="The time at which the message is decided without a supervisor.")]


class ApprovalShown(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The state of a message that waits, or has waited, for an approval; for its sender."""

    held: HeldNumber
    state: State
    client_id: (
        Annotated[str, Meta(description="The id that the client has chosen for it.", examples=["a1"])]
        | UnsetType
    ) = UNSET
    text: Annotated[str, Meta(description="The text as the agent has written it.", examples=["hi"])]
    time: Annotated[Time, Meta(description="The time at which it was held.")]
    until: Until | UnsetType = UNSET
    final: (
        Annotated[
            str, Meta(description="The text that was sent instead, if it was edited.", examples=["hello"])
        ]
        | UnsetType
    ) = UNSET
    seq: Annotated[int, Meta(ge=1, description="The number of the sent message.")] | UnsetType = UNSET
    by: Annotated[Sender, Meta(description="The supervisor that has decided.")] | UnsetType = UNSET
    note: Note | UnsetType = UNSET
    approvers: (
        Annotated[
            list[Named], Meta(description="The supervisors that could approve it, if none of them is there.")
        ]
        | UnsetType
    ) = UNSET
    conversation: Annotated[int, Meta(description="The support conversation.", examples=[7])] | UnsetType = (
        UNSET
    )


class HeldShown(msgspec.Struct, kw_only=True):
    """A held message, for those who decide on it."""

    id: HeldNumber
    kind: Annotated[
        Literal["session", "conversation"],
        Meta(description="A session, or a support conversation."),
    ]
    number: Annotated[int, Meta(description="The number of the session or conversation.", examples=[4])]
    group: Annotated[str, Meta(description="The group of the conversation.", examples=["default"])]
    sender: Annotated[Sender, Meta(description="The agent that has written it.")]
    media: Annotated[str, Meta(description="`text`, or `image` with a URL as text.", examples=["text"])]
    text: Annotated[str, Meta(description="The text as the agent has written it.", examples=["hi"])]
    time: Annotated[Time, Meta(description="The time at which it was held.")]
    until: Annotated[
        Time | None, Meta(description="The time at which it is decided without a supervisor; null: never.")
    ]
    state: State
    by: Annotated[
        Sender | None,
        Meta(description="The supervisor that has decided; null before, and if none has."),
    ]
    decided: Annotated[Time | None, Meta(description="The time of the decision.")]
    final: Annotated[str | None, Meta(description="The text that was sent instead, if it was edited.")]
    note: Annotated[str | None, Meta(description="The sentence of the supervisor for the sender.")]
    seq: Annotated[int | None, Meta(description="The number of the sent message.")]


def _person(person: Person) -> Sender:
    return sender_of(person, None)


def approval_shown(event: HeldChanged, times: LocalTimes) -> ApprovalShown:
    """Return the state of a held message for its sender."""
    held = event.held
    shown = ApprovalShown(
        held=held.id, state=held.state.value, text=held.text, time=times.format(held.created)
    )
    if held.client_id is not None:
        shown.client_id = held.client_id
    if held.state is HeldState.HELD and held.deadline is not None:
        shown.until = times.format(held.deadline)
    if held.final_text is not None:
        shown.final = held.final_text
    if held.seq is not None:
        shown.seq = held.seq
    if held.decided_by is not None:
        shown.by = _person(held.decided_by)
    if held.note is not None:
        shown.note = held.note
    if event.approvers:
        shown.approvers = [Named(person.id, name) for person, name in event.approvers]
    if held.thread.kind is Kind.SUPPORT:
        shown.conversation = held.thread.id
    return shown


def held_shown(held: HeldMessage, times: LocalTimes, sender_name: str | None = None) -> HeldShown:
    """Return a held message for those who decide on it. :arg sender_name: the name of the agent."""
    return HeldShown(
        id=held.id,
        kind="session" if held.thread.kind is Kind.SESSION else "conversation",
        number=held.thread.id,
        group=held.group,
        sender=sender_of(held.sender, sender_name),
        media=held.media,
        text=held.text,
        time=times.format(held.created),
        until=None if held.deadline is None else times.format(held.deadline),
        state=held.state.value,
        by=None if held.decided_by is None else _person(held.decided_by),
        decided=None if held.decided is None else times.format(held.decided),
        final=held.final_text,
        note=held.note,
        seq=held.seq,
    )
