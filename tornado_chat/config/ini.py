"""Ini reader: converts ini files and overrides to typed values, independent of the set of options.

A mistake does not stop the reader: it is appended as a ``Problem`` to the list that the caller passes.
"""

import configparser
import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple, get_args

from msgspec import ValidationError, convert, inspect

PLUGIN_SECTION_PREFIX = "plugin:"
"""The prefix of the sections of plugins. The plugins check the options of these sections."""

GROUP_SECTION_PREFIX = "group:"
"""The prefix of the sections of groups. All have the same options."""

DUPLICATE_SECTION_SUFFIX = "\0"
"""The suffix that the parser gets to see at the name of a repeated section."""

KnownOptions = Mapping[str, Mapping[str, Any]]
"""Types of the options, by section and option; ``KnownSections`` also has those of each group."""


class KnownSections(dict[str, Mapping[str, Any]]):
    """Types of the options by section, with those of every section ``[group:…]``.

    :arg group: the types of the options of each group. The sections of groups are not listed.
    """

    def __init__(self, sections: Mapping[str, Mapping[str, Any]], group: Mapping[str, Any]) -> None:
        super().__init__(sections)
        self._group = group

    def __contains__(self, section: object) -> bool:
        is_group = isinstance(section, str) and section.startswith(GROUP_SECTION_PREFIX)
        return is_group or super().__contains__(section)

    def __missing__(self, section: str) -> Mapping[str, Any]:
        if section in self:
            return self._group
        raise KeyError(section)


Removed = Mapping[str, Mapping[str, str]]
"""By section and removed option: the version since which the option has no effect."""

Moved = Mapping[tuple[str, str], tuple[str, str]]
"""By old section and option: the new section and option."""


@dataclass(frozen=True)
class Problem:
    """A mistake in the configuration. Its text names the place of the mistake and a correct value."""

    source: str
    section: str
    option: str
    message: str

    def __str__(self) -> str:
        place = f"in [{self.section}] {self.option}".rstrip() + ": " if self.section else ""
        return f"{self.source}: {place}{self.message}"


class ConfigError(Exception):
    """The configuration has mistakes.

    :arg problems: all mistakes.
    :arg rest: the ``Config`` with the defaults of the options that have mistakes, for further checks.
    """

    def __init__(self, problems: Sequence[Problem], rest: Any = None) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = list(problems)
        self.rest = rest


class OptionEntry(NamedTuple):
    """An option as it is written in a file or an override; ``source`` is the file or ``--set``."""

    source: str
    section: str
    option: str
    text: str

    def problem(self, message: str) -> Problem:
        return Problem(self.source, self.section, self.option, message)


class InvalidValue(ValueError):
    """The text is not a value of its option; the error text describes a correct value."""


# Reading


def read_file(
    path: Path, known: KnownOptions, removed: Removed, moved: Moved, problems: list[Problem]
) -> Iterator[OptionEntry]:
    """Yield the known and the removed options of an ini file, and the options of plugins.

    The section of a group is yielded, too, as an entry without an option.
    """
    source = str(path)
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        problems.append(Problem(source, "", "", f"this file cannot be read: {error.strerror}"))
        return
    except UnicodeDecodeError as error:
        problems.append(Problem(source, "", "", f"this file is not UTF-8: see byte {error.start + 1}"))
        return
    parser = _parse_lines(source, lines, known, problems)
    for name in parser.sections():
        section = name.rstrip(DUPLICATE_SECTION_SUFFIX)
        if section.startswith(GROUP_SECTION_PREFIX):
            yield OptionEntry(source, section, "", "")  # the section makes the group, also without options
        if section in known:
            for option, text in parser.items(name):
                entry = at_new_place(OptionEntry(source, section, option, text), moved)
                yield from _if_accepted(entry, known, removed, problems)
        elif section.startswith(PLUGIN_SECTION_PREFIX):
            for option, text in parser.items(name):
                yield OptionEntry(source, section, option, text)
        else:
            problems.append(Problem(source, section, "", _unknown_section(section, known)))


