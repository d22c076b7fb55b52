"""The record of operators' commands: in the database, the log, and the plugins that record them."""

import getpass
import logging
import os
from collections.abc import Callable, Mapping
from typing import TypeVar

import peewee as pw

from tornado_chat.core.types import Operation, Person
from tornado_chat.observability.logs import fields
from tornado_chat.plugins.data_keepers import DataKeepers
from tornado_chat.storage import operations
from tornado_chat.storage.exclusive_lock import run_transaction
from tornado_chat.storage.writer import Transaction

T = TypeVar("T")

log = logging.getLogger(__name__)


def current_operator() -> str:
    """Return the user of the machine who runs this command, with the user who called sudo in parentheses."""
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
        """Record a state: ``begun``, ``done`` or ``stopped``.

        An exception of a plugin's keeper is raised: then the operation must not be done.
        """

        self._log(run_transaction(self._database, lambda tx: self._add(tx, state, counts)), counts)

    def run(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work``, and record it as ``done`` in the same transaction. Returns its result.

        An exception of ``work`` or of a plugin's keeper is raised: then nothing is changed or recorded.
        """

        def work_and_record(tx: Transaction) -> tuple[T, Operation]:
            return work(tx), self._add(tx, "done")

        result, added = run_transaction(self._database, work_and_record)
        self._log(added)
        return result

    def _add(self, tx: Transaction, state: str, counts: Mapping[str, int] | None = None) -> Operation:
        added = operations.add(tx, self.operator, self._action, state, self._person, counts)
        self._keepers.record(tx, added)
        return added

    def _log(self, added: Operation, counts: Mapping[str, int] | None = None) -> None:
        rows = sum((counts or {}).values())
        log.info(
            "%s %s",
            added.action,
            added.state,
            extra=fields(operation=added.id, by=self.operator, person=added.person or "-", rows=rows),
        )


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a user without a name, in a container
        return str(uid)
