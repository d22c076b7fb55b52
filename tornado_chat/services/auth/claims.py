"""Reading id, role and name from a token's claims. Each function raises ``ValueError`` with the reason."""

import unicodedata
from collections.abc import Mapping
from typing import Any

from tornado_chat.core.types import Identity, Role

MAX_CLAIM_CHARS = 64
"""Characters of an id, and of a display name."""

ZERO_WIDTH_JOINERS = "\u200c\u200d"
"""Invisible, but part of names: in Persian, in Indic scripts and between emoji."""


GUEST_CLAIM = "guest"
"""The claim that marks guest tokens of this server, whatever ids the host system uses."""


def is_guest(identity: Identity) -> bool:
    """Return True for an anonymous user with a token of this server."""
    return identity.claims.get(GUEST_CLAIM) is True and identity.person.role is Role.USER


def read_id(claim: str, claims: Mapping[str, Any]) -> str:
    value = claims.get(claim)
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    # Two ids must not look alike in a log, nor be equal in a database that ignores trailing spaces.
    # isprintable() refuses invisible characters, and lone surrogates, which no database stores.
    if (
        isinstance(text, str)
        and 0 < len(text) <= MAX_CLAIM_CHARS
        and text.isprintable()
        and text == text.strip()
    ):
        return text
    raise ValueError(f"{claim} is not an integer or a text of 1 to {MAX_CLAIM_CHARS} printable characters")


def read_role(claim: str, claims: Mapping[str, Any]) -> Role:
    value = claims.get(claim)
    if value not in list(Role):
        raise ValueError(f"{claim} is not one of {', '.join(Role)}")
    return Role(value)


def read_name(claim: str, claims: Mapping[str, Any]) -> str | None:
    value = claims.get(claim)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{claim} is not a text")
    visible = "".join(filter(_is_visible, value))
    return visible.strip()[:MAX_CLAIM_CHARS].rstrip() or None


def _is_visible(character: str) -> bool:
    """Return False for controls (Cc; Cf, also changes of text direction), separators and surrogates."""
    return character in ZERO_WIDTH_JOINERS or unicodedata.category(character) not in (
        "Cc",
        "Cf",
        "Cs",
        "Zl",
        "Zp",
    )