def read_override(
    override: str, known: KnownOptions, removed: Removed, moved: Moved, problems: list[Problem]
) -> Iterator[OptionEntry]:
    """Yield the option that ``SECTION.OPTION=VALUE`` sets, if it is known, removed or of a plugin."""
    name, equals, text = override.partition("=")
    section, dot, option = name.strip().rpartition(".")
    if not (equals and dot):
        message = f'"{override}" is not SECTION.OPTION=VALUE, as in server.port=9000'
        problems.append(Problem("--set", "", "", message))
    elif section.startswith(PLUGIN_SECTION_PREFIX):
        yield OptionEntry("--set", section, option.lower(), text.strip())
    elif section not in known:
        problems.append(Problem("--set", section, "", _unknown_section(section, known)))
    else:
        entry = at_new_place(OptionEntry("--set", section, option.lower(), text.strip()), moved)
        yield from _if_accepted(entry, known, removed, problems)


def _parse_lines(
    source: str, lines: list[str], known: KnownOptions, problems: list[Problem]
) -> configparser.RawConfigParser:
    """Parse as far as possible.

    A pass of the parser stops at a repeated option or section. For the next pass a repeated option is
    removed, and a repeated section is renamed.
    """
    while True:
        # No section can have the name "", so [DEFAULT] is not special: it is an unknown section.
        parser = configparser.RawConfigParser(default_section="")
        try:
            parser.read_string("\n".join(lines), source)
        except configparser.DuplicateOptionError as error:
            number = error.lineno or 1
            message = f"line {number} sets this option again; leave one of the two"
            problems.append(Problem(source, error.section, error.option, message))
            lines = [*lines[: number - 1], "#", *lines[number:]]
            continue
        except configparser.DuplicateSectionError as error:
            number = error.lineno or 1
            message = f"line {number} begins this section again; put its options together"
            problems.append(Problem(source, error.section.rstrip(DUPLICATE_SECTION_SUFFIX), "", message))
            lines = [*lines[: number - 1], f"[{error.section}{DUPLICATE_SECTION_SUFFIX}]", *lines[number:]]
            continue
        except configparser.MissingSectionHeaderError as error:
            line = error.line.strip()
            message = (
                f"line {error.lineno} is in no section; write a line like [{next(iter(known))}] above it"
            )
            if line.startswith("["):
                message = f"line {error.lineno} begins a section, but lacks the ] after the name: {line}"
            problems.append(Problem(source, "", "", message))
        except configparser.ParsingError as error:
            problems += [
                Problem(source, "", "", f"line {number} is not `option = value`")
                for number, _ in error.errors
            ]
        return parser


def _if_accepted(
    entry: OptionEntry, known: KnownOptions, removed: Removed, problems: list[Problem]
) -> Iterator[OptionEntry]:
    """Yield ``entry`` if its option is known or removed, else note a problem."""
    if is_removed(entry, removed):
        yield entry
    else:
        yield from check_known(entry, known, problems)


def is_removed(entry: OptionEntry, removed: Removed) -> bool:
    return entry.option in removed.get(entry.section, ())


def removal_warning(entry: OptionEntry, removed: Removed) -> str:
    """Return the warning about a removed option that is still set."""
    since = removed[entry.section][entry.option]
    return f"{entry.source}: [{entry.section}] {entry.option} has no effect since {since}: remove the line"


def check_known(entry: OptionEntry, known: KnownOptions, problems: list[Problem]) -> Iterator[OptionEntry]:
    """Yield ``entry`` if its section has the option, else note a problem."""
    if entry.option in known[entry.section]:
        yield entry
    else:
        problems.append(entry.problem(_unknown_option(entry.section, entry.option, known)))


def _unknown_section(section: str, known: KnownOptions) -> str:
    near = difflib.get_close_matches(section.lower(), known, 1)
    advice = f'did you mean "[{near[0]}]"?' if near else f"there are {', '.join(known)}"
    return f"this section is unknown; {advice}"


