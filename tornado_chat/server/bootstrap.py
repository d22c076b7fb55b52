"""Preparation before a server can be built: plugins, keys, the state directory, the database."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import peewee as pw

from tornado_chat.config.sections import Config, ConfigError
from tornado_chat.observability.metrics import Metrics
from tornado_chat.plugins.discovery import FoundPlugin
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.plugins.registration import Fault, Registrations, raise_faults, register_all
from tornado_chat.server.plugin_registration import server_names
from tornado_chat.server.preflight import find_key_problems, load_plugins, make_key_problem
from tornado_chat.services.auth.keys import TokenKeys, load_keys
from tornado_chat.services.plugin_host.context import PluginContext
from tornado_chat.storage.open import DatabaseOpenError, open_and_check


class StartError(Exception):
    """The server cannot start.

    :arg reason: sentences that say what to do, each on a line of its own.
    :arg code: the exit code: 1 if the cause is the machine, 2 if the cause is the configuration.
    """

    def __init__(self, reason: str, code: int = 1) -> None:
        super().__init__(reason)
        self.code = code


class BootstrapResult(NamedTuple):
    """The parts that exist before the server.

    :ivar registrations: the results of the plugins' registration hooks.
    :ivar contexts: by plugin; not connected with the services yet.
    :ivar database: has the schema of this version, and is closed until its first use.
    """

    plugins: PluginManager
    registrations: Registrations
    contexts: Mapping[str, PluginContext]
    keys: TokenKeys
    database: pw.Database


def bootstrap(
    config: Config,
    loop: asyncio.AbstractEventLoop,
    metrics: Metrics,
    more_plugins: Sequence[FoundPlugin] = (),
) -> BootstrapResult:
    """Create the state directory, a generated secret and the database, where they are missing.

    Plugins are imported, instantiated and registered, but not started.

    :arg more_plugins: see ``Server``.
    :raises StartError: the configuration or the machine does not allow the server to run.
    """
    # Plugins and keys come before anything is opened: a mistake in one of them stops the start
    # without leaving files behind.
    try:
        plugins = PluginManager(load_plugins(config, more_plugins), loop, metrics)
        contexts = {
            each.name: PluginContext(each.name, plugins, None, loop, config.server.language, config.state_dir)
            for each in plugins.loaded
        }
        faults: list[Fault] = []
        registrations = register_all(plugins.loaded, contexts, config.state_dir, server_names(config), faults)
        raise_faults(faults)
    except ConfigError as error:
        problems = [*error.problems, *find_key_problems(config)]
        raise StartError("\n".join(map(str, problems)), 2) from error
    try:
        keys = load_keys(config.auth, config.staff, config.state_dir)
    except ValueError as error:
        raise StartError(str(make_key_problem(error)), 2) from error
    try:
        # Plugins keep files in it, too, also if the database is elsewhere.
        config.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StartError(f"cannot make [server] state_dir {config.state_dir}: {error.strerror}") from error
    try:
        database = open_and_check(config.storage, config.state_dir, config.limits.frame_bytes)
    except DatabaseOpenError as error:
        raise StartError(str(error)) from error
    return BootstrapResult(plugins, registrations, contexts, keys, database)
