"""Formatting of numbers, times and tables for terminals."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from tornado_chat.storage.database_info import DatabaseInfo

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """Format a number of bytes, as in ``3.4 MiB``."""
    for unit in UNITS:
        if count < 1024 or unit == UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"


def number(count: int) -> str:
    return f"{count:,}"


def count_text(count: int, noun: str) -> str:
    """Format a count with its noun, as in ``1 session`` and ``2 sessions``."""
    return f"{number(count)} {noun if count == 1 else noun + 's'}"


def format_time(microseconds: int | None, zone: str) -> str:
    """Format a time in the time zone ``zone``, to the second; ``-`` for None."""
    if microseconds is None:
        return "-"
    moment = datetime.fromtimestamp(microseconds / 1_000_000, ZoneInfo(zone) if zone else None)
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def width_of(text: str) -> int:
    """Return the columns that ``text`` takes on a terminal, where a wide (Chinese) character takes two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def pad(text: str, width: int) -> str:
    """Append blanks to ``text``, up to ``width`` columns."""
    return text + " " * (width - width_of(text))


def table(rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Format rows as lines with aligned columns; the columns numbered in ``right`` are right-aligned."""
    cells = [tuple(row) for row in rows]
    widths = [max(map(width_of, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            " " * (width - width_of(cell)) + cell if column in right else pad(cell, width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def database_summary(info: DatabaseInfo, zone: str) -> list[tuple[str, str]]:
    """Return the contents of a database as pairs of label and text."""
    rows: Mapping[str, int] = info.rows
    conversations = ", ".join(
        count_text(rows.get(name, 0), word)
        for name, word in (
            ("consultation_session", "session"),
            ("supervisor_consultation", "supervision record"),
            ("support_conversation", "support conversation"),
        )
    )
    messages = number(rows.get("message", 0))
    if info.first is not None:
        messages += f", from {format_time(info.first, zone)} to {format_time(info.last, zone)}"
    lines = [
        ("conversations", conversations),
        ("messages", messages),
        ("notifications", number(rows.get("notification", 0))),
    ]
    if info.other_rows:
        others = ", ".join(f"{name} {number(count)}" for name, count in info.other_rows.items())
        lines.append(("of plugins", others))
    return lines
