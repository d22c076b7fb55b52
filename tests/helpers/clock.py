"""A clock that only the test advances."""


class Clock:
    """A clock in seconds, to be called: ``clock()``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
