"""The configuration of a test's server, of the options that the test names."""

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tornado_chat.config.ini import ConfigError, Problem
from tornado_chat.config.loader import load
from tornado_chat.config.sections import SECTIONS, Config
from tornado_chat.testing import recorder
from tornado_chat.testing.plugins_under_test import PluginsUnderTest

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "server": {"port": 0, "timezone": "UTC", "drain_seconds": 0},
    "storage": {"durability": "normal"},
    "support": {"queue_interval": 0.05},
}
"""The options of a test's server that differ from those of a real one, by section."""


def make_config(folder: Path, plugins: PluginsUnderTest, sections: Mapping[str, Mapping[str, Any]]) -> Config:
    """Return the configuration of a test's server.

    :raises ConfigError: the sections have mistakes; it has all of them.
    """
    known = [*plugins.names, *SECTIONS]
    unknown = [
        Problem("chat_server", section, "", f"this section is unknown; {_advice(section, known)}")
        for section in sections
        if ":" not in section and section not in known
    ]
    if unknown:
        raise ConfigError(unknown)
    own: Mapping[str, Mapping[str, Any]] = {
        "server": {"state_dir": folder},
        "plugins": {"paths": plugins.folders, "enabled": [*plugins.names, recorder.NAME]},
    }
    overrides = [
        f"{_full_name(section, plugins.names)}.{option}={_text(value)}"
        for several in (DEFAULTS, sections, own)
        for section, options in several.items()
        for option, value in options.items()
    ]
    # Without a file in this list, the machine's own configuration would be read.
    return load([Path(os.devnull)], overrides, {})


def _advice(section: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(section, known, 1)
    return f'did you mean "{near[0]}"?' if near else f"there are {', '.join(known)}"


def _full_name(section: str, plugins: Sequence[str]) -> str:
    """Return the name of a section in an ini file; those of plugins have a prefix there."""
    return f"plugin:{section}" if section in plugins and section not in SECTIONS else section


def _text(value: Any) -> str:
    """Return a value as it is written in an ini file."""
    match value:
        case bool():
            return "on" if value else "off"
        case list() | tuple():
            return ", ".join(map(str, value))
    return str(value)