def _unknown_option(section: str, option: str, known: KnownOptions) -> str:
    near = [f'"{name}"' for name in difflib.get_close_matches(option, known[section], 1)]
    near += [f'"{option}" in [{other}]' for other, options in known.items() if option in options]
    advice = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known[section])}"
    return f"this option is unknown; {advice}"


def with_credentials(entry: OptionEntry, folder: Path, environ: Mapping[str, str]) -> OptionEntry:
    """Return ``entry`` with the names of files in ``folder`` replaced by those of systemd's copies.

    A name without a copy stays. ``LoadCredential=credentials:/etc/tornado-chat/credentials``
    (systemd.exec(5)) gives a service copies of files that only root may read: the service reads
    ``…/credentials/jwt_secret`` as ``$CREDENTIALS_DIRECTORY/credentials_jwt_secret``.
    """
    copies = environ.get("CREDENTIALS_DIRECTORY")
    if not copies:
        return entry

    def copy(name: re.Match[str]) -> str:
        path = Path(copies, f"{folder.name}_{name[1]}")
        return str(path) if os.access(path, os.R_OK) else name[0]

    return entry._replace(text=re.sub(re.escape(f"{folder}/") + r"([\w.+-]+)", copy, entry.text))


def at_new_place(entry: OptionEntry, moved: Moved) -> OptionEntry:
    """Return ``entry`` with its new section and option, if its option has moved."""
    section, option = moved.get((entry.section, entry.option), (entry.section, entry.option))
    return entry._replace(section=section, option=option)


# Converting


def parse_value(text: str, hint: Any) -> Any:
    """Convert ``text`` to the type ``hint``. Items of lists are separated by commas or newlines.

    :raises InvalidValue: ``text`` is not a value of this type.
    """
    if isinstance(inspect.type_info(hint), inspect.VarTupleType):
        items = [item.strip() for item in text.replace("\n", ",").split(",")]
        return _parse_items([item for item in items if item], get_args(hint)[0])
    if "\n" in text:
        last_line = text.splitlines()[-1]
        raise InvalidValue(
            f'the value takes one line, but "{last_line}" is indented and so belongs to the value; '
            "remove the indentation"
        )
    return _parse_one(text, hint)


def _parse_items(items: list[str], hint: Any) -> tuple[Any, ...]:
    values, wrong = [], []
    for item in items:
        try:
            values.append(_parse_one(item, hint))
        except InvalidValue:
            wrong.append(f'"{item}"')
    if wrong:
        raise InvalidValue(
            f"{' and '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} not {describe_type(hint)}"
        )
    return tuple(values)


def _parse_one(text: str, hint: Any) -> Any:
    literal = text
    if isinstance(inspect.type_info(hint), inspect.BoolType):
        literal = {"on": "true", "yes": "true", "off": "false", "no": "false"}.get(text.lower(), text)
    try:
        value = convert(literal, hint, strict=False)
    except ValidationError as error:
        raise InvalidValue(f'"{text}" is not {describe_type(hint)}') from error
    if isinstance(value, float) and not isfinite(value):
        raise InvalidValue(f'"{text}" is not {describe_type(hint)}')
    return value


def describe_type(hint: Any) -> str:
    """Return a description of the values of this type; empty for texts, which may have any value."""
    match inspect.type_info(hint):
        case inspect.BoolType():
            return "on or off"
        case inspect.IntType(ge=low, le=high):
            return "a whole number" + _range(low, high)
        case inspect.FloatType(gt=None, ge=low, le=high):
            return "a number" + _range(low, high)
        case inspect.FloatType(gt=low, le=high):
            return f"a number above {low}" + ("" if high is None else f" and up to {high}")
        case inspect.LiteralType():  # ``LiteralType.values`` is sorted; the order of the source is kept here
            return "one of " + ", ".join(get_args(hint))
        case inspect.VarTupleType(item_type=inspect.LiteralType()):
            return "some of " + ", ".join(get_args(get_args(hint)[0]))
    return ""


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return "" if low is None else f" of at least {low}"


def format_value(value: Any) -> str:
    """Return ``value`` as it is written in an ini file."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
