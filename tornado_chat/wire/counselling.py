"""The counselling dialect: ``/chat``, ``/notify``, ``/observe`` (seed: WebSocket 设计).

Sans-IO: ``parse_chat`` and ``parse_listener`` turn text into commands, the encoders turn events into
frames. A client that requested no feature gets exactly the keys of the seed, and ``system`` (see
``legacy_system_key``). For a client that requested a feature, times have an offset and ids are texts.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET

from tornado_chat.core.errors import ChatError, Malformed
from tornado_chat.core.events import (
    OBSERVING_NOTICES,
    PLUGIN_LINE,
    AgentReplaced,
    ConversationEnded,
    Event,
    HeldChanged,
    OfferShown,
    PresenceChanged,
    ReadAdvanced,
    ReceiptAdvanced,
    RoomEnded,
    SystemNotice,
    TypingChanged,
)
from tornado_chat.core.texts import Language, error_text, system_text
from tornado_chat.core.types import (
    AGENT_ROLES,
    AppendResult,
    ConsentForm,
    Kind,
    Message,
    Notification,
    Part,
    Role,
)
from tornado_chat.wire.approval_frames import approval_shown, held_shown
from tornado_chat.wire.counselling_frames import (
    DATA_IDS,
    HISTORY_PAGE,
    Ack,
    Alive,
    Approval,
    ChatFrame,
    ClientFrame,
    ConsentAsked,
    ConsentDecision,
    ConsentNoted,
    ConsentText,
    DecisionFrame,
    HandedOver,
    Handover,
    Held,
    History,
    Line,
    ListenerFrame,
    NotifyFrame,
    ObserveFrame,
    ObservingShown,
    Offered,
    PartShown,
    PresenceShown,
    ReadShown,
    ReceiptShown,
    TokenAccepted,
    TypingShown,
)
from tornado_chat.wire.offers import offer_details
from tornado_chat.wire.parsing import parse
from tornado_chat.wire.people import NameOf, no_name, sender_of, text_with_name, with_speaker
from tornado_chat.wire.times import LocalTimes

CHAT_FEATURES = frozenset(
    {
        *("ack", "echo", "seq", "history", "typing", "read", "presence", "token", "receipt", "sender"),
        *("consent", "observing", "offer", "approval"),
    }
)
NOTIFY_FEATURES = frozenset({"seq", "alive", "token"})
OBSERVE_FEATURES = frozenset(
    {"seq", "alive", "presence", "token", "sender", "speak", "ack", "typing", "read", "approve"}
)

T = TypeVar("T")

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


class Decide(msgspec.Struct, frozen=True):
    """``{"approve": 12}``, ``{"edit": 12, "text": "…"}`` or ``{"refuse": 12}`` (feature approve).

    :ivar text: the text to send instead; None: as it is.
    :ivar note: with ``is_refused``, a sentence for the sender.
    """

    held: int
    is_refused: bool = False
    text: str | None = None
    note: str | None = None


class CheckAlive(msgspec.Struct, frozen=True):
    """``{"alive": true}``: request an answer, to check the connection (feature alive)."""


class WaitLonger(msgspec.Struct, frozen=True):
    """``{"wait": 60}``: wait so many seconds more for the absent participant (feature presence)."""

    seconds: int


class AnswerOffer(msgspec.Struct, frozen=True):
    """``{"accept": 7}`` or ``{"decline": 7}``: answer the offer of a conversation (feature offer)."""

    offer_id: int
    accepts: bool


class AnswerConsent(msgspec.Struct, frozen=True):
    """``{"consent": {"version": "2", "accept": true}}``: accept or decline a text (feature consent)."""

    version: str
    accept: bool


Command = (
    PostMessage | GetHistory | TypingNow | MarkRead | RenewToken | WaitLonger | AnswerConsent | AnswerOffer
)

HEARTBEATS = frozenset({"ping", "heartbeat"})
"""Plain texts that deployed front ends send on ``/chat`` to keep their connection open."""

_MAX_HEARTBEAT_CHARS = 32  # with white space around it

_decoder = msgspec.json.Decoder(ClientFrame)


def parse_chat(data: str | bytes, features: frozenset[str]) -> Command | None:
    """Parse a frame from a client of ``/chat``. Return None for a heartbeat, which has no effect.

    A key of a feature that the client has not requested counts as missing.

    :raises Malformed: the frame is not a valid command; the error states the reason.
    """
    try:
        frame = parse(_decoder, data)
    except Malformed:
        if _is_heartbeat(data):
            return None
        raise
    if frame.msg is UNSET:
        if frame.history is not UNSET and "history" in features:
            return GetHistory(frame.history)
        if frame.typing is not UNSET and "typing" in features:
            return TypingNow(frame.typing)
        if frame.read is not UNSET and "read" in features:
            return MarkRead(frame.read)
        if frame.token is not UNSET and "token" in features:
            return RenewToken(frame.token)
        if frame.wait is not UNSET and "presence" in features:
            return WaitLonger(frame.wait)
        if frame.consent is not UNSET and "consent" in features:
            return AnswerConsent(frame.consent.version, frame.consent.accept)
        if "offer" in features and (frame.accept is not UNSET or frame.decline is not UNSET):
            return _answer(frame)
        raise Malformed("bad_shape", reason='`{"msg": "…"}` is expected')
    if not frame.msg.strip():
        raise Malformed("empty_message")
    return PostMessage(frame.msg, frame.id)


def _answer(frame: ClientFrame) -> AnswerOffer:
    accepts = frame.accept is not UNSET
    number = frame.accept if accepts else frame.decline
    return AnswerOffer(int(number), accepts)  # type: ignore[arg-type]  # one of them is set


def _is_heartbeat(data: str | bytes) -> bool:
    return isinstance(data, str) and len(data) <= _MAX_HEARTBEAT_CHARS and data.strip().lower() in HEARTBEATS


_decision_decoder = msgspec.json.Decoder(DecisionFrame)


def parse_decision(data: str | bytes, features: frozenset[str]) -> Decide | None:
    """Parse a decision from a client of ``/observe`` (feature approve); None for every other frame.

    :raises Malformed: the frame has a key of a decision, and is none.
    """
    if "approve" not in features:
        return None
    try:
        frame = parse(_decision_decoder, data)
    except Malformed as error:
        if error.code == "not_json":  # such as a heartbeat
            return None
        raise
    if frame.approve is not UNSET:
        return Decide(frame.approve)
    if frame.edit is not UNSET:
        if frame.text is None or not frame.text.strip():
            raise Malformed("empty_message")
        return Decide(frame.edit, text=frame.text)
    if frame.refuse is not UNSET:
        return Decide(frame.refuse, is_refused=True, note=frame.note)
    return None


_listener_decoder = msgspec.json.Decoder(ListenerFrame)
_alive_decoder = msgspec.json.Decoder(Alive)


def parse_listener(data: str | bytes, features: frozenset[str]) -> CheckAlive | RenewToken | None:
    """Parse a frame from a client of ``/notify`` or ``/observe``: the request ``alive``, or ``token``.

    Returns None for every other frame, and if the client has not requested the feature. Deployed front ends
    send heartbeats of their own, for which the published protocol has neither a frame nor an answer.
    """
    if "token" in features:
        renewal = _decode_or_none(_listener_decoder, data)
        if renewal is not None and renewal.token is not UNSET:
            return RenewToken(renewal.token)
    if "alive" in features and _decode_or_none(_alive_decoder, data) is not None:
        return CheckAlive()
    return None


def _decode_or_none(decoder: msgspec.json.Decoder[T], data: str | bytes) -> T | None:
    try:
        return parse(decoder, data)
    except Malformed:
        return None


# --- to the client ---


_encode = msgspec.json.Encoder().encode

ALIVE = _encode(Alive(True))
"""The encoded answer to the request ``alive``."""

TOKEN_ACCEPTED = _encode(TokenAccepted(True))
"""The encoded answer to a newer token."""


def consent_asked(form: ConsentForm) -> bytes:
    """Return the frame with the text that the visitor has to accept (feature ``consent``)."""
    return _encode(ConsentAsked(ConsentText(form.group, form.version, form.language, form.text)))


def consent_noted(form: ConsentForm, *, is_accepted: bool) -> bytes:
    """Return the answer to the visitor's ``consent``."""
    return _encode(ConsentNoted(ConsentDecision(form.group, form.version, is_accepted)))


