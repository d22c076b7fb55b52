"""The data keeper of alerts: export and erasure of a person, removal with the conversation."""

from collections.abc import Mapping, Sequence
from typing import Any

import peewee as pw

from tornado_chat.plugin_api import Keeper, Person, Thread, Transaction, models

from .alert_queries import KeywordFilterAlert, KeywordFilterNotified, KeywordFilterRecord


class AlertKeeper(Keeper):
    """Exports, erases and removes alerts.

    An alert about an erased person's message stays: after the erasure it cannot be linked to the person.
    """

    def of_person(self, database: pw.Database, person: Person) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        alert, notified, message = KeywordFilterAlert, KeywordFilterNotified, models.Message
        raised = (
            alert.select(
                alert.kind, alert.thread_id, alert.seq, alert.list, alert.created, alert.acknowledged
            )
            .join(
                message,
                on=(
                    (message.kind == alert.kind)
                    & (message.thread_id == alert.thread_id)
                    & (message.seq == alert.seq)
                ),
            )
            .where(message.sender == person.key)
            .order_by(alert.id)
        )
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
            "keyword_filter_alert": list(raised.dicts().execute(database)),
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
