"""Checks of a configuration beyond its values: the plugins and the keys. The checks change nothing."""

import asyncio
from collections.abc import Callable, Collection, Sequence

from tornado_chat.config.sections import Config, ConfigError, Problem
from tornado_chat.plugins import discovery
from tornado_chat.plugins.discovery import FoundPlugin, LoadedPlugin
from tornado_chat.plugins.registration import Fault, register_all
from tornado_chat.plugins.unconnected_context import unconnected_context
from tornado_chat.services.auth.secret import HMAC_SECRET_BYTES
from tornado_chat.services.auth.tokens import build_authenticator


def find_problems(read_config: Callable[[], Config]) -> list[Problem]:
    """Return all problems of the configuration that ``read_config`` reads, those of its values included.

    Plugins are imported, instantiated and registered for that, but not started.
    """
    try:
        return _plugin_and_key_problems(read_config())
    except ConfigError as error:
        return [
            *error.problems,
            *_plugin_and_key_problems(error.rest, {problem.section for problem in error.problems}),
        ]


def _plugin_and_key_problems(config: Config, invalid_sections: Collection[str] = ()) -> list[Problem]:
    """Return the problems of plugins and keys.

    :arg invalid_sections: sections with mistakes. Defaults stand in for them, so they are not checked.
    """
    found: list[Problem] = []
    if "plugins" not in invalid_sections:
        try:
            load_checked_plugins(config)
        except ConfigError as error:
            found += error.problems
    return found if "auth" in invalid_sections else [*found, *find_key_problems(config)]


def load_plugins(config: Config, given: Sequence[FoundPlugin] = ()) -> list[LoadedPlugin]:
    """Return the enabled plugins, in order.

    :arg given: as of ``discovery.load_plugins``.
    :raises ConfigError: plugins cannot be loaded. It also has the faults of the registration hooks of all
        plugins that can be loaded, so that an operator sees everything at once.
    """
    try:
        return discovery.load_plugins(config, given)
    except ConfigError as error:
        problems = [*error.problems, *find_registration_problems(config, error.rest)]
        raise ConfigError(problems) from error


def load_checked_plugins(config: Config) -> list[LoadedPlugin]:
    """Return the enabled plugins, in order, whose registration hooks are called for that.

    :raises ConfigError: plugins cannot be loaded or registered.
    """
    loaded = load_plugins(config)
    problems = find_registration_problems(config, loaded)
    if problems:
        raise ConfigError(problems)
    return loaded


def find_registration_problems(config: Config, loaded: Sequence[LoadedPlugin]) -> list[Problem]:
    """Return the faults of the registration hooks of plugins, without a server."""
    if not loaded:
        return []
    # Imports all handlers: commands without plugins need not wait for it.
    from tornado_chat.server.plugin_registration import server_names

    faults: list[Fault] = []

    def register() -> None:
        contexts = {
            each.name: unconnected_context(config.server.language, config.state_dir) for each in loaded
        }
        register_all(loaded, contexts, config.state_dir, server_names(config), faults)

    async def register_on_loop() -> None:
        register()

    try:
        asyncio.get_running_loop()
    except RuntimeError:  # the hooks may use the loop, as in the server
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(register_on_loop())
    else:
        register()
    return [fault.problem for fault in faults]


def find_key_problems(config: Config) -> list[Problem]:
    """Return a problem for keys that cannot be used."""
    generates = not config.auth.secret_file and any(
        name in HMAC_SECRET_BYTES for name in config.auth.algorithms
    )
    secret = config.state_dir / "secret"
    try:
        if generates and not secret.exists():
            return []  # the secret does not exist yet, and the check would create it
        build_authenticator(config.auth, config.state_dir)
    except PermissionError as error:
        text = f"{secret} cannot be read: {error.strerror}; check as root or as the user of the server"
        return [Problem("[auth]", "", "", text)]
    except ValueError as error:
        return [make_key_problem(error)]
    return []


def make_key_problem(error: ValueError) -> Problem:
    """Return the error of a key loader as a problem of the section [auth]."""
    return Problem("[auth]", "", "", str(error))
