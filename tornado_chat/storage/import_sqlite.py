"""Taking all rows of one database over into another, of whatever kind the two are."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import peewee as pw

from tornado_chat.storage import models

OF_A_PROCESS = (models.Writer, models.Lease)
"""Tables that say what runs at the moment; they are left out."""

MODELS = tuple(model for model in models.TABLES if model not in OF_A_PROCESS)
PORTION = 500  # rows of one statement and transaction


class NotEmpty(Exception):
    """There is something in the database that was to take everything: a table's name."""


class Incomplete(Exception):
    """A table did not arrive as it was, in a sentence."""


def take_over(
    source: pw.Database,
    target: pw.Database,
    more: Sequence[type[pw.Model]] = (),
    moved: Callable[[int], object] = lambda rows: None,
) -> dict[str, int]:
    """Copy every row of ``source``, as it is at this moment, with its id. Returns rows by table.

    Both have the schema of this version. It is not one transaction: when it fails, ``target`` has to be
    emptied before the next attempt.

    :arg more: models of plugins.
    :arg moved: called after each portion, with its rows.
    :raises NotEmpty: nothing was done.
    :raises Incomplete: not everything has arrived.
    """
    tables = pw.sort_models([*MODELS, *more])  # type: ignore[attr-defined]  # absent from the stubs
    for model in tables:
        if model.select().exists(target):
            raise NotEmpty(model._meta.table_name)
    counts: dict[str, int] = {}
    with source.atomic():  # so that all is read of one moment
        there = set(source.get_tables())
        for model in tables:
            name = model._meta.table_name
            counts[name] = _copy(source, target, model, moved) if name in there else 0
    for model in tables:
        name = model._meta.table_name
        arrived = model.select().count(target)
        if arrived != counts[name]:
            raise Incomplete(f"{name} has {arrived} rows instead of {counts[name]}")
    return counts


def _copy(
    source: pw.Database, target: pw.Database, model: type[pw.Model], moved: Callable[[int], object]
) -> int:
    fields = model._meta.sorted_fields
    rows: Iterator[tuple[Any, ...]] = iter(model.select(*fields).tuples().iterator(source))
    count = 0
    while portion := list(islice(rows, PORTION)):
        with target.atomic():
            model.insert_many(portion, fields=fields).execute(target)
        count += len(portion)
        moved(len(portion))
    return count
