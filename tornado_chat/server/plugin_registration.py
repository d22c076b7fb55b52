"""The registration hooks in the server: the names that the server has itself, and the use of the results."""

from collections.abc import Sequence

import peewee as pw

from tornado_chat.config.sections import Config
from tornado_chat.domain.queue import FifoLeastLoaded, QueuePolicy
from tornado_chat.plugins.manager import PluginError, PluginManager
from tornado_chat.plugins.registration import Fault, PluginPolicy, ServerNames, register_queue_policy
from tornado_chat.storage.open import create_missing_tables
from tornado_chat.web.application import own_patterns

COMMANDS = (
    *("serve", "demo", "talk", "status", "token", "check-config", "samples", "db", "backup", "restore"),
    *("export", "erase", "staff", "revoke", "unrevoke", "revocations", "plugins", "deliveries", "bench"),
)
"""The commands of ``tornado-chat``, which are in a layer above this one."""


def server_names(config: Config) -> ServerNames:
    """Return the names that plugins cannot use."""
    return ServerNames(COMMANDS, own_patterns(with_pages=config.web.pages))


def collect_queue_policy(plugins: PluginManager) -> tuple[QueuePolicy, str]:
    """Call ``register_queue_policy`` for a reload. Returns the policy and its plugin, as ``guard_policy``.

    :raises PluginError: the hook or the policy has a fault.
    """
    faults: list[Fault] = []
    policy = register_queue_policy(plugins.loaded, faults)
    for fault in faults:
        raise PluginError(f"plugin {fault.plugin.name}: {fault.problem}", fault.plugin.name)
    return guard_policy(plugins, policy)


def guard_policy(plugins: PluginManager, registered: PluginPolicy | None) -> tuple[QueuePolicy, str]:
    """Return a plugin's queue policy and the plugin's name; the default, and no name, if there is none."""
    if registered is None:
        return FifoLeastLoaded(), ""
    name = registered.plugin.name
    return plugins.guard_policy(name, registered.policy), name


def create_tables(models: Sequence[type[pw.Model]], database: pw.Database, url: str) -> None:
    """Create those tables of plugins that the database does not have yet.

    :raises DatabaseOpenError: the database cannot be used.
    """
    if models:
        # The writer does not do this: MySQL commits each CREATE TABLE by itself (implicit commit).
        create_missing_tables(database, models, url)
