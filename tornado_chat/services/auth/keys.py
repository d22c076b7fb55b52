"""The keys that verify tokens, and those that sign the server's own tokens."""

from pathlib import Path
from typing import NamedTuple

from tornado_chat import config
from tornado_chat.services.auth.secret import load_secret
from tornado_chat.services.auth.tokens import Authenticator, build_authenticator, derive_account_key


class TokenKeys(NamedTuple):
    """The authenticator and the signing keys.

    :ivar secret: signs guests' tokens; None if this server issues no tokens.
    :ivar account_key: signs the tokens of accounts; None if accounts are switched off.
    """

    authenticator: Authenticator
    secret: bytes | None
    account_key: bytes | None


def load_keys(
    auth: config.Auth, staff: config.Staff, state_dir: Path, previous: Authenticator | None = None
) -> TokenKeys:
    """Load the keys of this configuration.

    :arg previous: the authenticator in use.
    :raises ValueError: a key cannot be used; the message says why.
    """
    issues_tokens = auth.guests or staff.enabled
    secret = load_secret(auth, state_dir) if issues_tokens else None
    account_key = derive_account_key(secret) if secret is not None and staff.enabled else None
    return TokenKeys(build_authenticator(auth, state_dir, secret, account_key, previous), secret, account_key)
