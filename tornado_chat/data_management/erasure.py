"""Erasing a person, piece by piece, beside a running server.

Each piece is a transaction of its own, so nobody has to wait for long. One that is stopped in between leaves
a person who is erased in part; erasing again finds the rest.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import peewee as pw

from tornado_chat.core.types import Kind, Person, SessionState, Thread
from tornado_chat.plugins.data_keepers import Keepers
from tornado_chat.storage import conversations, erasure, person_data, retention, rooms
from tornado_chat.storage.erasure import Counts, Done
from tornado_chat.storage.exclusive_lock import transact
from tornado_chat.storage.writer import Transaction

MOST = 500  # rows in one transaction
ROUNDS = 3
"""How often to look for something new: the person may be online, and say something meanwhile."""

ALL = 10**9
BY_PLUGIN = "erased by its plugin"

T = TypeVar("T")


class Open(NamedTuple):
    """A conversation that is not over, and its state."""

    thread: Thread
    state: str


class Erasure:
    """One run over one person.

    :arg whole: take out the conversations altogether, what the others said included.
    :arg rehearse: take each piece back at its end, so that only the counts remain.
    :ivar counts: what was done so far.
    :ivar kept: rows by table that plugins keep all the same.
    """

    def __init__(
        self,
        database: pw.Database,
        keepers: Keepers,
        person: Person,
        tombstone: str,
        *,
        whole: bool = False,
        rehearse: bool = False,
    ) -> None:
        self._database = database
        self._keepers = keepers
        self._person = person
        self._tombstone = tombstone
        self._whole = whole
        self._rehearse = rehearse
        self.counts: Counts = Counter()
        self.kept: Mapping[str, int] = {}

    def open(self) -> list[Open]:
        """The conversations that have to end before."""
        found = [Open(*each) for each in person_data.open_threads(self._database, self._person)]
        if self._whole:  # what is to go altogether must be over for everybody
            for thread in self._threads():
                other = person_data.conversation(self._database, thread)
                if other is not None and other.open:
                    found.append(Open(thread, other.state.value))
        return list(dict.fromkeys(found))

    def end(self, open: Sequence[Open]) -> None:
        """End them in the database. No server may be in the middle of them."""
        if not self._rehearse:

            def work(tx: Transaction) -> None:
                for each in open:
                    self._end(tx, each)

            transact(self._database, work)

    def run(self, progress: Callable[[int, int], object]) -> None:
        """Erase.

        :arg progress: told how many conversations are done, and of how many.
        """
        for _ in range(1 if self._rehearse else ROUNDS):
            threads = left = self._threads()
            total = len(threads)
            while left:
                left = self._transact(partial(self._erase_some, threads=left))
                progress(total - len(left), total)
            counted = threads if self._whole and self._rehearse else ()
            self._transact(partial(self._erase_rest, counted=counted))
            if self.complete:
                break

    @property
    def complete(self) -> bool:
        """Whether nothing is left now. If something is, the person has come back meanwhile."""
        return not person_data.is_known(self._database, self._person)

    # --- inside ---

    def _threads(self) -> list[Thread]:
        threads = person_data.threads(self._database, self._person)
        if not self._whole:
            return threads
        threads += [
            record.thread
            for thread in threads
            if thread.kind is Kind.SESSION
            for record in rooms.records(self._database, thread.id)
        ]
        order = list(retention.TABLES)
        return sorted(set(threads), key=lambda thread: (order.index(thread.kind), thread.id))

    def _transact(self, work: Callable[[Transaction], tuple[Counts, T]]) -> T:
        counts, result = transact(self._database, work, rehearse=self._rehearse)
        self.counts += counts
        return result

    def _erase_some(self, tx: Transaction, threads: list[Thread]) -> tuple[Counts, list[Thread]]:
        counts: Counts = Counter()
        left = list(threads)
        # What is taken back makes no progress, so a rehearsal has to take each conversation as one.
        most = ALL if self._rehearse else MOST
        while left and counts.total() < MOST:
            if self._whole:
                removed, gone = erasure.remove_conversation(tx, left[0], most)
                counts += removed
                if not gone:
                    break
                counts += _of_plugins(self._keepers.conversations_removed(tx, left[:1]))
            else:
                counts += erasure.erase_conversation(tx, self._person, left[0], self._tombstone)
            del left[0]
        return counts, left

    def _erase_rest(self, tx: Transaction, counted: Sequence[Thread]) -> tuple[Counts, None]:
        counts = erasure.erase_rest(tx, self._person, counted)
        counts += _of_plugins(self._keepers.erase_person(tx, self._person))
        retention.sweep(tx)
        kept = self._keepers.of_person(tx.database, self._person)
        self.kept = {table: len(rows) for tables in kept.values() for table, rows in tables.items()}
        return counts, None

    def _end(self, tx: Transaction, open: Open) -> None:
        if open.thread.kind is Kind.SUPPORT:
            conversations.end(tx, open.thread.id, self._person)
        else:
            never_began = open.state == SessionState.READY.value
            state = SessionState.CANCELLED if never_began else SessionState.COMPLETED
            rooms.finish(tx, open.thread, state)


def _of_plugins(counts: Mapping[str, int]) -> Counts:
    return Counter({Done(table, BY_PLUGIN): rows for table, rows in counts.items()})
