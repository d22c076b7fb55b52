"""What becomes of deliveries when people's data are exported, erased or old."""

from collections.abc import Mapping, Sequence
from typing import Any

import peewee as pw

from tornado_chat.plugin_api import Keeper, Person, Transaction

from .outbox import DEAD, NotifyDelivery


class DeliveryKeeper(Keeper):
    """The plugin removes what was delivered by itself; here go those that were given up."""

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
