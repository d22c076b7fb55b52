"""The plugin API: every name that a plugin may import. ``docs/plugins.md`` shows how to use it."""

from tornado_chat.config.sections import option
from tornado_chat.core.errors import (
    ChatError,
    Conflict,
    Forbidden,
    NotFound,
    Refused,
    Unauthenticated,
    Unavailable,
)
from tornado_chat.core.numbers import MAX_NUMBER
from tornado_chat.core.plain_text import escape_controls
from tornado_chat.core.private_file import create_private_file
from tornado_chat.core.types import (
    Action,
    Activity,
    Conversation,
    ConversationState,
    Draft,
    HostRecord,
    HostSession,
    Identity,
    Kind,
    Message,
    Notification,
    NotificationDraft,
    Operation,
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
from tornado_chat.plugins.base import Plugin, PluginSettings
from tornado_chat.plugins.context import CommandContext, Context
from tornado_chat.plugins.data_keeper import Keeper
from tornado_chat.plugins.hookspecs import hookimpl
from tornado_chat.plugins.write_behind import WriteBehind
from tornado_chat.storage import models
from tornado_chat.storage.writer import Transaction

__all__ = [
    "MAX_NUMBER",
    "Action",
    "Activity",
    "ChatError",
    "Choice",
    "CommandContext",
    "Conflict",
    "Context",
    "Conversation",
    "ConversationState",
    "Draft",
    "FifoLeastLoaded",
    "Forbidden",
    "HostRecord",
    "HostSession",
    "Identity",
    "Keeper",
    "Kind",
    "Message",
    "NotFound",
    "Notification",
    "NotificationDraft",
    "Operation",
    "Person",
    "Plugin",
    "PluginSettings",
    "QueuePolicy",
    "Refused",
    "Role",
    "Room",
    "SessionState",
    "Thread",
    "Ticket",
    "Transaction",
    "Unauthenticated",
    "Unavailable",
    "Waiter",
    "WaiterPool",
    "WriteBehind",
    "create_private_file",
    "described",
    "escape_controls",
    "hookimpl",
    "models",
    "option",
]
