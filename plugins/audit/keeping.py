"""What becomes of the records when people's data are exported, erased or old: they stay."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import peewee as pw

from tornado_chat.plugin_api import Keeper, Operation, Person, Transaction

from . import chain


class AuditKeeper(Keeper):
    """Records who did what must not be changed, and say nothing of what was said.

    :arg key: the file with the chain's key.
    """

    def __init__(self, key: Path) -> None:
        self._key_path = key

    def of_person(self, database: pw.Database, person: Person) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        table = chain.AuditRecord
        query = (
            table.select(table.number, table.time, table.action, table.kind, table.thread_id, table.message)
            .where(table.actor == person.key)
            .order_by(table.number)
        )
        return {"audit_record": list(query.dicts().execute(database))}

    def record(self, tx: Transaction, operation: Operation) -> None:
        """:raises ValueError: there is no key yet, or none that can be read."""
        try:
            # Not made here: a command may run as root, and the server could not read it then.
            key = chain.load_key(self._key_path, make=False)
        except FileNotFoundError as error:
            raise ValueError(
                f"the audit has no key {self._key_path} yet: start the server with the plugin once"
            ) from error
        except OSError as error:
            raise ValueError(f"the audit's key {self._key_path} cannot be read: {error.strerror}") from error
        what = f"{operation.action} {operation.state}"
        entry = chain.AuditEntry(operation.operator, what, chain.OPERATION_KIND, operation.id)
        chain.append(tx.database, key, entry, tx.now)
