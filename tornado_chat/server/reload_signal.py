"""SIGHUP before the process can reload.

Strategy: by default, SIGHUP ends a process. ``hold`` blocks it as early as possible, so that the kernel keeps
it pending, however often it is sent. ``release`` is called when the handler is installed, which then gets it
once. Neither threads nor child processes are started in between; they would inherit the block.
"""

import signal


def hold() -> None:
    """Keep SIGHUP pending from now on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def release() -> None:
    """Deliver a pending SIGHUP, and later ones at once."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
