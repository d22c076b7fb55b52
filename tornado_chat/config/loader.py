"""Loader of the configuration: finds and reads the ini files and applies the overrides.

Strategy: ``load`` reads the files and then the overrides, and converts each text to the type of its field. A
removed option is left out, with a warning in ``Config.warnings``; a moved option is read at its old place,
too. A mistake is noted as a ``Problem`` and the default stays, so that further mistakes are found too; at the
end the values are checked against each other (``config/validation.py``). If there are problems, all of them
are raised together.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from tornado_chat import config
from tornado_chat.config.group_checks import CONSENT_OPTIONS, MAX_CONSENT_CHARS
from tornado_chat.config.ini import (
    GROUP_SECTION_PREFIX,
    PLUGIN_SECTION_PREFIX,
    ConfigError,
    InvalidValue,
    KnownSections,
    OptionEntry,
    Problem,
    is_removed,
    parse_value,
    read_file,
    read_override,
    removal_warning,
    with_credentials,
)
from tornado_chat.config.text_values import read_text
from tornado_chat.config.validation import check_values, missing_folder_text


def load(files: Sequence[Path] | None, overrides: Sequence[str], environ: Mapping[str, str]) -> config.Config:
    """Read the configuration; later files override earlier files, and overrides override files.

    :arg files: ini files; None or an empty sequence takes the files that ``config_files`` finds.
    :arg overrides: texts like ``server.port=9000``.
    :arg environ: for ``$TORNADO_CHAT_CONFIG``, the default state directory and systemd's credentials.
    :raises ConfigError: the configuration has mistakes; the error holds all of them.
    """
    known = KnownSections(
        {name: get_type_hints(section, include_extras=True) for name, section in config.SECTIONS.items()},
        group=get_type_hints(config.Group, include_extras=True),
    )
    problems: list[Problem] = []
    entries: list[OptionEntry] = []
    for path in config_files(files, environ):
        entries += read_file(path, known, config.REMOVED, config.MOVED, problems)
    for override in overrides:
        entries += read_override(override, known, config.REMOVED, config.MOVED, problems)
    removed = [entry for entry in entries if is_removed(entry, config.REMOVED)]
    entries = [entry for entry in entries if entry not in removed]
    entries = [with_credentials(entry, config.ETC_DIR / "credentials", environ) for entry in entries]

    values: dict[str, dict[str, Any]] = {name: {} for name in config.SECTIONS}
    invalid_options: set[tuple[str, str]] = set()
    plugin_entries: dict[str, list[OptionEntry]] = {}
    for entry in entries:
        if entry.section.startswith(PLUGIN_SECTION_PREFIX):
            plugin_entries.setdefault(entry.section.removeprefix(PLUGIN_SECTION_PREFIX), []).append(entry)
            continue
        if not entry.option:  # the section of a group
            values.setdefault(entry.section, {})
            continue
        try:
            value = parse_value(entry.text, known[entry.section][entry.option])
            if entry.section.startswith(GROUP_SECTION_PREFIX) and entry.option in CONSENT_OPTIONS:
                value = read_text(value, MAX_CONSENT_CHARS)
            values.setdefault(entry.section, {})[entry.option] = value
        except InvalidValue as error:
            problems.append(entry.problem(str(error)))
            invalid_options.add((entry.section, entry.option))

    option_sources = {(entry.section, entry.option): entry.source for entry in entries}
    loaded = config.Config(
        **{name: section(**values[name]) for name, section in config.SECTIONS.items()},
        groups={
            name.removeprefix(GROUP_SECTION_PREFIX): config.Group(**options)
            for name, options in values.items()
            if name.startswith(GROUP_SECTION_PREFIX)
        },
        plugin_entries=plugin_entries,
        option_sources=option_sources,
        warnings=[removal_warning(entry, config.REMOVED) for entry in removed],
    )
    configured_state_dir = loaded.server.state_dir
    try:
        loaded = loaded.with_state_dir(Path(configured_state_dir or default_state_dir(environ)))
        missing = missing_folder_text(loaded.state_dir) if configured_state_dir else ""
        if missing:  # the state directory is made, but not the folder that it is in
            source = option_sources["server", "state_dir"]
            problems.append(Problem(source, "server", "state_dir", missing))
    except RuntimeError:  # ~ cannot be expanded
        source = option_sources.get(("server", "state_dir"), "defaults")
        problems.append(
            Problem(source, "server", "state_dir", "there is no home directory; write an absolute path")
        )
    for section, option, message in check_values(loaded, invalid_options):
        problems.append(Problem(option_sources.get((section, option), "defaults"), section, option, message))
    if problems:
        raise ConfigError(problems, loaded)
    return loaded


def config_files(files: Sequence[Path] | None, environ: Mapping[str, str]) -> list[Path]:
    """Return the files that ``load`` reads, in the order of reading.

    These are ``files`` if given, else those of ``$TORNADO_CHAT_CONFIG`` (separated by colons), else the
    existing ones of ``/etc/tornado-chat/tornado-chat.ini`` and ``/etc/tornado-chat/conf.d/*.ini``.
    """
    if files:
        return list(files)
    from_environ = [Path(name) for name in environ.get("TORNADO_CHAT_CONFIG", "").split(os.pathsep) if name]
    if from_environ:
        return from_environ
    main = config.ETC_DIR / "tornado-chat.ini"
    return [*([main] if _exists(main) else []), *sorted(config.ETC_DIR.glob("conf.d/*.ini"))]


def _exists(path: Path) -> bool:
    """Return True if ``path`` exists or cannot be accessed.

    A file that cannot be accessed has to cause an error: without it, the server would run on defaults.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True


def default_state_dir(environ: Mapping[str, str]) -> Path:
    """Return the state directory of a configuration without ``state_dir``: systemd's, else the user's own."""
    from_systemd = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if from_systemd:
        return Path(from_systemd)
    home = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME") or "~") / ".local" / "state"
    return Path(home) / "tornado-chat"
