"""Taking all rows of one database over into another, of whatever kind the two are."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import peewee as pw

from tornado_chat.storage import models

PROCESS_TABLES = (models.Writer, models.Lease)
"""Tables that say what runs at the moment; they are left out."""

COPIED_MODELS = tuple(model for model in models.TABLES if model not in PROCESS_TABLES)
CHUNK_ROWS = 500  # rows of one statement and transaction


class TargetNotEmpty(Exception):
    """There is something in the database that was to take everything: a table's name."""


class IncompleteCopy(Exception):
    """A table did not arrive as it was, in a sentence."""


def import_database(
    source: pw.Database,
    target: pw.Database,
    plugin_models: Sequence[type[pw.Model]] = (),
    on_copied: Callable[[int], object] = lambda rows: None,
) -> dict[str, int]:
    """Copy every row of ``source``, as it is at this moment, with its id. Returns rows by table.

    Both have the schema of this version. It is not one transaction: when it fails, ``target`` has to be
    emptied before the next attempt.

    :arg plugin_models: models of plugins.
    :arg on_copied: called after each portion, with its rows.
    :raises TargetNotEmpty: nothing was done.
    :raises IncompleteCopy: not everything has arrived.
    """
    tables = pw.sort_models([*COPIED_MODELS, *plugin_models])  # type: ignore[attr-defined]  # absent from the stubs
    for model in tables:
        if model.select().exists(target):
            raise TargetNotEmpty(model._meta.table_name)
    counts: dict[str, int] = {}
    with source.atomic():  # so that all is read of one moment
        there = set(source.get_tables())
        for model in tables:
            name = model._meta.table_name
            counts[name] = _copy(source, target, model, on_copied) if name in there else 0
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
    while portion := list(islice(rows, CHUNK_ROWS)):
        with target.atomic():
            model.insert_many(portion, fields=fields).execute(target)
        count += len(portion)
        on_copied(len(portion))
    return count
