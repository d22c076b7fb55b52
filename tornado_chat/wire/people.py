"""The people that frames of both dialects name: senders of messages, and agents that hand over."""

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from tornado_chat.core.types import Kind, Message, Person, Role, Thread

THIRD_ROLES = frozenset({Role.SUPERVISOR, Role.ADMIN, Role.BOT})
"""The roles of those that may take part beside client and agent."""

NameOf = Callable[[Thread, Person], str | None]
"""Returns the name of a participant of a conversation; None if it has none, or none is known."""

PersonIdText = Annotated[str, Meta(description="The person's id; a text.", examples=["8"])]
PersonName = Annotated[
    str | None, Meta(description="The person's name; null if none is known.", examples=["陈老师"])
]


class Sender(msgspec.Struct, frozen=True):
    """The person that has sent a message."""

    role: Annotated[str, Meta(description="The role of the sender.", examples=["consultant"])]
    id: PersonIdText
    name: PersonName


class Named(msgspec.Struct, frozen=True):
    """An agent, of a known role."""

    id: PersonIdText
    name: PersonName


def with_speaker(message: Message, name: str | None) -> str:
    """Return the text of a message for clients whose frames name no sender.

    The text of a supervisor or bot that takes part has its name in front: the client or agent would be taken
    for the speaker.
    """
    if message.sender.role not in THIRD_ROLES or message.thread.kind is Kind.RECORD:
        return message.text
    return f"{name or message.sender.id}: {message.text}"


def no_name(thread: Thread, person: Person) -> str | None:
    """Return None: no name is known."""
    return None


def sender_of(person: Person, name: str | None) -> Sender:
    """Return the sender as frames show it. The name of a bot is its id."""
    return Sender(person.role.value, person.id, person.id if person.role is Role.BOT else name)


def text_with_name(person: Person, text: str) -> str:
    """Return a text for clients that do not show the sender: that of a bot begins with its name."""
    return f"{person.id}: {text}" if person.role is Role.BOT else text
