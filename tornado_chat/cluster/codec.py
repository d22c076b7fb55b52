"""Encoding of events and messages between processes.

An envelope is a MessagePack array of four entries: the name of the sending process, the sequence number of
the message, the kind (the name of a struct) and the struct as a map by field names. A process of another
version ignores fields that it does not know, and takes the defaults of fields that are missing.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, get_args

import msgspec

from tornado_chat.core import errors
from tornado_chat.core.errors import ChatError, Refused
from tornado_chat.core.events import Event

log = logging.getLogger(__name__)

MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
"""The largest message that is decoded. A part of a full report, 500 facts, may have 5 MB of claims."""

MAX_PROCESS_NAME_CHARS = 128
"""The longest name of a process: a host name, a process id and a random part."""

MAX_WARNED_KINDS = 100
"""The number of unknown kinds of messages that the log names; further ones are ignored silently."""

EVENTS: tuple[type[Any], ...] = get_args(Event)

PUBLISHED_NAMES: Mapping[str, str] = {
    "ResyncRequest": "LookAgain",
    "CoordinatorAnnouncement": "Coordinating",
    "LeaseReleased": "Vacant",
    "FullReportRequest": "TellAll",
    "RpcResponse": "Answered",
    "Heartbeat": "Beat",
    "FactReported": "Here",
    "FactWithdrawn": "Gone",
    "FullReport": "Everything",
    "ProcessStopped": "Goodbye",
    "RpcRequest": "Asked",
    "SystemNotice": "Notice",
    "ConversationQueued": "Queued",
    "ConversationAssigned": "Assigned",
    "ConversationEnded": "Departed",
    "ConversationRequeued": "Returned",
    "TypingChanged": "Typing",
    "ReadAdvanced": "Read",
    "DuplicateMessage": "Reached",
    "PresenceChanged": "Presence",
    "QueuePositionChanged": "Place",
    "WaiterReplaced": "Replaced",
}
"""The names on the bus of structs that were renamed since 0.1.0.

Processes of two versions run side by side while an upgrade replaces one after the other.
"""


class Envelope(NamedTuple):
    """The decoded envelope of a message. ``content``, the struct, is not decoded yet."""

    process: str
    number: int
    kind: str
    content: msgspec.Raw


def published_name(kind: type[Any]) -> str:
    """Return the name of a struct on the bus."""
    return PUBLISHED_NAMES.get(kind.__name__, kind.__name__)


class Codec:
    """Encodes structs to envelopes and decodes them.

    :arg kinds: the structs that can be decoded.
    """

    def __init__(self, kinds: Iterable[type[Any]]) -> None:
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_encode_hook)
        self._envelope = msgspec.msgpack.Decoder(Envelope)
        self._decoders = {published_name(kind): msgspec.msgpack.Decoder(kind) for kind in kinds}
        self._unknown_kinds: set[str] = set()

    def encode(self, process: str, number: int, value: Any) -> bytes:
        return self._encoder.encode((process, number, published_name(type(value)), value))

    def decode_envelope(self, payload: bytes) -> Envelope | None:
        """Return the envelope of ``payload``, or None if ``payload`` was sent by another program."""
        if len(payload) > MAX_PAYLOAD_BYTES:
            self._warn_once("a message that is too large")
            return None
        try:
            envelope = self._envelope.decode(payload)
        except Exception:  # besides DecodeError: RecursionError, if it is nested deeply
            self._warn_once("a message without an envelope")
            return None
        if len(envelope.process) > MAX_PROCESS_NAME_CHARS:
            self._warn_once("a message of a process with a long name")
            return None
        return envelope

    def decode_value(self, envelope: Envelope) -> Any:
        """Return the struct of ``envelope``, or None if a process of another version sent an unknown kind."""
        try:
            return self._decoders[envelope.kind].decode(envelope.content)
        except Exception:  # KeyError, DecodeError, and any error that a decoder has for bytes of a stranger
            # The error is not logged, because it quotes values.
            self._warn_once(envelope.kind[:MAX_PROCESS_NAME_CHARS])
            return None

    def _warn_once(self, kind: str) -> None:
        if kind not in self._unknown_kinds and len(self._unknown_kinds) < MAX_WARNED_KINDS:
            self._unknown_kinds.add(kind)
            log.warning(
                "%.100s of another process is not understood and is ignored from now on; "
                "does that process run another version?",
                kind,
            )


def _encode_hook(value: Any) -> Any:
    """Convert a value that MessagePack cannot represent.

    :raises TypeError: the value is of an unsupported type.
    """
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be sent to another process")


# --- errors, which the coordinator returns to the calling process ---


class Failure(msgspec.Struct, frozen=True):
    """A ``ChatError`` in a message.

    :arg name: the class of the error.
    :arg code: the code; for a ``Refused``, the English reason.
    :arg zh_CN: the Chinese reason of a ``Refused``.
    """

    name: str
    code: str
    detail: dict[str, Any]
    zh_CN: str = ""  # noqa: N815 - a locale's name


def to_failure(error: ChatError) -> Failure:
    """Convert ``error`` to a ``Failure``."""
    name = type(error).__name__
    if isinstance(error, Refused):
        return Failure(name, error.detail_in("en")["reason"], {}, error.detail_in("zh_CN")["reason"])
    return Failure(name, error.code, msgspec.to_builtins(error.detail, str_keys=True, enc_hook=str))


def to_error(failure: Failure) -> ChatError:
    """Convert ``failure`` back to its error. A class that is unknown here becomes a plain ``ChatError``."""
    named = vars(errors).get(failure.name)
    kind = named if isinstance(named, type) and issubclass(named, ChatError) else ChatError
    if kind is Refused:
        return Refused(failure.code, failure.zh_CN or None)
    return kind(failure.code, **failure.detail)
