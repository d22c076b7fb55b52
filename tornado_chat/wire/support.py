"""The support dialect: ``/v1/ws/user/connect`` and ``/v1/ws/waiter/connect`` (seed: 连接流程).

Sans-IO: ``parse_command`` turns text into commands, ``SupportEncoder`` turns events into frames. Every
frame to the client has ``id``, ``to``, ``type`` and ``payload``; ``from`` and ``reply_id`` where they
apply. Types beyond the seed are sent only to clients that used or requested them.
"""

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from tornado_chat.core.errors import ChatError, Conflict, Malformed
from tornado_chat.core.events import (
    OBSERVING_NOTICES,
    Event,
    HeldChanged,
    OfferShown,
    ReadAdvanced,
    ReceiptAdvanced,
    SystemNotice,
    TypingChanged,
)
from tornado_chat.core.texts import Language, error_text
from tornado_chat.core.types import (
    AGENT_ROLES,
    AppendResult,
    ConsentForm,
    Conversation,
    EarlyWords,
    ExpectedWait,
    Handover,
    Message,
    Participant,
    Person,
    Role,
    Thread,
)
from tornado_chat.wire.approval_frames import approval_shown
from tornado_chat.wire.offers import offer_details
from tornado_chat.wire.parsing import parse
from tornado_chat.wire.people import Named, NameOf, no_name, sender_of, with_speaker
from tornado_chat.wire.support_frames import (
    CLIENT_PAYLOADS,
    ClientFrame,
    ConsentAsked,
    ConsentNoted,
    Disconnect,
    Eta,
    Failed,
    HandedOver,
    History,
    Line,
    Matched,
    MessageImage,
    MessageStored,
    MessageText,
    Observing,
    Payload,
    Queued,
    ReadShown,
    ReadyNoted,
    ReceiptShown,
    ServerFrame,
    SignedIn,
    Supervising,
    TypingNow,
)
from tornado_chat.wire.times import LocalTimes

FEATURES = frozenset(
    {
        "ack",
        "seq",
        "echo",
        "typing",
        "image",
        "read",
        "profile",
        "ready",
        "kickout",
        "receipt",
        "sender",
        "group",
        "approval",
        "eta",
        "accept",
        "early",
        "consent",
        "observing",
        "offer",
    }
)

SUPERVISOR_NOTICES = {"joined_supervisor": True, "left_supervisor": False}
"""The system notices of supervisors that take part, by code: whether one has joined."""

USERS = frozenset({Role.USER})

_LONGEST_ID = 64


class Command(msgspec.Struct, frozen=True):
    """A parsed frame from a client. ``id`` is None if it is absent, as in the seed's examples."""

    id: str | None
    to: str | None
    payload: Payload

    @property
    def client_id(self) -> str | None:
        """The id as stored: an id that is longer than the column is replaced by its SHA-256 in hex."""
        if self.id is None or len(self.id) <= _LONGEST_ID:
            return self.id
        return hashlib.sha256(self.id.encode()).hexdigest()


_frame_decoder = msgspec.json.Decoder(ClientFrame)
_payload_decoders = {
    struct: msgspec.json.Decoder(struct) for types in CLIENT_PAYLOADS.values() for struct in types.values()
}
_disconnect_decoder = msgspec.json.Decoder(Disconnect)

_optional_payloads: Mapping[Any, Callable[[], Payload]] = {
    struct: struct
    for struct in _payload_decoders
    if not any(field.required for field in msgspec.structs.fields(struct))
}
"""By struct: a function that makes the payload if the client leaves it out."""


def parse_command(data: str | bytes, role: Role) -> Command:
    """Parse a frame from a client of the endpoint of ``role``.

    :raises Malformed: the frame is not a valid command; the error states the reason and the key.
        ``parsing.peek_id`` finds the id for the answer.
    """
    frame = parse(_frame_decoder, data)
    struct = CLIENT_PAYLOADS[role].get(frame.type)
    if struct is None:
        raise Malformed("unknown_type", type=frame.type[:64])
    # Types without payload accept any payload: clients send null, {} or leave the key out.
    raw = b"{}" if frame.payload is UNSET or not struct.__struct_fields__ else bytes(frame.payload)
    if raw in (b"null", b"{}") and struct in _optional_payloads:
        return Command(frame.id, frame.to, _optional_payloads[struct]())
    if struct is Disconnect:
        return Command(frame.id, frame.to, _parse_disconnect(raw))
    payload = parse(_payload_decoders[struct], raw)
    if isinstance(payload, MessageText) and not payload.message.strip():
        raise Malformed("empty_message")
    return Command(frame.id, frame.to, payload)


