"""What plugins register, as the server takes it. Each raises ``Broken`` if a plugin fails."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import peewee as pw

from tornado_chat.domain.queue import FifoLeastLoaded, QueuePolicy
from tornado_chat.plugins.context import Context
from tornado_chat.plugins.data_keepers import DataKeepers, PluginKeeper
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.storage.open import create_missing_tables


def queue_policy(plugins: PluginManager) -> QueuePolicy:
    """The first that a plugin has, else the default."""
    for _, policy in plugins.collect("register_queue_policy"):
        if policy is not None:
            return cast(QueuePolicy, policy)
    return FifoLeastLoaded()


def keepers(plugins: PluginManager, state_dir: Path) -> DataKeepers:
    """Those who keep something of what was said."""
    found = plugins.collect("register_keeper", state_dir=state_dir)
    return DataKeepers([PluginKeeper(name, keeper) for name, keeper in found if keeper is not None])


def collect_routes(plugins: PluginManager, contexts: Mapping[str, Context]) -> list[Any]:
    """Routes as Tornado takes them. :arg contexts: by plugin."""
    found = plugins.collect("register_handlers", contexts)
    return [route for _, several in found for route in several]


def create_tables(plugins: PluginManager, database: pw.Database, url: str) -> None:
    """Create those tables that the database does not have yet. :raises CannotOpen: it cannot be used."""
    found = plugins.collect("register_models")
    models = [model for _, several in found for model in several]
    if models:
        # Not by the writer: a MySQL server commits what creates a table by itself.
        create_missing_tables(database, models, url)
