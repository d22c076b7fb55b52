"""The clients of the support dialect: ``UserClient`` and ``WaiterClient``."""

import asyncio
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

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

MAX_REMEMBERED_USERS = 1000
"""Number of users of whom a waiter's client remembers the conversation, to detect repeated messages.

Older ones are dropped: no message of so many conversations ago is repeated.
"""


class SupportFrame(msgspec.Struct, frozen=True):
    """A frame from the server.

    :arg sender: the address (``from``) of the peer that sent it.
    :arg seq: the number of the message in the conversation (feature ``seq``).
    :arg author: the person that has sent the message (feature ``sender``); ``sender`` is an address.
    :arg raw: the decoded frame.
    """

    type: str
    raw: dict[str, Any]
    id: str | None = None
    to: str | None = None
    payload: Any = None
    sender: str | None = msgspec.field(default=None, name="from")
    reply_id: str | None = None
    seq: int | None = None
    author: Person | None = msgspec.field(default=None, name="sender")

    @property
    def message(self) -> str:
        """The text of a message or an error."""
        return str(self.payload_value("message") or "")

    def payload_value(self, key: str) -> Any:
        """Return a value of the payload, or None if the key is absent."""
        return self.payload.get(key) if isinstance(self.payload, dict) else None


class SupportClient(ReconnectingClient[SupportFrame]):
    """Base class of the user's and the waiter's client: the handshake, and requests with answers by id.

    The handshake (``initialize``, ``auth``, ``auth_success``, then ``connect`` or ``ready``) is done on every
    connect, and its frames are not delivered. All other frames are, except the answers to ``send`` and
    :meth:`request`.
    """

    _path = ""
    _join_type = ""
    _leave_type = ""

    def __init__(
        self,
        base_url: str,
        token: Token,
        features: Iterable[str] = ("ack", "seq"),
        options: Options | None = None,
    ) -> None:
        super().__init__(token, options or Options())
        self.features = tuple(features)
        self.uuid: str | None = None  # the client's own address, from `initialize`
        self._endpoint_url = websocket_url(base_url, self._path)
        self._renewal_id = ""  # of the `auth` that has sent the last newer token
        self._is_joined = True  # the last of _join_type (as in a new client) and _leave_type that was sent

    async def send_frame(self, type: str, payload: Any = None, *, to: str | None = None) -> str:
        """Send a frame without waiting for an answer; return its id when it is written.

        After a reconnect, the client repeats the last of ``ready`` and ``unready`` (a waiter), or ``connect``
        unless ``disconnect`` was sent later (a user).
        """
        id = new_id()
        await self._submit(id, self._frame(id, type, payload, to), needs_answer=False)
        if type in (self._join_type, self._leave_type):
            self._is_joined = type == self._join_type
        return id

    async def request(
        self, type: str, payload: Any = None, *, to: str | None = None, id: str | None = None
    ) -> SupportFrame:
        """Send a frame, again after each reconnect, until it is answered; return the answer.

        :raises MessageRefused: the answer is an ``error``.
        """
        id = id or new_id()
        answer: SupportFrame = await self._submit(id, self._frame(id, type, payload, to), needs_answer=True)
        return answer

    async def expect(self, type: str, timeout: float | None = 5) -> SupportFrame:
        """Return the next frame of this type; other received frames stay in the queue, in order.

        :arg timeout: seconds; None: no limit.
        :raises TimeoutError: no frame of the type arrived within ``timeout``.
        """
        async with asyncio.timeout(timeout):
            return await self._received.get(lambda frame: frame.type == type)

    async def _send(self, text: str, to: str | None, id: str | None) -> Ack | None:
        payload = {"message": text}
        if "ack" in self.features:
            answer = await self.request("message_text", payload, to=to, id=id)
            return msgspec.convert(answer.payload, Ack)
        id = id or new_id()
        await self._submit(id, self._frame(id, "message_text", payload, to), needs_answer=False)
        return None

    def _url(self) -> str:
        return self._endpoint_url

    def _on_open(self) -> None:
        pass  # the server sends the first frame

    def _handle_frame(self, frame: dict[str, Any]) -> None:
        received = msgspec.convert({**frame, "raw": frame}, SupportFrame)
        if received.type == "initialize":
            self.uuid = received.to
            auth: dict[str, Any] = {"token": self._current_token}
            if self.features:
                auth["features"] = list(self.features)
            self._write(self._frame(new_id(), "auth", auth))
            if "ack" not in self.features:
                self._on_authenticated()
        elif received.reply_id is not None and received.reply_id == self._renewal_id:
            return  # the answer to a newer token
        elif received.type == "auth_success":
            self._on_authenticated()
        elif received.reply_id is None or not self._answer(received.reply_id, received):
            self._handle_event(received)

    def _token_frame(self, token: str) -> Mapping[str, Any] | None:
        self._renewal_id = new_id()
        return self._frame(self._renewal_id, "auth", {"token": token}) if self.features else None

    def _on_authenticated(self) -> None:
        self._join()
        self._complete_handshake()

    @abstractmethod
    def _join(self) -> None:
        """Send ``connect`` or ``ready``; the server then resumes the client's open conversations."""

    def _handle_event(self, frame: SupportFrame) -> None:
        """Handle a frame that belongs neither to the handshake nor to a request."""
        self._received.put(frame)

    def _on_progress(self, frame: SupportFrame, delivery: Delivery, user: str | None = None) -> None:
        """Take over a frame that says what the other side has received or read; ignore others."""
        if frame.sender == self.uuid:  # another window of the same person
            return
        if frame.type == "receipt":
            self._advance(delivery, user=user, received=frame.payload_value("seq"))
        elif frame.type == "read":
            self._advance(delivery, user=user, read=frame.payload_value("seq"))

    def _answer(self, id: str, frame: SupportFrame) -> bool:
        return self._resolve(id, MessageRefused(frame.message) if frame.type == "error" else frame)

    def _frame(self, id: str, type: str, payload: Any = None, to: str | None = None) -> dict[str, Any]:
        """Return a frame in the form of the seed: keys without a value are left out."""
        frame = {"id": id, "to": to, "type": type, "payload": payload}
        return {key: value for key, value in frame.items() if value is not None}


