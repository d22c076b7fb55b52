"""The health of a plugin: its failures, its faults, and its suspension after too many failures in a row."""

import logging
from collections import Counter
from collections.abc import Callable

from tornado_chat.observability.logs import described, fields, safe_repr
from tornado_chat.observability.metrics import Metrics
from tornado_chat.plugins.faults import Faults
from tornado_chat.plugins.hookspecs import HOOK_KINDS, HOOKS_WITHOUT_CONTENT, HookKind

log = logging.getLogger(__name__)

MAX_CONSECUTIVE_FAILURES = 5
"""Number of failures in a row after which a plugin is suspended."""

FIRST_SUSPENSION_SECONDS = 60.0
"""Length of the first suspension; each further one in a row is twice as long, see the maximum."""

MAX_SUSPENSION_SECONDS = 900.0

ASYNC_ADVICE = "a hook that waits must be `async def`"
POLICY_ADVICE = (
    "it is asked for each user, so it must not wait: get what it needs in a task of `context.spawn`"
)
BLOCKING_ADVICE = "an `async def` must await what takes long, for example by `asyncio.to_thread`"


class PluginHealth:
    """Counts and logs the failures of one plugin, and suspends it.

    :arg clock: returns monotonic seconds.
    :arg pause: seconds of the first suspension.
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
        self._consecutive_failures: Counter[str] = Counter()  # by group of calls
        self._suspended_group = ""  # the group whose failures caused the last suspension
        self._logged_failures: set[tuple[str, str]] = set()
        self._faults = Faults(clock, self._on_fault_ended)
        self._reported_problem = ""
        self._suspended_until = 0.0
        self._suspended = False

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

    def refresh(self) -> None:
        """End the suspension and the faults whose time is over, for the metrics."""
        _ = self.suspended_for
        self._meter.problem = bool(self._reported_problem or self._faults)

    def problem(self, on_error: str) -> str:
        """Return the problem that the plugin reports, and its faults; empty if there are none.

        :arg on_error: the plugin's option of that name.
        """
        faults = self._faults.describe(on_error, is_suspended=self.suspended_for > 0)
        return "; ".join(filter(None, (self._reported_problem, faults)))

    def record_call(self, seconds: float) -> None:
        """Count a call, successful or not, that took ``seconds``."""
        self._meter.calls += 1
        self._meter.seconds += seconds

    def record_success(self, hook: str, group: str = "") -> None:
        """:arg group: the calls whose failures in a row count together, as ``HookCall.group``."""
        self._consecutive_failures.pop(group, None)
        if group == self._suspended_group:
            self._next_suspension = self._first_pause
        self._faults.record_success(hook)

    def record_skip(self, hook: str) -> None:
        self._metrics.plugin_skipped.add(self._plugin, hook)

    def record_slow_call(self, hook: str, seconds: float, advice: str) -> None:
        """Count and log a call that blocked the server's loop."""
        self._metrics.plugin_failures.add(self._plugin, hook, "slow")
        self._faults.record_slow_call(hook, seconds)
        if self._is_new(hook, "slow"):
            log.warning(
                "plugin %s blocked the server for %.2f s in %s: %s (logged once, then only counted)",
                self._plugin,
                seconds,
                hook,
                advice,
                extra=fields(plugin=self._plugin, hook=hook),
            )

    def record_failure(
        self,
        hook: str,
        kind: str,
        error: BaseException | None,
        *,
        suspend: bool,
        group: str = "",
        reason: str = "",
    ) -> None:
        """Count and log a call that failed.

        :arg kind: ``error`` or ``timeout``.
        :arg suspend: True if the failure counts towards a suspension.
        :arg group: as of ``record_success``.
        :arg reason: a sentence of the server that may be logged; empty: the error is described.
        """
        self._meter.failures += 1
        self._metrics.plugin_failures.add(self._plugin, hook, kind)
        shown = reason or (kind if error is None else described(error))
        if not reason and error is not None:
            reason = safe_repr(error) if hook in HOOKS_WITHOUT_CONTENT else described(error)
        self._faults.record_failure(hook, shown)
        # A start or reload is an operator's: each needs its reason.
        is_repeated = HOOK_KINDS.get(hook) is not HookKind.LIFECYCLE
        if not is_repeated or self._is_new(hook, type(error).__name__ if error else kind):
            verb = "did not answer in time" if kind == "timeout" else "failed"
            log.error(
                "plugin %s %s in %s%s%s",
                self._plugin,
                verb,
                hook,
                f": {reason}" if reason else "",
                " (logged once, then only counted)" if is_repeated else "",
                exc_info=error,
                extra=fields(plugin=self._plugin, hook=hook),
            )
        if suspend:
            self._count_towards_suspension(hook, group)

    def _count_towards_suspension(self, hook: str, group: str) -> None:
        self._consecutive_failures[group] += 1
        if self._consecutive_failures[group] < MAX_CONSECUTIVE_FAILURES:
            return
        self._consecutive_failures.clear()
        self._suspended_group = group
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
        before, self._reported_problem = self._reported_problem, text or ""
        self.refresh()
        if text and text != before:
            log.error("plugin %s reports a problem: %s", self._plugin, text)
        elif before and not text:
            log.info("plugin %s has no problem any more", self._plugin)

    def _on_fault_ended(self, hook: str) -> None:
        """Let the next failure of the hook be logged again."""
        self._logged_failures = {each for each in self._logged_failures if each[0] != hook}
        log.info("plugin %s works again in %s", self._plugin, hook)

    def _is_new(self, hook: str, kind: str) -> bool:
        if (hook, kind) in self._logged_failures:
            return False
        self._logged_failures.add((hook, kind))
        return True
