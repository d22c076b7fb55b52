"""The counselling dialect: ``/chat``, ``/notify``, ``/observe`` (seed: WebSocket 设计).

Sans-IO: ``parse_chat`` and ``parse_listener`` turn text into commands, the encoders turn events into
frames. A client that requested no feature gets exactly the keys of the seed, and ``system`` (see
``legacy_system_key``).
"""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from tornado_chat.core.errors import ChatError, Malformed
from tornado_chat.core.events import (
    Event,
    PresenceChanged,
    ReadAdvanced,
    RoomEnded,
    SystemNotice,
    TypingChanged,
)
from tornado_chat.core.texts import Language, error_text, system_text
from tornado_chat.core.types import AppendResult, Kind, Message, Notification, Role
from tornado_chat.wire.counselling_frames import (
    HISTORY_PAGE,
    Ack,
    Alive,
    ChatFrame,
    ClientFrame,
    History,
    Line,
    ListenerFrame,
    NotifyFrame,
    ObserveFrame,
    PresenceShown,
    ReadShown,
    TokenAccepted,
    TypingShown,
)
from tornado_chat.wire.parsing import parse
from tornado_chat.wire.times import LocalTimes

CHAT_FEATURES = frozenset({"ack", "echo", "seq", "history", "typing", "read", "presence", "token"})
NOTIFY_FEATURES = frozenset({"seq", "alive", "token"})
OBSERVE_FEATURES = frozenset({"seq", "alive", "presence", "token"})

ALERT = "alert"
"""Key in a notification's ``data``: true if the recipient must acknowledge it (``/notify``, feature seq)."""


# --- from the client ---


class PostMessage(msgspec.Struct, frozen=True):
    """``{"msg": "hello", "id": "c1"}``: post a message. The id is optional."""

    msg: str
    id: str | None = None


class GetHistory(msgspec.Struct, frozen=True):
    """``{"history": 17}``: request the page of messages before seq 17; null: the newest (feature history)."""

    before: int | None
    limit: int = HISTORY_PAGE


class TypingNow(msgspec.Struct, frozen=True):
    """``{"typing": true}``: the participant begins or stops typing (feature typing)."""

    typing: bool


class MarkRead(msgspec.Struct, frozen=True):
    """``{"read": 17}``: the participant has read all messages up to seq 17 (feature read)."""

    seq: int


class RenewToken(msgspec.Struct, frozen=True):
    """``{"token": "…"}``: use a newer token of the same person from now on (feature token)."""

    token: str


class CheckAlive(msgspec.Struct, frozen=True):
    """``{"alive": true}``: request an answer, to check the connection (feature alive)."""


Command = PostMessage | GetHistory | TypingNow | MarkRead | RenewToken


_decoder = msgspec.json.Decoder(ClientFrame)


def parse_chat(data: str | bytes, features: frozenset[str]) -> Command:
    """Parse a frame from a client of ``/chat``.

    A key of a feature that the client has not requested counts as missing.

    :raises Malformed: the frame is not a valid command; the error states the reason.
    """
    frame = parse(_decoder, data)
    if frame.msg is UNSET:
        if frame.history is not UNSET and "history" in features:
            return GetHistory(frame.history)
        if frame.typing is not UNSET and "typing" in features:
            return TypingNow(frame.typing)
        if frame.read is not UNSET and "read" in features:
            return MarkRead(frame.read)
        if frame.token is not UNSET and "token" in features:
            return RenewToken(frame.token)
        raise Malformed("bad_shape", reason='`{"msg": "…"}` is expected')
    if not frame.msg.strip():
        raise Malformed("empty_message")
    return PostMessage(frame.msg, frame.id)


_listener_decoder = msgspec.json.Decoder(ListenerFrame)
_alive_decoder = msgspec.json.Decoder(Alive)