class UserClient(SupportClient):
    """The client of a user; it requests a waiter (``connect``) as soon as it is connected.

    After ``disconnected``, or after ``send_frame("disconnect")``, it does not request a waiter by itself;
    ``send_frame("connect")`` does.

    :arg group: the group to wait for; None: the default group.
    :ivar delivery: what the waiters of the present conversation have received (feature ``receipt``) and read
        (feature ``read``).
    """

    _path = "/v1/ws/user/connect"
    _join_type = "connect"
    _leave_type = "disconnect"
    _join_id = ""
    _conversation: Any = None

    def __init__(
        self,
        base_url: str,
        token: Token,
        features: Iterable[str] = ("ack", "seq"),
        options: Options | None = None,
        group: str | None = None,
    ) -> None:
        super().__init__(base_url, token, features, options)
        self._group = group
        self._repeats = RepeatFilter()
        self.delivery = Delivery()

    async def send(self, text: str, *, id: str | None = None) -> Ack | None:
        """Send ``text`` to the waiter; see `ChatClient.send`.

        While there is none, the server refuses it, except the first words of a client with the feature
        ``early``.
        """
        return await self._send(text, None, id)

    def _join(self) -> None:
        if not self._is_joined:
            self._start_writing()
            return
        # Messages wait for the answer to this frame: before it, the server would refuse them.
        self._join_id = new_id()
        payload = None if self._group is None else {"group": self._group}
        self._write(self._frame(self._join_id, "connect", payload))

    def _handle_event(self, frame: SupportFrame) -> None:
        if frame.type in ("connect_success", "connect_queue") or frame.reply_id == self._join_id:
            self._start_writing()
        if frame.type == "disconnected":
            self._is_joined = False
        elif frame.type == "connect_success" and frame.payload_value("conversation") != self._conversation:
            self._conversation = frame.payload_value("conversation")
            self._repeats = RepeatFilter()
            self.delivery = Delivery()
        elif frame.seq is not None and self._repeats.is_repeat(frame.seq, frame.raw.get("time")):
            return
        self._on_progress(frame, self.delivery)
        self._received.put(frame)


class WaiterClient(SupportClient):
    """The client of a waiter; it sends ``ready`` as soon as it is connected."""

    _path = "/v1/ws/waiter/connect"
    _join_type = "ready"
    _leave_type = "unready"

    def __init__(
        self,
        base_url: str,
        token: Token,
        features: Iterable[str] = ("ack", "seq"),
        options: Options | None = None,
    ) -> None:
        super().__init__(base_url, token, features, options)
        # By conversation, as with the feature ``echo`` the own messages to all users have one sender.
        self._repeats: dict[Any, RepeatFilter] = {}
        self._conversations: dict[str, Any] = {}  # by the user's address
        self._deliveries: dict[str, Delivery] = {}  # by the user's address

    async def send(self, uuid: str, text: str, *, id: str | None = None) -> Ack | None:
        """Send ``text`` to the user with this address; see `ChatClient.send`."""
        return await self._send(text, uuid, id)

    def delivery_of(self, uuid: str) -> Delivery:
        """Return what the user with this address has received (``receipt``) and read (``read``)."""
        return self._deliveries.get(uuid) or Delivery()

    def _join(self) -> None:
        # Both resume the waiter's conversations; after `unready` no new users are assigned.
        type = "ready" if self._is_joined else "unready"
        self._write(self._frame(new_id(), type))
        self._start_writing()

    def _handle_event(self, frame: SupportFrame) -> None:
        if frame.type == "new_connection":
            self._start_conversation(str(frame.payload_value("uuid")), frame.payload_value("conversation"))
        elif frame.seq is not None and frame.sender is not None:
            conversation = frame.raw.get("conversation", frame.sender)
            repeats = self._repeats.setdefault(conversation, RepeatFilter())
            if repeats.is_repeat(frame.seq, frame.raw.get("time")):
                return
        if frame.sender is not None and frame.sender in self._deliveries:
            self._on_progress(frame, self._deliveries[frame.sender], frame.sender)
        self._received.put(frame)

    def _start_conversation(self, uuid: str, conversation: Any) -> None:
        if uuid not in self._conversations or self._conversations[uuid] != conversation:
            self._conversations[uuid] = conversation
            self._repeats.pop(uuid, None)
            self._deliveries[uuid] = Delivery()
        for remembered in (self._repeats, self._conversations, self._deliveries):
            while len(remembered) > MAX_REMEMBERED_USERS:
                del remembered[next(iter(remembered))]
