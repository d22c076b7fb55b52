"""The health of a plugin: its failures, and its suspension after too many of them."""

import logging
from collections.abc import Callable

from tornado_chat.observability.logs import described, fields
from tornado_chat.observability.metrics import Metrics
from tornado_chat.plugins.hookspecs import HOOKS_WITHOUT_CONTENT

log = logging.getLogger(__name__)

MAX_CONSECUTIVE_FAILURES = 5
"""Number of failures in a row after which a plugin is suspended."""

FIRST_SUSPENSION_SECONDS = 60.0
"""Length of the first suspension; each further one in a row is twice as long, see the maximum."""

MAX_SUSPENSION_SECONDS = 900.0


class PluginHealth:
    """Counts and logs the failures of one plugin, and suspends it.

    :arg clock: returns monotonic seconds.
    :arg pause: seconds of the first suspension.
    :ivar problem: the lasting problem that the plugin reports; empty if there is none.
    """

    def __init__(
        self,
        plugin: str,
        metrics: Metrics,
        clock: Callable[[], float],
        pause: float = FIRST_SUSPENSION_SECONDS,
    ) -> None:
        self._meter = metrics.plugin(plugin)
        self._plugin = plugin
        self._metrics = metrics
        self._clock = clock
        self._next_suspension = self._first_pause = pause
        self._consecutive_failures = 0
        self._logged_failures: set[tuple[str, str]] = set()
        self._suspended_until = 0.0
        self._suspended = False
        self.problem = ""

    @property
    def suspended_for(self) -> float:
        """Seconds until the suspension ends; 0 if the plugin is not suspended."""
        left = self._suspended_until - self._clock()
        if left > 0:
            return left
        if self._suspended:
            self._suspended = False
            self._meter.suspended = False
            log.info("plugin %s is called again", self._plugin)
        return 0.0

    def record_call(self, seconds: float) -> None:
        """Count a call, successful or not, that took ``seconds``."""
        self._meter.calls += 1
        self._meter.seconds += seconds

    def record_success(self) -> None:
        self._consecutive_failures = 0
        self._next_suspension = self._first_pause

    def record_skip(self, hook: str) -> None:
        self._metrics.plugin_skipped.add(self._plugin, hook)

    def record_slow_call(self, hook: str, seconds: float) -> None:
        """Count and log a call that blocked the server's loop."""
        self._metrics.plugin_failures.add(self._plugin, hook, "slow")
        if self._is_new(hook, "slow"):
            log.warning(
                "plugin %s blocked the server for %.2f s in %s: a hook that waits must be `async def` "
                "(logged once, then only counted)",
                self._plugin,
                seconds,
                hook,
                extra=fields(plugin=self._plugin, hook=hook),
            )

    def record_failure(self, hook: str, kind: str, error: BaseException | None, *, suspend: bool) -> None:
        """Count and log a call that failed.

        :arg kind: ``error`` or ``timeout``.
        :arg suspend: True if the failure counts towards a suspension.
        """
        self._meter.failures += 1
        self._metrics.plugin_failures.add(self._plugin, hook, kind)
        if self._is_new(hook, type(error).__name__ if error else kind):
            reason = repr(error) if error is None or hook in HOOKS_WITHOUT_CONTENT else described(error)
            problem = f"failed in {hook}: {reason}" if error else f"did not answer in time in {hook}"
            log.error(
                "plugin %s %s (logged once, then only counted)",
                self._plugin,
                problem,
                exc_info=error,
                extra=fields(plugin=self._plugin, hook=hook),
            )
        if not suspend:
            return
        self._consecutive_failures += 1
        if self._consecutive_failures >= MAX_CONSECUTIVE_FAILURES:
            self._consecutive_failures = 0
            self._suspended_until = self._clock() + self._next_suspension
            self._suspended = True
            self._meter.suspended = True
            log.error(
                "plugin %s is suspended for %.0f s, as it failed %d times in a row, the last time in %s",
                self._plugin,
                self._next_suspension,
                MAX_CONSECUTIVE_FAILURES,
                hook,
            )
            self._next_suspension = min(2 * self._next_suspension, MAX_SUSPENSION_SECONDS)

    def report_problem(self, text: str | None) -> None:
        """Set the lasting problem that the plugin reports, and log its begin and its end."""
        before, self.problem = self.problem, text or ""
        self._meter.problem = bool(text)
        if text and text != before:
            log.error("plugin %s reports a problem: %s", self._plugin, text)
        elif before and not text:
            log.info("plugin %s has no problem any more", self._plugin)

    def _is_new(self, hook: str, kind: str) -> bool:
        if (hook, kind) in self._logged_failures:
            return False
        self._logged_failures.add((hook, kind))
        return True
