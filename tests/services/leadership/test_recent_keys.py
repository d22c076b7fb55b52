"""The bounded set of the keys that were added last."""

from tornado_chat.services.leadership.recent_keys import RecentKeys


def test_the_oldest_keys_are_forgotten() -> None:
    keys = RecentKeys[int](2)
    for key in (1, 2, 1, 3):
        keys.add(key)
    assert [key in keys for key in (1, 2, 3)] == [True, False, True]
    keys.clear()
    assert 1 not in keys
