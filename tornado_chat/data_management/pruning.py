"""Removing what is old by a command: the steps of the server's retention, one right after the other."""

from collections.abc import Callable
from typing import Any

import peewee as pw

from tornado_chat.plugins.data_keepers import DataKeepers
from tornado_chat.services.housekeeping import Read, steps
from tornado_chat.storage.exclusive_lock import run_transaction
from tornado_chat.storage.retention import RowCounts


def prune(
    database: pw.Database, keepers: DataKeepers, before: int, progress: Callable[[], object]
) -> RowCounts:
    """Remove everything from before that time.

    :arg progress: called after each small transaction.
    """
    work = steps(keepers, before)
    answer: Any = None
    while True:
        try:
            step = work.send(answer)
        except StopIteration as end:
            counts: RowCounts = end.value
            return counts
        if isinstance(step, Read):
            answer = step.query(database)
        else:
            answer = run_transaction(database, step.work)
            progress()
