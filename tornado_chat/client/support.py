"""The clients of the support dialect: the user and the waiter."""

import asyncio
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import msgspec

from tornado_chat.client.connection import (
    Ack,
    MessageRefused,
    Options,
    ReconnectingClient,
    Token,
    endpoint,
    new_id,
)

# The waiter's addresses are remembered to tell repeats from news. Old ones can go: nothing is
# repeated from that many conversations ago.
MAX_REMEMBERED_USERS = 1000


class SupportFrame(msgspec.Struct, frozen=True):
    """A frame from the server.

    :arg sender: the address (``from``) of the peer it comes from.
    :arg seq: its place in the conversation (feature ``seq``).
    :arg raw: the frame as it came.
    """

    type: str
    raw: dict[str, Any]
    id: str | None = None
    to: str | None = None
    payload: Any = None
    sender: str | None = msgspec.field(default=None, name="from")
    reply_id: str | None = None
    seq: int | None = None

    @property
    def message(self) -> str:
        """The text of a message or an error."""
        return str(self.payload_value("message") or "")

    def payload_value(self, key: str) -> Any:
        """A value of the payload, None if it is not there."""
        return self.payload.get(key) if isinstance(self.payload, dict) else None


class SupportClient(ReconnectingClient[SupportFrame]):
    """What user and waiter have in common: the handshake, and frames that are answered by id.

    The handshake (``initialize``, ``auth``, ``auth_success``, then ``connect`` or ``ready``) is
    done on every connect and not handed out; everything else is, unless it answers a
    :meth:`send` or a :meth:`request`.
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
        self.uuid: str | None = None  # our own address, as `initialize` tells it
        self._endpoint = endpoint(base_url, self._path)
        self._is_joined = True  # what was said last: _enter, as a new client does, or _leave

    async def tell(self, type: str, payload: Any = None, *, to: str | None = None) -> str:
        """Send a frame that needs no answer, and return its id when it is written.

        The next connects repeat the last word about taking part: ``ready`` or ``unready``, ``connect`` or nothing.
        """
        id = new_id()
        await self._submit(id, self._frame(id, type, payload, to), answered=False)
        if type in (self._join_type, self._leave_type):
            self._is_joined = type == self._join_type
        return id

    async def request(
        self, type: str, payload: Any = None, *, to: str | None = None, id: str | None = None
    ) -> SupportFrame:
        """Send a frame until it is answered, and return the answer. Raises `Refused` if that is an ``error``."""
        id = id or new_id()
        answer: SupportFrame = await self._submit(id, self._frame(id, type, payload, to), answered=True)
        return answer

    async def expect(self, type: str, timeout: float | None = 5) -> SupportFrame:
        """The next frame of this type; what else was received stays, in order, for later readers."""
        async with asyncio.timeout(timeout):
            return await self._received.get(lambda frame: frame.type == type)

    async def _send(self, text: str, to: str | None, id: str | None) -> Ack | None:
        payload = {"message": text}
        if "ack" in self.features:
            answer = await self.request("message_text", payload, to=to, id=id)
            return msgspec.convert(answer.payload, Ack)
        id = id or new_id()
        await self._submit(id, self._frame(id, "message_text", payload, to), answered=False)
        return None

    def _url(self) -> str:
        return self._endpoint

    def _opened(self) -> None:
        pass  # the server begins

    def _handle_frame(self, frame: dict[str, Any]) -> None:
        received = msgspec.convert({**frame, "raw": frame}, SupportFrame)
        if received.type == "initialize":
            self.uuid = received.to
            auth: dict[str, Any] = {"token": self._current_token}
            if self.features:
                auth["features"] = list(self.features)
            self._write(self._frame(new_id(), "auth", auth))
            if "ack" not in self.features:
                self._authenticated()
        elif received.type == "auth_success":
            self._authenticated()
        elif received.reply_id is None or not self._answer(received.reply_id, received):
            self._handle_event(received)

    def _authenticated(self) -> None:
        self._join()
        self._complete_handshake()

    @abstractmethod
    def _join(self) -> None:
        """Say ``connect`` or ``ready``; the server gives back the conversations that we may have had."""

    def _handle_event(self, frame: SupportFrame) -> None:
        """Everything that is neither handshake nor answer."""
        self._received.put(frame)

    def _answer(self, id: str, frame: SupportFrame) -> bool:
        return self._resolve(id, MessageRefused(frame.message) if frame.type == "error" else frame)

    def _frame(self, id: str, type: str, payload: Any = None, to: str | None = None) -> dict[str, Any]:
        """A frame as the seed has it: no key without a value."""
        frame = {"id": id, "to": to, "type": type, "payload": payload}
        return {key: value for key, value in frame.items() if value is not None}


class UserClient(SupportClient):
    """Somebody who wants to talk to a waiter: it asks for one (``connect``) as soon as it is connected.

    After ``disconnected``, or after ``tell("disconnect")``, it does not ask again by itself;
    ``tell("connect")`` does.
    """

    _path = "/v1/ws/user/connect"
    _join_type = "connect"
    _leave_type = "disconnect"
    _join_id = ""
    _conversation: Any = None
    _seen = 0

    async def send(self, text: str, *, id: str | None = None) -> Ack | None:
        """Send ``text`` to the waiter; see `ChatClient.send`. Refused while there is none."""
        return await self._send(text, None, id)

    def _join(self) -> None:
        if not self._is_joined:
            self._start_writing()
            return
        # Messages wait until the server has answered this: before, it would refuse them.
        self._join_id = new_id()
        self._write(self._frame(self._join_id, "connect"))

    def _handle_event(self, frame: SupportFrame) -> None:
        if frame.type in ("connect_success", "connect_queue") or frame.reply_id == self._join_id:
            self._start_writing()
        if frame.type == "disconnected":
            self._is_joined = False
        elif frame.type == "connect_success" and frame.payload_value("conversation") != self._conversation:
            self._conversation = frame.payload_value("conversation")
            self._seen = 0
        elif frame.seq is not None:
            if frame.seq <= self._seen:
                return
            self._seen = frame.seq
        self._received.put(frame)


class WaiterClient(SupportClient):
    """Somebody who talks to users: it is ``ready`` as soon as it is connected."""

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
        self._seen: dict[str, tuple[Any, int]] = {}  # user's address: conversation, last seq

    async def send(self, uuid: str, text: str, *, id: str | None = None) -> Ack | None:
        """Send ``text`` to the user with this address; see `ChatClient.send`."""
        return await self._send(text, uuid, id)

    def _join(self) -> None:
        # Both give our users back; whom `unready` was meant to keep away stays away.
        type = "ready" if self._is_joined else "unready"
        self._write(self._frame(new_id(), type))
        self._start_writing()

    def _handle_event(self, frame: SupportFrame) -> None:
        if frame.type == "new_connection":
            self._start_conversation(str(frame.payload_value("uuid")), frame.payload_value("conversation"))
        elif frame.seq is not None and frame.sender is not None:
            conversation, seen = self._seen.get(frame.sender, (None, 0))
            if frame.seq <= seen:
                return
            self._seen[frame.sender] = conversation, frame.seq
        self._received.put(frame)

    def _start_conversation(self, uuid: str, conversation: Any) -> None:
        if self._seen.get(uuid, (None, 0))[0] != conversation:
            self._seen[uuid] = conversation, 0
        while len(self._seen) > MAX_REMEMBERED_USERS:
            del self._seen[next(iter(self._seen))]
