"""What is wrong with a configuration beyond its values: its plugins and keys. Nothing is changed."""

from collections.abc import Callable, Collection

from tornado_chat.config.sections import Config, ConfigError, Problem
from tornado_chat.plugins import discovery
from tornado_chat.services.auth.secret import HMAC_SECRET_BYTES
from tornado_chat.services.auth.tokens import build_authenticator


def find_problems(read_config: Callable[[], Config]) -> list[Problem]:
    """All that is wrong with what ``read_config`` reads, its values included.

    Plugins are imported and made for that, but not started.
    """
    try:
        return _plugin_and_key_problems(read_config())
    except ConfigError as error:
        return [
            *error.problems,
            *_plugin_and_key_problems(error.rest, {problem.section for problem in error.problems}),
        ]


def _plugin_and_key_problems(config: Config, invalid_sections: Collection[str] = ()) -> list[Problem]:
    """:arg invalid_sections: sections with mistakes: the defaults in their place deserve no complaints."""
    found: list[Problem] = []
    if "plugins" not in invalid_sections:
        try:
            discovery.load_plugins(config)
        except ConfigError as error:
            found += error.problems
    return found if "auth" in invalid_sections else [*found, *find_key_problems(config)]


def find_key_problems(config: Config) -> list[Problem]:
    """Keys that cannot be used."""
    generates = not config.auth.secret_file and any(
        name in HMAC_SECRET_BYTES for name in config.auth.algorithms
    )
    if generates and not (config.state_dir / "secret").exists():
        return []  # to look would make it
    try:
        build_authenticator(config.auth, config.state_dir)
    except ValueError as error:
        return [make_key_problem(error)]
    return []


def make_key_problem(error: ValueError) -> Problem:
    """What the keys' owners say, as a mistake in the configuration."""
    return Problem("[auth]", "", "", str(error))
