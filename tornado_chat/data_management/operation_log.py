"""The record of exports, erasures and prunes: in the database, the log, and the plugins that record them."""

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
    except KeyError:  # a user without a name, in a container
        return str(uid)
