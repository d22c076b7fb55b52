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

from tornado_chat.core.errors import ChatError, Malformed
from tornado_chat.core.events import Event, ReadAdvanced, TypingChanged
from tornado_chat.core.texts import Language, error_text
from tornado_chat.core.types import AppendResult, Conversation, Message, Role, Thread
from tornado_chat.wire.parsing import parse
from tornado_chat.wire.support_frames import (
    CLIENT_PAYLOADS,
    ClientFrame,
    Failed,
    History,
    Line,
    Matched,
    MessageImage,
    MessageStored,
    MessageText,
    Payload,
    Queued,
    ReadShown,
    ServerFrame,
    SignedIn,
    TypingNow,
)
from tornado_chat.wire.times import LocalTimes

FEATURES = frozenset({"ack", "seq", "echo", "typing", "image", "read", "profile", "ready", "kickout"})

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


class _Identified(msgspec.Struct):
    id: str | None = None


_frame_decoder = msgspec.json.Decoder(ClientFrame)
_payload_decoders = {
    struct: msgspec.json.Decoder(struct) for types in CLIENT_PAYLOADS.values() for struct in types.values()
}

_optional_payloads: Mapping[Any, Callable[[], Payload]] = {
    struct: struct
    for struct in _payload_decoders
    if not any(field.required for field in msgspec.structs.fields(struct))
}
"""By struct: a function that makes the payload if the client leaves it out."""


def parse_command(data: str | bytes, role: Role) -> Command:
    """Parse a frame from a client of the endpoint of ``role``.

    :raises Malformed: the frame is not a valid command; the error states the reason and the key.
        ``peek_id`` finds the id for the answer.
    """
    frame = parse(_frame_decoder, data)
    struct = CLIENT_PAYLOADS[role].get(frame.type)
    if struct is None:
        raise Malformed("unknown_type", type=frame.type[:64])
    # Types without payload accept any payload: clients send null, {} or leave the key out.
    raw = b"{}" if frame.payload is UNSET or not struct.__struct_fields__ else bytes(frame.payload)
    if raw in (b"null", b"{}") and struct in _optional_payloads:
        return Command(frame.id, frame.to, _optional_payloads[struct]())
    payload = parse(_payload_decoders[struct], raw)
    if isinstance(payload, MessageText) and not payload.message.strip():
        raise Malformed("empty_message")
    return Command(frame.id, frame.to, payload)


def peek_id(data: str | bytes) -> str | None:
    """Return the id of a refused frame, or None, so that the error frame can name the id."""
    try:
        return msgspec.json.decode(data, type=_Identified).id
    except (ValueError, RecursionError):
        return None


# --- to the client ---


_encode = msgspec.json.Encoder().encode


