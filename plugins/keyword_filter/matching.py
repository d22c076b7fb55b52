"""A matcher that finds the words of lists in a text in any spelling.

Strategy: an automaton (Aho-Corasick) has the words of all lists and scans the normalised text once. A match
costs little: no object is made for it, the actions of its word are plain attributes, and positions in the
original text are computed once for the whole text, and only if something is masked. So the time grows with
the length of the text and not with the square of it, also for a text that consists of matches.

The construction of an automaton is one call, during which no other thread runs. So more than ``MAX_WORDS``
words are divided among several automata, and a message is scanned by those that have a word with one of its
characters at the beginning.

Words that consist of other words of the same list and actions (``\u54c8\u54c8`` beside ``\u54c8``) add
matches but change nothing, so they are left out of the automaton. A long text is scanned in chunks, so that
the matches of the whole text are never in memory.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from typing import NamedTuple

from ahocorasick_rs import AhoCorasick

from .clusters import long_clusters
from .lookalikes import lookalike_views
from .normalising import Normaliser, View, without_keycaps
from .word_lists import PAUSE_SECONDS, SPACED_LETTERS, WordAction, WordGroups, WordKind

MASK = "*"
ONE = b"\1"
CHUNK_CHARS = 4096
MAX_WORDS = 20_000  # of one automaton

_INFLECTION = re.compile("(?:s|es|d|ed|ing|er|ers)?[0-9]*")
_MAX_INFLECTION_CHARS = 8

Words = dict[str, WordKind]


class Verdict(NamedTuple):
    """The result for a text with words of the lists.

    :ivar is_blocked: the text has a word for which it is refused.
    :ivar text: the text with the words to be masked as stars.
    """

    is_blocked: bool
    text: str


class Automaton:
    """Finds some words in texts that one normaliser has normalised."""

    def __init__(self, words: Words, normaliser: Normaliser) -> None:
        self.normaliser = normaliser
        texts = _without_repetitions(words)
        self.firsts = frozenset(text[0] for text in texts)
        self._kinds = [words[text] for text in texts]
        self._longest = max(map(len, texts), default=1)
        # Without the texts the automaton is smaller.
        self._automaton = AhoCorasick(texts, store_patterns=False)

    def __len__(self) -> int:
        return len(self._kinds)

    def find(self, view: View) -> Iterator[tuple[WordKind, int, int]]:
        """Yield the matches of all words, also overlapping ones, in the order of their ends.

        Each is the word's kind and its range in ``view.normal``. Of the words with the same end that are only
        masked, the longest is sufficient.
        """
        normal, kinds, breaks, masked_end = view.normal, self._kinds, None, 0
        length, step = len(normal), max(CHUNK_CHARS, self._longest)
        for chunk in range(0, length, step):
            first = max(0, chunk - self._longest + 1)
            text = normal if length <= step else normal[first : chunk + step]
            for index, start, end in self._automaton.find_matches_as_indexes(text, overlapping=True):
                kind = kinds[index]
                is_only_masked = not (kind.is_blocked or kind.lists)
                start += first
                end += first
                if end <= chunk or (end == masked_end and is_only_masked):
                    continue  # found in the chunk before, or as a part of a longer word
                if kind.is_whole_word:
                    if breaks is None:
                        breaks = view.breaks()
                    if start and start not in breaks and normal[start - 1] in SPACED_LETTERS:
                        continue
                    if (
                        end < length
                        and end not in breaks
                        and normal[end] in SPACED_LETTERS
                        and (kind.is_blocked or not kind.lists or not _is_inflected(normal, end, breaks))
                    ):
                        continue
                if is_only_masked:  # the automaton reports the longest of the same end first
                    masked_end = end
                yield kind, start, end


class WordSet:
    """Some words: those without and those with emoji, which need texts of another form.

    :arg groups: the words by their first characters; they are removed from it.
    """

    def __init__(self, groups: dict[str, Words], normaliser: Normaliser) -> None:
        self._normaliser = normaliser
        self.automata: list[Automaton] = []
        with_emoji: Words = {}
        words: Words = {}
        while groups:
            _, group = groups.popitem()
            for text in [text for text in group if normaliser.has_emoji(text)]:
                with_emoji[text] = group.pop(text)
            for text, kind in group.items():
                words[text] = kind
                if len(words) == MAX_WORDS:
                    self._add(words)
                    words = {}
        if words or not self.automata:
            self._add(words)
        self._with_emoji = Automaton(with_emoji, Normaliser.with_emoji()) if with_emoji else None

    def _add(self, words: Words) -> None:
        self.automata.append(Automaton(words, self._normaliser))
        time.sleep(PAUSE_SECONDS)

    def views(self, text: str) -> Iterator[tuple[Automaton, View]]:
        """Yield the forms of ``text`` in which words are searched, with the automata that search."""
        normaliser = self._normaliser
        exact = View(text, normaliser)
        for automaton in self._relevant(exact):
            yield automaton, exact
        if text.isascii():
            return
        if self._with_emoji is not None:
            yield self._with_emoji, View(text, self._with_emoji.normaliser)
        other = without_keycaps(text)
        if other is not text:
            exact = View(other, normaliser)
            for automaton in self._relevant(exact):
                yield automaton, exact
        for view in lookalike_views(other, exact, normaliser):
            for automaton in self._relevant(view):
                yield automaton, view

    def _relevant(self, view: View) -> Sequence[Automaton]:
        """Return the automata that have a word which begins with a character of the text."""
        if len(self.automata) == 1:
            return self.automata
        characters = set(view.normal)
        return [each for each in self.automata if not each.firsts.isdisjoint(characters)]


class Matcher:
    """Finds the words of some lists. A matcher is immutable; a change of the lists needs a new one.

    :arg lists: the paths of the lists, by action.
    :ivar words: the words of all lists.
    :ivar warnings: sentences about lines of the lists that are probably mistakes.
    :raises ListError: a list cannot be used.
    """

    def __init__(self, normaliser: Normaliser, lists: Mapping[WordAction, Sequence[str]]) -> None:
        found = WordGroups(normaliser, lists)
        self.warnings = found.warnings
        self._normaliser = normaliser
        self._count = len(found)
        alerts: dict[str, Words] = {}
        if lists.get(WordAction.ALERT):
            for first, group in found.groups.items():
                # A word that is blocked, too, has no inflections in ``check``, but here.
                own = {text: kind._replace(is_blocked=False) for text, kind in group.items() if kind.lists}
                if own:
                    alerts[first] = own
        self._list_count = len(
            {name for group in alerts.values() for kind in group.values() for name in kind.lists}
        )
        self.words = WordSet(found.groups, normaliser)
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
            for kind, start, end in automaton.find(view):
                if kind.is_blocked:
                    return Verdict(True, text)
                if not stars:
                    stars, alert_stars = bytearray(len(view.normal)), bytearray(len(view.normal))
                if kind.lists:
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
        return Verdict(False, _with_stars(text, masked, alerts)) if masked else None

    def find_alerts(self, text: str, before: str = "") -> list[str]:
        """Return the names of the alert lists with a word in ``text``, in the order of their matches.

        :arg before: what the sender wrote before; a word may begin there and end in ``text``.
        """
        lists: dict[str, None] = {}
        if self._alerts is None:
            return []
        for automaton, view in self._alerts.views(f"{before}\n{text}" if before else text):
            text_start = len(automaton.normaliser.normalise(before)) if before else 0
            for kind, _, end in automaton.find(view):
                if end > text_start:
                    lists.update(dict.fromkeys(kind.lists))
                    if len(lists) == self._list_count:
                        return list(lists)
        return list(lists)


def _with_stars(text: str, masked: bytearray, alerts: Sequence[int]) -> str:
    """Return ``text`` with a star for each masked character that is not of an alert word.

    A character is a grapheme cluster: it is masked if a part of it is, and not if a part is of an alert word.
    """
    kept = set(alerts)
    for index in kept:
        masked[index] = 0
    characters = [MASK if is_masked else each for each, is_masked in zip(text, masked, strict=True)]
    for start, end in long_clusters(text):
        if not any(masked[start:end]):
            continue
        is_kept = not kept.isdisjoint(range(start, end))
        characters[start:end] = text[start:end] if is_kept else [MASK, *[""] * (end - start - 1)]
    return "".join(characters)


def _is_inflected(normal: str, end: int, breaks: set[int]) -> bool:
    """Return True if the word that ends at ``end`` is followed only by an ending or digits: ``suicide2``."""
    last = end + 1
    while last < len(normal) and last not in breaks and normal[last] in SPACED_LETTERS:
        last += 1
        if last - end > _MAX_INFLECTION_CHARS:
            return False
    return _INFLECTION.fullmatch(normal, end, last) is not None


def _without_repetitions(words: Words) -> list[str]:
    """Return the words without those whose every character is found as shorter words of the same kind."""
    groups: dict[WordKind, list[str]] = {}
    for text, kind in words.items():
        groups.setdefault(kind, []).append(text)
    kept: list[str] = []
    for kind, group in groups.items():
        if kind.is_whole_word:  # a part of a word in the text is not a whole word
            kept += group
            continue
        automaton = AhoCorasick(group, store_patterns=False)
        for text in group:
            covered = bytearray(len(text))
            for _, start, end in automaton.find_matches_as_indexes(text, overlapping=True):
                if end - start < len(text):
                    covered[start:end] = b"\1" * (end - start)
            if not all(covered):
                kept.append(text)
    return kept
