"""Writes a person's data into files: ``person.json`` for programs, ``person.html`` for the person."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

import msgspec

from tornado_chat.core.texts import Language
from tornado_chat.data_management.person_export import SECTIONS, PersonData
from tornado_chat.data_management.person_html import PersonPage

JSON_FILE, HTML_FILE = "person.json", "person.html"


def write(
    person_data: PersonData,
    folder: Path,
    language: Language,
    version: str,
    now: int,
    progress: Callable[[int], object],
) -> None:
    """Write both files into ``folder``; only their owner can read them (mode 0600).

    :arg progress: called with the number of conversations that were written since the last call.
    """
    with _create_file(folder / JSON_FILE) as json_file, _create_file(folder / HTML_FILE) as html_file:
        document, page = _JsonObjectWriter(json_file), PersonPage(html_file, language)
        head = person_data.head(version, now)
        document.members(head)
        page.begin(head, person_data.counts)
        for kind, section in SECTIONS.items():
            page.section(section, person_data.counts[section])
            with document.array(section) as items:
                for conversation in person_data.conversations(kind):
                    items.add(conversation)
                    page.conversation(section, conversation)
                    progress(1)
        listened = person_data.listened()
        document.members({"listened": listened})
        page.table("listened", listened)
        for name, held in (
            ("held_messages", person_data.held_messages()),
            ("approvals", person_data.approvals()),
        ):
            document.members({name: held})
            page.table(name, held)
        accounts = person_data.accounts()
        document.members({"accounts": accounts})
        page.table("accounts", accounts)
        revocations = person_data.revocations()
        document.members({"revocations": revocations})
        page.table("revocations", revocations)
        handled = person_data.handled_messages()
        document.members({"handled_messages": handled})
        page.table("handled_messages", handled)
        handovers = person_data.handovers()
        document.members({"handovers": handovers})
        page.table("handovers", handovers)
        with document.array("notifications") as items:
            page.notifications(items.each(person_data.notifications()))
        plugins = person_data.plugins()
        document.members({"plugins": plugins})
        for plugin, tables in plugins.items():
            for table, rows in tables.items():
                page.table("plugin", rows, plugin=plugin, table=table)
        operations = person_data.operations()
        document.members({"operations": operations})
        page.table("operations", operations)
        document.end()
        page.end()


def _create_file(path: Path) -> TextIO:
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")


class _JsonObjectWriter:
    """Writes a JSON object member by member, so that the document is never in memory as a whole."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._file.write("{")
        self._first = True

    def members(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            self._name(name)
            self._file.write(_indented_json(value, 1))

    def array(self, name: str) -> "_JsonArrayWriter":
        self._name(name)
        return _JsonArrayWriter(self._file)

    def end(self) -> None:
        self._file.write("\n}\n")

    def _name(self, name: str) -> None:
        self._file.write(("\n  " if self._first else ",\n  ") + f"{_indented_json(name, 1)}: ")
        self._first = False


class _JsonArrayWriter:
    """Writes a JSON array item by item."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._first = True

    def __enter__(self) -> "_JsonArrayWriter":
        self._file.write("[")
        return self

    def __exit__(self, *error: object) -> None:
        self._file.write("]" if self._first else "\n  ]")

    def add(self, value: Any) -> None:
        self._file.write(("\n    " if self._first else ",\n    ") + _indented_json(value, 2))
        self._first = False

    def each(self, values: Iterable[Any]) -> Iterable[Any]:
        """Yield each of ``values`` after adding it to the array."""
        for value in values:
            self.add(value)
            yield value


def _indented_json(value: Any, depth: int) -> str:
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    # All newlines are between values: the newlines inside texts are escaped.
    return text.replace("\n", "\n" + "  " * depth)
