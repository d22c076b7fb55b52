"""Copying all rows of one database into another; each may be SQLite or MySQL."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import peewee as pw

from tornado_chat.storage import leases, models

PROCESS_TABLES = (models.WriterProcess, models.Lease)
"""Tables about the processes that run at the moment; of them only reserved leases are copied."""

COPIED_MODELS = tuple(model for model in models.TABLES if model not in PROCESS_TABLES)
CHUNK_ROWS = 500  # rows in one statement and transaction


class TargetNotEmpty(Exception):
    """The target database is not empty. The argument is the name of a table with rows."""


class IncompleteCopy(Exception):
    """A table of the target has another number of rows than the source. The argument is a sentence."""


def import_database(
    source: pw.Database,
    target: pw.Database,
    plugin_models: Sequence[type[pw.Model]] = (),
    on_copied: Callable[[int], object] = lambda rows: None,
) -> dict[str, int]:
    """Copy every row of ``source``, as of one moment, with its id. Returns the number of rows by table.

    Both databases have the schema of this version. The copy is not one transaction: after a failure,
    ``target`` has to be emptied before the next attempt.

    :arg plugin_models: models of the plugins' tables.
    :arg on_copied: called after each chunk, with its number of rows.
    :raises TargetNotEmpty: a table of ``target`` has rows; nothing was copied.
    :raises IncompleteCopy: a table of ``target`` has another number of rows than were copied.
    """
    tables = pw.sort_models([*COPIED_MODELS, *plugin_models])  # type: ignore[attr-defined]  # absent from the stubs
    for model in tables:
        # A server that has started on the empty target may have set the beginning of its numbers.
        if model is not models.NumberSequence and model.select().exists(target):
            raise TargetNotEmpty(model._meta.table_name)
    models.NumberSequence.delete().execute(target)
    counts: dict[str, int] = {}
    with source.atomic():  # so that all rows are read as of one moment
        source_tables = set(source.get_tables())
        for model in tables:
            name = model._meta.table_name
            counts[name] = _copy(source, target, model, on_copied) if name in source_tables else 0
        leases.copy_reserved(source, target)
    for model in tables:
        name = model._meta.table_name
        arrived = model.select().count(target)
        if arrived != counts[name]:
            raise IncompleteCopy(f"{name} has {arrived} rows instead of {counts[name]}")
    return counts


def _copy(
    source: pw.Database, target: pw.Database, model: type[pw.Model], on_copied: Callable[[int], object]
) -> int:
    fields = model._meta.sorted_fields
    rows: Iterator[tuple[Any, ...]] = iter(model.select(*fields).tuples().iterator(source))
    count = 0
    while chunk := list(islice(rows, CHUNK_ROWS)):
        with target.atomic():
            model.insert_many(chunk, fields=fields).execute(target)
        count += len(chunk)
        on_copied(len(chunk))
    return count
