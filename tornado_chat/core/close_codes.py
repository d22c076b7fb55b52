"""Why the server closes a socket by itself: the close code, and the sentence for whoever reads it.

Refusals are ``ChatError``s and have their own codes and sentences.
"""

from collections.abc import Mapping

CloseReason = tuple[int, str]

ENDED: CloseReason = (1000, "the session has ended")
RESTARTING: CloseReason = (1012, "restarting: reconnect now")
NOT_READ_BACK: CloseReason = (1013, "try again later")
SIGNED_OUT: CloseReason = (4401, "signed out")
SLOW: CloseReason = (4408, "too slow: reconnect to get what is missing")
SILENT: CloseReason = (4408, "no answer to pings: reconnect to get what is missing")
REPLACED: CloseReason = (4409, "signed in elsewhere")

CLOSE_REASON_NAMES: Mapping[CloseReason, str] = {
    ENDED: "ended",
    RESTARTING: "restarting",
    NOT_READ_BACK: "not_read_back",
    SIGNED_OUT: "signed_out",
    SLOW: "slow",
    SILENT: "silent",
    REPLACED: "signed_in_elsewhere",
}
"""What each is called in the log and the metrics."""
