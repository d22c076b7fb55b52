"""The coordinator's side of the facts: one book for each other process.

Strategy: a process numbers the changes of its facts, and tells the last number again and again. Where the
numbers show that a change was missed, it is asked for everything, and the differences are passed on. A book
begins empty at 0, which is right for a process that has just begun, and a gap for all others.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from tornado_chat.cluster.facts import Coordinator, Fact

log = logging.getLogger(__name__)


@dataclass
class Book:
    """What a process has said.

    :ivar number: of the last change that is in ``facts``.
    :ivar heard: when it last said anything.
    :ivar asked: when it was last asked for everything.
    :ivar slices: of everything, as far as they have come, for the change ``slices_number``.
    """

    heard: float
    number: int = 0
    asked: float = float("-inf")
    facts: dict[str, Fact] = field(default_factory=dict)
    slices: list[tuple[Fact, ...]] = field(default_factory=list)
    slices_number: int = 0


class Ledger:
    """:arg tell_all: asks a process for everything.
    :arg dead: seconds of silence after which a process counts as dead, and, after ``begin``, in which what
        processes have known before is no news.
    :arg again: seconds until a process that was asked for everything is asked again.
    :arg now: the loop's clock.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        tell_all: Callable[[str], None],
        now: Callable[[], float],
        *,
        dead: float,
        again: float,
    ) -> None:
        self._coordinator = coordinator
        self._tell_all = tell_all
        self._now = now
        self._dead = dead
        self._again = again
        self._books: dict[str, Book] = {}
        self._old_until = 0.0

    def begin(self) -> None:
        """Everything will be said to us, and is no news."""
        self._books.clear()
        self._old_until = self._now() + self._dead

    def clear(self) -> None:
        self._books.clear()

    @property
    def processes(self) -> tuple[str, ...]:
        return tuple(self._books)

    def pass_on(self, process: str, fact: Fact, *, old: bool = False) -> None:
        """Tell the coordinator."""
        try:
            self._coordinator.here(process, fact, old=old)
        except Exception:
            log.exception("the coordinator failed on %s", type(fact).__name__)

    # --- what processes say ---

    def beat(self, process: str, number: int) -> None:
        book = self._book(process)
        if book.number != number:
            self._ask(process, book)

    def here(self, process: str, number: int, fact: Fact) -> None:
        book = self._book(process)
        if self._follows(process, book, number):
            book.facts[fact.key] = fact
            self.pass_on(process, fact)

    def gone(self, process: str, number: int, key: str) -> None:
        book = self._book(process)
        if self._follows(process, book, number):
            book.facts.pop(key, None)
            self._take_back(process, key)

    def everything(self, process: str, number: int, part: int, parts: int, facts: tuple[Fact, ...]) -> None:
        book = self._book(process)
        if part == 0:
            book.slices, book.slices_number = [], number
        if number < book.number or number != book.slices_number or part != len(book.slices):
            return
        book.slices.append(facts)
        if len(book.slices) < parts:
            return
        now_there = {fact.key: fact for slice in book.slices for fact in slice}
        before, book.facts, book.slices = book.facts, now_there, []
        old = not book.number and self._now() < self._old_until
        book.number = number
        for key in before.keys() - now_there.keys():
            self._take_back(process, key)
        for key, fact in now_there.items():
            if before.get(key) != fact:
                self.pass_on(process, fact, old=old)

    def goodbye(self, process: str) -> None:
        book = self._books.pop(process, None)
        if book is not None:
            for key in book.facts:
                self._take_back(process, key)

    # --- what time says ---

    def sweep(self) -> bool:
        """Take back what the dead have said. Whether there were any."""
        limit = self._now() - self._dead
        dead = [process for process, book in self._books.items() if book.heard < limit]
        for process in dead:
            log.warning("%s has been silent for %.0f s; its people count as gone", process, self._dead)
            self.goodbye(process)
        return bool(dead)

    def pardon(self) -> None:
        """Nobody could be heard for a while: nobody is dead for having been silent."""
        now = self._now()
        if now < self._old_until + self._dead:
            self._old_until = now + self._dead
        for book in self._books.values():
            book.heard = now

    # --- books ---

    def _book(self, process: str) -> Book:
        book = self._books.get(process)
        if book is None:
            book = self._books[process] = Book(self._now())
        book.heard = self._now()
        return book

    def _follows(self, process: str, book: Book, number: int) -> bool:
        if number == book.number + 1:
            book.number = number
            return True
        if number > book.number:
            self._ask(process, book)
        return False

    def _ask(self, process: str, book: Book) -> None:
        if self._now() >= book.asked + self._again:
            book.asked = self._now()
            self._tell_all(process)

    def _take_back(self, process: str, key: str) -> None:
        try:
            self._coordinator.gone(process, key)
        except Exception:
            log.exception("the coordinator failed on somebody who has gone")
