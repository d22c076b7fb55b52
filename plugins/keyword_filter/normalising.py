"""Normalisation of text for comparison: width, case, accents, traditional characters, separators in words.

Strategy: the normal form of a character does not depend on its neighbours, so it is computed once for
every character, and normalising a text is one ``str.translate``. The table has unchanged characters too: a
missing key raises an exception inside ``translate``, which costs more than a lookup.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache

from opencc import OpenCC

Table = Mapping[int, int | str | None]
"""A table for ``str.translate``: by code point a code point, a text or, for dropped characters, None."""

# The basic plane; mathematical letters and emoji; compatibility ideographs; tags and selectors.
# All other characters (rare ideographs) stay as they are.
_CODE_POINT_RANGES = (
    range(0x10000),
    range(0x1D000, 0x20000),
    range(0x2F800, 0x2FA20),
    range(0xE0000, 0xE0200),
)

_SURROGATES = range(0xD800, 0xE000)
_RADICALS = range(0x2E80, 0x2FE0)  # Unicode classifies them as symbols, but they look like ideographs
_BLANKS = "\u115f\u1160\u3164\uffa0"  # letters without a visible glyph


class Normaliser:
    """Normalises texts, and maps normalised characters back to the original text.

    :ivar table: for ``text.translate(table)``.
    """

    def __init__(self) -> None:
        self.table: Table = dict(_entries())
        self._dropped_characters = frozenset(chr(code) for code, after in self.table.items() if after is None)

    @staticmethod
    @cache
    def shared() -> "Normaliser":
        """Return the normaliser of this process. It is immutable, so all servers and tests can share it."""
        return Normaliser()

    def normalise(self, text: str) -> str:
        """Return ``text`` in the form in which words are compared."""
        return text.translate(self.table)

    def source_indexes(self, text: str) -> list[int]:
        """Return for every character of ``normalise(text)`` the index of its source character in ``text``."""
        dropped = self._dropped_characters
        kept = [index for index, character in enumerate(text) if character not in dropped]
        if len(kept) == len(self.normalise(text)):
            return kept
        # Some characters become several, for example ligatures. This path is slower, but rare.
        return [index for index in kept for _ in self.normalise(text[index])]

    def is_significant(self, character: str) -> bool:
        """Return True if a character of an original text is not dropped by normalisation."""
        return character not in self._dropped_characters


def is_invisible(character: str) -> bool:
    """Return True if a character has no width of its own: zero-width characters, combining accents."""
    return unicodedata.category(character) in ("Cf", "Mn", "Me")


def is_spaced_script(character: str) -> bool:
    """Return True if a normalised character is a letter or digit of a script with spaces between words.

    Those are the scripts before Thai in Unicode, and the additions to Latin and Greek.
    """
    return (character < "\u0e00" or "\u1e00" <= character < "\u2000") and character.isalnum()


def _entries() -> Iterator[tuple[int, int | str | None]]:
    codes = [code for each in _CODE_POINT_RANGES for code in each if code not in _SURROGATES]
    # One call converts all characters, as each call is slow. Each character (or its decomposition) has a line
    # of its own, so that OpenCC finds no phrases across characters.
    lines = OpenCC("t2s").convert("\n".join(_fold(chr(code)) for code in codes)).split("\n")
    for code, line in zip(codes, lines, strict=True):
        if len(line) == 1:
            # The key is the value where nothing changes: one object, not two.
            yield code, code if ord(line) == code else ord(line)
        else:
            yield code, line or None
    for code in _SURROGATES:  # they are no characters, and the automaton does not accept them
        yield code, None


def _fold(character: str) -> str:
    """Return a character without width, case and accents; empty if the character is a separator.

    Accents are dropped even if Unicode has a composed letter, so that composed and decomposed spellings are
    equal. The rest is composed again, for Hangul.
    """
    compatible = unicodedata.normalize("NFKD", character)
    plain = unicodedata.normalize("NFKD", compatible.casefold())
    return unicodedata.normalize("NFC", "".join(each for each in plain if not _is_separator(each)))


def _is_separator(character: str) -> bool:
    category = unicodedata.category(character)
    if category[0] == "S":  # emoji are in a higher plane; they count as words, not as separators
        return ord(character) < 0x10000 and ord(character) not in _RADICALS
    return category[0] in "ZP" or category in ("Cc", "Cf", "Mn", "Me") or character in _BLANKS
