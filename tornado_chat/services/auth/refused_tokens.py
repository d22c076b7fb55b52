"""The tokens that were refused, for the hook ``token_refused``.

Strategy: any client can send tokens that are refused, and a flood of events would drive the other events of a
plugin out of its queue. So the first refusal is reported at once, and those of the next second together.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

INTERVAL_SECONDS = 1.0
MAX_CODES = 50
"""The number of codes that are told apart; a plugin may refuse tokens with codes of its own."""
OTHER_CODE = "other"


class RefusedTokens:
    """Counts refused tokens by the code of the error.

    :arg report: called with the code and the number of refusals since the last call.
    """

    def __init__(self, report: Callable[[str, int], None], loop: asyncio.AbstractEventLoop) -> None:
        self._report = report
        self._loop = loop
        self._counts: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, code: str) -> None:
        """Count a refusal."""
        if self._timer is None:
            self._report(code, 1)
            self._timer = self._loop.call_later(INTERVAL_SECONDS, self._flush)
            return
        self._counts[code if code in self._counts or len(self._counts) < MAX_CODES else OTHER_CODE] += 1

    def _flush(self) -> None:
        self._timer = None
        counts, self._counts = self._counts, Counter()
        for code, count in counts.items():
            self._report(code, count)
        if counts:
            self._timer = self._loop.call_later(INTERVAL_SECONDS, self._flush)
