"""Chunks of sequences, for work that has to be done in several small steps."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield slices of ``items`` with ``size`` entries; the last slice may be shorter. Yield none if empty."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
