"""Normalisation of text for comparison: width, case, accents, traditional characters, separators in words.

Strategy: the normal form of a character does not depend on its neighbours, so it is computed once for
every character, and normalising a text is one ``str.translate``. The table has unchanged characters too: a
missing key costs a call. A visible separator becomes ``SEPARATOR``, so that the places where a word begins
and ends are still known; invisible characters become nothing. ``View`` is a text in this form.

Emoji are separators like other symbols, except for the words that have emoji themselves
(``Normaliser.with_emoji``).

Letters that look alike in Latin and in Cyrillic, Greek or Armenian are compared only within words that mix
these scripts (``lookalikes.py``): otherwise the Russian word for "mouth" would be the English word "pot".
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import accumulate

from opencc import OpenCC

Table = Mapping[int, int | str | None]
"""A table for ``str.translate``: by code point a code point, a text or, for invisible characters, None."""

SEPARATOR = "\0"
"""A visible separator in a shape: space, punctuation, symbol, emoji."""

# The basic plane; mathematical letters and emoji; compatibility ideographs; tags and selectors.
# Of all other characters, those for private use are separators, and rare ideographs stay as they are.
_CODE_POINT_RANGES = (
    range(0x10000),
    range(0x1D000, 0x20000),
    range(0x2F800, 0x2FA20),
    range(0xE0000, 0xE0200),
)

_SURROGATES = range(0xD800, 0xE000)
_RADICALS = range(0x2E80, 0x2FE0)  # Unicode classifies them as symbols, but they look like ideographs
_FIRST_PRIVATE = 0xF0000
_PRIVATE = re.compile("[\U000f0000-\U0010ffff]")
_BLANKS = "\u115f\u1160\u3164\uffa0"  # letters without a visible glyph
_TATWEEL = "\u0640"  # an Arabic letter only by category: it makes words longer, and means nothing
_MODIFIERS = range(0x2B0, 0x300)  # apostrophes, strokes and tone marks that Unicode classifies as letters

_VARIANT = re.compile(
    "LATIN (?:LETTER SMALL CAPITAL|(?:SMALL|CAPITAL) LETTER) (?P<letter>[A-Z])(?: WITH .*)?"
    "|(?:CROSSED )?NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL LETTER (?P<framed>[A-Z])"
)
"""The Unicode names of variants of Latin letters that have no decomposition: small capitals, ``\u0142``."""

_OTHER_VARIANTS = {"\u0131": "i", "\u0237": "j", "\u0251": "a", "\u0261": "g"}

_KEYCAP = re.compile("[0-9#*]\ufe0f?\u20e3")
_ENCLOSING_KEYCAP = "\u20e3"


class Normaliser:
    """Normalises texts, and maps normalised characters back to the original text.

    :ivar table: for ``text.translate(table)``, which returns the shape of a text.
    :ivar emoji: the symbols that are separators here, but kept by ``with_emoji``.
    """

    def __init__(self, table: dict[int, int | str | None], emoji: frozenset[str]) -> None:
        self.table: Table = _Table(table)
        self.emoji = emoji
        self._dropped = frozenset(chr(code) for code, after in table.items() if after in (None, SEPARATOR))

    @staticmethod
    @cache
    def shared() -> "Normaliser":
        """Return the normaliser of this process. It is immutable, so all servers and tests can share it."""
        table = dict(_entries())
        emoji = (chr(code) for code, after in table.items() if code >= 0x10000 and after == SEPARATOR)
        return Normaliser(table, frozenset(each for each in emoji if unicodedata.category(each)[0] == "S"))

    @staticmethod
    @cache
    def with_emoji() -> "Normaliser":
        """Return the normaliser for words with emoji, which are characters like others there."""
        shared = Normaliser.shared()
        return Normaliser({**shared.table, **{ord(each): ord(each) for each in shared.emoji}}, frozenset())

    def table_keeping(self, character: str) -> Table:
        """Return the table with a character that stays as it is."""
        return _Table({**self.table, ord(character): ord(character)})

    def normalise(self, text: str) -> str:
        """Return ``text`` in the form in which words are compared."""
        return text.translate(self.table).replace(SEPARATOR, "")

    def has_emoji(self, text: str) -> bool:
        return not self.emoji.isdisjoint(text)

    def source_indexes(self, text: str, normal: str) -> list[int]:
        """Return for every character of ``normal``, the normal form of ``text``, its source's index."""
        text = _PRIVATE.sub(" ", text)  # the only dropped characters outside the table
        dropped = self._dropped
        kept = [index for index, character in enumerate(text) if character not in dropped]
        if len(kept) == len(normal):
            return kept
        # Some characters become several, for example ligatures. This path is slower, but rare.
        return [index for index in kept for _ in self.normalise(text[index])]


