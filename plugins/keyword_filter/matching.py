"""Word lists, and a matcher that finds their words in a text in any spelling.

Strategy: one automaton (Aho-Corasick) has the words of all lists and scans the normalised text once. Only
for matches, the positions are mapped back to the original text, to check that a Latin word is a whole word
there, and to mask it.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Flag, auto
from itertools import compress
from pathlib import Path
from typing import NamedTuple

from ahocorasick_rs import AhoCorasick

from .normalising import Normaliser, is_invisible, is_spaced_script

COMMENT_PREFIX = "#"
MASK = "*"


class WordAction(Flag):
    """The actions of a word list."""

    MASK = auto()
    BLOCK = auto()
    ALERT = auto()


class Word(NamedTuple):
    """A normalised word.

    :ivar actions: the actions of all lists with this word.
    :ivar list: the name of the first alert list with this word, else of the first list.
    :ivar is_whole_word: True if the word matches only as a whole word, not inside a longer word.
    """

    text: str
    actions: WordAction
    list: str
    is_whole_word: bool


class Hit(NamedTuple):
    """A match of a word at ``text[start:end]`` of the original text."""

    start: int
    end: int
    word: Word


class ListError(ValueError):
    """A word list cannot be used. The argument is a sentence with the reason and what to do."""


def read_list(path: Path, normaliser: Normaliser) -> list[str]:
    """Return the normalised words of a file.

    :raises ListError: the file is missing, not UTF-8 or without words, or a line has no letters.
    """
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except OSError as error:
        raise ListError(
            f"{path} cannot be read ({error.strerror}); correct the path or the file's permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise ListError(f"{path} is not UTF-8, see byte {error.start + 1}; save it as UTF-8") from error
    words = []
    for number, line in enumerate(lines, 1):
        entry = line.strip()
        if not entry or entry.startswith(COMMENT_PREFIX):
            continue
        word = normaliser.normalise(entry)
        if not word:
            raise ListError(
                f"line {number} of {path} has only spaces, punctuation or symbols, which are ignored in "
                "messages; remove it"
            )
        words.append(word)
    if not words:
        raise ListError(f"{path} has no words; write one a line, or remove the file from this option")
    return words


class Matcher:
    """Finds the words of some lists. A matcher is immutable; a change of the lists needs a new one.

    :arg lists: the paths of the lists, by action.
    :raises ListError: a list cannot be used.
    """

    def __init__(self, normaliser: Normaliser, lists: Mapping[WordAction, Sequence[str]]) -> None:
        self._normaliser = normaliser
        self._table = normaliser.table
        words: dict[str, Word] = {}
        for action, paths in lists.items():
            for path in map(Path, paths):
                for text in read_list(path, normaliser):
                    words[text] = _with_action(words.get(text), text, action, path.name)
        self._words = list(words.values())
        # The texts are in _words already; without them the automaton is smaller.
        self._automaton = AhoCorasick(list(words), store_patterns=False)

    def __len__(self) -> int:
        return len(self._words)

    def find(self, text: str) -> list[Hit]:
        """Return all matches of all words, also overlapping ones, in the order of their ends."""
        normal = text.translate(self._table)
        found = self._automaton.find_matches_as_indexes(normal, overlapping=True)
        if not found:
            return []
        origins = self._normaliser.source_indexes(text)
        return [
            Hit(origins[start], origins[end - 1] + 1, word)
            for index, start, end in found
            for word in (self._words[index],)
            if not word.is_whole_word or _is_whole_word(text, normal, origins, start, end)
        ]

    def masked(self, text: str, hits: Sequence[Hit]) -> str:
        """Return ``text`` with the words to be masked as stars; separators stay.

        No part of an alert word is masked, because alerts are found in the stored text.
        """
        stars = bytearray(len(text))
        for start, end in _ranges(hits, WordAction.MASK):
            stars[start:end] = b"\1" * (end - start)
        for start, end in _ranges(hits, WordAction.ALERT):
            stars[start:end] = bytes(end - start)
        characters = list(text)
        for index in compress(range(len(text)), stars):
            if self._normaliser.is_significant(text[index]):
                characters[index] = MASK
        return "".join(characters)


def _ranges(hits: Sequence[Hit], action: WordAction) -> Iterator[tuple[int, int]]:
    return ((hit.start, hit.end) for hit in hits if action in hit.word.actions)


def _with_action(word: Word | None, text: str, action: WordAction, name: str) -> Word:
    """Return ``word`` with the action and the name of one more list."""
    if word is None:
        return Word(text, action, name, all(map(is_spaced_script, text)))
    first_alert = action is WordAction.ALERT and WordAction.ALERT not in word.actions
    return word._replace(actions=word.actions | action, list=name if first_alert else word.list)


def _is_whole_word(text: str, normal: str, origins: Sequence[int], start: int, end: int) -> bool:
    """Return True if ``normal[start:end]`` is not a part of a longer word in the original text."""
    if (
        start > 0
        and is_spaced_script(normal[start - 1])
        and _is_adjacent(text, origins[start - 1], origins[start])
    ):
        return False
    return end == len(normal) or not (
        is_spaced_script(normal[end]) and _is_adjacent(text, origins[end - 1], origins[end])
    )


def _is_adjacent(text: str, left: int, right: int) -> bool:
    """Return True if no visible character is between two indexes of the original text."""
    return right - left <= 1 or all(map(is_invisible, text[left + 1 : right]))
