"""A plugin manager with plugins that a test defines."""

import asyncio

from tornado_chat import Plugin, PluginSettings
from tornado_chat.observability.metrics import Metrics
from tornado_chat.plugins.discovery import FoundPlugin, LoadedPlugin
from tornado_chat.plugins.manager import PluginManager


class StubPlugin(Plugin):
    """A plugin with default settings, to be subclassed by tests."""

    def __init__(self) -> None:
        super().__init__(PluginSettings())


def manage(*plugins: Plugin) -> PluginManager:
    """Return a manager of ``plugins``, each named by its class in lower case. Call it on a running loop."""
    loaded = [
        LoadedPlugin(FoundPlugin(type(each).__name__.lower(), "test", "1", lambda: None), each)  # type: ignore[arg-type,return-value]
        for each in plugins
    ]
    return PluginManager(loaded, asyncio.get_running_loop(), Metrics())
