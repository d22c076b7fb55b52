"""What is wrong with a configuration beyond its values: its plugins and keys. Nothing is changed."""

from collections.abc import Callable, Collection

from tornado_chat.config.sections import Config, ConfigError, Problem
from tornado_chat.plugins import discovery
from tornado_chat.services.auth.secret import SECRET_BYTES
from tornado_chat.services.auth.tokens import build


def mistakes(read: Callable[[], Config]) -> list[Problem]:
    """All that is wrong with what ``read`` reads, its values included.

    Plugins are imported and made for that, but not started.
    """
    try:
        return _deeper(read())
    except ConfigError as error:
        return [*error.problems, *_deeper(error.rest, {problem.section for problem in error.problems})]


def _deeper(config: Config, wrong: Collection[str] = ()) -> list[Problem]:
    """:arg wrong: sections with mistakes: the defaults in their place deserve no complaints."""
    found: list[Problem] = []
    if "plugins" not in wrong:
        try:
            discovery.load(config)
        except ConfigError as error:
            found += error.problems
    return found if "auth" in wrong else [*found, *key_mistakes(config)]


def key_mistakes(config: Config) -> list[Problem]:
    """Keys that cannot be used."""
    generates = not config.auth.secret_file and any(name in SECRET_BYTES for name in config.auth.algorithms)
    if generates and not (config.state_dir / "secret").exists():
        return []  # to look would make it
    try:
        build(config.auth, config.state_dir)
    except ValueError as error:
        return [key_problem(error)]
    return []


def key_problem(error: ValueError) -> Problem:
    """What the keys' owners say, as a mistake in the configuration."""
    return Problem("[auth]", "", "", str(error))
