"""Revocations: persons whose tokens are refused, with their sockets in all processes.

Strategy: each process has all revocations in memory, so a sign-in needs no query and a message no check. The
bus tells the processes with sockets of the person at once (the channel of the event is the person). Every
process reads the table every ``READ_INTERVAL_SECONDS`` besides: it also finds what the command ``revoke`` has
written, and what the bus has lost.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from tornado_chat.aio.clock import now_seconds
from tornado_chat.aio.periodic import run_forever
from tornado_chat.core.close_codes import TOKEN_REVOKED
from tornado_chat.core.errors import ChatError, Conflict, NotFound, Unauthenticated
from tornado_chat.core.events import Event, TokensRevoked
from tornado_chat.core.types import Activity, Grant, Person, Revocation
from tornado_chat.observability.logs import fields
from tornado_chat.services.messaging.connections import Connections
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import revocations
from tornado_chat.storage.writer import Transaction

log = logging.getLogger(__name__)

READ_INTERVAL_SECONDS = 3.0  # seconds between two reads of the table


class Revocations:
    """The revocations that this process knows.

    :arg clock: seconds since 1970-01-01 UTC.
    :arg report_action: reports an action to the plugins.
    """

    events = (TokensRevoked,)

    def __init__(
        self,
        store: Store,
        connections: Connections,
        clock: Callable[[], float] = now_seconds,
        report_action: Callable[[Activity], None] = lambda activity: None,
    ) -> None:
        self._store = store
        self._connections = connections
        self._clock = clock
        self._report_action = report_action
        self._by_person: dict[Person, Revocation] = {}
        self._changes = 0  # of _by_person by this process and by events: a read that began before is outdated
        self._reader: asyncio.Task[None] | None = None

    # --- checks ---

    def check(self, grant: Grant) -> None:
        """Check that the token of ``grant`` was not revoked.

        :raises Unauthenticated: ``token_revoked``.
        """
        revocation = self._by_person.get(grant.identity.person)
        if revocation is not None and self._is_running(revocation) and revocation.refuses(grant.issued):
            raise Unauthenticated("token_revoked")

    def _is_running(self, revocation: Revocation) -> bool:
        return revocation.until > self._clock() * 1_000_000

    # --- life of the service ---

    async def start(self) -> None:
        """Read the table, and go on reading.

        :raises Unavailable: the database is away.
        """
        await self._take_over()
        self._reader = asyncio.get_running_loop().create_task(
            run_forever(self._read_later, "reading the revocations", READ_INTERVAL_SECONDS)
        )

    async def stop(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait({self._reader})

    async def _read_later(self) -> None:
        await asyncio.sleep(READ_INTERVAL_SECONDS)
        with contextlib.suppress(ChatError):  # the database is away, which its readers log
            await self.read()

    async def read(self) -> None:
        """Take over the revocations of the table, close the sockets, and remove what has ended.

        :raises Unavailable: the database is away.
        """
        if await self._take_over():
            now = int(self._clock() * 1_000_000)
            await self._store.write(lambda tx: revocations.remove_ended(tx.database, now))

    async def _take_over(self) -> bool:
        """Take over the revocations of the table. Return True if some of them have ended."""
        changes = self._changes
        found = await self._store.read(revocations.after, 0)
        if changes == self._changes:
            running = {each.person: each for each in found if self._is_running(each)}
            if self._reader is not None:  # those of the start are no news
                for person in running.keys() - self._by_person.keys():
                    self._log(running[person])
            self._by_person = running
        for revocation in self._by_person.values():
            # All of them, as a socket may have been opened with a token that was checked before.
            self._close_sockets(revocation)
        return not all(map(self._is_running, found))

    def on_event(self, event: Event) -> None:
        """Apply a committed revocation; called for the types in ``events``."""
        assert isinstance(event, TokensRevoked)
        self._changes += 1
        self._by_person[event.revocation.person] = event.revocation
        self._log(event.revocation)
        self._close_sockets(event.revocation)

    # --- the HTTP API ---

    async def revoke(self, person: Person, seconds: float, all_tokens: bool, by: Person) -> Revocation:
        """Revoke the tokens of a person for ``seconds``; an earlier revocation of the person is replaced.

        :arg all_tokens: refuse tokens that are issued later, too.
        :arg by: the caller.
        :raises Conflict: there are too many revocations.
        """

        def add(tx: Transaction) -> Revocation | None:
            until = tx.now + int(seconds * 1_000_000)
            added = revocations.add(tx.database, person, tx.now, until, all_tokens, by.key)
            if added is not None:
                tx.emit(TokensRevoked(added))
            return added

        added = await self._store.write(add)
        if added is None:
            raise Conflict("too_many_revocations", limit=revocations.MAX_REVOCATIONS)
        self._report_action(Activity(by.key, "revoked", detail=person.key))
        return added

    async def undo(self, person: Person, by: Person) -> Revocation:
        """Accept the tokens of a person again; other processes do so within ``READ_INTERVAL_SECONDS``.

        :raises NotFound: there is no revocation of the person.
        """

        def remove(tx: Transaction) -> Revocation | None:
            found = revocations.find(tx.database, person)
            revocations.remove(tx.database, person)
            return found

        removed = await self._store.write(remove)
        if removed is None:
            raise NotFound("no_such_revocation", role=person.role.value, id=person.id)
        self._changes += 1
        self._by_person.pop(person, None)
        self._report_action(Activity(by.key, "undid revocation", detail=person.key))
        log.info("revocation undone", extra=fields(role=person.role.value, id=person.id, by=by.key))
        return removed

    async def page(self, after: int, limit: int) -> list[Revocation]:
        """Return at most ``limit`` revocations with an id above ``after``, oldest first."""
        return await self._store.read(revocations.after, after, limit)

    # --- inside ---

    def _log(self, revocation: Revocation) -> None:
        person = revocation.person
        log.info("revoked", extra=fields(role=person.role.value, id=person.id, by=revocation.made_by))

    def _close_sockets(self, revocation: Revocation) -> None:
        self._connections.close_where(
            TOKEN_REVOKED, lambda grant: revocation.refuses(grant.issued), revocation.person
        )
