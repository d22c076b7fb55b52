"""Ids in the answers of the HTTP API: texts for pages, numbers for the back ends of hosts.

Strategy: JavaScript rounds numbers above 2^53 to another person's or session's number, so everything that
pages read has ids as texts. The back end of a host (role ``service``) is deployed in any language and has
read numbers since the first version, so it gets numbers, where the id has the form of one. An answer holds
its ids as ``Id``, and the encoder for the caller writes them.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from tornado_chat.core.types import Person, Role

Encode = Callable[[Any], bytes]
"""Encodes an answer as JSON."""


class Id:
    """The id of a person, session, record, conversation or notification in an answer."""

    __slots__ = ("_value",)

    def __init__(self, value: int | str) -> None:
        self._value = value

    @classmethod
    def of(cls, person: Person) -> "Id":
        return cls(person.host_id)

    @classmethod
    def of_optional(cls, value: int | None) -> "Id | None":
        return None if value is None else cls(value)

    def __str__(self) -> str:
        return str(self._value)

    @property
    def host_value(self) -> int | str:
        """The id as an integer, if it has the form of one."""
        return self._value


ID_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
"""The JSON schema of an ``Id``."""


def _as_text(value: Any) -> str:
    if isinstance(value, Id):
        return str(value)
    raise NotImplementedError(type(value).__name__)


def _as_host_value(value: Any) -> int | str:
    if isinstance(value, Id):
        return value.host_value
    raise NotImplementedError(type(value).__name__)


encode_for_pages: Encode = msgspec.json.Encoder(enc_hook=_as_text).encode
encode_for_hosts: Encode = msgspec.json.Encoder(enc_hook=_as_host_value).encode


def encoder_for(role: Role | None) -> Encode:
    """Return the encoder for a caller of ``role``; None: the caller has no token."""
    return encode_for_hosts if role is Role.SERVICE else encode_for_pages
