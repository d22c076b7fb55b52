"""Finds the plugin whose code has raised an error that left it: in a task, a thread or a callback."""

from collections.abc import Iterator, Mapping
from types import FrameType

SHARED_PACKAGES = frozenset({"tornado_chat_dropped", "tornado_chat_plugins"})
"""Packages with many plugins, each in a module or package of its own."""


def top_module(plugin_class: type) -> str:
    """Return the module, or the outermost package, that belongs to the plugin alone."""
    return _top(plugin_class.__module__)


def find_origin(error: BaseException, names_by_module: Mapping[str, str]) -> str | None:
    """Return the name of the plugin whose lines of code are in the traceback of an error, or in its causes.

    None: no plugin's.

    :arg names_by_module: the names of the plugins by their ``top_module``.
    """
    for frame in _frames(error):
        name = names_by_module.get(_top(str(frame.f_globals.get("__name__", ""))))
        if name is not None:
            return name
    return None


def _top(module: str) -> str:
    first, _, rest = module.partition(".")
    return f"{first}.{rest.partition('.')[0]}" if first in SHARED_PACKAGES else first


def _frames(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames of an error, the innermost first, then those of its causes."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        frames = []
        traceback = each.__traceback__
        while traceback is not None:
            frames.append(traceback.tb_frame)
            traceback = traceback.tb_next
        yield from reversed(frames)
        each = each.__cause__ or each.__context__
