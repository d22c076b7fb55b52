"""Much, a little at a time."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Pieces of ``size``, the last one of what is left; none of nothing."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
