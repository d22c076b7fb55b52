"""Discovery of plugins, and loading of the enabled ones.

Three places are searched: the bundled plugins, the folders of ``[plugins] paths``, and installed
distributions with an entry point in the group ``tornado_chat``. Only enabled plugins are imported. All
problems are collected and reported together, as in ``config``.
"""

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from tornado_chat.config.ini import ConfigError, InvalidValue, OptionEntry, Problem, check_known, parse_value
from tornado_chat.config.sections import Config
from tornado_chat.plugins.base import Plugin
from tornado_chat.plugins.hook_methods import HookMethods, find_hook_methods
from tornado_chat.plugins.hookspecs import PROJECT
from tornado_chat.plugins.load_errors import (
    CODE_ERRORS,
    DROPPED_PACKAGE,
    READ_ADVICE,
    describe_error,
    describe_import_error,
)

BUNDLED = "tornado_chat_plugins"
"""The package of the bundled plugins (the folder ``plugins``)."""

ALL_IN_PATHS = "*"
"""Entry of ``[plugins] enabled`` for all plugins in the folders of ``paths`` that have no own entry."""

SECTION_PREFIX = "plugin:"


@dataclass(frozen=True)
class FoundPlugin:
    """A plugin that was found, not imported yet.

    :ivar source: where the plugin was found, for messages.
    :ivar load: imports the plugin's module.
    """

    name: str
    source: str
    version: str
    load: Callable[[], ModuleType]
    is_in_paths: bool = False

    @property
    def label(self) -> str:
        """The plugin's name in problem reports: its file, or its name and source."""
        return self.source if self.is_in_paths else f"{self.name} ({self.source})"

    @property
    def place(self) -> Path | None:
        """The plugin's file or folder, if it is in a folder of ``[plugins] paths``."""
        return Path(self.source) if self.is_in_paths else None

    def problem(self, message: str) -> Problem:
        return Problem(self.label, "", "", message)


@dataclass(frozen=True)
class LoadedPlugin:
    """An enabled plugin with its instance."""

    found: FoundPlugin
    plugin: Plugin

    @property
    def name(self) -> str:
        return self.found.name

    @property
    def version(self) -> str:
        return type(self.plugin).version or self.found.version

    @cached_property
    def hook_methods(self) -> HookMethods:
        return find_hook_methods(self.plugin)

    @property
    def hooks(self) -> list[str]:
        """The names of the hooks that the plugin implements, in the order of ``hookspecs``."""
        return list(self.hook_methods.implementations)


def find_plugins(config: Config) -> tuple[dict[str, FoundPlugin], list[Problem]]:
    """Return all plugins by name.

    Of plugins with the same name, one in a folder of ``paths`` takes precedence over an installed one, and
    that over a bundled one.
    """
    found: dict[str, FoundPlugin] = {}
    problems: list[Problem] = []
    for each in (*_find_bundled(), *_find_installed()):
        found[each.name] = each
    in_paths: dict[str, FoundPlugin] = {}
    for path in config.plugins.paths:
        for each in _find_in_folder(config, path, problems):
            if each.name in in_paths:
                message = (
                    f'there are two plugins "{each.name}": {in_paths[each.name].source} and {each.source}'
                )
                problems.append(_option_problem(config, "paths", message))
            in_paths.setdefault(each.name, each)
    return found | in_paths, problems


def select_plugins(
    config: Config, found: Mapping[str, FoundPlugin]
) -> tuple[list[FoundPlugin], list[Problem]]:
    """Return the enabled plugins in order, by ``[plugins] enabled`` and ``disabled``."""
    problems = [
        _option_problem(config, option, f'there is no plugin "{name}"{_suggestion(name, found)}')
        for option in ("enabled", "disabled")
        for name in getattr(config.plugins, option)
        if name not in found and name != ALL_IN_PATHS
    ]
    named = [name for name in config.plugins.enabled if name != ALL_IN_PATHS]
    names: list[str] = []
    for name in config.plugins.enabled:
        if name == ALL_IN_PATHS:
            names += [each for each in sorted(found) if found[each].is_in_paths and each not in named]
        else:
            names.append(name)
    selected = [
        name for name in dict.fromkeys(names) if name in found and name not in config.plugins.disabled
    ]
    return [found[name] for name in selected], problems


