"""Read marks and typing: many signals of one person cost no more than a few."""

import asyncio
from typing import Any

import pytest

from tests.delivery.conftest import turns
from tests.storage.conftest import COUNSELLOR, VISITOR, new_session
from tornado_chat.core.errors import Unavailable
from tornado_chat.core.events import Event, TypingChanged
from tornado_chat.core.types import Kind, Thread
from tornado_chat.services.messaging.signals import ReadMarks, TypingSignals
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import models, read_marks
from tornado_chat.storage.messages import AppendRequest
from tornado_chat.storage.writer import Transaction

A, B = Thread(Kind.SESSION, 1), Thread(Kind.SUPPORT, 1)


def test_typing_of_one_person_is_published_at_a_limited_rate() -> None:
    published: list[Event] = []
    now = 0.0
    signals = TypingSignals(published.append, lambda: now)
    for n in range(1000):
        signals.set(A, VISITOR, typing=n % 2 == 0)
    assert published == [TypingChanged(A, VISITOR, n % 2 == 0) for n in range(10)]
    signals.set(A, COUNSELLOR, typing=True)
    signals.set(B, VISITOR, typing=True)
    assert len(published) == 12
    now = 0.2
    signals.set(A, VISITOR, typing=False)
    signals.set(A, VISITOR, typing=False)
    assert published[12:] == [TypingChanged(A, VISITOR, False)]


class HeldStore:
    """A store whose writes are done when the test says so."""

    def __init__(self) -> None:
        self.writes: list[asyncio.Future[None]] = []
        self.is_full = False

    def write(self, work: Any) -> asyncio.Future[None]:
        if self.is_full:
            raise Unavailable("overloaded")
        self.writes.append(asyncio.get_running_loop().create_future())
        return self.writes[-1]


@pytest.mark.gen_test
async def test_one_read_mark_of_a_reader_is_stored_at_a_time() -> None:
    store = HeldStore()
    marks = ReadMarks(store)  # type: ignore[arg-type]
    for seq in (1, 5, 3):
        marks.set(A, VISITOR, seq)
    marks.set(A, COUNSELLOR, 1)
    assert len(store.writes) == 2
    store.writes[0].set_result(None)
    await turns()
    assert len(store.writes) == 3  # 5, and 3 is not stored
    store.writes[2].set_exception(Unavailable("not_stored"))
    await turns()
    assert len(store.writes) == 3
    marks.set(A, VISITOR, 6)
    marks.set(A, VISITOR, 7)
    store.is_full = True
    store.writes[3].set_result(None)
    await turns()
    with pytest.raises(Unavailable):
        marks.set(A, VISITOR, 8)
    store.is_full = False
    marks.set(A, VISITOR, 8)
    assert len(store.writes) == 5


@pytest.mark.gen_test
async def test_the_highest_mark_is_stored(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    room = await store.write(lambda tx: new_session(tx, 7))
    for n in range(900):
        await store.append(AppendRequest(room.thread, COUNSELLOR, f"{n}"), 0.0)
    stored: list[int] = []
    set_read_mark = read_marks.set_read_mark

    def note(tx: Transaction, thread: Any, person: Any, seq: int) -> None:
        stored.append(seq)
        set_read_mark(tx, thread, person, seq)

    monkeypatch.setattr(read_marks, "set_read_mark", note)
    marks = ReadMarks(store)
    for seq in range(1, 901):
        marks.set(room.thread, VISITOR, seq)
    async with asyncio.timeout(60):
        while await store.read(lambda db: models.ReadMark.select(models.ReadMark.seq).scalar(db)) != 900:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert stored == [1, 900]
