"""Close codes and reason texts of the closes that the server starts.

A refused connection is closed by a ``ChatError``, which has its own close code and text.
"""

from collections.abc import Mapping

CloseReason = tuple[int, str]
"""Close code (RFC 6455, section 7.4) and reason text of a close frame."""

ENDED: CloseReason = (1000, "the session has ended")
RESTARTING: CloseReason = (1012, "restarting: reconnect now")
NOT_READ_BACK: CloseReason = (1013, "try again later")
STARTING_AFRESH: CloseReason = (1012, "the server has lost messages: reconnect now")
SIGNED_OUT: CloseReason = (4401, "signed out")
TOKEN_EXPIRED: CloseReason = (4401, "the token has expired, sign in again")
TOKEN_REVOKED: CloseReason = (4401, "the token was revoked, sign in again")
KEY_DROPPED: CloseReason = (4401, "the key of the token is not accepted any more, sign in again")
SLOW: CloseReason = (4408, "too slow: reconnect to get what is missing")
SILENT: CloseReason = (4408, "no answer to pings: reconnect to get what is missing")
REPLACED: CloseReason = (4409, "signed in elsewhere")
OBSERVER_LEFT: CloseReason = (1000, "left")
AGENT_REPLACED: CloseReason = (4409, "replaced")

CLOSE_REASON_NAMES: Mapping[CloseReason, str] = {
    ENDED: "ended",
    RESTARTING: "restarting",
    STARTING_AFRESH: "starting_afresh",
    NOT_READ_BACK: "not_read_back",
    SIGNED_OUT: "signed_out",
    TOKEN_EXPIRED: "token_expired",
    TOKEN_REVOKED: "token_revoked",
    KEY_DROPPED: "key_dropped",
    SLOW: "slow",
    SILENT: "silent",
    REPLACED: "signed_in_elsewhere",
    OBSERVER_LEFT: "observer_left",
    AGENT_REPLACED: "agent_replaced",
}
"""The names of the close reasons in the log and in the metrics."""

LEAVE_CODES = frozenset({1000, 1001, 1005})
"""Close codes of a client that closes its socket itself: a call of ``close()``, or a page that is left."""

RECONNECT_CODES = frozenset({RESTARTING[0], NOT_READ_BACK[0], SLOW[0]})
"""Close codes after which a client should connect again.

Deployed clients of the published protocols do so only after an unclean close, so their sockets are cut.
"""
