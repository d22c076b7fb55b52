"""Erasure of a person in small transactions, beside a running server.

Each step is a transaction of its own, so other work does not have to wait for long. An erasure that is
stopped or killed in between leaves a part of the person's data. Each transaction also stores the counts so
far, so another run erases the rest and knows the counts of the whole.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import peewee as pw

from tornado_chat.core.types import Kind, Person, SessionState, Thread
from tornado_chat.plugins.data_keepers import DataKeepers
from tornado_chat.storage import conversations, erasure, operations, person_data, retention, rooms
from tornado_chat.storage.erasure import ErasureCounts, ErasureEffect
from tornado_chat.storage.exclusive_lock import run_transaction
from tornado_chat.storage.writer import Transaction

MAX_TRANSACTION_ROWS = 500
MAX_ROUNDS = 3
"""How often to look for new data: the person may be online, and send messages meanwhile."""

NO_LIMIT = 10**9
ERASED_BY_PLUGIN = "erased by its plugin"

T = TypeVar("T")


class OpenConversation(NamedTuple):
    """An unfinished conversation and its state."""

    thread: Thread
    state: str


class Erasure:
    """One erasure of one person.

    :arg tombstone: the text that replaces the person's messages.
    :arg whole_conversations: remove the conversations completely, with the messages of the others.
    :arg dry_run: roll each transaction back at its end, so that only the counts remain.
    :arg keeps_progress: begin with the counts that are stored for the person, and store them in each
        transaction.
    :ivar counts: rows that were changed so far, also by the runs that were stopped before.
    :ivar kept: numbers of rows by table that plugins keep nevertheless.
    """

    def __init__(
        self,
        database: pw.Database,
        keepers: DataKeepers,
        person: Person,
        tombstone: str,
        *,
        whole_conversations: bool = False,
        dry_run: bool = False,
        keeps_progress: bool = False,
    ) -> None:
        self._database = database
        self._keepers = keepers
        self._person = person
        self._tombstone = tombstone
        self._whole_conversations = whole_conversations
        self._dry_run = dry_run
        self._keeps_progress = keeps_progress
        self.counts: ErasureCounts = (
            _decode_counts(operations.progress(database, person)) if keeps_progress else Counter()
        )
        self.kept: Mapping[str, int] = {}

    def open(self) -> list[OpenConversation]:
        """Return the conversations that have to end before the erasure."""
        found = [OpenConversation(*each) for each in person_data.open_threads(self._database, self._person)]
        if self._whole_conversations:  # a conversation is removed completely only after its end
            for thread in self._threads():
                other = person_data.conversation(self._database, thread)
                if other is not None and other.open:
                    found.append(OpenConversation(thread, other.state.value))
        return list(dict.fromkeys(found))

    def end(self, open: Sequence[OpenConversation]) -> None:
        """End conversations in the database. No server may be using them."""
        if not self._dry_run:

            def work(tx: Transaction) -> None:
                for each in open:
                    self._end(tx, each)

            run_transaction(self._database, work)

    def run(self, progress: Callable[[int, int], object]) -> None:
        """Erase the person.

        :arg progress: called with the number of erased conversations and their total number.
        """
        for _ in range(1 if self._dry_run else MAX_ROUNDS):
            threads = left = self._threads()
            total = len(threads)
            while left:
                left = self._transact(partial(self._erase_some, threads=left))
                progress(total - len(left), total)
            counted = threads if self._whole_conversations and self._dry_run else ()
            self._transact(partial(self._erase_rest, counted=counted))
            if self.complete:
                break

    @property
    def complete(self) -> bool:
        """True if no data about the person are left. Otherwise the person has come back meanwhile."""
        return not person_data.is_known(self._database, self._person)

    # --- inside ---

    def _threads(self) -> list[Thread]:
        threads = person_data.threads(self._database, self._person)
        if not self._whole_conversations:
            return threads
        threads += [
            record.thread
            for thread in threads
            if thread.kind is not Kind.RECORD
            for record in rooms.supervision_records(self._database, thread)
        ]
        order = list(retention.CONVERSATION_TABLES)
        return sorted(set(threads), key=lambda thread: (order.index(thread.kind), thread.id))

    def _transact(self, work: Callable[[Transaction], tuple[ErasureCounts, T]]) -> T:
        def work_with_progress(tx: Transaction) -> tuple[ErasureCounts, T]:
            counts, result = work(tx)
            total = self.counts + counts
            if self._keeps_progress:
                operations.set_progress(tx, self._person, _encode_counts(total))
            return total, result

        self.counts, result = run_transaction(self._database, work_with_progress, dry_run=self._dry_run)
        return result

    def _erase_some(self, tx: Transaction, threads: list[Thread]) -> tuple[ErasureCounts, list[Thread]]:
        counts: ErasureCounts = Counter()
        left = list(threads)
        # A dry run rolls its changes back, so it could not continue inside a conversation in the next
        # transaction.
        max_messages = NO_LIMIT if self._dry_run else MAX_TRANSACTION_ROWS
        while left and counts.total() < MAX_TRANSACTION_ROWS:
            if self._whole_conversations:
                removed, is_complete = erasure.remove_conversation(tx, left[0], max_messages)
                counts += removed
                if not is_complete:
                    break
                counts += _plugin_counts(self._keepers.conversations_removed(tx, left[:1]))
            else:
                counts += erasure.erase_conversation(tx, self._person, left[0], self._tombstone)
            del left[0]
        return counts, left

    def _erase_rest(self, tx: Transaction, counted: Sequence[Thread]) -> tuple[ErasureCounts, None]:
        counts = erasure.erase_rest(tx, self._person, counted)
        counts += _plugin_counts(self._keepers.erase_person(tx, self._person))
        retention.delete_emptied_rows(tx)
        kept = self._keepers.of_person(tx.database, self._person)
        self.kept = {table: len(rows) for tables in kept.values() for table, rows in tables.items()}
        return counts, None

    def _end(self, tx: Transaction, open: OpenConversation) -> None:
        if open.thread.kind is Kind.SUPPORT:
            conversations.end(tx, open.thread.id, self._person)
        else:
            never_started = open.state == SessionState.READY.value
            state = SessionState.CANCELLED if never_started else SessionState.COMPLETED
            rooms.finish(tx, open.thread, state)


def _plugin_counts(counts: Mapping[str, int]) -> ErasureCounts:
    return Counter({ErasureEffect(table, ERASED_BY_PLUGIN): rows for table, rows in counts.items()})


def _encode_counts(counts: ErasureCounts) -> dict[str, int]:
    return {f"{effect.table} {effect.what}": rows for effect, rows in counts.items()}


def _decode_counts(counts: Mapping[str, int]) -> ErasureCounts:
    return Counter({ErasureEffect(*key.split(" ", 1)): rows for key, rows in counts.items()})
