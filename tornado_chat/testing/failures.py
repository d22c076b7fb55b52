"""The failures of plugins during a test."""

import logging
from concurrent.futures import Future
from typing import NamedTuple

__tracebackhide__ = True  # pytest shows the line of the test instead

LOGGED_ONCE = " (logged once, then only counted)"
"""The end of the lines of the log that say nothing of later failures of the same kind."""


class PluginFailure(NamedTuple):
    """A call of a plugin that raised or was too late.

    :ivar hook: the hook, or the plugin's own activity, for example ``a background task``.
    :ivar text: the sentence of the log.
    :ivar error: the exception; None after a timeout.
    """

    plugin: str
    hook: str
    text: str
    error: BaseException | None

    def __str__(self) -> str:
        if self.error is None:
            return self.text
        return f"plugin {self.plugin} failed in {self.hook}: {self.error!r}"


class PluginFailed(Exception):
    """A plugin failed in a test that does not expect it; the cause is the plugin's exception.

    :ivar failure: the first failure.
    """

    def __init__(self, failure: PluginFailure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class FailureWatch(logging.Handler):
    """Collects the failures of plugins from the log, in which the server names each kind of failure once.

    :ivar failures: all failures, oldest first.
    :ivar first: gets the exception ``PluginFailed`` at the first failure, while ``is_raising``.
    :ivar is_raising: True if a failure fails the test.
    """

    LOGGER = logging.getLogger("tornado_chat")

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.failures: list[PluginFailure] = []
        self.first: Future[None] = Future()
        self.is_raising = True
        self.LOGGER.addHandler(self)

    def close(self) -> None:
        self.LOGGER.removeHandler(self)
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        fields = getattr(record, "fields", {})
        if "plugin" not in fields or "hook" not in fields:
            return
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage().removesuffix(LOGGED_ONCE)
        failure = PluginFailure(fields["plugin"], fields["hook"], text, error)
        self.failures.append(failure)
        if self.is_raising and not self.first.done():
            self.first.set_exception(PluginFailed(failure))

    def forget(self) -> None:
        """Drop all failures: they were raised to the test in another way."""
        self.failures.clear()
        self.first = Future()

    def raise_first(self) -> None:
        """Raise the first failure that was not raised yet: a test that catches it expects it.

        :raises PluginFailed: a plugin failed, and a failure fails the test.
        """
        if self.first.done():
            failed = self.first.exception()
            assert isinstance(failed, PluginFailed)
            self.first = Future()
            raise failed from failed.failure.error
