"""Failed sign-ins as plugins get them: not each one, because an attacker decides how many there are."""

from collections.abc import Callable
from dataclasses import dataclass

from tornado_chat.core.types import StaffAccount

WINDOW_SECONDS = 900.0  # in which the further failures of an account are one report


@dataclass
class _Window:
    """The time after a report, with the number of failures since."""

    account: StaffAccount
    ends: float
    failures: int = 0


class FailedSignIns:
    """Reports the first failure of an account at once, and all further ones of ``WINDOW_SECONDS`` together.

    So there are at most as many reports as accounts in that time, however many people guess passwords.
    Names without an account are not counted: such a name may be a password in the wrong field.

    :arg report: called with the account and the number of failures.
    :arg clock: monotonic, in seconds.
    """

    def __init__(self, report: Callable[[StaffAccount, int], None], clock: Callable[[], float]) -> None:
        self._report = report
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def add(self, account: StaffAccount) -> None:
        """Count a failure."""
        window = self._windows.get(account.name)
        if window is None:
            self._begin(account, 1)
        else:
            window.failures += 1

    def report_rest(self, account: StaffAccount) -> None:
        """Report the failures that were not reported yet, before the account signs in."""
        window = self._windows.get(account.name)
        if window is not None and window.failures:
            self._begin(account, window.failures)

    def report_due(self) -> None:
        """Report the failures of the windows that have ended. Call it from time to time."""
        now = self._clock()
        for name, window in [*self._windows.items()]:
            if window.ends > now:
                continue
            del self._windows[name]
            if window.failures:
                self._begin(window.account, window.failures)

    def report_all(self) -> None:
        """Report all failures that were not reported yet, before the server stops."""
        for window in [*self._windows.values()]:
            self.report_rest(window.account)

    def _begin(self, account: StaffAccount, failures: int) -> None:
        self._report(account, failures)
        self._windows[account.name] = _Window(account, self._clock() + WINDOW_SECONDS)