def find_doubtful_folders(config: Config) -> list[str]:
    """Return a sentence for each folder in those of ``paths`` that looks like a plugin, and is none."""
    return [
        f"{path} is no plugin, as it has no __init__.py; rename the file with the class to __init__.py"
        for written in config.plugins.paths
        for path in sorted(Path(written).expanduser().absolute().glob("[!._]*"))
        if path.is_dir() and any(path.glob("*.py")) and not (path / "__init__.py").exists()
    ]


def load_plugins(config: Config, given: Sequence[FoundPlugin] = ()) -> list[LoadedPlugin]:
    """Load the enabled plugins, in order, each with its checked settings.

    :arg given: plugins that the caller has found; they take precedence over all others.
    :raises ConfigError: plugins are missing or broken, or have mistakes in their sections; it has all
        problems, and as ``rest`` the plugins that could be loaded.
    """
    found, problems = find_plugins(config)
    found.update({each.name: each for each in given})
    selected, more = select_plugins(config, found)
    problems += more
    loaded: list[LoadedPlugin] = []
    for each in selected:
        try:
            plugin_class = _find_plugin_class(each)
            settings = read_settings(config, each.name, plugin_class, problems)
            if settings is not None:
                loaded.append(LoadedPlugin(each, _create(plugin_class, settings)))
        except _LoadError as error:
            problems.append(each.problem(str(error)))
        except CODE_ERRORS as error:  # raised by the plugin's constructor
            text = describe_error(error, each.place)
            problems.append(each.problem(f"this plugin cannot be created: {text}"))
    for name, entries in config.plugin_entries.items():
        if name not in found:
            message = f"there is no such plugin{_suggestion(name, found)}"
            problems.append(Problem(entries[0].source, f"{SECTION_PREFIX}{name}", "", message))
    problems += [each.found.problem(fault) for each in loaded for fault in each.hook_methods.faults]
    if problems:
        raise ConfigError(problems, loaded)
    return loaded


def _create(plugin_class: type[Plugin], settings: Any) -> Plugin:
    plugin = plugin_class(settings)
    if not hasattr(plugin, "settings"):
        raise _LoadError("the __init__ of this plugin does not call super().__init__(settings); add the call")
    return plugin


def read_settings(
    config: Config, name: str, plugin_class: type[Plugin], problems: list[Problem]
) -> Any | None:
    """Return the plugin's section as its settings class.

    :return: None if the section has mistakes, which are added to ``problems``.
    """
    section = f"{SECTION_PREFIX}{name}"
    hints = get_type_hints(plugin_class.Settings, include_extras=True)
    known = {section: {each.name: hints[each.name] for each in fields(plugin_class.Settings)}}
    values: dict[str, Any] = {}
    before = len(problems)
    entries: dict[str, OptionEntry] = {}
    for written in config.plugin_entries.get(name, ()):
        for entry in check_known(written, known, problems):
            entries[entry.option] = entry
            try:
                values[entry.option] = parse_value(entry.text, known[section][entry.option])
            except InvalidValue as error:
                problems.append(entry.problem(str(error)))
    if len(problems) > before:
        return None
    try:
        settings = plugin_class.Settings(**values)
        plugin_class.check(settings)
    except ValueError as error:
        option, colon, message = str(error).partition(": ")
        if not colon or option not in known[section]:
            option, message = "", str(error)
        source = entries[option].source if option in entries else "defaults"
        problems.append(Problem(source, section, option, message))
        return None
    return settings


# The places of plugins


def _find_bundled() -> Iterator[FoundPlugin]:
    package = importlib.util.find_spec(BUNDLED)
    for folder in package.submodule_search_locations or () if package else ():
        for path in sorted(Path(folder).iterdir()):
            if (path / "__init__.py").is_file():
                module = f"{BUNDLED}.{path.name}"
                yield FoundPlugin(
                    path.name,
                    "bundled",
                    version(PROJECT),
                    partial(importlib.import_module, module),
                )


