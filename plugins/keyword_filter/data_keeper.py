"""The data keeper of alerts: export and erasure of a person, removal with the conversation."""

from collections.abc import Mapping, Sequence
from typing import Any

import peewee as pw

from tornado_chat.plugin_api import Keeper, Kind, Person, Thread, Transaction

from .alert_queries import (
    KeywordFilterAlert,
    KeywordFilterNotified,
    KeywordFilterRecord,
    sender_of_message,
)


class AlertKeeper(Keeper):
    """Exports, erases and removes alerts.

    An alert about an erased person's message stays: after the erasure it cannot be linked to the person.
    """

    def of_person(self, database: pw.Database, person: Person) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        notified = KeywordFilterNotified
        received = (
            notified.select(notified.alert, notified.notification)
            .where(notified.person == person.key)
            .order_by(notified.id)
        )
        record = KeywordFilterRecord
        recorded = (
            record.select(record.kind, record.thread_id, record.seq, record.list, record.created)
            .where(record.sender == person.key)
            .order_by(record.id)
        )
        return {
            "keyword_filter_alert": _alerts_about(database, person),
            "keyword_filter_record": list(recorded.dicts().execute(database)),
            "keyword_filter_notified": list(received.dicts().execute(database)),
        }

    def erase_person(self, tx: Transaction, person: Person) -> Mapping[str, int]:
        notified = KeywordFilterNotified
        deleted = notified.delete().where(notified.person == person.key).execute(tx.database)
        record = KeywordFilterRecord
        emptied = record.update(sender="").where(record.sender == person.key).execute(tx.database)
        return {"keyword_filter_notified": deleted, "keyword_filter_record": emptied}

    def conversations_removed(self, tx: Transaction, threads: Sequence[Thread]) -> Mapping[str, int]:
        alert, notified, record = KeywordFilterAlert, KeywordFilterNotified, KeywordFilterRecord
        counts = {"keyword_filter_alert": 0, "keyword_filter_notified": 0, "keyword_filter_record": 0}
        for kind, thread_id in threads:
            recorded = (record.kind == kind.value) & (record.thread_id == thread_id)
            counts["keyword_filter_record"] += record.delete().where(recorded).execute(tx.database)
            of_thread = (alert.kind == kind.value) & (alert.thread_id == thread_id)
            ids = [id for (id,) in alert.select(alert.id).where(of_thread).tuples().execute(tx.database)]
            if not ids:
                continue
            counts["keyword_filter_notified"] += (
                notified.delete().where(notified.alert.in_(ids)).execute(tx.database)
            )
            counts["keyword_filter_alert"] += alert.delete().where(of_thread).execute(tx.database)
        return counts


def _alerts_about(database: pw.Database, person: Person) -> list[dict[str, Any]]:
    """Return the alerts that a message of the person has raised, oldest first."""
    alert, record = KeywordFilterAlert, KeywordFilterRecord
    columns = (alert.kind, alert.thread_id, alert.seq, alert.list, alert.created, alert.acknowledged)
    of_alert = (record.kind == alert.kind) & (record.thread_id == alert.thread_id) & (record.seq == alert.seq)
    of_person = of_alert & (record.sender == person.key)
    raised = alert.select(*columns).where(pw.fn.EXISTS(record.select(record.id).where(of_person)))
    unrecorded = alert.select(*columns).where(~pw.fn.EXISTS(record.select(record.id).where(of_alert)))
    earlier = list(unrecorded.order_by(alert.id).dicts().execute(database))  # of an earlier version
    found = [row for row in earlier if _sender(database, row) == person]
    return [*found, *raised.order_by(alert.id).dicts().execute(database)]


def _sender(database: pw.Database, row: Mapping[str, Any]) -> Person | None:
    return sender_of_message(database, Thread(Kind(row["kind"]), row["thread_id"]), row["seq"])
