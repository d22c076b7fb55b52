"""Tokens that plugins mint for people, recorded as those of the command ``tornado-chat token``."""

import asyncio
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tornado_chat import config
from tornado_chat.aio.clock import now_seconds
from tornado_chat.core.errors import ChatError, TooFast, Unavailable
from tornado_chat.core.types import TOKEN_ROLES, Operation, Person
from tornado_chat.domain.throttle import RateLimit, RateLimiter
from tornado_chat.observability.logs import fields
from tornado_chat.plugins.data_keepers import DataKeepers
from tornado_chat.services.auth.secret import load_secret
from tornado_chat.services.auth.tokens import mint_token
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import operations
from tornado_chat.storage.writer import Transaction

log = logging.getLogger(__name__)

TOKENS_PER_SECOND = 1.0
BURST_TOKENS = 60.0
"""Tokens that a plugin mints at once; each is recorded in the database."""

MAX_PLUGINS = 1000


class PluginTokens:
    """Mints tokens for plugins, signed with the server's shared secret.

    :arg keepers: record each token, the audit log among them.
    """

    def __init__(
        self,
        auth: config.Auth,
        state_dir: Path,
        store: Store,
        keepers: DataKeepers,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._auth = auth
        self._state_dir = state_dir
        self._store = store
        self._keepers = keepers
        self._loop = loop
        self._limiter = RateLimiter(RateLimit(TOKENS_PER_SECOND, BURST_TOKENS), MAX_PLUGINS)

    def reconfigure(self, auth: config.Auth) -> None:
        """Use other settings from now on."""
        self._auth = auth

    async def mint(
        self, plugin: str, person: Person, lifetime: float, name: str | None, claims: Mapping[str, Any]
    ) -> str:
        """Return a token that was recorded.

        :arg lifetime: seconds.
        :raises ValueError: the server cannot make tokens, the id is no valid one, or a keeper of a plugin
            cannot record the token. The message is for a person.
        :raises TooFast: the plugin has minted too many.
        :raises Unavailable: the record could not be stored.
        """
        if not 0 < lifetime < float("inf"):
            raise ValueError(f"a token has to be valid for some seconds: {lifetime}")
        if person.role not in TOKEN_ROLES:
            raise ValueError(f"no token has the role {person.role.value}")
        wait = self._limiter.wait_seconds(plugin, self._loop.time())
        if wait:
            raise TooFast("too_fast", retry_after=math.ceil(wait))
        self._limiter.spend(plugin, self._loop.time())
        auth = self._auth
        secret = await asyncio.to_thread(load_secret, auth, self._state_dir)
        text = mint_token(
            auth,
            secret,
            id=person.host_id,
            role=person.role,
            name=name,
            lifetime=lifetime,
            now=now_seconds(),
            extra_claims=claims,
        )
        failures: list[Exception] = []

        def record(tx: Transaction) -> Operation:
            added = operations.add(tx, f"plugin {plugin}", "token", operations.DONE, person)
            try:
                self._keepers.record(tx, added)
            except Exception as error:
                failures.append(error)
                raise Unavailable("not_checked") from error  # which rolls the record back
            return added

        try:
            added = await self._store.write(record, apart=True)
        except ChatError as error:
            if failures:
                raise ValueError(f"the token cannot be recorded: {failures[-1]}") from error
            raise
        log.info(
            "token done", extra=fields(operation=added.id, by=f"plugin {plugin}", person=person.key, rows=0)
        )
        return text
