"""Word lists, and finding their words in a text however they are spelt.

Strategy: one automaton (Aho-Corasick) has the words of all lists and goes through the normalised text
once. Only when it finds something, places are traced back to the original text: to look whether a
Latin word stands for itself there, and to mask it.
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
    """What a list is for."""

    MASK = auto()
    BLOCK = auto()
    ALERT = auto()


class Word(NamedTuple):
    """A normalised word.

    :ivar actions: of all lists that have it.
    :ivar list: the name of the first alert list that has it, else of the first list.
    :ivar is_whole_word: whether it is written between spaces, and so is no part of a longer word.
    """

    text: str
    actions: WordAction
    list: str
    is_whole_word: bool


class Hit(NamedTuple):
    """A word at ``text[start:end]`` of the original text."""

    start: int
    end: int
    word: Word


class ListError(ValueError):
    """A word list cannot be used; the sentence says why and what to do."""


def read_list(path: Path, normaliser: Normaliser) -> list[str]:
    """The normalised words of a file.

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
                f"line {number} of {path} has only spaces, punctuation or symbols, which are passed over in "
                "messages; take it out"
            )
        words.append(word)
    if not words:
        raise ListError(f"{path} has no words; write one a line, or take the file out of this option")
    return words


class Matcher:
    """Finds the words of some lists. It does not change; other lists make another one.

    :arg lists: by action, the paths of its lists.
    :raises ListError: one of them cannot be used.
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
        """Every occurrence of every word, also of those that overlap; the one that ends first is first."""
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
        """``text`` with what is to be masked as stars, separators as they were.

        Nothing of a word that raises alerts is masked: the alert is found in what is stored.
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
    """``word``, which one more list has."""
    if word is None:
        return Word(text, action, name, all(map(is_spaced_script, text)))
    first_alert = action is WordAction.ALERT and WordAction.ALERT not in word.actions
    return word._replace(actions=word.actions | action, list=name if first_alert else word.list)


def _is_whole_word(text: str, normal: str, origins: Sequence[int], start: int, end: int) -> bool:
    """Whether ``normal[start:end]`` is no part of a longer word in the original text."""
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
    """Whether people see nothing between two places: they are neighbours, or one character."""
    return right - left <= 1 or all(map(is_invisible, text[left + 1 : right]))
