"""The results of the ``register_*`` hooks in the form that the server uses.

Each function raises ``PluginError`` if a plugin fails.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import peewee as pw

from tornado_chat.domain.queue import FifoLeastLoaded, QueuePolicy
from tornado_chat.plugins.context import Context
from tornado_chat.plugins.data_keepers import DataKeepers, PluginKeeper
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.storage.open import create_missing_tables


def collect_queue_policy(plugins: PluginManager) -> tuple[QueuePolicy, str]:
    """Return the first queue policy that a plugin registers, and its name; else the default, and no name."""
    for name, policy in plugins.collect("register_queue_policy"):
        if policy is not None:
            return cast(QueuePolicy, policy), name
    return FifoLeastLoaded(), ""


def collect_keepers(plugins: PluginManager, state_dir: Path) -> DataKeepers:
    """Return the data keepers: the plugins that store data of conversations."""
    found = plugins.collect("register_keeper", state_dir=state_dir)
    return DataKeepers([PluginKeeper(name, keeper) for name, keeper in found if keeper is not None])


def collect_routes(plugins: PluginManager, contexts: Mapping[str, Context]) -> list[Any]:
    """Return the plugins' routes in Tornado's form.

    :arg contexts: by plugin.
    """
    found = plugins.collect("register_handlers", contexts)
    return [route for _, several in found for route in several]


def create_tables(plugins: PluginManager, database: pw.Database, url: str) -> None:
    """Create those tables of plugins that the database does not have yet.

    :raises DatabaseOpenError: the database cannot be used.
    """
    found = plugins.collect("register_models")
    models = [model for _, several in found for model in several]
    if models:
        # The writer does not do this: MySQL commits each CREATE TABLE by itself (implicit commit).
        create_missing_tables(database, models, url)
