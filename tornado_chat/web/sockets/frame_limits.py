"""The limits on what a client sends on one socket: frames, their size, bytes, and malformed frames."""

import math
from collections import deque

from tornado_chat.core.errors import TooBig, TooFast
from tornado_chat.core.types import Identity
from tornado_chat.services.auth.client_limits import MAX_PAUSE_SECONDS
from tornado_chat.services.container import Services
from tornado_chat.services.messaging.connections import TokenBucket

MALFORMED_WINDOW_SECONDS = 60.0  # in which malformed frames are counted


class FrameLimits:
    """The counters of one socket, by the limits of the moment.

    :arg address: of the client.
    :arg now: by the loop's clock, as every ``now`` here.
    """

    __slots__ = ("_address", "_bucket", "_malformed_at", "_sent_messages", "_services")

    def __init__(self, services: Services, address: str, now: float) -> None:
        self._services = services
        self._address = address
        self._bucket = TokenBucket(services.limits.burst, now)
        self._malformed_at: deque[float] | None = None
        self.identify(None)

    def identify(self, identity: Identity | None) -> None:
        """Count towards a person from now on; None: towards the client's network."""
        self._sent_messages = self._services.client_limits.sent_messages(identity, self._address)

    def take(self, now: float) -> bool:
        """Count a frame of any kind, also a fragment. Return False if the client sends too many."""
        limits = self._services.limits
        return self._bucket.take(now, limits.messages_per_second, limits.burst)

    def count_message(self, data: str | bytes, now: float) -> float:
        """Count a message and its bytes. Return the seconds until the next frame is read; usually 0.

        :raises TooBig: the message exceeds ``[limits] frame_bytes``; nothing is counted.
        :raises TooFast: the client has sent so much, on several sockets, that the pause would be too long.
        """
        size = len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
        limit = self._services.limits.frame_bytes
        if size > limit:
            raise TooBig("too_big", limit=limit)
        pause = self._sent_messages.add(size, now)
        if pause > MAX_PAUSE_SECONDS:
            raise TooFast("too_fast", retry_after=math.ceil(pause))
        return pause

    def count_malformed(self, now: float, max_frames: int) -> bool:
        """Count a malformed frame. Return True if it is the last of ``max_frames`` within the window."""
        if self._malformed_at is None:
            self._malformed_at = deque(maxlen=max_frames)
        self._malformed_at.append(now)
        return (
            len(self._malformed_at) == max_frames and now - self._malformed_at[0] < MALFORMED_WINDOW_SECONDS
        )
