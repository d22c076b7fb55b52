"""The pause before a change that was not stored is tried again."""

import pytest

from tornado_chat.core.errors import Conflict, InternalError, Unavailable
from tornado_chat.services.leadership.retries import FAULT_RETRY_SECONDS, is_fault, retry_seconds


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unavailable("not_stored"), False),
        (Conflict("session_finished"), False),
        (InternalError("internal_error"), True),
        (ValueError("an error of the program"), True),
    ],
)
def test_a_fault_of_the_program_is_tried_again_much_later(error: Exception, expected: bool) -> None:
    assert is_fault(error) is expected
    assert retry_seconds(error, 5.0) == (FAULT_RETRY_SECONDS if expected else 5.0)
