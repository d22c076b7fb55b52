"""What an attack is, and what it has at hand: the server, the people, and a tally of its tries."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from scripts.attacks.people import World
from scripts.attacks.raw_http import Answer, exchange, request
from scripts.attacks.raw_socket import RawSocket
from scripts.attacks.server import TargetServer

T = TypeVar("T")

ATTACKER_ADDRESS = "127.0.0.2"
"""The address of the attackers: no proxy and no operator, unlike 127.0.0.1."""

CLOSE_TIMEOUT_SECONDS = 3.0  # for the server to close a socket that it refuses
MAX_CONCURRENT_TRIES = 3  # no flood: attacks that are one pour or gather by themselves


class AttackFailed(Exception):
    """The attack could not be carried out: it says nothing about the server."""


@dataclass
class Tally:
    """The tries of an attack.

    :ivar refused: the tries that were refused or had no effect, by how.
    :ivar got_in: a sentence for each try that the server should have refused.
    :ivar harm: a sentence for each damage that the attack found itself.
    """

    refused: Counter[str] = field(default_factory=Counter)
    got_in: list[str] = field(default_factory=list)
    harm: list[str] = field(default_factory=list)

    @property
    def tries(self) -> int:
        return self.refused.total() + len(self.got_in)


class Trial:
    """One run of an attack.

    :ivar random: the source of all that is random in the attack.
    :ivar quick: whether few tries suffice.
    :ivar prepared: what ``Attack.prepare`` has returned.
    """

    def __init__(self, server: TargetServer, world: World, source: random.Random, *, quick: bool) -> None:
        self.server = server
        self.world = world
        self.random = source
        self.quick = quick
        self.tally = Tally()
        self.prepared: Any = None
        self._sockets: list[RawSocket] = []

    # --- the tally ---

    def refused(self, how: str | int, tries: int = 1) -> None:
        """Count tries that were refused, or had no effect."""
        self.tally.refused[str(how)] += tries

    def got_in(self, what: str) -> None:
        """Record a try that should have been refused."""
        self.tally.got_in.append(what)

    def harmed(self, what: str) -> None:
        """Record damage."""
        self.tally.harm.append(what)

    def judge(self, is_in: bool, how: str | int, what: str) -> None:
        """Record a try: ``what`` if it got in, else ``how`` it was refused. A status is shown with both."""
        if is_in:
            self.got_in(f"{what}: {how}" if isinstance(how, int) else what)
        else:
            self.refused(how)

    def require(self, is_met: bool, what: str) -> None:
        """Check the counterpart of an attack, such as a valid token that has to be accepted.

        :raises AttackFailed: it is not so.
        """
        if not is_met:
            raise AttackFailed(what)

    # --- tools ---

    def number(self, many: int, few: int) -> int:
        """Return ``few`` in a quick run, else ``many``."""
        return few if self.quick else many

    async def http(
        self,
        method: str,
        path: str,
        token: str | None = None,
        body: Any = None,
        *,
        source: str = ATTACKER_ADDRESS,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """Send one request on a connection of its own."""
        return await request(
            self.server.port, method, path, token=token, body=body, source=source, headers=headers
        )

    async def bytes(
        self, data: bytes, *, timeout: float = 2.0, end: bool = False, source: str = ATTACKER_ADDRESS
    ) -> bytes:
        """Send bytes on a connection of its own, and return the answer until the end or the timeout."""
        return await exchange(self.server.port, data, timeout=timeout, end=end, source=source)

    async def socket(
        self,
        path: str,
        *,
        source: str = ATTACKER_ADDRESS,
        headers: Sequence[tuple[str, str]] = (),
    ) -> RawSocket:
        """Open a WebSocket, which is closed at the end of the attack.

        :raises UpgradeRefused: the server has answered with another status than 101.
        """
        socket = await RawSocket.open(self.server.port, path, source=source, headers=headers)
        self._sockets.append(socket)
        return socket

    async def support(self, role: str, token: str, *features: str) -> RawSocket:
        """Open a socket of the support dialect and send ``auth``."""
        socket = await self.socket(f"/v1/ws/{role}/connect")
        await socket.receive_json()
        await socket.send_json({"id": "a", "type": "auth", "payload": {"token": token, "features": features}})
        return socket

    async def hold(self, *sockets: RawSocket) -> None:
        """Read and drop all that arrives at these sockets, in the background."""
        for each in sockets:
            each.start_reading()

    async def together(self, tries: Iterable[Callable[[], Coroutine[Any, Any, T]]]) -> list[T]:
        """Carry out tries, some at the same time, and return their results in order."""
        slots = asyncio.Semaphore(MAX_CONCURRENT_TRIES)

        async def run(one: Callable[[], Coroutine[Any, Any, T]]) -> T:
            async with slots:
                return await one()

        return list(await asyncio.gather(*(run(each) for each in tries)))

    def drop_sockets(self) -> None:
        """Cut all sockets of the attack."""
        for each in self._sockets:
            each.abort()
        self._sockets.clear()


@dataclass(frozen=True)
class Attack:
    """An attack.

    :ivar name: unique, for ``--only`` and the table.
    :ivar text: what is tried, for ``--list``.
    :ivar prepare: makes what the attack needs, for ``Trial.prepared``, before the measurement.
    :ivar options: options of the server beyond those of every attack.
    :ivar expected_logs: patterns of the errors that the server may log during it.
    :ivar descriptors: the limit of file descriptors of the server; None: as in this process.
    :ivar health: whether /healthz has to answer in time. Not if the attack takes away what a new connection
        needs.
    """

    name: str
    text: str
    run: Callable[[Trial], Awaitable[None]]
    prepare: Callable[[Trial], Awaitable[Any]] | None = None
    options: Sequence[str] = ()
    expected_logs: Sequence[str] = ()
    descriptors: int | None = None
    health: bool = True
