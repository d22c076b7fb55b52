"""Why the server closes a socket by itself: the close code, and the sentence for whoever reads it.

Refusals are ``ChatError``s and have their own codes and sentences.
"""

from collections.abc import Mapping

Closing = tuple[int, str]

ENDED: Closing = (1000, "the session has ended")
RESTARTING: Closing = (1012, "restarting: reconnect now")
NOT_READ_BACK: Closing = (1013, "try again later")
SIGNED_OUT: Closing = (4401, "signed out")
SLOW: Closing = (4408, "too slow: reconnect to get what is missing")
SILENT: Closing = (4408, "no answer to pings: reconnect to get what is missing")
REPLACED: Closing = (4409, "signed in elsewhere")

WORDS: Mapping[Closing, str] = {
    ENDED: "ended",
    RESTARTING: "restarting",
    NOT_READ_BACK: "not_read_back",
    SIGNED_OUT: "signed_out",
    SLOW: "slow",
    SILENT: "silent",
    REPLACED: "signed_in_elsewhere",
}
"""What each is called in the log and the metrics."""
