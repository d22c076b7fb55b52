"""The partition flag."""

from typing import Any

import pytest

from tests.services.books import Books
from tornado_chat.core.errors import Unavailable
from tornado_chat.services.leadership.partition_flag import FLAG_PREFIX, PartitionFlag
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import leases


@pytest.mark.gen_test
async def test_every_process_sees_the_flag_of_one(store: Store) -> None:
    own, other = PartitionFlag(store), PartitionFlag(store)
    assert not await own.is_set_by_any_process()
    await other.set()
    await other.set()
    assert await own.is_set_by_any_process()
    assert await other.is_set_by_any_process()


@pytest.mark.gen_test
async def test_a_flag_ends_by_itself(store: Store) -> None:
    await store.write(lambda tx: leases.acquire(tx, f"{FLAG_PREFIX}dead", "dead", -1.0))
    assert not await PartitionFlag(store).is_set_by_any_process()


@pytest.mark.gen_test
async def test_leases_are_no_flags(store: Store) -> None:
    await store.write(lambda tx: leases.acquire(tx, "retention", "process", 60.0))
    assert not await PartitionFlag(store).is_set_by_any_process()


class Away(Books):
    async def read(self, *arguments: Any) -> Any:
        raise Unavailable("database_away")


@pytest.mark.gen_test
async def test_flags_that_cannot_be_read_count_as_set(books: Books) -> None:
    """A process without Redis may have lost the database, too."""
    assert await PartitionFlag(Away(books.database)).is_set_by_any_process()  # type: ignore[arg-type]
