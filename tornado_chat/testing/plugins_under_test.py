"""The plugins of a test's server: classes, modules, paths and names."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from tornado_chat.plugin_api import Plugin
from tornado_chat.plugins.discovery import FoundPlugin

PluginSource = type[Plugin] | ModuleType | Path | str
"""A plugin: its class, its module, its file or folder, or the name of a bundled or installed one."""


class PluginsUnderTest(NamedTuple):
    """The plugins in the form that the server takes.

    :ivar names: of all plugins, in the order of their calls.
    :ivar folders: for ``[plugins] paths``.
    :ivar given: those that discovery does not find.
    """

    names: Sequence[str]
    folders: Sequence[Path]
    given: Sequence[FoundPlugin]


def collect(plugins: Sequence[PluginSource] | Mapping[str, PluginSource]) -> PluginsUnderTest:
    """Return the plugins of a test.

    :arg plugins: in the order of their calls. A class is named by its name (``KeywordFilter`` is
        ``keyword_filter``), a module by the last part of its name, a path by the name of its file or folder.
        A mapping has other names for classes and modules.
    :raises TypeError: an entry is none of these.
    """
    named = plugins if isinstance(plugins, Mapping) else {name_of(each): each for each in plugins}
    names, folders, given = list[str](), list[Path](), list[FoundPlugin]()
    for name, source in named.items():
        match source:
            case str() | Path() if name != name_of(source):
                raise TypeError(f"a plugin of a path or name has its own name: {name_of(source)}, not {name}")
            case Path():
                folders.append(source.absolute().parent)
            case ModuleType() as module:
                given.append(found(name, module, f"module {module.__name__}"))
            case type() as plugin_class:
                given.append(found_class(name, plugin_class))
        names.append(name)
    return PluginsUnderTest(names, list(dict.fromkeys(folders)), given)


def name_of(source: PluginSource) -> str:
    """Return the name that a plugin has without another one. :raises TypeError: it is no plugin."""
    match source:
        case str():
            return source
        case Path():
            return source.stem
        case ModuleType():
            return source.__name__.rpartition(".")[2]
        case type() if issubclass(source, Plugin):
            return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", source.__name__).lower()
    raise TypeError(f"a plugin is a class that extends Plugin, a module, a Path or a name, not {source!r}")


def found_class(name: str, plugin_class: type[Plugin]) -> FoundPlugin:
    """Return a plugin whose class is not alone in its module, as it is part of a test."""
    module = ModuleType(plugin_class.__module__)
    setattr(module, plugin_class.__name__, plugin_class)
    return found(name, module, f"class {plugin_class.__module__}.{plugin_class.__qualname__}")


def found(name: str, module: ModuleType, source: str) -> FoundPlugin:
    return FoundPlugin(name, source, "", lambda: module)
