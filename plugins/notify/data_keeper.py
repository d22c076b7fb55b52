"""The data keeper of deliveries: export and erasure of a person, removal of old dead deliveries."""

from collections.abc import Mapping, Sequence
from typing import Any

import peewee as pw

from tornado_chat.plugin_api import Keeper, Person, Transaction

from .outbox import DEAD, NotifyDelivery


class DeliveryKeeper(Keeper):
    """Exports, erases and removes deliveries.

    By age it removes only dead deliveries: the worker removes the delivered ones itself.
    """

    def of_person(self, database: pw.Database, person: Person) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        table = NotifyDelivery
        query = (
            table.select(table.notification, table.shown, table.type, table.body, table.state, table.created)
            .where(table.recipient == person.key)
            .order_by(table.id)
        )
        return {"notify_delivery": list(query.dicts().execute(database))}

    def erase_person(self, tx: Transaction, person: Person) -> Mapping[str, int]:
        table = NotifyDelivery
        return {"notify_delivery": table.delete().where(table.recipient == person.key).execute(tx.database)}

    def remove_old(self, tx: Transaction, before: int, limit: int) -> Mapping[str, int]:
        table = NotifyDelivery
        old = table.select(table.id).where((table.state == DEAD) & (table.next_at < before)).limit(limit)
        ids = [id for (id,) in old.tuples().execute(tx.database)]
        if ids:
            table.delete().where(table.id.in_(ids)).execute(tx.database)
        return {"notify_delivery": len(ids)}
