"""What a plugin has to do with the data that it keeps, as the hook ``register_keeper`` gives it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tornado_chat.core.types import Operation, Person, Thread

if TYPE_CHECKING:
    import peewee

    from tornado_chat.storage.writer import Transaction

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""By table, each row as JSON values."""

Counts = Mapping[str, int]
"""Rows by table."""


class Keeper:
    """What becomes of a plugin's data when people's data are exported, erased or old.

    A plugin that stores something about people or conversations overrides what concerns it. All
    methods are plain `def`, run on a thread of the database, in the server as well as in commands that
    run beside it, and must not wait for anything but the database. What one raises undoes its own changes
    only; the command then says that the plugin's part is not done, and fails.
    """

    def of_person(self, database: "peewee.Database", person: Person) -> Rows:
        """Everything that is kept of the person, for an export."""
        return {}

    def erase_person(self, tx: "Transaction", person: Person) -> Counts:
        """Delete it, or make it anonymous; how many rows it was. Erasing twice does no harm.

        What ``of_person`` still finds afterwards counts as kept, and the report says so. With
        `--dry-run` the transaction is taken back.
        """
        return {}

    def conversations_removed(self, tx: "Transaction", threads: Sequence[Thread]) -> Counts:
        """These conversations and their messages are removed: delete what belongs to them."""
        return {}

    def remove_old(self, tx: "Transaction", before: int, limit: int) -> Counts:
        """Delete up to ``limit`` rows of other things from before that time (microseconds).

        Called again and again until there is nothing more. What is still needed, stays.
        """
        return {}

    def record(self, tx: "Transaction", operation: Operation) -> None:
        """Somebody exports, erases or prunes. If this raises, nothing of it is done."""
