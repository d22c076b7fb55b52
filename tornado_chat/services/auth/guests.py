"""Tokens for anonymous users, where ``[auth] guests`` is on."""

import time
import uuid
from collections.abc import Callable
from typing import NamedTuple

from tornado_chat import config
from tornado_chat.core.errors import Forbidden, TooFast
from tornado_chat.core.types import Identity, Role
from tornado_chat.domain.throttle import RateLimiter
from tornado_chat.services.auth.tokens import mint_token

GUEST_CLAIM = "guest"
"""The claim that marks guest tokens of this server, whatever ids the host system uses."""

WINDOW_SECONDS = 60.0
MAX_ADDRESSES = 10000


class Guest(NamedTuple):
    """An anonymous user with its token.

    :ivar expires_in: seconds.
    """

    id: str
    token: str
    expires_in: int


class Guests:
    """Creates guests, limited to ``[auth] guests_per_minute`` per client address."""

    def __init__(
        self,
        auth: config.Auth,
        secret: bytes | None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._auth = auth
        self._secret = secret
        self._clock = clock
        self._monotonic = monotonic
        self._addresses = RateLimiter(MAX_ADDRESSES)

    def reconfigure(self, auth: config.Auth, secret: bytes | None) -> None:
        """Use other settings from now on, and reset the counts of all addresses."""
        self._auth = auth
        self._secret = secret
        self._addresses.clear()

    @property
    def is_enabled(self) -> bool:
        """Whether the server issues tokens for anonymous users."""
        return self._auth.guests and self._secret is not None

    def create_guest(self, address: str) -> Guest:
        """Create an anonymous user.

        :raises Forbidden: guests are switched off.
        :raises TooFast: the address has reached its limit: ``guests_per_minute`` at once, and then as many
            again spread over each minute.
        """
        limit = self._auth.guests_per_minute
        if self.is_enabled and not self._addresses.take(
            address, self._monotonic(), limit / WINDOW_SECONDS, limit
        ):
            raise TooFast("too_fast")
        return self._issue_token(f"guest-{uuid.uuid4().hex}")

    def renew_guest(self, identity: Identity) -> Guest:
        """Issue another token for the same anonymous user, with a full lifetime.

        :raises Forbidden: guests are switched off, or the identity is not a guest of this server.
        """
        if identity.claims.get(GUEST_CLAIM) is not True or identity.person.role is not Role.USER:
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
