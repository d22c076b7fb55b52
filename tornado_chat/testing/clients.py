"""The clients of a test: those of ``tornado_chat.client`` with functions that wait, and the HTTP API."""

import contextlib
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, TypeVar

from tornado_chat.client import (
    Ack,
    ChatClient,
    ChatFrame,
    ConnectionClosed,
    NotifyFrame,
    ObserveFrame,
    ReconnectingClient,
    SupportClient,
    SupportFrame,
    UserClient,
    WaiterClient,
)
from tornado_chat.testing.http_request import request
from tornado_chat.testing.server_thread import ServerThread

__tracebackhide__ = True  # pytest shows the line of the test instead

F = TypeVar("F")
C = TypeVar("C", bound=ReconnectingClient[Any])
S = TypeVar("S", bound=SupportClient)


class Client(Generic[C, F]):
    """An open socket of a person. Each wait ends with an error of a plugin, or after half a minute.

    A client that the server refuses is closed; ``wait_closed`` says why.

    :ivar client: the client of ``tornado_chat.client``, for what is not here: use it by ``ChatServer.run``.
    """

    def __init__(self, thread: ServerThread, make: Callable[[], C], title: str) -> None:
        """:arg make: makes the client; called in the thread.
        :arg title: of the person, for errors.
        """
        self._thread = thread
        self._title = title
        self.client = thread.call(self._connect(make), f"{title} cannot connect")

    async def _connect(self, make: Callable[[], C]) -> C:
        client = make()
        # Whether a refusal arrives during or after this call is chance, so it never raises here.
        with contextlib.suppress(ConnectionClosed):
            await client.connect()
        return client

    def _receive(self, matching: Callable[[Any], bool] | None, what: str) -> Any:
        try:
            return self._call(self.client.receive(matching=matching), f"{self._title} has received no {what}")
        except TimeoutError as error:
            error.add_note(f"other frames: {[frame.raw for frame in self._thread.call(self._take_unread())]}")
            raise

    def _call(self, coroutine: Coroutine[Any, Any, Any], what: str) -> Any:
        return self._thread.call(coroutine, what)

    def unread(self) -> list[F]:
        """Return the frames that have arrived and were not returned by another method; does not wait.

        After ``ChatServer.settle`` these are all frames that will arrive without another cause.
        """
        return list(self._thread.call(self._take_unread()))

    async def _take_unread(self) -> list[Any]:
        frames = []
        while True:
            try:
                frames.append(await self.client.receive(timeout=0))
            except (TimeoutError, ConnectionClosed):
                return frames

    def wait_closed(self) -> ConnectionClosed:
        """Wait until the server has closed the socket for good, and return the ``code`` and ``reason``."""
        closed: ConnectionClosed = self._call(self.client.wait_closed(), f"{self._title} was not closed")
        return closed

    def close(self, code: int = 1000) -> None:
        """Close the socket with this code: 4000 ends a session."""
        self._call(self.client.close(code), f"{self._title} could not be closed")


class Chat(Client[ChatClient, ChatFrame]):
    """A participant of a session or of a supervision record."""

    def send(self, text: str, *, id: str | None = None) -> Ack | None:
        """Send a message, and return its acknowledgement: the message is stored.

        :raises MessageRefused: a filter, or the server, refused the message.
        """
        ack: Ack | None = self._call(self.client.send(text, id=id), f"{self._title} got no acknowledgement")
        return ack

    def receive(self) -> ChatFrame:
        """Return the next message of another participant; texts of the server are left."""
        frame: ChatFrame = self._receive(lambda frame: not frame.system, "message")
        return frame

    def receive_system(self) -> ChatFrame:
        """Return the next text of the server."""
        frame: ChatFrame = self._receive(lambda frame: frame.system, "text of the server")
        return frame


class Notified(Client[ReconnectingClient[NotifyFrame], NotifyFrame]):
    """A person with an open ``/notify``."""

    def receive(self) -> NotifyFrame:
        """Return the next notification."""
        frame: NotifyFrame = self._receive(None, "notification")
        return frame


class Observer(Client[ReconnectingClient[ObserveFrame], ObserveFrame]):
    """A supervisor who observes a session."""

    def receive(self) -> ObserveFrame:
        """Return the next message of the session, or its end."""
        frame: ObserveFrame = self._receive(None, "message")
        return frame


class Support(Client[S, SupportFrame]):
    """A person with a socket of the support dialect."""

    def receive(self, type: str = "message_text") -> SupportFrame:
        """Return the next frame of this type; other frames are left."""
        frame: SupportFrame = self._receive(lambda frame: frame.type == type, f'frame of type "{type}"')
        return frame

    def request(self, type: str, payload: Any = None, *, to: str | None = None) -> SupportFrame:
        """Send a frame, and return its answer. :raises MessageRefused: the answer is an ``error``."""
        asked = self.client.request(type, payload, to=to)
        answer: SupportFrame = self._call(asked, f'{self._title} got no answer to "{type}"')
        return answer

    def send_frame(self, type: str, payload: Any = None, *, to: str | None = None) -> None:
        """Send a frame that has no answer, for example ``disconnect``."""
        self._call(self.client.send_frame(type, payload, to=to), f'{self._title} could not send "{type}"')

    @property
    def uuid(self) -> str:
        """The address of this client on the wire."""
        return self.client.uuid or ""


class User(Support[UserClient]):
    """A support user, who waits for a waiter from the begin."""

    def send(self, text: str, *, id: str | None = None) -> Ack | None:
        """Send a message to the waiter; see ``Chat.send``."""
        ack: Ack | None = self._call(self.client.send(text, id=id), f"{self._title} got no acknowledgement")
        return ack


class Waiter(Support[WaiterClient]):
    """A waiter, who is ready from the begin."""

    def send(self, uuid: str, text: str, *, id: str | None = None) -> Ack | None:
        """Send a message to the user with this address; see ``Chat.send``."""
        sent = self.client.send(uuid, text, id=id)
        ack: Ack | None = self._call(sent, f"{self._title} got no acknowledgement")
        return ack


class Answer:
    """An answer of the HTTP API.

    :ivar status: the HTTP status.
    :ivar text: the body.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.text = body.decode(errors="replace")

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.text)

    def __repr__(self) -> str:
        return f"<Answer {self.status} {self.text[:500]}>"


class Api:
    """The HTTP API and the pages of the server, for the person of one token.

    Paths begin with a slash: ``/api/v1/sessions``. Bodies are JSON values. Errors are answers, too.
    """

    def __init__(self, thread: ServerThread, url: str, token: str | None) -> None:
        self._thread = thread
        self._url = url
        self.token = token

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, None, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.request("POST", path, body, **headers)

    def delete(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.request("DELETE", path, body, **headers)

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        asked = request(self._url + path, method, self.token, body, headers)
        answer = self._thread.call(asked, f"no answer to {method} {path}")
        return Answer(answer.code, dict(answer.headers.get_all()), answer.body)
