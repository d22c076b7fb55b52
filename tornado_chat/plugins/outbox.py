"""The outbox of a plugin: deliveries to systems that may be away."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from tornado_chat.core.deliveries import NewDelivery, OutboxTimes

if TYPE_CHECKING:
    from tornado_chat.storage.writer import Transaction


class Outbox(ABC):
    """Stores deliveries, and attempts each until it succeeds or is given up.

    The deliveries survive a crash. Of several processes, one at a time makes attempts. A delivery is
    repeated if the server crashed before it had stored the success, so it is made at least once.
    """

    @abstractmethod
    def insert(self, tx: "Transaction", deliveries: Sequence[NewDelivery]) -> None:
        """Add deliveries in a transaction; call ``wake`` after its commit.

        A target gets each item once, so this may run twice.
        """

    @abstractmethod
    def wake(self) -> None:
        """Make the attempts that are due. Without it, they are made within some seconds."""

    @abstractmethod
    def reconfigure(self, times: OutboxTimes, targets: Collection[str] | None = None) -> None:
        """Use other times for all following attempts.

        :arg targets: the only targets that are left: waiting deliveries to others are given up, except
            those of which an attempt is running. None: all targets are left.
        """
