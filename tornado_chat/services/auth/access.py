"""Access control: authentication and authorization by tokens and by plugins.

Strategy: plugins are asked first. If one refuses, the request is refused. If one allows, the server's own
rule is skipped where ``hookspecs`` says that plugins may overrule it. A plugin that fails counts as a
refusal.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from tornado_chat.core.errors import Forbidden, Unauthenticated
from tornado_chat.core.requests import Request
from tornado_chat.core.types import Action, Grant, Identity, Role, Thread
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.auth.grants import make_grant
from tornado_chat.services.auth.tokens import MAX_TOKEN_CHARS, Authenticator

HOST_ROLES = (Role.SERVICE, Role.ADMIN)
"""The roles of a host's back end and of administrators."""


class AccessControl:
    """Authentication and authorization.

    :arg check_session: raises ``Unauthenticated`` for the identity of one of the server's own accounts whose
        session has ended since its token was made.
    :arg check_revoked: raises ``Unauthenticated`` for a token that was revoked.
    :arg on_refused: called with the code of the error, if a token is refused.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        plugins: PluginManager,
        check_session: Callable[[Identity], Awaitable[None]] | None = None,
        check_revoked: Callable[[Grant], None] = lambda grant: None,
        on_refused: Callable[[str], None] = lambda code: None,
    ) -> None:
        self._on_refused = on_refused
        self.authenticator = authenticator
        self._plugins = plugins
        self._check_session = check_session
        self._check_revoked = check_revoked

    def reconfigure(self, authenticator: Authenticator) -> None:
        """Use another authenticator from now on."""
        self.authenticator = authenticator

    @property
    def asks_for_requests(self) -> bool:
        """True if a plugin may know a person by the request, without a token."""
        return self._plugins.declares("authenticate", "request")

    async def verify(self, token: str | None, request: Request | None = None) -> Identity:
        """Return the identity that ``token`` or ``request`` proves. Raises the errors of ``authenticate``."""
        return (await self.authenticate(token, request)).identity

    async def authenticate(self, token: str | None, request: Request | None = None) -> Grant:
        """Return what ``token`` proves, or without a token, for plugins, ``request``.

        :arg request: of a page that may use the person's cookies; None: there is none.
        :raises Unauthenticated: as ``Authenticator.authenticate``; or the token was revoked, or its session
            has ended.
        :raises Unavailable: as ``Authenticator.authenticate``; or the session cannot be looked up.
        """
        try:
            return await self._authenticate(token, request)
        except Unauthenticated as error:
            if token:
                self._on_refused(error.code)
            raise

    async def _authenticate(self, token: str | None, request: Request | None) -> Grant:
        identity = await self._ask_plugins(token, request)
        if isinstance(identity, Identity):
            grant = make_grant(identity)
            self._check_revoked(grant)
            return grant
        if identity is not None:
            raise Unauthenticated("token_invalid", reason="a plugin did not answer with an identity")
        grant = await self.authenticator.authenticate(token)
        self._check_revoked(grant)
        if self._check_session is not None:
            await self._check_session(grant.identity)
        return grant

    async def ask_again(self, request: Request) -> Grant | None:
        """Return what the request of an open socket proves now; None: no plugin knows it any more.

        :raises Unauthenticated: a plugin refuses it, or the person is revoked.
        :raises Unavailable: a plugin failed.
        """
        identity = await self._ask_plugins(None, request)
        if not isinstance(identity, Identity):
            return None
        grant = make_grant(identity)
        self._check_revoked(grant)
        return grant

    async def _ask_plugins(self, token: str | None, request: Request | None) -> Any:
        if "authenticate" not in self._plugins.implemented_hooks:
            return None
        if token:
            if len(token) > MAX_TOKEN_CHARS:
                return None
            return await self._plugins.decide("authenticate", token=token, request=request)
        if request is None:
            return None
        return await self._plugins.decide("authenticate", declaring="request", token=None, request=request)

    async def is_allowed_by_plugin(
        self, identity: Identity, action: Action, thread: Thread | None = None
    ) -> bool:
        """Return True if a plugin allows the action; False: the server's own rules decide.

        :raises Forbidden: a plugin refuses the action.
        """
        if "authorize" not in self._plugins.implemented_hooks:
            return False
        answer = await self._plugins.decide("authorize", identity=identity, action=action, thread=thread)
        if answer is None:
            return False
        if answer is not True:
            raise Forbidden("not_allowed")
        return True
