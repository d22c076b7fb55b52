"""Tokens for anonymous users, where ``[auth] guests`` is on."""

import uuid
from collections.abc import Callable
from typing import NamedTuple

from tornado_chat import config
from tornado_chat.aio.clock import now_seconds
from tornado_chat.core.errors import Forbidden
from tornado_chat.core.types import Identity, Role
from tornado_chat.services.auth.claims import GUEST_CLAIM, is_guest
from tornado_chat.services.auth.client_limits import ClientLimits
from tornado_chat.services.auth.tokens import mint_token


class Guest(NamedTuple):
    """An anonymous user with its token.

    :ivar expires_in: seconds.
    """

    id: str
    token: str
    expires_in: int


class Guests:
    """Creates guests, limited to ``[limits] guests_per_minute`` per client network."""

    def __init__(
        self,
        auth: config.Auth,
        secret: bytes | None,
        client_limits: ClientLimits,
        clock: Callable[[], float] = now_seconds,
    ) -> None:
        self._auth = auth
        self._secret = secret
        self._client_limits = client_limits
        self._clock = clock

    def reconfigure(self, auth: config.Auth, secret: bytes | None) -> None:
        """Use other settings from now on."""
        self._auth = auth
        self._secret = secret

    @property
    def is_enabled(self) -> bool:
        """Whether the server issues tokens for anonymous users."""
        return self._auth.guests and self._secret is not None

    def create_guest(self, address: str) -> Guest:
        """Create an anonymous user.

        :raises Forbidden: guests are switched off.
        :raises TooFast: the client network of ``address`` has reached its limit: ``guests_per_minute`` at
            once, and then as many again spread over each minute.
        """
        if self.is_enabled:
            self._client_limits.require_guest(address)
        return self._issue_token(f"guest-{uuid.uuid4().hex}")

    def renew_guest(self, identity: Identity) -> Guest:
        """Issue another token for the same anonymous user, with a full lifetime.

        :raises Forbidden: guests are switched off, or the identity is not a guest of this server.
        """
        if not is_guest(identity):
            raise Forbidden("no_guest")
        return self._issue_token(identity.person.id)

    def _issue_token(self, id: str) -> Guest:
        if not self._auth.guests or self._secret is None:
            raise Forbidden("guests_off")
        lifetime = self._auth.guest_lifetime
        token = mint_token(
            self._auth,
            self._secret,
            id=id,
            role=Role.USER,
            name=None,
            lifetime=lifetime,
            now=self._clock(),
            extra_claims={GUEST_CLAIM: True},
        )
        return Guest(id, token, int(lifetime))
