"""Checks of a configuration beyond its values: the plugins and the keys. The checks change nothing."""

from collections.abc import Callable, Collection

from tornado_chat.config.sections import Config, ConfigError, Problem
from tornado_chat.plugins import discovery
from tornado_chat.services.auth.secret import HMAC_SECRET_BYTES
from tornado_chat.services.auth.tokens import build_authenticator


def find_problems(read_config: Callable[[], Config]) -> list[Problem]:
    """Return all problems of the configuration that ``read_config`` reads, those of its values included.

    Plugins are imported and instantiated for that, but not started.
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
            discovery.load_plugins(config)
        except ConfigError as error:
            found += error.problems
    return found if "auth" in invalid_sections else [*found, *find_key_problems(config)]


def find_key_problems(config: Config) -> list[Problem]:
    """Return a problem for keys that cannot be used."""
    generates = not config.auth.secret_file and any(
        name in HMAC_SECRET_BYTES for name in config.auth.algorithms
    )
    if generates and not (config.state_dir / "secret").exists():
        return []  # the secret does not exist yet, and the check would create it
    try:
        build_authenticator(config.auth, config.state_dir)
    except ValueError as error:
        return [make_key_problem(error)]
    return []


def make_key_problem(error: ValueError) -> Problem:
    """Return the error of a key loader as a problem of the section [auth]."""
    return Problem("[auth]", "", "", str(error))