def _presence(event: PresenceChanged, times: LocalTimes) -> bytes:
    shown = PresenceShown({role.value: is_present for role, is_present in event.present.items()})
    if event.until:
        shown.until = {role.value: times.format(until) for role, until in event.until.items()}
        shown.time = times.format(event.time)
    if event.grace:
        shown.grace = {role.value: seconds for role, seconds in event.grace.items()}
    return _encode(shown)


_ID_LETTERS = {Kind.SESSION: "s", Kind.RECORD: "r", Kind.SUPPORT: "c"}


def sender_type(message: Message) -> bool:
    """Return the seed's ``senderType``: true for the agent, false for the client.

    In a supervision record, false is the supervisor; elsewhere a supervisor who takes part is true.
    """
    if message.thread.kind is Kind.RECORD:
        return message.sender.role in (*AGENT_ROLES, Role.BOT)
    return message.sender.role is not Role.USER


def message_id(message: Message) -> str:
    """Return the id of a message for the feature seq: the same on every delivery, unique in the server."""
    return f"{_ID_LETTERS[message.thread.kind]}{message.thread.id}-{message.seq}"


def ids_as_texts(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``data`` of a notification with its ids as texts, which JavaScript does not round."""
    return {
        key: str(value) if key in DATA_IDS and isinstance(value, int) else value
        for key, value in data.items()
    }


def transcript_line(message: Message, times: LocalTimes, name: str | None) -> Line:
    """Return a message as pages and transcripts show it (contract: ``{"seq","msg","senderType","time"}``).

    :arg name: the name of its sender.
    """
    sender = sender_of(message.sender, name)
    return Line(message.seq, message.text, sender_type(message), times.format(message.time), sender)


class ChatEncoder:
    """Encodes the frames of ``/chat`` for one set of features.

    Sockets with the same features share one encoder, so each frame is encoded once for all of them.

    :arg name_of: returns the names of senders.
    """

    def __init__(
        self,
        features: frozenset[str],
        language: Language,
        times: LocalTimes,
        legacy_system_key: bool,
        name_of: NameOf = no_name,
    ) -> None:
        self._echo = "echo" in features
        self._seq = "seq" in features
        self._ack = "ack" in features
        self._typing = "typing" in features
        self._read = "read" in features
        self._presence = "presence" in features
        self._receipt = "receipt" in features
        self._sender = "sender" in features
        self._approval = "approval" in features
        self._observing = "observing" in features
        self._offer = "offer" in features
        self._language = language
        self._times = times if features else times.without_offset()
        self._legacy = legacy_system_key
        self._name_of = name_of

    def encode(self, event: Event, own: bool) -> bytes | None:
        """Return the frame for ``event``, or None if sockets with these features get none.

        :arg own: True if the person of this socket caused the event.
        """
        if isinstance(event, Message):
            if own and not self._echo:
                return None
            name = self._name_of(event.thread, event.sender)
            text = event.text if self._sender else with_speaker(event, name)
            frame = self._frame(False, text, event.time)
            if self._seq:
                frame.id = message_id(event)
                frame.seq = event.seq
            if own:
                frame.self = True
            if self._sender:
                frame.sender = sender_of(event.sender, name)
            return _encode(frame)
        if isinstance(event, SystemNotice):
            if self._observing and event.code in OBSERVING_NOTICES:
                return _encode(ObservingShown(OBSERVING_NOTICES[event.code]))
            is_text = event.code == PLUGIN_LINE
            text = event.name if is_text else system_text(self._language, event.code, name=event.name)
            return _encode(self._frame(True, text, event.time))
        if isinstance(event, AgentReplaced):
            return self._replacement(event)
        if isinstance(event, RoomEnded):
            frame = self._frame(True, system_text(self._language, "session_ended"), event.time)
            if self._presence and event.room is not None and event.room.end_reason is not None:
                frame.reason = event.room.end_reason.value
            return _encode(frame)
        if isinstance(event, TypingChanged) and self._typing and not own:
            return _encode(TypingShown(event.typing, event.sender.role.value))
        if isinstance(event, ReadAdvanced) and self._read:
            return _encode(ReadShown(event.seq, event.reader.role.value))
        if isinstance(event, ReceiptAdvanced) and self._receipt and not own:
            return _encode(ReceiptShown(event.seq, event.reader.role.value))
        if isinstance(event, PresenceChanged) and self._presence:
            return _presence(event, self._times)
        if isinstance(event, OfferShown) and self._offer:
            return _encode(Offered(offer_details(event, event.change.time, self._times)))
        if isinstance(event, HeldChanged) and self._approval and own:
            return _encode(Approval(approval_shown(event, self._times)))
        return None

    def _replacement(self, event: AgentReplaced) -> bytes:
        room = event.room
        if self._sender:
            previous = sender_of(event.previous, event.previous_name)
            following = sender_of(room.helper, room.helper_name)
            return _encode(HandedOver(Handover(previous, following, self._times.format(event.time))))
        text = system_text(
            self._language,
            "agent_replaced",
            previous=event.previous_name or event.previous.id,
            name=room.helper_name or room.helper.id,
        )
        return _encode(self._frame(True, text, event.time))

    def ack(self, client_id: str | None, stored: AppendResult) -> bytes | None:
        """Return the acknowledgement of a stored message, or None without an id or the feature ``ack``."""
        if client_id is None or not self._ack:
            return None
        return _encode(Ack(client_id, stored.seq, self._times.format(stored.time)))

    def error(
        self,
        error: ChatError,
        now: int,
        client_id: str | None = None,
        *,
        refused: Literal["token", "wait", "consent", "offer"] | None = None,
    ) -> bytes:
        """Return ``{"isSystem": true, "msg": "错误: …"}``, with the refused id if the feature ``ack`` is on.

        :arg now: microseconds since 1970 UTC.
        :arg refused: the key of the refused frame, if the error has this key, too: it is false then.
        """
        text = system_text(self._language, "error", text=error_text(self._language, error))
        frame = self._frame(True, text, now)
        if self._ack and client_id is not None:
            frame.id = client_id
        if refused == "token":
            frame.token = False
        elif refused == "wait":
            frame.wait = False
        elif refused == "consent":
            frame.consent = False
        elif refused == "offer":
            frame.offer = False
        return _encode(frame)

    def history(self, messages: Sequence[Message], more: bool) -> bytes:
        """Return a page of messages, oldest first; ``next`` is the seq for the request of the page before.

        :arg more: whether older messages exist; if not, ``next`` is null.
        """
        lines = [
            transcript_line(message, self._times, self._name_of(message.thread, message.sender))
            for message in messages
        ]
        return _encode(History(lines, messages[0].seq if more else None))

    def _frame(self, system: bool, msg: str, time: int) -> ChatFrame:
        legacy = system if self._legacy else UNSET
        return ChatFrame(isSystem=system, system=legacy, msg=msg, time=self._times.format(time))


class ObserveEncoder:
    """Encodes the frames of ``/observe`` for one set of features."""

    def __init__(
        self,
        features: frozenset[str],
        language: Language,
        times: LocalTimes,
        name_of: NameOf = no_name,
    ) -> None:
        self._seq = "seq" in features
        self._presence = "presence" in features
        self._sender = "sender" in features
        self._approve = "approve" in features
        self._typing = "typing" in features
        self._read = "read" in features
        self._language = language
        self._times = times if features else times.without_offset()
        self._name_of = name_of

    def encode(self, event: Event, own: bool) -> bytes | None:
        """Return the frame for a message, the end of the session or (feature presence) a presence change.

        None: observers get no frame for this event.
        """
        if isinstance(event, Message):
            text = event.text if self._sender else text_with_name(event.sender, event.text)
            frame = ObserveFrame(msg=text, senderType=sender_type(event), time=self._times.format(event.time))
            if self._seq:
                frame.id = message_id(event)
                frame.seq = event.seq
            if self._sender:
                frame.sender = sender_of(event.sender, self._name_of(event.thread, event.sender))
            return _encode(frame)
        if isinstance(event, RoomEnded | ConversationEnded):
            time = event.time if isinstance(event, RoomEnded) else event.conversation.ended or 0
            text = system_text(self._language, "session_ended")
            return _encode(ObserveFrame(msg=text, senderType=None, time=self._times.format(time)))
        if isinstance(event, PresenceChanged) and self._presence:
            return _presence(event, self._times)
        if isinstance(event, HeldChanged) and self._approve and not own and not event.approvers:
            name = self._name_of(event.thread, event.sender)
            return _encode(Held(held_shown(event.held, self._times, name)))
        if isinstance(event, TypingChanged) and self._typing and not own:
            return _encode(TypingShown(event.typing, event.sender.role.value))
        if isinstance(event, ReadAdvanced) and self._read:
            return _encode(ReadShown(event.seq, event.reader.role.value))
        return None

    def part(self, part: Part | None) -> bytes:
        """Return the frame that says as what the person of the socket takes part; None: it observes."""
        return _encode(PartShown(None if part is None else part.value))


class NotifyEncoder:
    """Encodes the frames of ``/notify`` for one set of features."""

    def __init__(self, features: frozenset[str], times: LocalTimes) -> None:
        self._seq = "seq" in features
        self._is_plain = not features
        self._times = times.without_offset() if self._is_plain else times

    def encode(self, event: Event, own: bool) -> bytes | None:
        """Return the frame for a notification; None for every other event, and for one that is over."""
        if not isinstance(event, Notification) or event.is_over:
            return None
        data = event.data
        if data and ALERT in data and not self._seq:  # the seed does not have this key
            data = {key: value for key, value in data.items() if key != ALERT} or None
        if data and not self._is_plain:
            data = ids_as_texts(data)
        frame = NotifyFrame(type=event.type, msg=event.msg, time=self._times.format(event.time), data=data)
        if self._seq:
            frame.id = str(event.id)
            frame.seq = event.seq
        return _encode(frame)


class CounsellingEncoders:
    """All encoders of one server: one per kind of socket, set of features and language.

    :arg language: the language for clients that ask for none.
    :arg name_of: returns the names of senders.
    """

    def __init__(
        self, language: Language, times: LocalTimes, legacy_system_key: bool, name_of: NameOf = no_name
    ) -> None:
        self._name_of = name_of
        self._language = language
        self._times = times
        self._legacy = legacy_system_key
        self._chat: dict[tuple[frozenset[str], Language], ChatEncoder] = {}
        self._observe: dict[tuple[frozenset[str], Language], ObserveEncoder] = {}
        self._notify: dict[frozenset[str], NotifyEncoder] = {}

    def chat(self, features: frozenset[str], language: Language | None = None) -> ChatEncoder:
        key = features, language or self._language
        if key not in self._chat:
            self._chat[key] = ChatEncoder(*key, self._times, self._legacy, self._name_of)
        return self._chat[key]

    def observe(self, features: frozenset[str], language: Language | None = None) -> ObserveEncoder:
        key = features, language or self._language
        if key not in self._observe:
            self._observe[key] = ObserveEncoder(*key, self._times, self._name_of)
        return self._observe[key]

    def notify(self, features: frozenset[str]) -> NotifyEncoder:
        if features not in self._notify:
            self._notify[features] = NotifyEncoder(features, self._times)
        return self._notify[features]
