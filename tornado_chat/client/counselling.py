"""The clients of the counselling dialect: ``/chat``, ``/notify`` and ``/observe``."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from tornado.httputil import url_concat

from tornado_chat.client.delivery import Delivery, Person
from tornado_chat.client.reconnecting_client import (
    Ack,
    MessageRefused,
    Options,
    ReconnectingClient,
    new_id,
    websocket_url,
)
from tornado_chat.client.repeats import RepeatFilter
from tornado_chat.client.token_expiry import Token

T = TypeVar("T")


class ChatFrame(msgspec.Struct, frozen=True):
    """A frame of ``/chat``.

    :arg system: True for a text of the server, False for a message of a participant.
    :arg seq: the number of the message in the session (feature ``seq``).
    :arg id: the id of the message (feature ``seq``).
    :arg author: the person that has sent the message (feature ``sender``).
    :arg raw: the decoded frame.
    """

    msg: str
    raw: dict[str, Any]
    system: bool = msgspec.field(name="isSystem")
    time: str | None = None
    seq: int | None = None
    id: str | None = None
    author: Person | None = msgspec.field(default=None, name="sender")


class NotifyFrame(msgspec.Struct, frozen=True):
    """A frame of ``/notify``; ``type`` is 0: plain, 1: appointment changed, 2: new conversation."""

    type: int
    msg: str
    raw: dict[str, Any]
    time: str | None = None
    data: dict[str, Any] | None = None
    seq: int | None = None


class ObserveFrame(msgspec.Struct, frozen=True):
    """A frame of ``/observe``.

    :arg sender_type: False for the visitor, True for the consultant, None for the end of the session.
    :arg author: the person that has sent the message (feature ``sender``).
    """

    msg: str
    raw: dict[str, Any]
    time: str | None = None
    sender_type: bool | None = msgspec.field(default=None, name="senderType")
    seq: int | None = None
    author: Person | None = msgspec.field(default=None, name="sender")


class _Counselling(ReconnectingClient[T]):
    """Base class of the counselling clients: all parameters are in the URL, ``seq`` numbers one stream."""

    _path = ""

    def __init__(
        self,
        base_url: str,
        token: Token,
        parameters: Mapping[str, str],
        features: Iterable[str],
        options: Options | None,
    ) -> None:
        super().__init__(token, options or Options())
        self.features = tuple(features)
        if self.features and not isinstance(token, str):
            self.features = tuple(dict.fromkeys((*self.features, "token")))
        self._endpoint_url = websocket_url(base_url, self._path)
        self._parameters = dict(parameters)
        if self.features:
            self._parameters["features"] = ",".join(self.features)
        self._repeats = RepeatFilter()

    def _url(self) -> str:
        return url_concat(self._endpoint_url, {"token": self._current_token, **self._parameters})

    def _token_frame(self, token: str) -> Mapping[str, Any] | None:
        return {"token": token} if "token" in self.features else None

    def _is_repeat(self, seq: int | None, time: str | None) -> bool:
        """Return True if this frame was received before; else record its seq."""
        return seq is not None and self._repeats.is_repeat(seq, time)


class ChatClient(_Counselling[ChatFrame]):
    """The client of one participant of a session (``type`` 0) or of a supervision record (``type`` 1).

    With the feature ``ack`` a message is sent again after a reconnect until it is acknowledged; with ``seq``
    no message is delivered twice. Without both it is a client of the seed.

    :ivar delivery: what the other participant has received (feature ``receipt``) and read (feature ``read``).
    """

    _path = "/chat"

    def __init__(
        self,
        base_url: str,
        token: Token,
        session_id: int | str,
        type: int = 0,
        features: Iterable[str] = ("ack", "seq"),
        options: Options | None = None,
    ) -> None:
        parameters = {"sessionId": str(session_id), "type": str(type)}
        super().__init__(base_url, token, parameters, features, options)
        self.delivery = Delivery()
        self._read_by_role: dict[str, int] = {}
        self._other_role = ""  # known from the first receipt: the server reports those of others only

    async def send(self, text: str, *, id: str | None = None) -> Ack | None:
        """Send ``text`` and return its acknowledgement; without the feature ``ack`` return None when written.

        :arg id: identifies the message; a message that is sent again with the same id, also by another
            client object, is stored once.
        :raises MessageRefused: the server refused the message.
        :raises ConnectionClosed: the client was closed before the acknowledgement.
        """
        needs_answer = "ack" in self.features
        if id is None and needs_answer:
            id = new_id()
        frame = {"msg": text} if id is None else {"msg": text, "id": id}
        ack: Ack | None = await self._submit(id or new_id(), frame, needs_answer=needs_answer)
        return ack

    def _handle_frame(self, frame: dict[str, Any]) -> None:
        if "ack" in frame:
            self._resolve(frame["ack"], msgspec.convert(frame, Ack))
            return
        if "receipt" in frame or "read" in frame:
            self._on_progress(frame)
            return
        if "msg" not in frame or "token" in frame:
            return  # a history page (these are read by the HTTP API instead), or the answer to a newer token
        received = msgspec.convert({**frame, "raw": frame}, ChatFrame)
        if (
            received.system
            and received.id is not None
            and self._resolve(received.id, MessageRefused(received.msg))
        ):
            return
        if not self._is_repeat(received.seq, received.time):
            self._received.put(received)

    def _on_progress(self, frame: dict[str, Any]) -> None:
        """Handle a report of what was received or read; ``read`` reports the own person, too."""
        role = frame["role"]
        if "receipt" in frame:
            self._other_role = role
        else:
            self._read_by_role[role] = frame["read"]
        if role == self._other_role:
            self._advance(
                self.delivery, received=frame.get("receipt", 0), read=self._read_by_role.get(role, 0)
            )


class NotifyClient(_Counselling[NotifyFrame]):
    """The client for the notifications of one person.

    Without the feature ``seq``, some are delivered twice after a reconnect.
    """

    _path = "/notify"

    def __init__(
        self,
        base_url: str,
        token: Token,
        features: Iterable[str] = ("seq",),
        options: Options | None = None,
    ) -> None:
        super().__init__(base_url, token, {}, features, options)

    def _handle_frame(self, frame: dict[str, Any]) -> None:
        if "token" in frame:
            return  # the answer to a newer token
        received = msgspec.convert({**frame, "raw": frame}, NotifyFrame)
        if not self._is_repeat(received.seq, received.time):
            self._received.put(received)


class ObserveClient(_Counselling[ObserveFrame]):
    """The client of a supervisor that observes a session or a support conversation: exactly one of the two.

    Without the feature ``seq``, some messages are delivered twice after a reconnect.
    """

    _path = "/observe"

    def __init__(
        self,
        base_url: str,
        token: Token,
        session_id: int | str | None = None,
        features: Iterable[str] = ("seq",),
        options: Options | None = None,
        *,
        conversation_id: int | str | None = None,
    ) -> None:
        numbers = {"sessionId": session_id, "conversationId": conversation_id}
        named = {name: str(number) for name, number in numbers.items() if number is not None}
        super().__init__(base_url, token, named, features, options)

    def _handle_frame(self, frame: dict[str, Any]) -> None:
        if "token" in frame:
            return  # the answer to a newer token
        received = msgspec.convert({**frame, "raw": frame}, ObserveFrame)
        if not self._is_repeat(received.seq, received.time):
            self._received.put(received)