class SupportEncoder:
    """Encodes the frames of one support socket.

    A client knows its peer by an address that stays the same for the whole conversation; ``set_peer``
    sets this address.

    :ivar address: the UUID of the socket, sent by ``initialize``.
    :ivar features: the features that the client requested in ``auth``.
    """

    def __init__(self, address: str, role: Role, language: Language, times: LocalTimes) -> None:
        self.address = address
        self.features: frozenset[str] = frozenset()
        self._role = role
        self._language = language
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
            ours = event.sender.role is self._role
            if ours and "echo" not in self.features:
                return None
            type_, payload = self._content(event)
            frame = self._frame(type_, payload, id=message_id(event))
            frame.from_ = self.address if ours else self._peers.get(event.thread, UNSET)
            if "seq" in self.features:
                frame.seq = event.seq
                frame.time = self._times.format(event.time)
                frame.conversation = event.thread.id
            return _encode(frame)
        if isinstance(event, TypingChanged):
            if event.sender.role is self._role or "typing" not in self.features:
                return None
            frame = self._frame("typing", TypingNow(event.typing))
            frame.from_ = self._peers.get(event.thread, UNSET)
            return _encode(frame)
        if isinstance(event, ReadAdvanced):
            if "read" not in self.features:
                return None
            frame = self._frame("read", ReadShown(event.seq))
            ours = event.reader.role is self._role
            frame.from_ = self.address if ours else self._peers.get(event.thread, UNSET)
            if "seq" in self.features:
                frame.conversation = event.thread.id
            return _encode(frame)
        return None

    def initialize(self) -> bytes:
        return _encode(self._frame("initialize"))

    def error(self, error: ChatError, reply_id: str | None) -> bytes:
        payload = Failed(error_text(self._language, error))
        return _encode(self._frame("error", payload, reply_id=reply_id))

    def auth_success(self, id: str, role: Role, name: str | None, reply_id: str | None) -> bytes | None:
        """Return the answer to ``auth`` with the profile, or None without the feature ``ack``."""
        if "ack" not in self.features:
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

    def new_connection(self, conversation: Conversation) -> bytes:
        payload = Matched(conversation.user_uuid)
        if "profile" in self.features:
            payload.id = conversation.user.host_id
            payload.name = conversation.user_name
            payload.since = self._times.format(conversation.created)
        return self._match_frame("new_connection", conversation, payload, None)

    def connect_queue(
        self, location: int, reply_id: str | None = None, *, conversation: Conversation | None = None
    ) -> bytes:
        """Return the position of the user in the queue.

        :arg location: the position; 1 is the first.
        :arg conversation: sent with the feature ``seq``, if the user already has one.
        """
        queued = Queued(location)
        if conversation is not None and "seq" in self.features:
            queued.conversation, queued.returned = conversation.id, conversation.returned
        return _encode(self._frame("connect_queue", queued, reply_id=reply_id))

    def kickout(self) -> bytes:
        """Return the frame that announces that the same waiter signed in elsewhere (feature ``kickout``)."""
        return _encode(self._frame("kickout"))

    def nothing_to_resume(self, reply_id: str | None) -> bytes:
        """Return the answer to a ``connect`` with ``resume`` if the user has no open conversation."""
        return _encode(self._frame("disconnected", reply_id=reply_id))

    def disconnected(self, thread: Thread) -> bytes:
        frame = self._frame("disconnected")
        frame.from_ = self._peers.pop(thread, UNSET)
        return _encode(frame)

    def history(
        self, conversation: Conversation, messages: Sequence[Message], more: bool, reply_id: str | None
    ) -> bytes:
        """Return a page of messages, oldest first; ``next`` is the ``before`` of the next request.

        :arg more: whether older messages exist; if not, ``next`` is null.
        """
        items = [self._line(conversation, message) for message in messages]
        payload = History(items, messages[0].seq if more else None)
        return _encode(self._frame("message_history", payload, reply_id=reply_id))

    def success(self, type_: str, payload: msgspec.Struct, reply_id: str | None) -> bytes:
        """Return a success frame of type ``type_``, such as ``rate_success`` or ``transfer_success``."""
        return _encode(self._frame(type_, payload, reply_id=reply_id))

    def _match_frame(
        self, type_: str, conversation: Conversation, payload: Matched, reply_id: str | None
    ) -> bytes:
        if "seq" in self.features:  # seq starts at 1 in each conversation, so the client needs its number
            payload.conversation = conversation.id
        return _encode(self._frame(type_, payload, reply_id=reply_id))

    def _line(self, conversation: Conversation, message: Message) -> Line:
        by_user = message.sender.role is Role.USER
        return Line(
            id=message_id(message),
            seq=message.seq,
            from_=conversation.user_uuid if by_user else conversation.waiter_uuid,
            sender=message.sender.role.value,
            type=f"message_{message.media}",
            message=message.text,
            time=self._times.format(message.time),
        )

    def _content(self, message: Message) -> tuple[str, msgspec.Struct]:
        if message.media == "image" and "image" in self.features:
            return "message_image", MessageImage(message.text)
        return "message_text", MessageText(message.text)

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


def message_id(message: Message) -> str:
    """Return the id of a message: the same on every delivery, unique in the server."""
    return f"c{message.thread.id}-{message.seq}"
