"""A self-hosted conversation server for counselling and support.

The plugin API can be imported from here as well, as in ``from tornado_chat import hookimpl``. Its modules are
loaded at the first such import (PEP 562), so that importing a sub-package loads nothing else.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tornado_chat.plugin_api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    # `from tornado_chat import config` asks here first; after an AttributeError it imports the sub-module.
    if name == "__all__" or not (name.startswith("_") or find_spec(f"{__name__}.{name}")):
        api = import_module("tornado_chat.plugin_api")
        if name == "__all__":
            return api.__all__
        if name in api.__all__ or name in api.REMOVED:
            return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
