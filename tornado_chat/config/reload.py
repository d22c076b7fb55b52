"""Reload of the configuration: separates the changes that apply at once from those that need a restart."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from tornado_chat.config.sections import SECTIONS, Config, Group, is_reloadable


@dataclass(frozen=True)
class ConfigChange:
    """The result of a reload.

    :ivar config: the new configuration: new values of the reloadable options, old values of the others.
    :ivar options: the reloadable options that have changed, as ``limits.burst``.
    :ivar needs_restart: the options that have changed in the files and need a restart.
    :ivar plugins: the plugins whose settings have changed.
    :ivar failed_plugins: the plugins that failed, and go on with their previous settings or policy.
    :ivar keys: True if the server accepts other keys now.
    """

    config: Config
    options: Sequence[str] = ()
    needs_restart: Sequence[str] = ()
    plugins: Sequence[str] = ()
    failed_plugins: Sequence[str] = ()
    keys: bool = False


def merge_reloadable(running: Config, read: Config) -> ConfigChange:
    """Return the change of the configuration ``running`` after ``read`` was read from the files."""
    options: list[str] = []
    needs_restart: list[str] = []
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
                needs_restart.append(f"{section}.{each.name}")
        sections[section] = replace(old, **values)
    options += _changed_group_options(running.groups, read.groups)
    return ConfigChange(replace(read, **sections), options, needs_restart)


def _changed_group_options(old: Mapping[str, Group], new: Mapping[str, Group]) -> Iterator[str]:
    """Yield the options of groups that differ, and the sections that were added or removed."""
    for name in sorted({*old, *new}):
        if name not in old or name not in new:
            yield f"group:{name}"
            continue
        for each in fields(Group):
            if getattr(old[name], each.name) != getattr(new[name], each.name):
                yield f"group:{name}.{each.name}"
