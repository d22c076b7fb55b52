"""Replace the indexes of the sessions by those of lists, newest first. Frozen.

A list of sessions of a person, or in a state, or of all, reads its page by an index that ends with
``created``. The new indexes come first: until they are there, other processes use the old ones.
"""

from typing import Any

import peewee as pw
from playhouse.migrate import migrate

TABLE = "consultation_session"
NEW = (
    ("asker", "created"),
    ("helper", "created"),
    ("helper", "state", "created"),
    ("state", "created"),
    ("created",),
)
OLD = ("asker", "helper", "state")


def up(migrator: Any, db: pw.Database) -> None:
    for columns in NEW:
        migrate(migrator.add_index(TABLE, columns))
    for column in OLD:
        migrate(migrator.drop_index(TABLE, f"{TABLE}_{column}"))