def parse_listener(data: str | bytes, features: frozenset[str]) -> CheckAlive | RenewToken:
    """Parse a frame from a client of ``/notify`` or ``/observe``: the request ``alive``, or ``token``.

    :raises Malformed: the frame is anything else, or the client has not requested the feature.
    """
    if not features & {"alive", "token"}:
        raise Malformed("read_only")
    if "token" in features:
        frame = parse(_listener_decoder, data)
        if frame.token is not UNSET:
            return RenewToken(frame.token)
        if "alive" not in features:
            raise Malformed("bad_shape", reason='`{"token": "…"}` is expected')
    parse(_alive_decoder, data)
    return CheckAlive()


def peek_id(data: str | bytes) -> str | None:
    """Return the id of a refused frame, or None, so that the error frame can name the id."""
    try:
        return msgspec.json.decode(data, type=_Identified).id
    except (ValueError, RecursionError):
        return None


class _Identified(msgspec.Struct):
    id: str | None = None


# --- to the client ---


_encode = msgspec.json.Encoder().encode

ALIVE = _encode(Alive(True))
"""The encoded answer to the request ``alive``."""

TOKEN_ACCEPTED = _encode(TokenAccepted(True))
"""The encoded answer to a newer token."""


def _presence(event: PresenceChanged) -> bytes:
    return _encode(PresenceShown({role.value: is_present for role, is_present in event.present.items()}))


def sender_type(message: Message) -> bool:
    """Return the seed's ``senderType``: true for the consultant, false for the visitor.

    In a supervision record, false is the supervisor.
    """
    return message.sender.role is Role.CONSULTANT


def message_id(message: Message) -> str:
    """Return the id of a message for the feature seq: the same on every delivery, unique in the server."""
    kind = "s" if message.thread.kind is Kind.SESSION else "r"
    return f"{kind}{message.thread.id}-{message.seq}"


def transcript_line(message: Message, times: LocalTimes) -> Line:
    """Return a message as pages and transcripts show it (contract: ``{"seq","msg","senderType","time"}``)."""
    return Line(message.seq, message.text, sender_type(message), times.format(message.time))


class ChatEncoder:
    """Encodes the frames of ``/chat`` for one set of features.

    Sockets with the same features share one encoder, so each frame is encoded once for all of them.
    """

    def __init__(
        self, features: frozenset[str], language: Language, times: LocalTimes, legacy_system_key: bool
    ) -> None:
        self._echo = "echo" in features
        self._seq = "seq" in features
        self._ack = "ack" in features
        self._typing = "typing" in features
        self._read = "read" in features
        self._presence = "presence" in features
        self._language = language
        self._times = times
        self._legacy = legacy_system_key

    def encode(self, event: Event, own: bool) -> bytes | None:
        """Return the frame for ``event``, or None if sockets with these features get none.

        :arg own: True if the person of this socket caused the event.
        """
        if isinstance(event, Message):
            if own and not self._echo:
                return None
            frame = self._frame(False, event.text, event.time)
            if self._seq:
                frame.id = message_id(event)
                frame.seq = event.seq
            if own:
                frame.self = True
            return _encode(frame)
        if isinstance(event, SystemNotice):
            text = system_text(self._language, event.code, name=event.name)
            return _encode(self._frame(True, text, event.time))
        if isinstance(event, RoomEnded):
            return _encode(self._frame(True, system_text(self._language, "session_ended"), event.time))
        if isinstance(event, TypingChanged) and self._typing and not own:
            return _encode(TypingShown(event.typing, event.sender.role.value))
        if isinstance(event, ReadAdvanced) and self._read:
            return _encode(ReadShown(event.seq, event.reader.role.value))
        if isinstance(event, PresenceChanged) and self._presence:
            return _presence(event)
        return None

    def ack(self, client_id: str | None, stored: AppendResult) -> bytes | None:
        """Return the acknowledgement of a stored message, or None without an id or the feature ``ack``."""
        if client_id is None or not self._ack:
            return None
        return _encode(Ack(client_id, stored.seq, self._times.format(stored.time)))

    def error(
        self, error: ChatError, now: int, client_id: str | None = None, *, is_token: bool = False
    ) -> bytes:
        """Return ``{"isSystem": true, "msg": "错误: …"}``, with the refused id if the feature ``ack`` is on.

        :arg now: microseconds since 1970 UTC.
        :arg is_token: True if the refused frame is ``token``; then the error has ``token``, too.
        """
        text = system_text(self._language, "error", text=error_text(self._language, error))
        frame = self._frame(True, text, now)
        if self._ack and client_id is not None:
            frame.id = client_id
        if is_token:
            frame.token = False
        return _encode(frame)

    def history(self, messages: Sequence[Message], more: bool) -> bytes:
        """Return a page of messages, oldest first; ``next`` is the seq for the request of the page before.

        :arg more: whether older messages exist; if not, ``next`` is null.
        """
        lines = [transcript_line(message, self._times) for message in messages]
        return _encode(History(lines, messages[0].seq if more else None))

    def _frame(self, system: bool, msg: str, time: int) -> ChatFrame:
        legacy = system if self._legacy else UNSET
        return ChatFrame(isSystem=system, system=legacy, msg=msg, time=self._times.format(time))


