"""Word lists, and a matcher that finds their words in a text in any spelling.

Strategy: one automaton (Aho-Corasick) has the words of all lists and scans the normalised text once. A match
costs little: no object is made for it, the actions of its word are plain attributes, and positions in the
original text are computed once for the whole text, and only if something is masked. So the time grows with
the length of the text and not with the square of it, also for a text that consists of matches.

Words that consist of other words of the same list and actions (``\u54c8\u54c8`` beside ``\u54c8``) add
matches but change nothing, so they are left out of the automaton. A long text is scanned in chunks, so that
the matches of the whole text are never in memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from itertools import compress
from pathlib import Path
from typing import NamedTuple

from ahocorasick_rs import AhoCorasick

from .lookalikes import lookalike_views
from .normalising import Normaliser, View, is_spaced_script, without_keycaps

COMMENT_PREFIX = "#"
MASK = "*"
ONE = b"\1"
CHUNK_CHARS = 4096


class WordAction(Enum):
    """The actions of a word list."""

    MASK = auto()
    BLOCK = auto()
    ALERT = auto()


class Word(NamedTuple):
    """A normalised word with the actions of all lists that have it.

    :ivar list: the name of the first alert list with this word, else of the first list.
    :ivar is_whole_word: True if the word matches only as a whole word, not inside a longer word.
    """

    text: str
    list: str
    is_whole_word: bool
    is_masked: bool = False
    is_blocked: bool = False
    is_alert: bool = False
    is_only_masked: bool = False


class Verdict(NamedTuple):
    """The result for a text with words of the lists.

    :ivar is_blocked: the text has a word for which it is refused.
    :ivar text: the text with the words to be masked as stars.
    """

    is_blocked: bool
    text: str


SPACED_LETTERS = frozenset(filter(is_spaced_script, map(chr, range(0x2000))))
"""The letters and digits for which ``is_spaced_script`` is true: a lookup costs less than a call."""


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
        kind = Normaliser.with_emoji() if normaliser.has_emoji(entry) else normaliser
        word = kind.normalise(entry)
        if not word:
            raise ListError(
                f"line {number} of {path} has only spaces, punctuation or symbols, which are ignored in "
                "messages; remove it"
            )
        words.append(word)
    if not words:
        raise ListError(f"{path} has no words; write one a line, or remove the file from this option")
    return words


class Automaton:
    """Finds some words in texts that one normaliser has normalised."""

    def __init__(self, words: Sequence[Word], normaliser: Normaliser) -> None:
        self.normaliser = normaliser
        self.words = _without_repetitions(words)
        self._longest = max((len(word.text) for word in self.words), default=1)
        # The texts are in ``words`` already; without them the automaton is smaller.
        self._automaton = AhoCorasick([word.text for word in self.words], store_patterns=False)

    def find(self, view: View) -> Iterator[tuple[Word, int, int]]:
        """Yield the matches of all words, also overlapping ones, in the order of their ends.

        Each is a word and its range in ``view.normal``. Of the words with the same end that are only masked,
        the longest is sufficient.
        """
        normal, words, breaks, masked_end = view.normal, self.words, None, 0
        length, step = len(normal), max(CHUNK_CHARS, self._longest)
        for chunk in range(0, length, step):
            first = max(0, chunk - self._longest + 1)
            text = normal if length <= step else normal[first : chunk + step]
            for index, start, end in self._automaton.find_matches_as_indexes(text, overlapping=True):
                word = words[index]
                start += first
                end += first
                if end <= chunk or (end == masked_end and word.is_only_masked):
                    continue  # found in the chunk before, or as a part of a longer word
                if word.is_whole_word:
                    if breaks is None:
                        breaks = view.breaks()
                    if (start and start not in breaks and normal[start - 1] in SPACED_LETTERS) or (
                        end < length and end not in breaks and normal[end] in SPACED_LETTERS
                    ):
                        continue
                if word.is_only_masked:  # the automaton reports the longest of the same end first
                    masked_end = end
                yield word, start, end


class WordSet:
    """Some words: those without and those with emoji, which need texts of another form."""

    def __init__(self, words: Sequence[Word], normaliser: Normaliser) -> None:
        self._plain = Automaton([word for word in words if not normaliser.has_emoji(word.text)], normaliser)
        with_emoji = [word for word in words if normaliser.has_emoji(word.text)]
        self._with_emoji = Automaton(with_emoji, Normaliser.with_emoji()) if with_emoji else None

    def views(self, text: str) -> Iterator[tuple[Automaton, View]]:
        """Yield the forms of ``text`` in which words are searched: usually one."""
        plain = self._plain
        exact = View(text, plain.normaliser)
        yield plain, exact
        if text.isascii():
            return
        if self._with_emoji is not None:
            yield self._with_emoji, View(text, self._with_emoji.normaliser)
        other = without_keycaps(text)
        if other is not text:
            exact = View(other, plain.normaliser)
            yield plain, exact
        for view in lookalike_views(other, exact, plain.normaliser):
            yield plain, view


class Matcher:
    """Finds the words of some lists. A matcher is immutable; a change of the lists needs a new one.

    :arg lists: the paths of the lists, by action.
    :ivar words: the words of all lists.
    :raises ListError: a list cannot be used.
    """

    def __init__(self, normaliser: Normaliser, lists: Mapping[WordAction, Sequence[str]]) -> None:
        words: dict[str, Word] = {}
        for action, paths in lists.items():
            for path in map(Path, paths):
                for text in read_list(path, normaliser):
                    words[text] = _with_action(words.get(text), text, action, path.name)
        for text, word in words.items():
            words[text] = word._replace(is_only_masked=not (word.is_blocked or word.is_alert))
        self._count = len(words)
        self.words = WordSet(list(words.values()), normaliser)
        alerts = [word for word in words.values() if word.is_alert]
        self._alerts = WordSet(alerts, normaliser) if alerts else None

    def __len__(self) -> int:
        return self._count

    def check(self, text: str) -> Verdict | None:
        """Return the verdict on a text; None if no word was found.

        No part of an alert word is masked, because alerts are found in the stored text.
        """
        masked = bytearray()  # 1 for each character that becomes a star
        alerts: list[int] = []  # the characters of alert words
        for automaton, view in self.words.views(text):
            stars = alert_stars = bytearray()
            run_start = run_end = 0  # of overlapping words that are masked
            for word, start, end in automaton.find(view):
                if word.is_blocked:
                    return Verdict(True, text)
                if not stars:
                    stars, alert_stars = bytearray(len(view.normal)), bytearray(len(view.normal))
                if word.is_alert:
                    alert_stars[start:end] = ONE * (end - start)
                elif start > run_end:
                    stars[run_start:run_end] = ONE * (run_end - run_start)
                    run_start, run_end = start, end
                else:
                    run_start, run_end = min(run_start, start), end
            if stars:
                stars[run_start:run_end] = ONE * (run_end - run_start)
                masked = masked or bytearray(len(text))
                sources = view.source_indexes()
                for index in compress(sources, stars):
                    masked[index] = 1
                alerts += compress(sources, alert_stars)
        if not masked:
            return None
        for index in alerts:
            masked[index] = 0
        characters = [MASK if is_masked else each for each, is_masked in zip(text, masked, strict=True)]
        return Verdict(False, "".join(characters))

    def find_alert(self, text: str) -> str | None:
        """Return the name of the list of the first alert word in ``text``; None if it has no alert word."""
        if self._alerts is None:
            return None
        for automaton, view in self._alerts.views(text):
            for word, _, _ in automaton.find(view):
                return word.list
        return None


def _with_action(word: Word | None, text: str, action: WordAction, name: str) -> Word:
    """Return ``word`` with the action and the name of one more list."""
    if word is None:
        word = Word(text, name, all(map(is_spaced_script, text)))
    match action:
        case WordAction.MASK:
            return word._replace(is_masked=True)
        case WordAction.BLOCK:
            return word._replace(is_blocked=True)
        case WordAction.ALERT:
            return word if word.is_alert else word._replace(is_alert=True, list=name)


def _without_repetitions(words: Sequence[Word]) -> list[Word]:
    """Return ``words`` without those whose every character is found as shorter words of the same kind."""
    groups: dict[Word, list[Word]] = {}
    for word in words:
        groups.setdefault(word._replace(text=""), []).append(word)
    kept: list[Word] = []
    for kind, group in groups.items():
        if kind.is_whole_word:  # a part of a word in the text is not a whole word
            kept += group
            continue
        automaton = AhoCorasick([word.text for word in group], store_patterns=False)
        for word in group:
            covered = bytearray(len(word.text))
            for _, start, end in automaton.find_matches_as_indexes(word.text, overlapping=True):
                if end - start < len(word.text):
                    covered[start:end] = b"\1" * (end - start)
            if not all(covered):
                kept.append(word)
    return kept
