"""A bounded set that keeps the keys that were added last."""

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class RecentKeys(Generic[Key]):
    """The last ``max_keys`` keys; a key that is added again counts as new.

    The coordinator keeps the rooms and conversations that have ended: a row or report from before the end may
    arrive after it, and must not bring them back.
    """

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._keys: dict[Key, None] = {}

    def add(self, key: Key) -> None:
        self._keys.pop(key, None)
        self._keys[key] = None
        if len(self._keys) > self._max_keys:
            del self._keys[next(iter(self._keys))]

    def clear(self) -> None:
        self._keys.clear()

    def __contains__(self, key: Key) -> bool:
        return key in self._keys
