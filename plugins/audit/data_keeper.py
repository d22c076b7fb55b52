"""The audit log's data keeper: records are exported, but neither erased nor removed by age."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import peewee as pw

from tornado_chat.plugin_api import Keeper, Operation, Person, Transaction

from . import chain, key_file, seen_heads, verification


class AuditKeeper(Keeper):
    """Exports audit records and records operations. Audit records must not change, and have no message texts.

    :arg state_dir: the server's, with the chain's key.
    """

    def __init__(self, state_dir: Path) -> None:
        self._key_path = state_dir / key_file.KEY_FILE
        self._head_path = state_dir / seen_heads.HEAD_FILE

    def of_person(self, database: pw.Database, person: Person) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        table = chain.AuditRecord
        query = (
            table.select(table.number, table.time, table.action, table.kind, table.thread_id, table.message)
            .where(table.actor == person.key)
            .order_by(table.number)
        )
        detail = chain.AuditDetail
        named = detail.select().where(detail.text.contains(person.key)).order_by(detail.number)
        return {
            "audit_record": list(query.dicts().execute(database)),
            "audit_detail": [
                row for row in named.dicts().execute(database) if person.key in row["text"].split(" ")
            ],
        }

    def record(self, tx: Transaction, operation: Operation) -> None:
        """Append a record about the operation. :raises ValueError: the key is missing or cannot be read."""
        try:
            # The key is not created here: only the server knows whether the chain begins.
            key = key_file.load_key(self._key_path)
            seen = seen_heads.load_head(self._head_path)
        except FileNotFoundError as error:
            if not chain.is_empty(tx.database):
                raise ValueError(key_file.lost_text(self._key_path)) from error
            raise ValueError(
                f"the audit log has no key {self._key_path} yet: start the server with the plugin once"
            ) from error
        except OSError as error:
            raise ValueError(
                f"the file {error.filename} of the audit log cannot be read: {error.strerror}"
            ) from error
        if verification.is_other_key(tx.database, key):
            raise ValueError(key_file.other_text(self._key_path))
        action = f"{operation.action} {operation.state}"
        entry = chain.AuditEntry(operation.operator, action, chain.OPERATION_KIND, operation.id)
        chain.append(tx.database, key, entry, tx.now, seen=seen)
