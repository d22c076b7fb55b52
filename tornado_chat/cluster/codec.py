"""Values as bytes, and back.

An envelope is a MessagePack array: the process that speaks, the running number of what it says, the kind
(the name of a struct) and the struct, a map by field names. So a process of another version can leave out what
it does not know, and takes the default for what the other does not say.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, get_args

import msgspec

from tornado_chat.core import errors
from tornado_chat.core.errors import ChatError, Refused
from tornado_chat.core.events import Event

log = logging.getLogger(__name__)

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
    """What is read of a message before it is clear that it is for us."""

    process: str
    number: int
    kind: str
    content: msgspec.Raw


def published_name(kind: type[Any]) -> str:
    """Return the name of a struct on the bus."""
    return PUBLISHED_NAMES.get(kind.__name__, kind.__name__)


class Codec:
    """:arg kinds: the structs that may come."""

    def __init__(self, kinds: Iterable[type[Any]]) -> None:
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_encode_hook)
        self._envelope = msgspec.msgpack.Decoder(Envelope)
        self._decoders = {published_name(kind): msgspec.msgpack.Decoder(kind) for kind in kinds}
        self._unknown_kinds: set[str] = set()

    def encode(self, process: str, number: int, value: Any) -> bytes:
        return self._encoder.encode((process, number, published_name(type(value)), value))

    def decode_envelope(self, payload: bytes) -> Envelope | None:
        """Nothing, if it is none: somebody else's message on our channel."""
        try:
            return self._envelope.decode(payload)
        except msgspec.DecodeError:
            self._warn_once("something without an envelope")
            return None

    def decode_value(self, envelope: Envelope) -> Any:
        """The value, or None if a process of another version said what we do not understand."""
        try:
            return self._decoders[envelope.kind].decode(envelope.content)
        except (KeyError, msgspec.DecodeError):
            # The error quotes values: it stays out of the log.
            self._warn_once(envelope.kind)
            return None

    def _warn_once(self, kind: str) -> None:
        if kind not in self._unknown_kinds:
            self._unknown_kinds.add(kind)
            log.warning(
                "%.100s of another process is not understood, and passed over from now on; does it run another version?",
                kind,
            )


def _encode_hook(value: Any) -> Any:
    """What MessagePack has no word for."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be said to another process")


# --- errors, which pass from the coordinator to who asked ---


class Failure(msgspec.Struct, frozen=True):
    """A ``ChatError``. ``name`` is its class; ``zh_CN`` the reason of a ``Refused``, whose English one is the code."""

    name: str
    code: str
    detail: dict[str, Any]
    zh_CN: str = ""  # noqa: N815 - a locale's name


def failure(error: ChatError) -> Failure:
    name = type(error).__name__
    if isinstance(error, Refused):
        return Failure(name, error.detail_in("en")["reason"], {}, error.detail_in("zh_CN")["reason"])
    return Failure(name, error.code, msgspec.to_builtins(error.detail, str_keys=True, enc_hook=str))


def to_error(failure: Failure) -> ChatError:
    """What ``failure`` was made of. A class that this version does not know becomes a plain ``ChatError``."""
    found = vars(errors).get(failure.name)
    kind = found if isinstance(found, type) and issubclass(found, ChatError) else ChatError
    if kind is Refused:
        return Refused(failure.code, failure.zh_CN or None)
    return kind(failure.code, **failure.detail)
