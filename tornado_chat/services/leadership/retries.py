"""When a change that could not be stored is tried again."""

from tornado_chat.core.errors import ChatError, InternalError

FAULT_RETRY_SECONDS = 300.0  # seconds until a change is tried again that failed by a fault of the program


def is_fault(error: BaseException) -> bool:
    """Return True if ``error`` is a fault of the program or a statement: the same change will fail again."""
    return isinstance(error, InternalError) or not isinstance(error, ChatError)


def retry_seconds(error: BaseException, seconds: float) -> float:
    """Return the seconds until a change that failed with ``error`` is tried again.

    An outage of the database ends soon. A fault ends with another version of the program or another state of
    the data, and each try is logged with a traceback.

    :arg seconds: the pause after an error that is no fault.
    """
    return max(seconds, FAULT_RETRY_SECONDS) if is_fault(error) else seconds
