"""What tokens are checked with, and the tokens of our own made."""

from pathlib import Path
from typing import NamedTuple

from tornado_chat import config
from tornado_chat.services.auth.secret import load_secret
from tornado_chat.services.auth.tokens import Authenticator, build_authenticator, derive_account_key


class TokenKeys(NamedTuple):
    """:ivar secret: of guests' tokens; None if nobody makes tokens here.
    :ivar account_key: of the tokens of accounts; None if they are switched off.
    """

    authenticator: Authenticator
    secret: bytes | None
    account_key: bytes | None


def load_keys(
    auth: config.Auth, staff: config.Staff, state_dir: Path, previous: Authenticator | None = None
) -> TokenKeys:
    """:arg previous: the authenticator in use.

    :raises ValueError: a key cannot be used; the sentence says why.
    """
    makes_tokens = auth.guests or staff.enabled
    secret = load_secret(auth, state_dir) if makes_tokens else None
    account_key = derive_account_key(secret) if secret is not None and staff.enabled else None
    return TokenKeys(build_authenticator(auth, state_dir, secret, account_key, previous), secret, account_key)
