"""Word lists: files with a word or phrase a line, and the actions of their words.

Strategy: a list of a million words is read in a thread beside the server's loop. The thread works in pieces
of a few milliseconds and pauses after each, because Python runs one thread at a time: no single call takes as
many lines as would stop the loop noticeably.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from .normalising import SEPARATOR, Normaliser, is_spaced_script

COMMENT_PREFIX = "#"
PIECE_LINES = 1000
PAUSE_SECONDS = 0.001  # after each piece
SHOWN_LINES = 5  # line numbers in a warning

_END_OF_LINE = "\n"
_LATE_COMMENT = re.compile(r"\s#")
_SEVERAL_WORDS = re.compile(r"\w\s*[,\uff0c\u3001;\uff1b|]\s*\w")

LATE_COMMENT = "a comment after a word is a part of the word; write it on a line of its own"
SEVERAL_WORDS = (
    "a line with commas is one phrase, found only as a whole; write each word on a line of its own"
)

SPACED_LETTERS = frozenset(filter(is_spaced_script, map(chr, range(0x2000))))
"""The letters and digits for which ``is_spaced_script`` is true: a lookup costs less than a call."""


class WordAction(Enum):
    """The actions of a word list."""

    MASK = auto()
    BLOCK = auto()
    ALERT = auto()


class WordKind(NamedTuple):
    """The actions of a word by all lists that have it. Words with the same actions share one object.

    :ivar is_whole_word: True if the word matches only as a whole word, not inside a longer word.
    :ivar lists: the names of the alert lists that have the word.
    """

    is_whole_word: bool
    is_masked: bool = False
    is_blocked: bool = False
    lists: tuple[str, ...] = ()

    @property
    def is_alert(self) -> bool:
        return bool(self.lists)

    def with_action(self, action: WordAction, name: str) -> "WordKind":
        """Return the kind of a word that the list ``name`` has, too."""
        match action:
            case WordAction.MASK:
                return self._replace(is_masked=True)
            case WordAction.BLOCK:
                return self._replace(is_blocked=True)
            case WordAction.ALERT:
                return self if name in self.lists else self._replace(lists=(*self.lists, name))


class ListError(ValueError):
    """A word list cannot be used. The argument is a sentence with the reason and what to do."""


class ListReader:
    """Reads the normalised words of files, in pieces.

    :ivar warnings: sentences about lines that are probably mistakes.
    """

    def __init__(self, normaliser: Normaliser) -> None:
        self._normaliser = normaliser
        self._table = normaliser.table_keeping(_END_OF_LINE)
        self.warnings: list[str] = []

    def read(self, path: Path) -> Iterator[list[str]]:
        """Yield the words of a file, ``PIECE_LINES`` lines at a time.

        :raises ListError: the file is missing, not UTF-8 or without words, or a line has no letters.
        """
        has_words = False
        suspicious: dict[str, list[int]] = {}
        try:
            with path.open(encoding="utf-8-sig", newline=_END_OF_LINE) as file:
                first = 1
                while lines := list(islice(file, PIECE_LINES)):
                    words = self._words(path, first, lines, suspicious)
                    has_words = has_words or bool(words)
                    yield words
                    first += len(lines)
                    time.sleep(PAUSE_SECONDS)
        except OSError as error:
            raise ListError(
                f"{path} cannot be read ({error.strerror}); correct the path or the file's permissions"
            ) from error
        except UnicodeDecodeError as error:
            position = _first_invalid_byte(path)
            raise ListError(f"{path} is not UTF-8, see byte {position + 1}; save it as UTF-8") from error
        if not has_words:
            raise ListError(f"{path} has no words; write one a line, or remove the file from this option")
        for text, numbers in suspicious.items():
            self.warnings.append(f"{_line_numbers(numbers)} of {path}: {text}")

    def _words(
        self, path: Path, first: int, lines: Sequence[str], suspicious: dict[str, list[int]]
    ) -> list[str]:
        entries = []
        for number, line in enumerate(lines, first):
            entry = line.strip()
            if not entry or entry.startswith(COMMENT_PREFIX):
                continue
            if _LATE_COMMENT.search(entry):
                suspicious.setdefault(LATE_COMMENT, []).append(number)
            elif _SEVERAL_WORDS.search(entry):
                suspicious.setdefault(SEVERAL_WORDS, []).append(number)
            entries.append((number, entry))
        texts = [entry for _, entry in entries]
        # One call for all lines: the calls are the larger part of the time.
        words = _END_OF_LINE.join(texts).translate(self._table).replace(SEPARATOR, "").split(_END_OF_LINE)
        if len(words) != len(texts):  # no entries, or one with another end of line
            words = [self._normaliser.normalise(text) for text in texts]
        for index, (number, entry) in enumerate(entries):
            if self._normaliser.has_emoji(entry):
                words[index] = Normaliser.with_emoji().normalise(entry)
            if not words[index]:
                raise ListError(
                    f"line {number} of {path} has only spaces, punctuation or symbols, which are ignored in "
                    "messages; remove it"
                )
        return words


class WordGroups:
    """The words of some lists, grouped by their first characters.

    :arg lists: the paths of the lists, by action.
    :ivar groups: by first character the kinds of the words. Small groups, because a large dictionary stops
        the loop when it grows.
    :ivar warnings: of ``ListReader``.
    :raises ListError: a list cannot be used.
    """

    def __init__(self, normaliser: Normaliser, lists: Mapping[WordAction, Sequence[str]]) -> None:
        self.groups: dict[str, dict[str, WordKind]] = {}
        reader = ListReader(normaliser)
        kinds: dict[tuple[WordKind, WordAction, str], WordKind] = {}
        plain, whole = WordKind(False), WordKind(True)
        for action, paths in lists.items():
            for path in map(Path, paths):
                for words in reader.read(path):
                    for word in words:
                        group = self.groups.setdefault(word[0], {})
                        kind = group.get(word) or (whole if SPACED_LETTERS.issuperset(word) else plain)
                        key = (kind, action, path.name)
                        group[word] = kinds.get(key) or kinds.setdefault(
                            key, kind.with_action(action, path.name)
                        )
        self.warnings: Sequence[str] = reader.warnings

    def __len__(self) -> int:
        return sum(map(len, self.groups.values()))


def _line_numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:SHOWN_LINES]))
    more = f" and {len(numbers) - SHOWN_LINES} more" if len(numbers) > SHOWN_LINES else ""
    return f"{'line' if len(numbers) == 1 else 'lines'} {shown}{more}"


def _first_invalid_byte(path: Path) -> int:
    try:
        path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return error.start
    return 0  # the file was corrected meanwhile
