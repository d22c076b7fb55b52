"""Offers of hand-overs, as the frames of both dialects and the HTTP API show them."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tornado_chat.core.events import OfferShown
from tornado_chat.core.types import Kind, Person
from tornado_chat.wire.people import Sender, sender_of
from tornado_chat.wire.times import LocalTimes, Time


class OfferDetails(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """An offer of a session or support conversation to another agent."""

    id: Annotated[str, Meta(description="The number of the offer; a text.", examples=["7"])]
    kind: Annotated[
        Literal["session", "conversation"], Meta(description="What is offered.", examples=["session"])
    ]
    number: Annotated[
        str, Meta(description="The number of the session or conversation; a text.", examples=["4"])
    ]
    state: Annotated[
        str,
        Meta(
            description=(
                "`offered`, `accepted`, `declined`, `expired`, `withdrawn` or `ended`: the conversation has "
                "ended, or has another agent."
            ),
            examples=["offered"],
        ),
    ]
    yours: Annotated[
        bool, Meta(description="True if you may accept it, or have accepted it.", examples=[True])
    ]
    from_: Annotated[Sender, Meta(description="The agent that has, or had, the conversation.")]
    to: Annotated[
        Sender | None,
        Meta(description="The person to whom it is offered now, or that has accepted it; null: none yet."),
    ]
    by: Annotated[Sender, Meta(description="The person that has made the offer.")]
    group: Annotated[
        str | None, Meta(description="The group to whose line the user has returned.", examples=[None])
    ]
    client: Annotated[Sender, Meta(description="The visitor, or user.")]
    note: Annotated[
        str | None, Meta(description="For the next agent; visitors never get it.", examples=["speaks Hakka"])
    ]
    until: Annotated[Time | None, Meta(description="Until when `to` may accept it.")]
    time: Annotated[Time, Meta(description="The server's time, to compare `until` with.")]


def offer_details(event: OfferShown, now: int, times: LocalTimes) -> OfferDetails:
    """:arg now: microseconds since 1970."""
    offer, names = event.change.offer, event.change.names

    def person(person: Person) -> Sender:
        return sender_of(person, names.get(person.key))

    is_open = event.state is offer.state and offer.is_open
    return OfferDetails(
        id=str(offer.id),
        kind="session" if offer.thread.kind is Kind.SESSION else "conversation",
        number=str(offer.thread.id),
        state=event.state.value,
        yours=event.is_yours,
        from_=person(offer.source),
        to=None if offer.target is None else person(offer.target),
        by=person(offer.offered_by),
        group=offer.group,
        client=person(event.change.client),
        note=event.note,
        until=times.format(offer.deadline) if is_open and offer.deadline is not None else None,
        time=times.format(now),
    )
