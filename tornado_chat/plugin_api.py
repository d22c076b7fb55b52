"""The plugin API: every name that a plugin may import. ``docs/plugins.md`` shows how to use it."""

from typing import Any

from tornado_chat.config.sections import option
from tornado_chat.core.deliveries import (
    Delivery,
    DeliveryError,
    GiveUp,
    NewDelivery,
    OutboxTimes,
    RetryLater,
)
from tornado_chat.core.errors import (
    ChatError,
    Conflict,
    Forbidden,
    Malformed,
    NotFound,
    Refused,
    TooBig,
    TooFast,
    Unauthenticated,
    Unavailable,
)
from tornado_chat.core.lists import MAX_PAGE_ITEMS, KnownPerson, ListPage
from tornado_chat.core.numbers import MAX_NUMBER
from tornado_chat.core.plain_text import escape_controls
from tornado_chat.core.private_file import create_private_file, replace_private_file
from tornado_chat.core.requests import Request
from tornado_chat.core.types import (
    DEFAULT_GROUP,
    Action,
    Activity,
    AgentState,
    Conversation,
    ConversationState,
    Draft,
    EndReason,
    HostRecord,
    HostSession,
    Identity,
    Kind,
    Message,
    Notification,
    NotificationDraft,
    Operation,
    Part,
    Participant,
    Person,
    Role,
    Room,
    SessionState,
    Thread,
)
from tornado_chat.domain.queue import (
    Choice,
    FifoLeastLoaded,
    QueuePolicy,
    Ticket,
    Waiter,
    WaiterPool,
)
from tornado_chat.observability.logs import described
from tornado_chat.observability.metrics.plugin_metrics import Counter, Gauge
from tornado_chat.plugins.base import Plugin, PluginSettings
from tornado_chat.plugins.context import CommandContext, Context
from tornado_chat.plugins.data_keeper import Keeper
from tornado_chat.plugins.delivery_commands import delivery_commands
from tornado_chat.plugins.handler import PluginHandler
from tornado_chat.plugins.hookspecs import hookimpl
from tornado_chat.plugins.outbox import Outbox
from tornado_chat.plugins.server_data import ServerData
from tornado_chat.plugins.write_behind import WriteBehind
from tornado_chat.storage.writer import Transaction
from tornado_chat.wire.operations import ApiResponse, operation

__all__ = [
    "DEFAULT_GROUP",
    "MAX_NUMBER",
    "MAX_PAGE_ITEMS",
    "Action",
    "Activity",
    "AgentState",
    "ApiResponse",
    "ChatError",
    "Choice",
    "CommandContext",
    "Conflict",
    "Context",
    "Conversation",
    "ConversationState",
    "Counter",
    "Delivery",
    "DeliveryError",
    "Draft",
    "EndReason",
    "FifoLeastLoaded",
    "Forbidden",
    "Gauge",
    "GiveUp",
    "HostRecord",
    "HostSession",
    "Identity",
    "Keeper",
    "Kind",
    "KnownPerson",
    "ListPage",
    "Malformed",
    "Message",
    "NewDelivery",
    "NotFound",
    "Notification",
    "NotificationDraft",
    "Operation",
    "Outbox",
    "OutboxTimes",
    "Part",
    "Participant",
    "Person",
    "Plugin",
    "PluginHandler",
    "PluginSettings",
    "QueuePolicy",
    "Refused",
    "Request",
    "RetryLater",
    "Role",
    "Room",
    "ServerData",
    "SessionState",
    "Thread",
    "Ticket",
    "TooBig",
    "TooFast",
    "Transaction",
    "Unauthenticated",
    "Unavailable",
    "Waiter",
    "WaiterPool",
    "WriteBehind",
    "create_private_file",
    "delivery_commands",
    "described",
    "escape_controls",
    "hookimpl",
    "operation",
    "option",
    "replace_private_file",
]

REMOVED = {
    "models": (
        "the server's tables are no longer part of the plugin API, as they change between versions: read "
        "with the methods of Context (sessions, conversations, messages, notifications, known_people), or "
        'with ServerData(database) in a transaction, a keeper or a command; docs/plugins.md, "Reading the '
        "server's data\", shows how"
    )
}
"""Names that the plugin API had, each with the sentence that says what to use instead."""


def __getattr__(name: str) -> Any:
    if name in REMOVED:
        # An AttributeError would become "cannot import name".
        raise ImportError(f"there is no {name} any more: {REMOVED[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
