"""When a client has to replace the token of its open connection."""

import base64
import math
import time
from collections.abc import Callable

import msgspec

Token = str | Callable[[], str]

RENEW_BEFORE_SECONDS = 45.0  # before the token expires
RENEW_RETRY_SECONDS = 20.0  # until the token function is called again if it has no newer token


class _Claims(msgspec.Struct):
    exp: float | None = None


def token_expiry(token: str) -> float:
    """Return ``exp`` of a token, in seconds since 1970; infinite without an expiry that can be read."""
    try:
        payload = token.split(".")[1]
        decoded = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        expiry = msgspec.json.decode(decoded, type=_Claims).exp
    except (IndexError, ValueError):
        return math.inf
    return math.inf if expiry is None else expiry


def renewal_delay(token: str, now: float | None = None) -> float:
    """Return the seconds until a newer token should be sent; infinite for a token without an end."""
    now = time.time() if now is None else now
    return max(1.0, token_expiry(token) - RENEW_BEFORE_SECONDS - now)
