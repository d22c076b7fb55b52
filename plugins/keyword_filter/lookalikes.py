"""Letters of other scripts that look like Latin letters.

The pairs are those of Unicode's ``confusables.txt`` (UTS 39) for the letters of Russian, Ukrainian, Serbian,
Greek and Armenian, with the capitals whose small letters differ (``\u041d`` looks like ``H``), and five that
are usual in disguised words (``\u03b2``, ``\u03b7``, ``\u03bc``, ``\u03c9``, ``\u0442``). A table of this
size is kept here: the whole file has 6,000 entries, mostly for characters that normalisation maps already.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

from .normalising import SEPARATOR, Normaliser, View

_CYRILLIC_AND_LATIN = (
    "\u0430a \u0410A \u0432b \u0412B \u0441c \u0421C \u0435e \u0415E \u043dh \u041dH \u0456i \u0406I "
    "\u0458j \u0408J \u043ak \u041aK \u043cm \u041cM \u043eo \u041eO \u0440p \u0420P \u0455s \u0405S "
    "\u0442t \u0422T \u0443y \u0423Y \u0445x \u0425X \u04bbh \u04baH \u0501d \u051bq \u051aQ \u051dw "
    "\u051cW \u0475v \u0474V \u04cfl \u04c0I"
)
_GREEK_AND_LATIN = (
    "\u03b1a \u0391A \u03b2b \u0392B \u03b5e \u0395E \u0396Z \u03b7n \u0397H \u03b9i \u0399I \u03bak "
    "\u039aK \u03bcu \u039cM \u03bdv \u039dN \u03bfo \u039fO \u03c1p \u03a1P \u03c3o \u03c4t \u03a4T "
    "\u03c5u \u03a5Y \u03c7x \u03a7X \u03b3y \u03c9w"
)
_ARMENIAN_AND_LATIN = "\u0585o \u0578n \u057du \u0570h \u0581g \u0575j \u0566q \u0584p"

_LATIN = re.compile("[a-z]")
_FOREIGN = re.compile("[\u0370-\u058f]")
_GREEK = re.compile("[\u0370-\u03ff]")

MIN_SPELLED_LETTERS = 3
"""Letters written one by one that count as one word, as in ``f u c k``."""


class _Replacement:
    """Replaces the letters of one script by those of another."""

    def __init__(self, pairs: Iterable[str]) -> None:
        self._letters = {pair[0]: pair[1] for pair in pairs}
        self._pattern = re.compile(f"[{''.join(self._letters)}]")

    def __call__(self, text: str) -> str:
        letters = self._letters
        return self._pattern.sub(lambda found: letters[found[0]], text)


_TO_LATIN = _Replacement(f"{_CYRILLIC_AND_LATIN} {_GREEK_AND_LATIN} {_ARMENIAN_AND_LATIN}".split())
# Of two letters for one Latin letter, the first counts.
_TO_CYRILLIC = _Replacement(pair[::-1] for pair in reversed(_CYRILLIC_AND_LATIN.split()))
_TO_GREEK = _Replacement(pair[::-1] for pair in reversed(_GREEK_AND_LATIN.split()))


def lookalike_views(source: str, exact: View, normaliser: Normaliser) -> Iterator[View]:
    """Yield the views of a text in which each word of mixed scripts is in one script.

    It is Latin in the first view, Cyrillic in the second and Greek in the third. There are none for a text
    without words of mixed scripts.

    :arg exact: the view of ``source``.
    """
    if _FOREIGN.search(exact.normal) is None or _LATIN.search(exact.normal) is None:
        return
    tokens = exact.shape.split(SEPARATOR)
    mixed = _find_mixed(tokens)
    if not mixed:
        return

    greek = {number for number in mixed if _GREEK.search(tokens[number])}
    for replacement, numbers in (
        (_TO_LATIN, mixed),
        (_TO_CYRILLIC, [number for number in mixed if number not in greek]),
        (_TO_GREEK, greek),
    ):
        if numbers:
            replaced = replacement(source).translate(normaliser.table).split(SEPARATOR)
            view = list(tokens)
            for number in numbers:
                view[number] = replaced[number]
            yield View(source, normaliser, SEPARATOR.join(view))


def _find_mixed(tokens: list[str]) -> list[int]:
    """Return the indexes of the tokens that belong to words of mixed scripts.

    A word is a token of several letters, or a sequence of tokens of one letter each.
    """
    mixed = []
    letters = [number for number, token in enumerate(tokens) if token]
    for is_single, numbers in groupby(letters, lambda number: len(tokens[number]) == 1):
        if not is_single:
            mixed += [number for number in numbers if _is_mixed(tokens[number])]
            continue
        spelled = list(numbers)
        if len(spelled) >= MIN_SPELLED_LETTERS and _is_mixed("".join(tokens[each] for each in spelled)):
            mixed += spelled
    return mixed


def _is_mixed(word: str) -> bool:
    return _LATIN.search(word) is not None and _FOREIGN.search(word) is not None
