"""What tokens are checked with, and the tokens of our own made."""

from pathlib import Path
from typing import NamedTuple

from tornado_chat import config
from tornado_chat.services.auth.secret import load_secret
from tornado_chat.services.auth.tokens import Authenticator, build, own_key


class Keys(NamedTuple):
    """:ivar secret: of guests' tokens; None if nobody makes tokens here.
    :ivar own: of the tokens of accounts; None if they are switched off.
    """

    authenticator: Authenticator
    secret: bytes | None
    own: bytes | None


def load_keys(
    auth: config.Auth, staff: config.Staff, state_dir: Path, before: Authenticator | None = None
) -> Keys:
    """:arg before: the authenticator in use.

    :raises ValueError: a key cannot be used; the sentence says why.
    """
    makes_tokens = auth.guests or staff.enabled
    secret = load_secret(auth, state_dir) if makes_tokens else None
    own = own_key(secret) if secret is not None and staff.enabled else None
    return Keys(build(auth, state_dir, secret, own, before), secret, own)
