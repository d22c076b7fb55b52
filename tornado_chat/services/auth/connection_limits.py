"""Limits on what clients of this process hold: connections without an identity, and large answers.

Strategy: a connection counts as anonymous until its client has proved its identity by a token, and a large
answer counts until the client has taken it or is gone. Both are counted by client network and by person, so
that one client cannot use the share of the others, and both tables hold only what is open at the moment.

Above a limit of anonymous connections, as many again are read, but served only if their request carries a
valid token: people who are signed in get in although strangers use up the room of their network. Above twice
the limit, connections are refused unread.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

from tornado_chat import config
from tornado_chat.aio import descriptors
from tornado_chat.core.errors import TooFast
from tornado_chat.domain.throttle import client_network

EXCESS_FACTOR = 2
"""Anonymous connections up to this multiple of a limit are read, in case they carry a token."""

RETRY_AFTER_SECONDS = 5
"""The time after which a refused client should try again (header ``Retry-After``)."""


class AnonymousConnection:
    """One connection whose client has no identity yet. It counts until ``release``.

    :ivar network: the client's network.
    """

    __slots__ = ("_connections", "_is_excess", "_released", "network")

    def __init__(self, connections: "AnonymousConnections", network: str, is_excess: bool) -> None:
        self.network = network
        self._connections = connections
        self._is_excess = is_excess
        self._released = False

    @property
    def is_excess(self) -> bool:
        """Whether the connection exceeds a limit, so that it may only be served if it carries a token."""
        if self._is_excess and (self._released or not self._connections.is_exceeded(self.network)):
            self._is_excess = False
        return self._is_excess

    @property
    def is_released(self) -> bool:
        return self._released

    def release(self) -> None:
        """Count the connection no longer: its client has an identity, or it is closed. May be repeated."""
        if not self._released:
            self._released = True
            self._connections.discard(self.network)


class AnonymousConnections:
    """Counts the anonymous connections of this process, in all and by client network."""

    def __init__(self, limits: config.Limits) -> None:
        self._by_network: Counter[str] = Counter()
        self._count = 0  # the sum of _by_network
        self.reconfigure(limits)

    def __len__(self) -> int:
        return self._count

    def reconfigure(self, limits: config.Limits) -> None:
        """Use other limits for new connections."""
        self._in_all = min(limits.anonymous_connections, max(1, descriptors.limit() // 2))
        self._per_network = limits.anonymous_connections_per_address

    @staticmethod
    def network_of(address: str) -> str:
        return client_network(address)

    def is_network_full(self, network: str) -> bool:
        """Return True if a further connection from ``network`` would exceed its limit."""
        return self._by_network[network] >= self._per_network

    def is_full(self, network: str) -> bool:
        """Return True if a further connection from ``network`` would exceed its limit or that in all."""
        return self.is_network_full(network) or self._count >= self._in_all

    def is_exceeded(self, network: str) -> bool:
        """Return True if the open connections exceed the limit of ``network`` or that of all networks."""
        return self._by_network[network] > self._per_network or self._count > self._in_all

    def open(self, address: str) -> AnonymousConnection | None:
        """Count a connection of the client at ``address``; None: it has to be refused unread."""
        network = client_network(address)
        is_excess = self.is_full(network)
        if (
            self._by_network[network] >= EXCESS_FACTOR * self._per_network
            or self._count >= EXCESS_FACTOR * self._in_all
        ):
            return None
        self._by_network[network] += 1
        self._count += 1
        return AnonymousConnection(self, network, is_excess)

    def discard(self, network: str) -> None:
        """Count one connection of ``network`` less; ``AnonymousConnection.release`` calls this once."""
        self._count -= 1
        self._by_network[network] -= 1
        if not self._by_network[network]:
            del self._by_network[network]


class LargeAnswers:
    """Counts the large answers under way, by person or by client network.

    :ivar turn: held while a part of an answer is read from the database and made.
    """

    def __init__(self, limits: config.Limits) -> None:
        self.turn = asyncio.Lock()
        self._under_way: Counter[str] = Counter()
        self.reconfigure(limits)

    def __len__(self) -> int:
        return self._under_way.total()

    def reconfigure(self, limits: config.Limits) -> None:
        """Use another limit for new answers."""
        self._limit = limits.answers_per_person

    def begin(self, person: str | None, address: str) -> Callable[[], None]:
        """Count an answer, and return the function to call when it has ended, in whatever way.

        :arg person: the key of the caller; None: the caller has no identity, and its network is counted.
        :raises TooFast: the person or the network has too many large answers under way.
        """
        key = client_network(address) if person is None else person
        if self._under_way[key] >= self._limit:
            raise TooFast("too_many_answers", retry_after=RETRY_AFTER_SECONDS)
        self._under_way[key] += 1

        def end() -> None:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]

        return end


class ConnectionLimits:
    """The limits of this module, for the web layer."""

    def __init__(self, limits: config.Limits) -> None:
        self.anonymous = AnonymousConnections(limits)
        self.large_answers = LargeAnswers(limits)

    def reconfigure(self, limits: config.Limits) -> None:
        self.anonymous.reconfigure(limits)
        self.large_answers.reconfigure(limits)
