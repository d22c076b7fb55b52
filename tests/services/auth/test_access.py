"""Access control: plugins before tokens and rules, and sessions after tokens."""

from typing import Any

import pytest

from tests.services.plugins import StubPlugin, manage
from tornado_chat import hookimpl
from tornado_chat.core.errors import Forbidden, Unauthenticated, Unavailable
from tornado_chat.core.requests import Request
from tornado_chat.core.types import Action, Grant, Identity, Person, Role, Thread
from tornado_chat.services.auth.access import AccessControl

USER = Identity(Person(Role.USER, "1"))
GUEST = Identity(Person(Role.USER, "from a plugin"))


class TokenTable:
    """An authenticator that knows one token."""

    async def authenticate(self, token: str | None) -> Grant:
        if token != "valid":
            raise Unauthenticated("token_invalid", reason="unknown")
        return Grant(USER)


class OwnTokens(StubPlugin):
    answer: Any = GUEST

    @hookimpl
    def authenticate(self, token: str) -> Any:
        return self.answer if token == "own" else None


class HostCookies(StubPlugin):
    """Knows a person by the cookie ``session``."""

    answer: Any = GUEST

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str | None, Request | None]] = []

    @hookimpl
    async def authenticate(self, token: str | None, request: Request | None) -> Any:
        self.asked.append((token, request))
        return self.answer if request and request.cookies.get("session") == "valid" else None


COOKIE = Request("/chat", cookies={"session": "valid"})


class Rules(StubPlugin):
    answer: Any = None

    @hookimpl
    def authorize(self, identity: Identity, action: Action, thread: Thread | None) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def refuse_session(identity: Identity) -> None:
    raise Unauthenticated("signed_out")


def control(*plugins: StubPlugin, **options: Any) -> AccessControl:
    return AccessControl(TokenTable(), manage(*plugins), **options)  # type: ignore[arg-type]


@pytest.mark.gen_test
async def test_a_token_that_no_plugin_knows_goes_to_the_authenticator() -> None:
    access = control(OwnTokens())
    assert await access.verify("valid") == USER
    with pytest.raises(Unauthenticated):
        await access.verify("forged")
    with pytest.raises(Unauthenticated):
        await access.verify(None)


@pytest.mark.gen_test
async def test_the_identity_of_a_plugin_needs_no_session() -> None:
    access = control(OwnTokens(), check_session=refuse_session)
    assert await access.verify("own") == GUEST
    with pytest.raises(Unauthenticated) as refused:
        await access.verify("valid")
    assert refused.value.code == "signed_out"


@pytest.mark.gen_test
async def test_a_revoked_token_is_refused_also_one_that_a_plugin_accepts() -> None:
    def refuse(grant: Grant) -> None:
        if grant.identity.person in (USER.person, GUEST.person):
            raise Unauthenticated("token_revoked")

    access = control(OwnTokens(), check_revoked=refuse)
    for token in ("own", "valid"):
        with pytest.raises(Unauthenticated) as refused:
            await access.authenticate(token)
        assert refused.value.code == "token_revoked"


@pytest.mark.gen_test
async def test_a_plugin_that_answers_with_no_identity_is_a_refusal(expected_logs: list[str]) -> None:
    expected_logs.append("plugin owntokens failed in authenticate: authenticate returned str")
    plugin = OwnTokens()
    plugin.answer = "user:1"
    with pytest.raises(Unauthenticated) as refused:
        await control(plugin).verify("own")
    assert refused.value.code == "token_invalid"


@pytest.mark.gen_test
async def test_a_plugin_that_takes_the_request_is_asked_without_a_token() -> None:
    plugin = HostCookies()
    access = control(OwnTokens(), plugin)
    assert access.asks_for_requests
    assert await access.verify(None, COOKIE) == GUEST
    assert await access.verify("", COOKIE) == GUEST
    assert plugin.asked == [(None, COOKIE), (None, COOKIE)]
    with pytest.raises(Unauthenticated) as refused:
        await access.verify(None, Request("/chat"))
    assert refused.value.code == "token_invalid"  # of the table of tokens


@pytest.mark.gen_test
async def test_a_plugin_gets_the_request_beside_the_token() -> None:
    plugin = HostCookies()
    access = control(plugin)
    request = Request("/chat")
    assert await access.verify("valid", request) == USER
    assert await access.verify("valid") == USER
    assert plugin.asked == [("valid", request), ("valid", None)]
    with pytest.raises(Unauthenticated):
        await access.verify("x" * 10_000, COOKIE)  # too long for a token: no plugin is asked
    with pytest.raises(Unauthenticated):
        await access.verify(None, None)
    assert len(plugin.asked) == 2


@pytest.mark.gen_test
async def test_a_plugin_that_takes_the_token_only_is_not_asked_without_one() -> None:
    access = control(OwnTokens())
    assert not access.asks_for_requests
    with pytest.raises(Unauthenticated) as refused:
        await access.verify(None, COOKIE)
    assert refused.value.code == "token_invalid"  # of the table of tokens
    assert await access.verify("own", COOKIE) == GUEST
    assert not control().asks_for_requests


@pytest.mark.gen_test
async def test_the_request_of_an_open_socket_is_asked_about_again() -> None:
    revoked = False

    def check(grant: Grant) -> None:
        if revoked:
            raise Unauthenticated("token_revoked")

    plugin = HostCookies()
    access = control(plugin, check_revoked=check)
    plugin.answer = Identity(GUEST.person, None, {"exp": 100.0})
    assert await access.ask_again(COOKIE) == Grant(plugin.answer, 100.0)
    assert await access.ask_again(Request("/chat")) is None
    revoked = True
    with pytest.raises(Unauthenticated):
        await access.ask_again(COOKIE)


@pytest.mark.gen_test
async def test_a_plugin_allows_refuses_or_leaves_the_decision_to_the_rules(
    expected_logs: list[str],
) -> None:
    expected_logs.append("plugin rules failed in authorize: authorize returned (str|int), not True, False")
    plugin = Rules()
    access = control(plugin)
    assert await access.is_allowed_by_plugin(USER, Action.OBSERVE) is False
    plugin.answer = True
    assert await access.is_allowed_by_plugin(USER, Action.OBSERVE) is True
    for answer in (False, "yes", 1):
        plugin.answer = answer
        with pytest.raises(Forbidden):
            await access.is_allowed_by_plugin(USER, Action.OBSERVE)


@pytest.mark.gen_test
async def test_a_plugin_that_fails_allows_nothing(expected_logs: list[str]) -> None:
    expected_logs.append("rules")
    plugin = Rules()
    plugin.answer = ValueError("a bug")
    with pytest.raises(Unavailable):
        await control(plugin).is_allowed_by_plugin(USER, Action.OBSERVE)


@pytest.mark.gen_test
async def test_without_plugins_the_rules_decide() -> None:
    assert await control().is_allowed_by_plugin(USER, Action.CHAT) is False
