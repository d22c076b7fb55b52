"""Reading id, role and name from a token's claims. Each function raises ``ValueError`` with the reason."""

from collections.abc import Mapping
from typing import Any

from tornado_chat.core.plain_text import MAX_NAME_CHARS, clean_name, is_person_id
from tornado_chat.core.types import TOKEN_ROLES, Identity, Role

GUEST_CLAIM = "guest"
"""The claim that marks guest tokens of this server, whatever ids the host system uses."""


def is_guest(identity: Identity) -> bool:
    """Return True for an anonymous user with a token of this server."""
    return identity.claims.get(GUEST_CLAIM) is True and identity.person.role is Role.USER


def read_id(claim: str, claims: Mapping[str, Any]) -> str:
    value = claims.get(claim)
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and is_person_id(text):
        return text
    raise ValueError(f"{claim} is not an integer or a text of 1 to {MAX_NAME_CHARS} printable characters")


def read_role(claim: str, claims: Mapping[str, Any]) -> Role:
    value = claims.get(claim)
    if value not in TOKEN_ROLES:
        raise ValueError(f"{claim} is not one of {', '.join(TOKEN_ROLES)}")
    return Role(value)


def read_name(claim: str, claims: Mapping[str, Any]) -> str | None:
    value = claims.get(claim)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{claim} is not a text")
    return clean_name(value)
