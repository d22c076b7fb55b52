"""Who somebody is and what they may do: the tokens' word and the plugins'.

Strategy: plugins come first. What one of them refuses is refused, what it allows needs no further rule
where rules can be overruled at all (``hookspecs`` says where), and one that fails counts as a no.
"""

from collections.abc import Awaitable, Callable

from tornado_chat.core.errors import Forbidden, Unauthenticated
from tornado_chat.core.types import Action, Identity, Role, Thread
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.auth.tokens import MAX_TOKEN_CHARS, Authenticator

HOST_ROLES = (Role.SERVICE, Role.ADMIN)
"""The roles of a host's back end and of administrators."""


class AccessControl:
    """Authentication and authorization.

    :arg check_session: raises ``Unauthenticated`` for the identity of one of our own accounts that has
        signed out, or may not sign in any more, since its token was made.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        plugins: PluginManager,
        check_session: Callable[[Identity], Awaitable[None]] | None = None,
    ) -> None:
        self.authenticator = authenticator
        self._plugins = plugins
        self._check_session = check_session

    def reconfigure(self, authenticator: Authenticator) -> None:
        """Check the tokens that come from now on with another authenticator."""
        self.authenticator = authenticator

    async def verify(self, token: str | None) -> Identity:
        """The identity that ``token`` proves; raises as ``Authenticator.verify``."""
        if token and len(token) <= MAX_TOKEN_CHARS and "authenticate" in self._plugins.implemented_hooks:
            identity = await self._plugins.decide("authenticate", token=token)
            if isinstance(identity, Identity):
                return identity
            if identity is not None:
                raise Unauthenticated("token_invalid", reason="a plugin did not answer with an identity")
        identity = await self.authenticator.verify(token)
        if self._check_session is not None:
            await self._check_session(identity)
        return identity

    async def is_allowed_by_plugin(
        self, identity: Identity, action: Action, thread: Thread | None = None
    ) -> bool:
        """Whether a plugin allows it; False: the server's own rules are to be asked.

        :raises Forbidden: a plugin refuses it.
        """
        if "authorize" not in self._plugins.implemented_hooks:
            return False
        answer = await self._plugins.decide("authorize", identity=identity, action=action, thread=thread)
        if answer is None:
            return False
        if answer is not True:
            raise Forbidden("not_allowed")
        return True