def _parse_disconnect(raw: bytes) -> Disconnect:
    """Parse the payload of a user's ``disconnect``. Deployed clients send any payload, without a meaning."""
    try:
        return parse(_disconnect_decoder, raw)
    except Malformed:
        return Disconnect()


# --- to the client ---


_encode = msgspec.json.Encoder().encode


class SupportEncoder:
    """Encodes the frames of one support socket.

    A client knows its peer by an address that stays the same for the whole conversation; ``set_peer``
    sets this address.

    :arg name_of: returns the names of senders.
    :ivar address: the UUID of the socket, sent by ``initialize``.
    :ivar features: the features that the client requested in ``auth``.
    :ivar language: the language of errors.
    """

    def __init__(
        self, address: str, role: Role, language: Language, times: LocalTimes, name_of: NameOf = no_name
    ) -> None:
        self.address = address
        self._name_of = name_of
        self.features: frozenset[str] = frozenset()
        is_user = role is Role.USER
        self._own_roles, self._other_roles = (USERS, AGENT_ROLES) if is_user else (AGENT_ROLES, USERS)
        self.language = language
        self._times = times
        self._peers: dict[Thread, str] = {}

    def set_peer(self, thread: Thread, peer: str) -> None:
        """Set the address of the other side in ``thread``."""
        self._peers[thread] = peer

    def encode(self, event: Event, own: bool) -> bytes | None:
        """Return the frame for a message, typing or read event, or None if this client gets none."""
        if isinstance(event, Message):
            # After a transfer, the new waiter gets the user's messages, but without the feature echo not the
            # messages of the previous waiter, whose role is the same.
            ours = event.sender.role in self._own_roles
            if ours and "echo" not in self.features:
                return None
            name = self._name_of(event.thread, event.sender)
            type_, payload = self._content(event, name)
            frame = self._frame(type_, payload, id=message_id(event))
            is_on_own_side = ours or self._is_colleague(event.sender)
            frame.from_ = self.address if is_on_own_side else self._peers.get(event.thread, UNSET)
            if "seq" in self.features:
                frame.seq = event.seq
                frame.time = self._times.format(event.time)
                frame.conversation = event.thread.id
            if "sender" in self.features:
                frame.sender = sender_of(event.sender, name)
            return _encode(frame)
        if isinstance(event, TypingChanged):
            if event.sender.role in self._own_roles or "typing" not in self.features:
                return None
            frame = self._frame("typing", TypingNow(event.typing))
            frame.from_ = self._peers.get(event.thread, UNSET)
            return _encode(frame)
        if isinstance(event, ReadAdvanced):
            if "read" not in self.features:
                return None
            frame = self._frame("read", ReadShown(event.seq))
            ours = event.reader.role in self._own_roles
            frame.from_ = self.address if ours else self._peers.get(event.thread, UNSET)
            if "seq" in self.features:
                frame.conversation = event.thread.id
            return _encode(frame)
        if isinstance(event, ReceiptAdvanced):
            # The receipts of the own side say nothing about the own messages. Observers have another role.
            if event.reader.role not in self._other_roles or "receipt" not in self.features:
                return None
            frame = self._frame("receipt", ReceiptShown(event.seq, event.thread.id))
            frame.from_ = self._peers.get(event.thread, UNSET)
            return _encode(frame)
        if isinstance(event, HeldChanged) and own and "approval" in self.features:
            frame = self._frame("approval", approval_shown(event, self._times))
            frame.from_ = self._peers.get(event.thread, UNSET)
            return _encode(frame)
        if (
            isinstance(event, SystemNotice)
            and event.code in OBSERVING_NOTICES
            and "observing" in self.features
        ):
            return _encode(
                self._frame("observing", Observing(OBSERVING_NOTICES[event.code], event.thread.id))
            )
        if isinstance(event, SystemNotice) and event.code in SUPERVISOR_NOTICES and "sender" in self.features:
            joined = SUPERVISOR_NOTICES[event.code]
            return _encode(self._frame("supervisor", Supervising(joined, event.name, event.thread.id)))
        if isinstance(event, OfferShown) and "offer" in self.features:
            details = offer_details(event, event.change.time, self._times)
            return _encode(self._frame("offer", details))
        return None

    def initialize(self) -> bytes:
        return _encode(self._frame("initialize"))

    def error(self, error: ChatError, reply_id: str | None) -> bytes:
        payload = Failed(error_text(self.language, error))
        return _encode(self._frame("error", payload, reply_id=reply_id))

    def auth_success(
        self, id: str, role: Role, name: str | None, reply_id: str | None, *, is_unasked: bool = False
    ) -> bytes | None:
        """Return the answer to ``auth`` with the profile, or None if the client gets none.

        :arg is_unasked: send it without the feature ``ack``, too.
        """
        if "ack" not in self.features and not is_unasked:
            return None
        payload = SignedIn(id, role.value, name)
        return _encode(self._frame("auth_success", payload, reply_id=reply_id))

    def message_success(self, conversation_id: int, reply_id: str | None, stored: AppendResult) -> bytes:
        """Return the acknowledgement of a stored message (feature ``ack``)."""
        id = f"c{conversation_id}-{stored.seq}"
        payload = MessageStored(id, stored.seq, self._times.format(stored.time))
        return _encode(self._frame("message_text_success", payload, reply_id=reply_id))

    def connect_success(self, conversation: Conversation, reply_id: str | None = None) -> bytes:
        payload = Matched(conversation.waiter_uuid)
        if "profile" in self.features:
            payload.name = conversation.waiter_name
        return self._match_frame("connect_success", conversation, payload, reply_id)

    def new_connection(self, conversation: Conversation, accept_timeout: float = 0.0) -> bytes:
        """Return the frame that a user is assigned. :arg accept_timeout: ``[support] accept_timeout``."""
        payload = Matched(conversation.user_uuid)
        if "accept" in self.features:
            payload.accept_within = accept_timeout if conversation.accepted is None else 0.0
        if "profile" in self.features:
            payload.id = conversation.user.id
            payload.name = conversation.user_name
            payload.since = self._times.format(conversation.created)
        return self._match_frame("new_connection", conversation, payload, None)

    def connect_queue(
        self,
        location: int,
        reply_id: str | None = None,
        *,
        conversation: Conversation | None = None,
        serving: int | None = None,
        expected: ExpectedWait | None = None,
        early: EarlyWords | None = None,
    ) -> bytes:
        """Return the position of the user in the queue.

        :arg location: the position; 1 is the first.
        :arg conversation: sent with the feature ``seq``, if the user already has one.
        :arg serving: the number of waiters that serve the queue; with the feature ``seq``, if it is known.
        :arg expected: the expected wait; with the feature ``eta``, if there is an estimate.
        :arg early: what becomes of the user's words if it gives up; None: it may not write now.
        """
        queued = Queued(location)
        if conversation is not None and "seq" in self.features:
            queued.conversation, queued.returned = conversation.id, conversation.returned
            queued.serving = UNSET if serving is None else serving
        if early is not None and "early" in self.features:
            queued.early = early.value
        if conversation is not None and "group" in self.features:
            queued.group = conversation.group
        if expected is not None and "eta" in self.features:
            queued.eta = Eta(expected.seconds, expected.based_on, expected.places)
        return _encode(self._frame("connect_queue", queued, reply_id=reply_id))

    def consent(self, form: ConsentForm, reply_id: str | None) -> bytes:
        """Return the frame with the text that the user has to accept (feature ``consent``)."""
        payload = ConsentAsked(form.group, form.version, form.language, form.text)
        return _encode(self._frame("consent", payload, reply_id=reply_id))

    def consent_success(
        self, form: ConsentForm, reply_id: str | None = None, *, is_accepted: bool = True
    ) -> bytes:
        """Return the answer to ``consent``."""
        payload = ConsentNoted(form.group, form.version, is_accepted)
        return _encode(self._frame("consent_success", payload, reply_id=reply_id))

    def kickout(self) -> bytes:
        """Return the frame that announces that the same waiter signed in elsewhere (feature ``kickout``)."""
        return _encode(self._frame("kickout"))

    def paused(self) -> bytes:
        """Return the frame that the server has paused the waiter: an error without ``reply_id``.

        With the feature ``accept`` it is a ``ready_success``.
        """
        if "accept" in self.features:
            return self.success("ready_success", ReadyNoted(ready=False), None)
        return self.error(Conflict("paused_unaccepted"), None)

    def nothing_to_resume(self, reply_id: str | None) -> bytes:
        """Return the answer to a ``connect`` with ``resume`` if the user has no open conversation."""
        return _encode(self._frame("disconnected", reply_id=reply_id))

    def disconnected(self, thread: Thread, reason: str | None = None) -> bytes:
        """Return the frame that a conversation has ended for the client.

        :arg reason: sent with the feature ``accept``.
        """
        frame = self._frame("disconnected")
        if reason is not None and "accept" in self.features:
            frame.reason = reason
        frame.from_ = self._peers.pop(thread, UNSET)
        return _encode(frame)

    def handed_over(self, handover: Handover) -> bytes | None:
        """Return the frame that another waiter has the conversation, or None without the feature."""
        if "sender" not in self.features:
            return None
        return _encode(self._frame("handed_over", handover_shown(handover, self._times)))

    def history(
        self,
        conversation: Conversation,
        messages: Sequence[Message],
        more: bool,
        reply_id: str | None,
        names: Mapping[Person, str | None] = {},
        handovers: Sequence[Handover] = (),
    ) -> bytes:
        """Return a page of messages, oldest first; ``next`` is the ``before`` of the next request.

        :arg more: whether older messages exist; if not, ``next`` is null.
        :arg names: the names of senders.
        :arg handovers: all of the conversation; the page has those since its first message.
        """
        items = [self._line(conversation, message, names) for message in messages]
        payload = History(items, messages[0].seq if more else None)
        if "sender" in self.features:
            since = messages[0].time if more else 0
            payload.handovers = [
                handover_shown(each, self._times, shows_loss=True) for each in handovers if each.time >= since
            ]
        return _encode(self._frame("message_history", payload, reply_id=reply_id))

    def success(self, type_: str, payload: msgspec.Struct, reply_id: str | None) -> bytes:
        """Return a success frame of type ``type_``, such as ``rate_success`` or ``transfer_success``."""
        return _encode(self._frame(type_, payload, reply_id=reply_id))

    def _match_frame(
        self, type_: str, conversation: Conversation, payload: Matched, reply_id: str | None
    ) -> bytes:
        if "seq" in self.features:  # seq starts at 1 in each conversation, so the client needs its number
            payload.conversation = conversation.id
        if "group" in self.features:
            payload.group = conversation.group
        frame = self._frame(type_, payload, reply_id=reply_id)
        if payload.uuid is not None:  # deployed clients answer to ``from``, and do not read the payload
            frame.from_ = payload.uuid
        return _encode(frame)

    def _line(self, conversation: Conversation, message: Message, names: Mapping[Person, str | None]) -> Line:
        person = message.sender
        by_user = person.role is Role.USER
        has_sender = "sender" in self.features
        return Line(
            id=message_id(message),
            seq=message.seq,
            from_=conversation.user_uuid if by_user else conversation.waiter_uuid,
            sender=sender_of(person, names.get(person)) if has_sender else person.role.value,
            type=f"message_{message.media}",
            message=message.text,
            time=self._times.format(message.time),
        )

    def _content(self, message: Message, name: str | None) -> tuple[str, msgspec.Struct]:
        if message.media == "image" and "image" in self.features:
            return "message_image", MessageImage(message.text)
        text = message.text if "sender" in self.features else with_speaker(message, name)
        return "message_text", MessageText(text)

    def _is_colleague(self, person: Person) -> bool:
        """Return True for a bot, at a socket of an agent that can tell its messages from its own."""
        return (
            person.role is Role.BOT
            and self._own_roles is AGENT_ROLES
            and self.features.issuperset(("sender", "echo"))
        )

    def _frame(
        self,
        type_: str,
        payload: msgspec.Struct | None = None,
        *,
        id: str | None = None,
        reply_id: str | None = None,
    ) -> ServerFrame:
        return ServerFrame(
            id=id or uuid.uuid4().hex,
            to=self.address,
            type=type_,
            payload=payload,
            reply_id=UNSET if reply_id is None else reply_id,
        )


def handover_shown(handover: Handover, times: LocalTimes, *, shows_loss: bool = False) -> HandedOver:
    """Return a hand-over as clients show it.

    :arg shows_loss: whether to say that the waiter before was lost, as in a history page.
    """
    shown = HandedOver(_named(handover.previous), _named(handover.next), times.format(handover.time))
    if shows_loss:
        shown.lost = handover.was_lost
    return shown


def _named(participant: Participant) -> Named:
    return Named(participant.person.id, participant.name)


def message_id(message: Message) -> str:
    """Return the id of a message: the same on every delivery, unique in the server."""
    return f"c{message.thread.id}-{message.seq}"
