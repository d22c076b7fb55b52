"""What of a changed configuration a running server takes over, and what has to wait for a restart."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from tornado_chat.config.sections import SECTIONS, Config, is_reloadable


@dataclass(frozen=True)
class ConfigChange:
    """A reload.

    :ivar config: what counts from now on: the new values of what can be reloaded, the old ones of the rest.
    :ivar options: those that have changed, as ``limits.burst``.
    :ivar waiting: those that have changed in the files and need a restart.
    :ivar plugins: those whose settings have changed.
    :ivar keys: whether other keys are accepted now.
    """

    config: Config
    options: Sequence[str] = ()
    needs_restart: Sequence[str] = ()
    plugins: Sequence[str] = ()
    keys: bool = False


def merge_reloadable(running: Config, read: Config) -> ConfigChange:
    """What becomes of ``running`` when ``read`` has been read from the files."""
    options: list[str] = []
    waiting: list[str] = []
    sections = {}
    for section in SECTIONS:
        old, new = getattr(running, section), getattr(read, section)
        values = {}
        for each in fields(old):
            if getattr(old, each.name) == getattr(new, each.name):
                continue
            if is_reloadable(each):
                values[each.name] = getattr(new, each.name)
                options.append(f"{section}.{each.name}")
            else:
                waiting.append(f"{section}.{each.name}")
        sections[section] = replace(old, **values)
    return ConfigChange(replace(read, **sections), options, waiting)
