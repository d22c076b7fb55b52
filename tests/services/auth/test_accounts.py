"""Accounts: sign-in, tokens, and the end of sessions."""

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.helpers.accounts import CHEAP, HASH, PASSWORD, cheap_passwords
from tornado_chat import config
from tornado_chat.core.errors import Forbidden, Unauthenticated
from tornado_chat.core.types import Identity, Person, Role, StaffAccount
from tornado_chat.services.auth.accounts import Accounts, is_device_cookie, make_device_cookie
from tornado_chat.services.auth.login_throttle import LoginThrottle
from tornado_chat.services.auth.tokens import Authenticator
from tornado_chat.services.messaging.connections import ACCOUNT_SESSION_CLAIM
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import staff

KEY = b"k" * 32
ADDRESS = "192.0.2.1"
CHEN = Person(Role.CONSULTANT, "staff-chen")


class OpenSockets:
    """The connections of this process: the sessions with open sockets, and those that were closed."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.closed: list[str] = []

    def sessions(self) -> set[str]:
        return self.open

    def close_session(self, session: str) -> None:
        self.closed.append(session)


@pytest.fixture
def sockets() -> OpenSockets:
    return OpenSockets()


def make_accounts(store: Store, sockets: OpenSockets, key: bytes | None = KEY) -> Accounts:
    return Accounts(
        config.Staff(enabled=True),
        config.Auth(),
        key,
        store,
        sockets,  # type: ignore[arg-type]
        cheap_passwords(),
        LoginThrottle(),
    )


async def add_chen(store: Store) -> None:
    account = StaffAccount("chen", "Dr. Chen", CHEN, time.time_ns() // 1000)
    await store.write(lambda tx: staff.add(tx.database, account, HASH))


async def verify(token: str) -> Identity:
    return await Authenticator(config.Auth(), b"s" * 48, None, account_key=KEY).verify(token)


@pytest.mark.gen_test
async def test_the_password_opens_a_session_whose_tokens_are_accepted(
    store: Store, sockets: OpenSockets
) -> None:
    await add_chen(store)
    accounts = make_accounts(store, sockets)
    signed_in = await accounts.sign_in(" Chen ", PASSWORD, ADDRESS, None)
    assert signed_in.account.person == CHEN
    assert (await accounts.find_account(signed_in.secret)) is not None
    identity = await verify((await accounts.issue_token(signed_in.secret)).token)
    assert (identity.person, identity.name) == (CHEN, "Dr. Chen")
    await accounts.require_session(identity)
    assert is_device_cookie(signed_in.device, "chen", HASH)


@pytest.mark.gen_test
async def test_tokens_name_the_groups_of_the_account(store: Store, sockets: OpenSockets) -> None:
    await add_chen(store)
    accounts = make_accounts(store, sockets)
    groups: list[object] = []
    for names in ((), ("crisis", "legal")):
        await store.write(lambda tx, names=names: staff.set_groups(tx.database, "chen", names))
        signed_in = await accounts.sign_in("chen", PASSWORD, ADDRESS, None)
        identity = await verify((await accounts.issue_token(signed_in.secret)).token)
        groups.append(identity.claims.get("groups"))
    assert groups == [None, ["crisis", "legal"]]


@pytest.mark.gen_test
async def test_tokens_of_a_trainee_say_so(store: Store, sockets: OpenSockets) -> None:
    await add_chen(store)
    accounts = make_accounts(store, sockets)
    claims: list[object] = []
    for is_on in (True, False):
        await store.write(lambda tx, is_on=is_on: staff.set_trainee(tx.database, "chen", is_on))
        signed_in = await accounts.sign_in("chen", PASSWORD, ADDRESS, None)
        identity = await verify((await accounts.issue_token(signed_in.secret)).token)
        claims.append(identity.claims.get("trainee"))
    assert claims == [True, None]


@pytest.mark.gen_test
@pytest.mark.parametrize(("name", "password"), [("chen", "wrong"), ("nobody", PASSWORD), (PASSWORD, "chen")])
async def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(
    store: Store,
    sockets: OpenSockets,
    name: str,
    password: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    await add_chen(store)
    with pytest.raises(Unauthenticated) as refused:
        await make_accounts(store, sockets).sign_in(name, password, ADDRESS, None)
    assert refused.value.code == "wrong_password"
    assert not [record for record in caplog.records if PASSWORD in str(vars(record))], "also not as a name"


@pytest.mark.gen_test
async def test_only_the_right_password_tells_that_an_account_is_disabled(
    store: Store, sockets: OpenSockets
) -> None:
    await add_chen(store)
    await store.write(lambda tx: staff.set_disabled(tx.database, "chen", True))
    accounts = make_accounts(store, sockets)
    with pytest.raises(Unauthenticated):
        await accounts.sign_in("chen", "wrong", ADDRESS, None)
    with pytest.raises(Forbidden) as refused:
        await accounts.sign_in("chen", PASSWORD, ADDRESS, None)
    assert refused.value.code == "account_disabled"


@pytest.mark.gen_test
async def test_signing_out_ends_the_session_its_tokens_and_its_sockets(
    store: Store, sockets: OpenSockets
) -> None:
    await add_chen(store)
    accounts = make_accounts(store, sockets)
    secret = (await accounts.sign_in("chen", PASSWORD, ADDRESS, None)).secret
    identity = await verify((await accounts.issue_token(secret)).token)
    await accounts.sign_out(secret)
    assert sockets.closed == [identity.claims[ACCOUNT_SESSION_CLAIM]]
    assert await accounts.find_account(secret) is None
    with pytest.raises(Unauthenticated):
        await accounts.issue_token(secret)
    with pytest.raises(Unauthenticated):
        await accounts.require_session(identity)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "change",
    [
        lambda tx: staff.set_disabled(tx.database, "chen", True),
        lambda tx: staff.set_password(tx.database, "chen", CHEAP.hash("another password")),
        lambda tx: staff.remove(tx.database, "chen", tx.now),
    ],
)
async def test_a_change_of_the_account_closes_its_sockets_and_no_others(
    store: Store, sockets: OpenSockets, change: Callable[..., Any]
) -> None:
    await add_chen(store)
    other = StaffAccount("bob", None, Person(Role.CONSULTANT, "staff-bob"), 1)
    await store.write(lambda tx: staff.add(tx.database, other, HASH))
    accounts = make_accounts(store, sockets)
    sessions = []
    for name in ("chen", "bob"):
        secret = (await accounts.sign_in(name, PASSWORD, ADDRESS, None)).secret
        identity = await verify((await accounts.issue_token(secret)).token)
        sessions.append(identity.claims[ACCOUNT_SESSION_CLAIM])
    sockets.open = set(sessions)
    await accounts.close_ended_sessions()
    assert sockets.closed == []
    await store.write(change)
    await accounts.close_ended_sessions()
    assert sockets.closed == [sessions[0]]


@pytest.mark.gen_test
async def test_without_a_key_accounts_are_off(store: Store, sockets: OpenSockets) -> None:
    await add_chen(store)
    assert await make_accounts(store, sockets).is_available()
    accounts = make_accounts(store, sockets, key=None)
    assert not await accounts.is_available()
    with pytest.raises(Forbidden):
        await accounts.sign_in("chen", PASSWORD, ADDRESS, None)
    assert await accounts.find_account("any") is None


def test_a_new_password_invalidates_device_cookies() -> None:
    cookie = make_device_cookie("chen", HASH)
    assert is_device_cookie(cookie, "chen", HASH)
    assert not is_device_cookie(cookie, "bob", HASH)
    assert not is_device_cookie(cookie, "chen", CHEAP.hash(PASSWORD))
    assert not is_device_cookie("", "chen", HASH)
