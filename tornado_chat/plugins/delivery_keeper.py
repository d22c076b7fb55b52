"""The data keeper of the deliveries of all plugins: export and erasure of a person, removal of old rows."""

from typing import TYPE_CHECKING

import peewee as pw

from tornado_chat.core.types import Person
from tornado_chat.plugins.data_keeper import Counts, Keeper, Rows
from tornado_chat.storage import deliveries

if TYPE_CHECKING:
    from tornado_chat.storage.writer import Transaction

NAME = "deliveries"
"""The name of the keeper beside those of plugins."""

TABLE = "plugin_delivery"


class DeliveryKeeper(Keeper):
    """By age it removes only deliveries that were given up: the others are removed sooner, or still wait."""

    def of_person(self, database: pw.Database, person: Person) -> Rows:
        return {TABLE: deliveries.of_person(database, person)}

    def erase_person(self, tx: "Transaction", person: Person) -> Counts:
        return {TABLE: deliveries.erase_person(tx.database, person)}

    def remove_old(self, tx: "Transaction", before: int, limit: int) -> Counts:
        return {TABLE: deliveries.remove_dead(tx.database, before, limit)}