class View:
    """A text in the form in which words are searched.

    :ivar normal: the normal form of the text.
    :arg source: the text, or one of the same length with other characters.
    :arg shape: the normal form with a ``SEPARATOR`` for each visible separator, if it is not that of
        ``source``.
    """

    def __init__(self, source: str, normaliser: Normaliser, shape: str | None = None) -> None:
        self._source = source
        self._normaliser = normaliser
        self._breaks: set[int] | None = None
        self._source_indexes: list[int] | None = None
        self.shape = source.translate(normaliser.table) if shape is None else shape
        self.normal = self.shape.replace(SEPARATOR, "")

    def breaks(self) -> set[int]:
        """Return the indexes of ``normal`` with a visible separator before them."""
        if self._breaks is None:
            self._breaks = set(accumulate(map(len, self.shape.split(SEPARATOR)[:-1])))
        return self._breaks

    def source_indexes(self) -> list[int]:
        """Return for every character of ``normal`` the index of its source character in the text."""
        if self._source_indexes is None:
            self._source_indexes = self._normaliser.source_indexes(self._source, self.normal)
        return self._source_indexes


def without_keycaps(text: str) -> str:
    """Return ``text`` with spaces in place of keycap emoji, which normally count as their digits."""
    if _ENCLOSING_KEYCAP not in text:
        return text
    return _KEYCAP.sub(lambda found: " " * len(found[0]), text)


def is_spaced_script(character: str) -> bool:
    """Return True if a normalised character is a letter or digit of a script with spaces between words.

    Those are the scripts before Thai in Unicode, and the additions to Latin and Greek.
    """
    return (character < "\u0e00" or "\u1e00" <= character < "\u2000") and character.isalnum()


class _Table(dict[int, int | str | None]):
    """The table of a ``Normaliser``, with an answer for every code point."""

    def __missing__(self, code: int) -> int | str:
        return code if code < _FIRST_PRIVATE else SEPARATOR


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
            yield code, line or (None if _is_invisible(chr(code)) else SEPARATOR)
    for code in _SURROGATES:  # they are no characters, and the automaton does not accept them
        yield code, SEPARATOR


def _fold(character: str) -> str:
    """Return a character without width, case and accents; empty if the character is a separator.

    Accents are dropped even if Unicode has a composed letter, so that composed and decomposed spellings are
    equal. The rest is composed again, for Hangul.
    """
    if unicodedata.category(character) in ("Ll", "Lu", "So") and not unicodedata.decomposition(character):
        variant = _VARIANT.fullmatch(unicodedata.name(character, ""))
        if variant is not None:
            return (variant["letter"] or variant["framed"]).lower()
    compatible = unicodedata.normalize("NFKD", _OTHER_VARIANTS.get(character, character))
    plain = unicodedata.normalize("NFKD", compatible.casefold())
    return unicodedata.normalize("NFC", "".join(each for each in plain if not _is_separator(each)))


def _is_separator(character: str) -> bool:
    category = unicodedata.category(character)
    if category[0] == "S":
        return ord(character) not in _RADICALS
    # Cn: emoji that are newer than Python's tables. Co: characters for private use.
    return (
        category[0] in "ZPC" or category in ("Mn", "Me") or character in _BLANKS or _is_invisible(character)
    )


def _is_invisible(character: str) -> bool:
    """Return True if a character has no width of its own, or is not a part of the word that it stands in."""
    category = unicodedata.category(character)
    return (
        category in ("Cf", "Mn", "Me")
        or character == _TATWEEL
        or (category == "Lm" and ord(character) in _MODIFIERS and not unicodedata.decomposition(character))
    )
