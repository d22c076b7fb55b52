"""One form for everything that looks alike: width, case, accents, traditional characters, gaps in words.

Strategy: what becomes of a character does not depend on its neighbours, so it is worked out once for
every character, and normalising a text is one ``str.translate``. Characters that stay as they are
stand in the table too: a key that is missing costs more than one that is there, as it raises inside
``translate``.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache

from opencc import OpenCC

Table = Mapping[int, int | str | None]
"""What ``str.translate`` takes: a code point, a text or, for what is dropped, None by code point."""

# All of the basic plane; mathematical letters and emoji; compatibility ideographs; tags and selectors.
# Characters beyond (rare ideographs) stay as they are.
_CODE_POINT_RANGES = (
    range(0x10000),
    range(0x1D000, 0x20000),
    range(0x2F800, 0x2FA20),
    range(0xE0000, 0xE0200),
)

_SURROGATES = range(0xD800, 0xE000)
_RADICALS = range(0x2E80, 0x2FE0)  # called symbols by Unicode, but they look like ideographs
_BLANKS = "\u115f\u1160\u3164\uffa0"  # letters without a picture


class Normaliser:
    """The table, and what matching has to know about characters.

    :ivar table: for ``text.translate(table)``.
    """

    def __init__(self) -> None:
        self.table: Table = dict(_entries())
        self._dropped_characters = frozenset(chr(code) for code, after in self.table.items() if after is None)

    @staticmethod
    @cache
    def shared() -> "Normaliser":
        """The one of this process. It never changes, so every server and test may have the same."""
        return Normaliser()

    def normalise(self, text: str) -> str:
        """``text`` in the form that words are compared in."""
        return text.translate(self.table)

    def source_indexes(self, text: str) -> list[int]:
        """For every character of ``normal(text)``, the index in ``text`` of the one it came from."""
        dropped = self._dropped_characters
        kept = [index for index, character in enumerate(text) if character not in dropped]
        if len(kept) == len(self.normalise(text)):
            return kept
        # A few characters become several, as ligatures do. This is slower, and rare.
        return [index for index in kept for _ in self.normalise(text[index])]

    def is_significant(self, character: str) -> bool:
        """Whether anything is left of a character of an original text."""
        return character not in self._dropped_characters


def is_invisible(character: str) -> bool:
    """Whether a character takes no place of its own: zero-width ones, accents that are put on others."""
    return unicodedata.category(character) in ("Cf", "Mn", "Me")


def is_spaced_script(character: str) -> bool:
    """Whether a normalised character is a letter or digit of a script with spaces between words.

    Those are the ones before Thai, and the additions to Latin and Greek.
    """
    return (character < "\u0e00" or "\u1e00" <= character < "\u2000") and character.isalnum()


def _entries() -> Iterator[tuple[int, int | str | None]]:
    codes = [code for each in _CODE_POINT_RANGES for code in each if code not in _SURROGATES]
    # A line each, as conversion takes its time by the call. A line has one character (or those that one
    # stands for), so that no phrase is found across two.
    lines = OpenCC("t2s").convert("\n".join(_fold(chr(code)) for code in codes)).split("\n")
    for code, line in zip(codes, lines, strict=True):
        if len(line) == 1:
            # The key is the value where nothing changes: one object, not two.
            yield code, code if ord(line) == code else ord(line)
        else:
            yield code, line or None
    for code in _SURROGATES:  # halves of a character are none; the automaton does not take them
        yield code, None


def _fold(character: str) -> str:
    """Without width, case and accents; empty if it is a separator.

    Accents are dropped even where Unicode has a letter for both together, so that it does not matter
    in which way somebody wrote it. What is left is composed again, for Hangul.
    """
    compatible = unicodedata.normalize("NFKD", character)
    plain = unicodedata.normalize("NFKD", compatible.casefold())
    return unicodedata.normalize("NFC", "".join(each for each in plain if not _is_separator(each)))


def _is_separator(character: str) -> bool:
    category = unicodedata.category(character)
    if category[0] == "S":  # emoji are in a higher plane, and are words of their own
        return ord(character) < 0x10000 and ord(character) not in _RADICALS
    return category[0] in "ZP" or category in ("Cc", "Cf", "Mn", "Me") or character in _BLANKS
