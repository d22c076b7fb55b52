"""Add the deliveries of all plugins, and move those of the plugin notify there. Frozen.

The plugin had created its table by itself, so the table exists only where the plugin was enabled. Elsewhere
it is created here, and dropped again: a migration that is resumed must have the same statements.
"""

from typing import Any

import peewee as pw


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class PluginDelivery(Table):
    id = pw.BigAutoField()
    plugin = pw.CharField(64)
    outbox = pw.CharField(32)
    target = pw.CharField(64)
    item = pw.CharField(64)
    order_key = pw.CharField(64)
    shown = pw.TextField()
    recipient = pw.CharField(80)
    body = pw.TextField()
    event_id = pw.CharField(36)
    state = pw.CharField(12)
    attempts = pw.IntegerField(default=0)
    next_at = pw.BigIntegerField()
    since = pw.BigIntegerField()
    created = pw.BigIntegerField()
    last_error = pw.TextField(null=True)

    class Meta:
        indexes = (
            (("plugin", "outbox", "target", "item"), True),
            (("state", "plugin", "outbox", "next_at"), False),
            (("target", "order_key", "state"), False),
            (("recipient",), False),
        )


OLD_TABLE = (
    "CREATE TABLE IF NOT EXISTS notify_delivery (id BIGINT NOT NULL PRIMARY KEY, "
    "notification BIGINT NOT NULL, target VARCHAR(64) NOT NULL, shown TEXT NOT NULL, "
    "event_id VARCHAR(36) NOT NULL, recipient VARCHAR(80) NOT NULL, type SMALLINT NOT NULL, "
    "body TEXT NOT NULL, state VARCHAR(12) NOT NULL, attempts INTEGER NOT NULL, next_at BIGINT NOT NULL, "
    "since BIGINT NOT NULL, created BIGINT NOT NULL, last_error TEXT)"
)
COPY = (
    "INSERT INTO plugin_delivery (plugin, outbox, target, item, order_key, shown, recipient, body, event_id, "
    "state, attempts, next_at, since, created, last_error) SELECT 'notify', 'notifications', target, "
    "CAST(notification AS CHAR), '', shown, recipient, body, event_id, state, attempts, next_at, since, "
    "created, last_error FROM notify_delivery ORDER BY id"
)


def up(migrator: Any, db: pw.Database) -> None:
    with db.bind_ctx([PluginDelivery]):
        db.create_tables([PluginDelivery], safe=False)
    for statement in (OLD_TABLE, COPY, "DROP TABLE notify_delivery"):
        db.execute_sql(statement)  # type: ignore[no-untyped-call]
