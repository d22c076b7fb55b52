"""The clients of the counselling dialect: ``/chat``, ``/notify`` and ``/observe``."""

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from tornado.httputil import url_concat

from tornado_chat.client.connection import Ack, Connection, Options, Refused, Token, endpoint, new_id

T = TypeVar("T")


class Frame(msgspec.Struct, frozen=True):
    """A frame of ``/chat``.

    :arg system: whether the server says it, and not the other person.
    :arg seq: its place in the session (feature ``seq``).
    :arg id: the sender's id for it (feature ``seq``), or the id of our frame that an error is about.
    :arg raw: the frame as it came.
    """

    msg: str
    raw: dict[str, Any]
    system: bool = msgspec.field(name="isSystem")
    time: str | None = None
    seq: int | None = None
    id: str | None = None


class Notice(msgspec.Struct, frozen=True):
    """A frame of ``/notify``: ``type`` 0 plain, 1 appointment changed, 2 new conversation."""

    type: int
    msg: str
    raw: dict[str, Any]
    time: str | None = None
    data: dict[str, Any] | None = None


class Observed(msgspec.Struct, frozen=True):
    """A frame of ``/observe``: from the visitor (``sender_type`` False), the consultant (True), or the last one (None)."""

    msg: str
    raw: dict[str, Any]
    time: str | None = None
    sender_type: bool | None = msgspec.field(default=None, name="senderType")


class _Counselling(Connection[T]):
    """A connection whose token and parameters are all in the URL."""

    _path = ""

    def __init__(
        self, base_url: str, token: Token, parameters: dict[str, str], options: Options | None
    ) -> None:
        super().__init__(token, options or Options())
        self._endpoint = endpoint(base_url, self._path)
        self._parameters = parameters

    def _url(self) -> str:
        return url_concat(self._endpoint, {"token": self._bearer, **self._parameters})


class ChatClient(_Counselling[Frame]):
    """One participant of a session (``type`` 0) or of a supervision record (``type`` 1).

    With the feature ``ack`` a message is sent until it is acknowledged; with ``seq`` nothing is
    received twice. Without them it is a client of the seed.
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
        self.features = tuple(features)
        parameters = {"sessionId": str(session_id), "type": str(type)}
        if self.features:
            parameters["features"] = ",".join(self.features)
        super().__init__(base_url, token, parameters, options)
        self._seen = 0

    async def send(self, text: str, *, id: str | None = None) -> Ack | None:
        """Send ``text``; raises `Refused` if the server does not take it.

        Returns when it is acknowledged, without the feature ``ack`` when it is written (and
        then None). An ``id`` of your own makes it the same message even for another client
        object: it is stored once.
        """
        answered = "ack" in self.features
        if id is None and answered:
            id = new_id()
        frame = {"msg": text} if id is None else {"msg": text, "id": id}
        ack: Ack | None = await self._submit(id or new_id(), frame, answered=answered)
        return ack

    def _accept(self, frame: dict[str, Any]) -> None:
        if "ack" in frame:
            self._settle(frame["ack"], msgspec.convert(frame, Ack))
            return
        received = msgspec.convert({**frame, "raw": frame}, Frame)
        if received.system and received.id is not None and self._settle(received.id, Refused(received.msg)):
            return
        if received.seq is not None:
            if received.seq <= self._seen:
                return
            self._seen = received.seq
        self._inbox.put(received)


class NotifyClient(_Counselling[Notice]):
    """The pop-up notifications of one person. After a reconnect the last ones may come again."""

    _path = "/notify"

    def __init__(self, base_url: str, token: Token, options: Options | None = None) -> None:
        super().__init__(base_url, token, {}, options)

    def _accept(self, frame: dict[str, Any]) -> None:
        self._inbox.put(msgspec.convert({**frame, "raw": frame}, Notice))


class ObserveClient(_Counselling[Observed]):
    """A supervisor's view of a session. After a reconnect the last messages may come again."""

    _path = "/observe"

    def __init__(
        self, base_url: str, token: Token, session_id: int | str, options: Options | None = None
    ) -> None:
        super().__init__(base_url, token, {"sessionId": str(session_id)}, options)

    def _accept(self, frame: dict[str, Any]) -> None:
        self._inbox.put(msgspec.convert({**frame, "raw": frame}, Observed))
