"""The keys of a configuration: which are loaded, and the tokens that they verify."""

import time
from pathlib import Path

import pytest

from tornado_chat import config
from tornado_chat.core.errors import Unauthenticated
from tornado_chat.core.types import Role
from tornado_chat.services.auth.keys import TokenKeys, load_keys
from tornado_chat.services.auth.tokens import mint_account_token, mint_token

STAFF_ON, STAFF_OFF = config.Staff(enabled=True), config.Staff(enabled=False)
TOKEN = {"id": "1", "role": Role.CONSULTANT, "name": None, "lifetime": 60.0}


def account_token(keys: TokenKeys, now: float) -> str:
    assert keys.account_key is not None
    return mint_account_token(config.Auth(), keys.account_key, now=now, extra_claims={}, **TOKEN)  # type: ignore[arg-type]


def test_only_the_keys_that_are_needed_are_loaded(tmp_path: Path) -> None:
    neither = load_keys(config.Auth(guests=False), STAFF_OFF, tmp_path)
    assert (neither.secret, neither.account_key) == (None, None)
    guests = load_keys(config.Auth(guests=True), STAFF_OFF, tmp_path)
    assert guests.secret is not None
    assert guests.account_key is None
    assert load_keys(config.Auth(guests=False), STAFF_ON, tmp_path).account_key is not None


@pytest.mark.gen_test
async def test_tokens_of_accounts_are_accepted_only_while_accounts_are_on(tmp_path: Path) -> None:
    keys = load_keys(config.Auth(), STAFF_ON, tmp_path)
    token = account_token(keys, time.time())
    assert (await keys.authenticator.verify(token)).person.role is Role.CONSULTANT
    off = load_keys(config.Auth(), STAFF_OFF, tmp_path, keys.authenticator)
    with pytest.raises(Unauthenticated):
        await off.authenticator.verify(token)
    assert off.authenticator.has_different_keys(keys.authenticator) is False  # the host's keys are the same


@pytest.mark.gen_test
async def test_the_shared_secret_does_not_sign_tokens_of_accounts(tmp_path: Path) -> None:
    keys = load_keys(config.Auth(), STAFF_ON, tmp_path)
    assert keys.secret is not None
    assert keys.account_key != keys.secret
    host = mint_token(config.Auth(), keys.secret, now=time.time(), **TOKEN)  # type: ignore[arg-type]
    assert (await keys.authenticator.verify(host)).person.id == "1"
    forged = mint_account_token(config.Auth(), keys.secret, now=time.time(), extra_claims={}, **TOKEN)  # type: ignore[arg-type]
    with pytest.raises(Unauthenticated):
        await keys.authenticator.verify(forged)


def test_a_weak_secret_stops_the_loading(tmp_path: Path) -> None:
    path = tmp_path / "weak"
    path.write_text("short")
    with pytest.raises(ValueError, match="can be guessed"):
        load_keys(config.Auth(secret_file=str(path)), STAFF_OFF, tmp_path)
