"""Recognition of messages that were delivered before, by their numbers (feature ``seq``)."""

LOCAL_TIME_CHARS = len("2025-03-20T08:26:45.391706")
"""The part of a time without its offset, which servers of version 0.1 do not send."""

MAX_REMEMBERED_TIMES = 1000
"""Number of messages whose time is kept: no message of so many messages ago is delivered again."""


class RepeatFilter:
    """The numbered messages of one stream that were received.

    The server delivers a message again with the same number and the same time. A known number with another
    time is another message: the server's database has gone back to an older copy, and gives the numbers of
    lost messages again.
    """

    def __init__(self) -> None:
        self._last_seq = 0
        self._times: dict[int, str | None] = {}

    def is_repeat(self, seq: int, time: str | None) -> bool:
        """Return True if the message was received before; else record it."""
        time = None if time is None else time[:LOCAL_TIME_CHARS]
        if seq <= self._last_seq:
            if self._times.get(seq, time) == time:
                return True
            self._times = {known: at for known, at in self._times.items() if known < seq}
        self._last_seq = seq
        self._times[seq] = time
        if len(self._times) > MAX_REMEMBERED_TIMES:
            del self._times[next(iter(self._times))]
        return False
