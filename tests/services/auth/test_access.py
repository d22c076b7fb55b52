"""Access control: plugins before tokens and rules, and sessions after tokens."""

from typing import Any

import pytest

from tests.services.plugins import StubPlugin, manage
from tornado_chat import hookimpl
from tornado_chat.core.errors import Forbidden, Unauthenticated, Unavailable
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
async def test_a_plugin_that_answers_with_no_identity_is_a_refusal() -> None:
    plugin = OwnTokens()
    plugin.answer = "user:1"
    with pytest.raises(Unauthenticated) as refused:
        await control(plugin).verify("own")
    assert refused.value.code == "token_invalid"


@pytest.mark.gen_test
async def test_a_plugin_allows_refuses_or_leaves_the_decision_to_the_rules() -> None:
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
