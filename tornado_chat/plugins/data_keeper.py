"""The data keeper of a plugin, which the hook ``register_keeper`` returns: export, erasure and retention."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tornado_chat.core.types import Operation, Person, Thread

if TYPE_CHECKING:
    import peewee

    from tornado_chat.storage.writer import Transaction

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows by table; each row has JSON values."""

Counts = Mapping[str, int]
"""Numbers of rows by table."""


class Keeper:
    """Exports, erases and removes a plugin's data.

    A plugin that stores data about people or conversations overrides the methods that concern it. All
    methods are plain `def`, run on a database thread, in the server as well as in commands that
    run beside it, and must not wait for anything but the database. An exception rolls back the method's own
    changes only; the command then reports that the plugin's part is not done, and fails.
    """

    def of_person(self, database: "peewee.Database", person: Person) -> Rows:
        """Return all data stored about the person, for an export."""
        return {}

    def erase_person(self, tx: "Transaction", person: Person) -> Counts:
        """Delete the person's data, or make them anonymous. Return the numbers of rows.

        A second call must do no harm. Rows that ``of_person`` still returns afterwards are reported as kept.
        With `--dry-run` the transaction is rolled back.
        """
        return {}

    def conversations_removed(self, tx: "Transaction", threads: Sequence[Thread]) -> Counts:
        """Delete the data of conversations that are removed with their messages.

        Return the numbers of rows.
        """
        return {}

    def remove_old(self, tx: "Transaction", before: int, limit: int) -> Counts:
        """Delete up to ``limit`` rows of other data that are older than the time ``before`` (microseconds).

        Called repeatedly until it returns no rows. Rows that are still needed stay.
        """
        return {}

    def record(self, tx: "Transaction", operation: Operation) -> None:
        """Record an operator's command, see ``Operation.action``.

        If this raises, the operation is not done.
        """
