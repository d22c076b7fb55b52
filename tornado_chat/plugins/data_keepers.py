"""The data keepers of all plugins and of their deliveries; one that fails does not affect the others."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import peewee as pw

from tornado_chat.core.types import Operation, Person, Thread
from tornado_chat.plugins import delivery_keeper
from tornado_chat.plugins.data_keeper import Counts, Keeper, Rows
from tornado_chat.plugins.delivery_keeper import DeliveryKeeper

if TYPE_CHECKING:
    from tornado_chat.storage.writer import Transaction

log = logging.getLogger(__name__)


class PluginKeeper(NamedTuple):
    """A data keeper with the name of its plugin."""

    plugin: str
    keeper: Keeper


OF_DELIVERIES = PluginKeeper(delivery_keeper.NAME, DeliveryKeeper())
"""The keeper of the deliveries of all plugins, enabled or not."""


class DataKeepers:
    """Calls the data keepers of all plugins.

    :ivar failed: the names of plugins of which a call failed; the errors are logged.
    """

    def __init__(self, keepers: Sequence[PluginKeeper] = ()) -> None:
        self._keepers = keepers
        self.failed: set[str] = set()

    @property
    def recording(self) -> list[str]:
        """The names of the plugins that record operations."""
        return [plugin for plugin, keeper in self._keepers if type(keeper).record is not Keeper.record]

    def of_person(self, database: pw.Database, person: Person) -> dict[str, Rows]:
        """Return the data about a person by plugin, without plugins that have none."""
        found: dict[str, Rows] = {}
        for plugin, keeper in self._keepers:
            try:
                rows = {table: rows for table, rows in keeper.of_person(database, person).items() if rows}
            except Exception as error:
                self._record_failure(plugin, error)
                continue
            if rows:
                found[plugin] = rows
        return found

    def erase_person(self, tx: "Transaction", person: Person) -> Counter[str]:
        return self._call_all(tx, lambda keeper: keeper.erase_person(tx, person))

    def conversations_removed(self, tx: "Transaction", threads: Sequence[Thread]) -> Counter[str]:
        return self._call_all(tx, lambda keeper: keeper.conversations_removed(tx, threads))

    def remove_old(self, tx: "Transaction", before: int, limit: int) -> Counter[str]:
        return self._call_all(tx, lambda keeper: keeper.remove_old(tx, before, limit))

    def record(self, tx: "Transaction", operation: Operation) -> None:
        """Record an operation. An exception of a keeper is raised: then the operation must not be done."""
        for _, keeper in self._keepers:
            keeper.record(tx, operation)

    def _call_all(self, tx: "Transaction", call: Callable[[Keeper], Counts]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for plugin, keeper in self._keepers:
            try:
                with tx.database.savepoint():
                    counts.update(call(keeper))
            except Exception as error:
                self._record_failure(plugin, error)
        return +counts

    def _record_failure(self, plugin: str, error: Exception) -> None:
        if plugin not in self.failed:
            log.error("plugin %s failed to export or remove its data", plugin, exc_info=error)
        self.failed.add(plugin)
