"""Recognition of repeated messages by their numbers."""

from tornado_chat.client.repeats import MAX_REMEMBERED_TIMES, RepeatFilter


def test_a_known_number_with_another_time_is_another_message() -> None:
    repeats = RepeatFilter()
    assert [repeats.is_repeat(seq, f"t{seq}") for seq in (1, 2, 3, 2, 3, 4)] == [
        False, False, False, True, True, False,
    ]  # fmt: skip
    # The database has gone back to an older copy that ends with 2.
    after = ((2, "t2"), (3, "later"), (4, "later"), (3, "later"))
    assert [repeats.is_repeat(*message) for message in after] == [True, False, False, True]


def test_a_time_is_the_same_with_and_without_its_offset() -> None:
    repeats = RepeatFilter()
    assert not repeats.is_repeat(1, "2025-03-20T08:26:45.391706")  # of a server that is about to be upgraded
    assert repeats.is_repeat(1, "2025-03-20T08:26:45.391706+08:00")
    assert not repeats.is_repeat(1, "2025-03-20T08:26:45.391707+08:00")


def test_memory_is_bounded_and_old_numbers_are_repeats() -> None:
    repeats = RepeatFilter()
    for seq in range(1, 3 * MAX_REMEMBERED_TIMES):
        assert not repeats.is_repeat(seq, "")
    assert len(repeats._times) == MAX_REMEMBERED_TIMES
    assert repeats.is_repeat(1, "forgotten")
