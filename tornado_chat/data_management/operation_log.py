"""The record of who exported, erased or pruned: in the database, with every plugin that keeps such a
record, and in the log.
"""

import getpass
import logging
import os
from collections.abc import Mapping

import peewee as pw

from tornado_chat.core.types import Operation, Person
from tornado_chat.observability.logs import fields
from tornado_chat.plugins.data_keepers import DataKeepers
from tornado_chat.storage import operations
from tornado_chat.storage.exclusive_lock import run_transaction
from tornado_chat.storage.writer import Transaction

log = logging.getLogger(__name__)


def current_operator() -> str:
    """Who runs this command: the user of the machine, and who became that user by sudo."""
    try:
        name = getpass.getuser() if os.name != "posix" else _user_name(os.getuid())
    except (OSError, KeyError):
        name = "?"
    before = os.environ.get("SUDO_USER", "")
    return f"{name} ({before})" if before and before != name else name


class OperationRecorder:
    """Records the steps of one operation."""

    def __init__(
        self, database: pw.Database, keepers: DataKeepers, action: str, person: Person | None = None
    ) -> None:
        self._database = database
        self._keepers = keepers
        self._action = action
        self._person = person
        self.operator = current_operator()

    def record_state(self, state: str, counts: Mapping[str, int] | None = None) -> None:
        """``begun``, ``done`` or ``stopped``. What a plugin's keeper raises is raised: then it is not done."""

        def work(tx: Transaction) -> Operation:
            added = operations.add(tx, self.operator, self._action, state, self._person, counts)
            self._keepers.record(tx, added)
            return added

        added = run_transaction(self._database, work)
        rows = sum((counts or {}).values())
        log.info(
            "%s %s",
            self._action,
            state,
            extra=fields(operation=added.id, by=self.operator, person=added.person or "-", rows=rows),
        )


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's user that has no name
        return str(uid)