def _find_installed() -> Iterator[FoundPlugin]:
    for entry in entry_points(group=PROJECT):
        dist = entry.dist
        source = f"{dist.name} {dist.version}" if dist else entry.value
        yield FoundPlugin(
            entry.name, source, dist.version if dist else "", partial(_import_entry_point, entry)
        )


def _import_entry_point(entry: EntryPoint) -> ModuleType:
    module = entry.load()
    if not isinstance(module, ModuleType):
        raise _LoadError(f'its entry point "{entry.value}" must name a module')
    return module


def _find_in_folder(config: Config, written: str, problems: list[Problem]) -> Iterator[FoundPlugin]:
    """Yield the plugins in a folder of ``[plugins] paths``.

    :arg written: the folder as it is in the configuration: ``~`` is the home directory, and a relative path
        begins in the working directory.
    """
    try:
        folder = Path(written).expanduser().absolute()
        found = [_find_at(path) for path in sorted(folder.iterdir())]
    except (OSError, RuntimeError) as error:
        # The default folder need not exist.
        if ("plugins", "paths") in config.option_sources or not isinstance(error, FileNotFoundError):
            problems.append(_option_problem(config, "paths", _describe_folder_error(written, error)))
        return
    plugins = [each for each in found if each is not None]
    if not plugins and (folder / "__init__.py").is_file():
        message = f"{folder} is a plugin itself; name the folder that it is in, {folder.parent}"
        problems.append(_option_problem(config, "paths", message))
    yield from plugins


def _find_at(path: Path) -> FoundPlugin | None:
    if path.name.startswith((".", "_")):
        return None
    file = path / "__init__.py" if path.is_dir() else path
    if file.suffix != ".py" or not file.is_file():
        return None
    name = path.stem
    return FoundPlugin(name, str(path), "", partial(_import_file, name, file), is_in_paths=True)


def _describe_folder_error(written: str, error: OSError | RuntimeError) -> str:
    if not isinstance(error, OSError):
        return f'"{written}": there is no home directory; write an absolute path'
    folder = Path(written).expanduser().absolute()
    if isinstance(error, FileNotFoundError):
        return (
            f"the folder {folder} does not exist; correct the path, or create it: install -d -m 755 {folder}"
        )
    if isinstance(error, NotADirectoryError):
        return f"{folder} is not a folder; name the folder that it is in, {folder.parent}"
    return f"the folder {folder} cannot be read: {error.strerror}; {READ_ADVICE}, and to enter it"


def _import_file(name: str, file: Path) -> ModuleType:
    """Import a file that belongs to no package."""
    module_name = f"{DROPPED_PACKAGE}.{name}"
    # A folder with __init__.py is a package, whose modules may import each other.
    inside = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(module_name, file, submodule_search_locations=inside)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    for left in [each for each in sys.modules if each == module_name or each.startswith(f"{module_name}.")]:
        del sys.modules[left]  # left by another server in this process
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module


# Loading a plugin


class _LoadError(Exception):
    """A plugin cannot be loaded. The argument is a sentence with the reason."""


def _find_plugin_class(found: FoundPlugin) -> type[Plugin]:
    """Return the one class of the plugin's module that extends ``Plugin``.

    :raises _LoadError: there is none.
    """
    try:
        module = found.load()
    except _LoadError:
        raise
    except CODE_ERRORS as error:
        package = f"'{PROJECT}[{found.name}]'" if found.source == "bundled" else None
        raise _LoadError(describe_import_error(error, found.place, package)) from error
    classes = [
        each
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, Plugin)
        and each is not Plugin
        and each.__module__.startswith(module.__name__)
    ]
    if len(classes) != 1:
        names = ", ".join(each.__name__ for each in classes) or "none"
        raise _LoadError(f"a plugin has one class that extends tornado_chat.Plugin; this one has {names}")
    return classes[0]


def _suggestion(name: str, found: Mapping[str, FoundPlugin]) -> str:
    near = difflib.get_close_matches(name, found, 1)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; the plugins are {', '.join(sorted(found))}" if found else "; no plugins were found"


def _option_problem(config: Config, option: str, message: str) -> Problem:
    return Problem(config.option_sources.get(("plugins", option), "defaults"), "plugins", option, message)
