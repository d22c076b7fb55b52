"""Removal of old data by a command: it runs the steps of the server's retention without pauses."""

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
    """Remove the data that expired before ``before`` (microseconds since 1970). Returns the row counts.

    :arg progress: called after each transaction.
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
