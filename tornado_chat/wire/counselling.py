"""The counselling dialect: ``/chat``, ``/notify``, ``/observe`` (seed: WebSocket 设计).

Sans-IO: text in, commands out; events in, frames out. A client that asked for no feature gets
exactly the keys of the seed, and ``system`` (see ``legacy_system_key``).
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
    NotifyFrame,
    ObserveFrame,
    PresenceShown,
    ReadShown,
    TypingShown,
)
from tornado_chat.wire.parsing import parse
from tornado_chat.wire.times import LocalTimes

CHAT_FEATURES = frozenset({"ack", "echo", "seq", "history", "typing", "read", "presence"})
NOTIFY_FEATURES = frozenset({"seq", "alive"})
OBSERVE_FEATURES = frozenset({"seq", "alive", "presence"})

ALERT = "alert"
"""True in the ``data`` of a notification that must not be overlooked (of ``/notify`` with feature seq)."""


# --- from the client ---


class PostMessage(msgspec.Struct, frozen=True):
    """``{"msg": "hello", "id": "c1"}``: say something. The id is optional."""

    msg: str
    id: str | None = None


class GetHistory(msgspec.Struct, frozen=True):
    """``{"history": 17}``: the page of messages before seq 17; null for the newest (feature history)."""

    before: int | None
    limit: int = HISTORY_PAGE


class TypingNow(msgspec.Struct, frozen=True):
    """``{"typing": true}`` (feature typing)."""

    typing: bool


class MarkRead(msgspec.Struct, frozen=True):
    """``{"read": 17}``: everything up to seq 17 was read (feature read)."""

    seq: int


Command = PostMessage | GetHistory | TypingNow | MarkRead


_decoder = msgspec.json.Decoder(ClientFrame)


def parse_chat(data: str | bytes, features: frozenset[str]) -> Command:
    """What a client of ``/chat`` wants.

    :raises Malformed: the frame is none of ours; the text says what is wrong with it.
    """
    frame = parse(_decoder, data)
    if frame.msg is UNSET:
        if frame.history is not UNSET and "history" in features:
            return GetHistory(frame.history)
        if frame.typing is not UNSET and "typing" in features:
            return TypingNow(frame.typing)
        if frame.read is not UNSET and "read" in features:
            return MarkRead(frame.read)
        raise Malformed("bad_shape", reason='`{"msg": "…"}` is expected')
    if not frame.msg.strip():
        raise Malformed("empty_message")
    return PostMessage(frame.msg, frame.id)


_listener_decoder = msgspec.json.Decoder(Alive)


def parse_listener(data: str | bytes, features: frozenset[str]) -> None:
    """What a client of ``/notify`` or ``/observe`` may say: that it wants a sign of life.

    :raises Malformed: it said anything else.
    """
    if "alive" not in features:
        raise Malformed("read_only")
    parse(_listener_decoder, data)


def peek_id(data: str | bytes) -> str | None:
    """The id of a frame that was refused, if it has one, so that the answer can name it."""
    try:
        return msgspec.json.decode(data, type=_Identified).id
    except (ValueError, RecursionError):
        return None


class _Identified(msgspec.Struct):
    id: str | None = None


# --- to the client ---


_encode = msgspec.json.Encoder().encode

ALIVE = _encode(Alive(True))
"""The answer to a client that wants a sign of life."""


def _presence(event: PresenceChanged) -> bytes:
    return _encode(PresenceShown({role.value: there for role, there in event.present.items()}))


def sender_type(message: Message) -> bool:
    """The seed's ``senderType``: false for the visitor (of a record: the supervisor), true for the consultant."""
    return message.sender.role is Role.CONSULTANT


def message_id(message: Message) -> str:
    """A message's id for clients that count: the same on every delivery, unique in the server."""
    kind = "s" if message.thread.kind is Kind.SESSION else "r"
    return f"{kind}{message.thread.id}-{message.seq}"


def transcript_line(message: Message, times: LocalTimes) -> Line:
    """The form of a message in pages and transcripts (contract: ``{"seq","msg","senderType","time"}``)."""
    return Line(message.seq, message.text, sender_type(message), times.text(message.time))


class ChatEncoder:
    """The frames of ``/chat`` for one set of features.

    Sockets with the same features share the encoder, and so each frame is encoded once for them.
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
        """The frame that tells of ``event``, or None if this socket is not told.

        :arg own: whether the person behind the socket did it.
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
        """The acknowledgement of a stored message with an id, for the feature ``ack``."""
        if client_id is None or not self._ack:
            return None
        return _encode(Ack(client_id, stored.seq, self._times.text(stored.time)))

    def error(self, error: ChatError, now: int, client_id: str | None = None) -> bytes:
        """``{"isSystem": true, "msg": "错误: …"}``; with the feature ``ack`` it names the refused id."""
        text = system_text(self._language, "error", text=error_text(self._language, error))
        frame = self._frame(True, text, now)
        if self._ack and client_id is not None:
            frame.id = client_id
        return _encode(frame)

    def history(self, messages: Sequence[Message], more: bool) -> bytes:
        """A page of messages, oldest first; ``next`` is what ``{"history": …}`` takes to go on."""
        lines = [transcript_line(message, self._times) for message in messages]
        return _encode(History(lines, messages[0].seq if more else None))

    def _frame(self, system: bool, msg: str, time: int) -> ChatFrame:
        legacy = system if self._legacy else UNSET
        return ChatFrame(isSystem=system, system=legacy, msg=msg, time=self._times.text(time))


class ObserveEncoder:
    """The frames of ``/observe``."""

    def __init__(self, features: frozenset[str], language: Language, times: LocalTimes) -> None:
        self._seq = "seq" in features
        self._presence = "presence" in features
        self._language = language
        self._times = times

    def encode(self, event: Event, own: bool) -> bytes | None:
        """What observers hear: what is said, and the end; who is there only if they ask for it."""
        if isinstance(event, Message):
            frame = ObserveFrame(
                msg=event.text, senderType=sender_type(event), time=self._times.text(event.time)
            )
            if self._seq:
                frame.id = message_id(event)
                frame.seq = event.seq
            return _encode(frame)
        if isinstance(event, RoomEnded):
            text = system_text(self._language, "session_ended")
            return _encode(ObserveFrame(msg=text, senderType=None, time=self._times.text(event.time)))
        if isinstance(event, PresenceChanged) and self._presence:
            return _presence(event)
        return None


class NotifyEncoder:
    """The frames of ``/notify``."""

    def __init__(self, features: frozenset[str], times: LocalTimes) -> None:
        self._seq = "seq" in features
        self._times = times

    def encode(self, event: Event, own: bool) -> bytes | None:
        if not isinstance(event, Notification):
            return None
        data = event.data
        if data and ALERT in data and not self._seq:  # clients of the seed have no such key
            data = {key: value for key, value in data.items() if key != ALERT} or None
        frame = NotifyFrame(type=event.type, msg=event.msg, time=self._times.text(event.time), data=data)
        if self._seq:
            frame.id = event.id
            frame.seq = event.seq
        return _encode(frame)


class CounsellingEncoders:
    """The encoders of one server, one per kind of socket and set of features."""

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
