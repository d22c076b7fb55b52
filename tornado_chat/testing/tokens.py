"""Tokens of people who exist in tests only."""

import time
from typing import Any

from tornado_chat.config.sections import Auth
from tornado_chat.core.types import Role
from tornado_chat.services.auth.tokens import mint_token


def make_token(
    secret: bytes,
    role: Role | str,
    id: int | str,
    name: str | None = None,
    *,
    lifetime: float = 3600,
    auth: Auth | None = None,
    **claims: Any,
) -> str:
    """Return a token.

    :arg lifetime: seconds from now.
    :arg auth: the names of the claims; the default ones without it.
    :arg claims: further claims, as a host system adds them for plugins.
    :raises ValueError: the configuration accepts no tokens with a shared secret.
    """
    return mint_token(
        auth or Auth(),
        secret,
        id=id,
        role=Role(role),
        name=name,
        lifetime=lifetime,
        now=time.time(),
        extra_claims=claims,
    )
