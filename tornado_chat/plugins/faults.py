"""The faults of a plugin: the hooks that fail, as a problem for operators that begins and ends by itself.

Strategy: a fault begins with a failure. It ends when the hook has worked again and has not failed for
``FAULT_SECONDS``: a hook that fails for one text in ten would otherwise begin and end a fault all the time.
Work that is not called repeatedly, such as a background task, cannot show that it works again, so its fault
ends after ``UNREPEATED_FAULT_SECONDS``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tornado_chat.plugins.hookspecs import HOOK_KINDS, HookKind

FAULT_SECONDS = 60.0
"""The time without a failure after which a hook that works again has no fault any more."""

UNREPEATED_FAULT_SECONDS = 900.0
"""The time without a failure after which other work has no fault any more."""

SLOW_CALLS = 3
"""The number of calls that block the loop from which on they are a fault."""

LONG_BLOCK_SECONDS = 1.0
"""The time for which a single call has to block the loop to be a fault."""

MAX_SHOWN = 3

RANK, CHOOSE = "queue policy rank", "queue policy choose"
"""The names of the methods of a queue policy in the log and in the metrics, beside those of hooks."""

CHECK = "check"
"""The name of ``Plugin.check``, as of a hook."""

BACKGROUND_TASK, THREAD, HANDLER = "a background task", "a thread", "an HTTP handler"
"""The names of other work of plugins."""

_KIND_CONSEQUENCES: Mapping[HookKind, str] = {
    HookKind.DECISION: "the requests that it has to decide are refused",
    HookKind.CHECK: "the requests that it has to check are refused",
    HookKind.EVENT: "it misses these events",
    HookKind.STORED_EVENT: "it misses these events",
    HookKind.DELIVERY: "these deliveries are repeated for a day",
}

_CONSEQUENCES: Mapping[str, str] = {
    "reload": "its previous settings stay",
    CHECK: "its previous settings stay",
    RANK: "the default policy decides for these users",
    CHOOSE: "the default policy decides for these users",
    HANDLER: "these requests are answered by an error",
    BACKGROUND_TASK: "the task has ended",
    THREAD: "the thread has ended",
}

_ADVICE = (
    "the log has the lines of code. Correct the plugin or take it out of [plugins] enabled, then restart"
)


@dataclass(slots=True)
class _Fault:
    """Failures of one hook, or its calls that were too slow.

    :ivar at: the time of the last one, in monotonic seconds.
    :ivar reason: of the last one, without content.
    """

    hook: str
    is_slow: bool
    at: float = 0.0
    count: int = 0
    reason: str = ""
    is_shown: bool = False
    has_worked: bool = False


class Faults:
    """The present faults of one plugin.

    :arg clock: returns monotonic seconds.
    :arg on_ended: called with the name of a hook whose fault has ended.
    """

    def __init__(self, clock: Callable[[], float], on_ended: Callable[[str], None]) -> None:
        self._clock = clock
        self._on_ended = on_ended
        self._faults: dict[tuple[str, bool], _Fault] = {}

    def __bool__(self) -> bool:
        """True if there is a fault to show."""
        self._end_old()
        return any(each.is_shown for each in self._faults.values())

    def record_failure(self, hook: str, reason: str) -> None:
        """:arg reason: what happened, without content."""
        self._record(hook, is_slow=False, reason=reason).is_shown = True

    def record_slow_call(self, hook: str, seconds: float) -> None:
        fault = self._record(hook, is_slow=True, reason=f"for {seconds:.2f} s")
        fault.is_shown |= fault.count >= SLOW_CALLS or seconds >= LONG_BLOCK_SECONDS

    def record_success(self, hook: str) -> None:
        if self._faults:
            for is_slow in (False, True):
                if fault := self._faults.get((hook, is_slow)):
                    fault.has_worked = True
            self._end_old()

    def describe(self, on_error: str, *, is_suspended: bool) -> str:
        """Return sentences for operators; empty if there is no fault.

        :arg on_error: the plugin's option of that name.
        """
        if not self:
            return ""
        shown = sorted((each for each in self._faults.values() if each.is_shown), key=lambda each: -each.at)
        sentences = [_describe(each, on_error) for each in shown[:MAX_SHOWN]]
        if len(shown) > MAX_SHOWN:
            sentences.append(f"{len(shown) - MAX_SHOWN} more of its hooks fail")
        if is_suspended:
            sentences.append("it is suspended: it gets no events, and the default policy orders the queue")
        return f"{'; '.join(sentences)}; {_ADVICE}"

    def _record(self, hook: str, *, is_slow: bool, reason: str) -> _Fault:
        fault = self._faults.setdefault((hook, is_slow), _Fault(hook, is_slow))
        fault.at, fault.reason, fault.has_worked = self._clock(), reason, False
        fault.count += 1
        return fault

    def _end_old(self) -> None:
        now = self._clock()
        ended = [key for key, each in self._faults.items() if _is_over(each, now)]
        for key in ended:
            if self._faults.pop(key).is_shown:
                self._on_ended(key[0])


def _is_over(fault: _Fault, now: float) -> bool:
    if fault.has_worked:
        return now - fault.at >= FAULT_SECONDS
    is_repeated = fault.hook in HOOK_KINDS or fault.hook in (RANK, CHOOSE, CHECK)
    return not is_repeated and now - fault.at >= UNREPEATED_FAULT_SECONDS


def _describe(fault: _Fault, on_error: str) -> str:
    times = "once" if fault.count == 1 else f"{fault.count} times"
    verb = "blocked the server" if fault.is_slow else "failed"
    consequence = "all clients waited" if fault.is_slow else _consequence(fault.hook, on_error)
    return f"{fault.hook} {verb} {times} (last: {fault.reason}): {consequence}"


def _consequence(hook: str, on_error: str) -> str:
    kind = HOOK_KINDS.get(hook)
    if kind is HookKind.CHAIN:
        outcome = "are refused" if on_error == "reject" else "pass without it"
        return f"the texts for which it fails {outcome} (on_error = {on_error})"
    if hook in _CONSEQUENCES:
        return _CONSEQUENCES[hook]
    return "the server goes on" if kind is None else _KIND_CONSEQUENCES.get(kind, "the server goes on")