class ObserveEncoder:
    """Encodes the frames of ``/observe`` for one set of features."""

    def __init__(self, features: frozenset[str], language: Language, times: LocalTimes) -> None:
        self._seq = "seq" in features
        self._presence = "presence" in features
        self._language = language
        self._times = times

    def encode(self, event: Event, own: bool) -> bytes | None:
        """Return the frame for a message, the end of the session or (feature presence) a presence change.

        None: observers get no frame for this event.
        """
        if isinstance(event, Message):
            frame = ObserveFrame(
                msg=event.text, senderType=sender_type(event), time=self._times.format(event.time)
            )
            if self._seq:
                frame.id = message_id(event)
                frame.seq = event.seq
            return _encode(frame)
        if isinstance(event, RoomEnded):
            text = system_text(self._language, "session_ended")
            return _encode(ObserveFrame(msg=text, senderType=None, time=self._times.format(event.time)))
        if isinstance(event, PresenceChanged) and self._presence:
            return _presence(event)
        return None


class NotifyEncoder:
    """Encodes the frames of ``/notify`` for one set of features."""

    def __init__(self, features: frozenset[str], times: LocalTimes) -> None:
        self._seq = "seq" in features
        self._times = times

    def encode(self, event: Event, own: bool) -> bytes | None:
        """Return the frame for a notification; None for every other event."""
        if not isinstance(event, Notification):
            return None
        data = event.data
        if data and ALERT in data and not self._seq:  # the seed does not have this key
            data = {key: value for key, value in data.items() if key != ALERT} or None
        frame = NotifyFrame(type=event.type, msg=event.msg, time=self._times.format(event.time), data=data)
        if self._seq:
            frame.id = event.id
            frame.seq = event.seq
        return _encode(frame)


class CounsellingEncoders:
    """All encoders of one server: one per kind of socket and set of features."""

    def __init__(self, language: Language, times: LocalTimes, legacy_system_key: bool) -> None:
        self._language = language
        self._times = times
        self._legacy = legacy_system_key
        self._chat: dict[frozenset[str], ChatEncoder] = {}
        self._observe: dict[frozenset[str], ObserveEncoder] = {}
        self._notify: dict[frozenset[str], NotifyEncoder] = {}

    def chat(self, features: frozenset[str]) -> ChatEncoder:
        if features not in self._chat:
            self._chat[features] = ChatEncoder(features, self._language, self._times, self._legacy)
        return self._chat[features]

    def observe(self, features: frozenset[str]) -> ObserveEncoder:
        if features not in self._observe:
            self._observe[features] = ObserveEncoder(features, self._language, self._times)
        return self._observe[features]

    def notify(self, features: frozenset[str]) -> NotifyEncoder:
        if features not in self._notify:
            self._notify[features] = NotifyEncoder(features, self._times)
        return self._notify[features]
