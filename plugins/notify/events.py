"""The body of a webhook, which a delivery keeps: the same bytes in each attempt."""

import datetime
import json
from collections.abc import Mapping
from typing import Any

from tornado_chat.plugin_api import Notification

MAX_ID_CHARS = 64
ID_KEYS = ("sessionId", "observeSessionId", "apointmentId", "consultantId")
"""The keys of a notification's data that a webhook gets: those of the published frames."""


def body(event_id: str, notification: Notification) -> str:
    """Return the JSON body of a webhook. It names the recipient, and contains nothing of the text."""
    time = datetime.datetime.fromtimestamp(notification.time / 1_000_000, datetime.UTC)
    content = {
        "id": event_id,
        "type": "notification",
        "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "notification": {
            "id": notification.id,
            "type": notification.type,
            "role": notification.recipient.role.value,
            "person": notification.recipient.id,
            "data": _ids(notification.data),
        },
    }
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def notification_type(body: str) -> int:
    """Return the type of the notification that a body describes."""
    return int(json.loads(body)["notification"]["type"])


def _ids(data: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the ids in ``data``, see ``ID_KEYS``; other values may be texts of the host."""
    given = data or {}
    ids = {key: given[key] for key in ID_KEYS if key in given and _is_id(given[key])}
    return ids or None


def _is_id(value: Any) -> bool:
    return type(value) is int or (isinstance(value, str) and len(value) <= MAX_ID_CHARS)
