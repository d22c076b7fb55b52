"""Plain text from people: one line stays one line, and no character is invisible or controls a terminal.

HTML and JSON have quoting of their own. A text file, a log line and a terminal do not: a line break in a
message would begin a line that looks like another person's, and an escape sequence would hide or recolour
text. Every plain text form passes ``escape_controls`` or ``indent_lines``.
"""

import unicodedata
from collections.abc import Callable

MAX_NAME_CHARS = 64
"""Characters of a person's id, and of a display name."""

ZERO_WIDTH_JOINERS = "\u200c\u200d"
"""Invisible, but part of texts: in Persian, in Indic scripts and between emoji."""

SKIN_TONES = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
"""They change the emoji before them."""

CONTROL_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls, formats (also changes of the text direction), surrogates, separators of lines and paragraphs."""


def is_control(char: str) -> bool:
    """Return True for a character that is invisible, breaks a line or controls the output."""
    return unicodedata.category(char) in CONTROL_CATEGORIES and char not in ZERO_WIDTH_JOINERS


def python_escape(char: str) -> str:
    r"""Return a character as Python writes it in a literal: ``\x1b``, ``\n``, ``\u2028``."""
    return char.encode("unicode_escape").decode("ascii")


def escape_controls(text: str, escape: Callable[[str], str] = python_escape) -> str:
    """Return ``text`` as one line in which every control character is shown by ``escape``."""
    if text.isprintable():  # most texts; controls are never printable
        return text
    return "".join(escape(char) if is_control(char) else char for char in text)


def indent_lines(text: str, indent: str) -> str:
    """Return ``text`` with its line breaks, each followed by ``indent``; other controls are escaped.

    Line breaks are ``\\n`` and ``\\r\\n``. A carriage return alone, which moves a terminal's cursor to the
    beginning of the line, is shown as a control.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    return f"\n{indent}".join(map(escape_controls, lines))


def cut(text: str, max_chars: int) -> str:
    """Return ``text`` as one line with at most ``max_chars`` characters; an ellipsis ends a longer one.

    Line breaks and other white space become one space. A character is not separated from its accents, nor
    from the other parts of an emoji.
    """
    line = " ".join(text.split())
    if len(line) <= max_chars:
        return line
    end = max_chars - 1
    while end > 0 and (_joins(line[end]) or line[end - 1] in ZERO_WIDTH_JOINERS):
        end -= 1
    return f"{line[:end].rstrip()}…"


def _joins(char: str) -> bool:
    """Return True for a character that is part of the one before it."""
    return char in ZERO_WIDTH_JOINERS or unicodedata.category(char).startswith("M") or char in SKIN_TONES


def is_well_formed(text: str) -> bool:
    """Return True if UTF-8 can encode ``text``: it has no lone surrogate (half an emoji)."""
    return text.isascii() or well_formed(text) == text


def well_formed(text: str) -> str:
    """Return ``text`` with U+FFFD for each lone surrogate; two that belong together become one character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clean_name(name: str | None) -> str | None:
    """Return a display name without control characters, with at most ``MAX_NAME_CHARS`` characters.

    None if nothing visible is left.
    """
    if name is None:
        return None
    visible = "".join(char for char in name if not is_control(char))
    return visible.strip()[:MAX_NAME_CHARS].rstrip() or None


def is_person_id(text: str) -> bool:
    """Return True for the id of a person: 1 to ``MAX_NAME_CHARS`` printable characters, no space at the ends.

    Two ids must not look alike in a log, nor be equal in a database that ignores trailing spaces.
    """
    # isprintable() refuses invisible characters, and lone surrogates, which no database stores.
    return 0 < len(text) <= MAX_NAME_CHARS and text.isprintable() and text == text.strip()
