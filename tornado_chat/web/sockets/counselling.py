"""``/chat``, ``/notify`` and ``/observe`` (counselling seed)."""

from collections.abc import Awaitable, Mapping
from functools import partial

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.errors import ChatError, Forbidden
from tornado_chat.core.types import Action, Identity, Kind, Role, Thread
from tornado_chat.services.counselling.service import Seat
from tornado_chat.web.http.query_params import parameters
from tornado_chat.web.sockets.base import Socket
from tornado_chat.wire import counselling as wire
from tornado_chat.wire import counselling_frames as asked
from tornado_chat.wire.parsing import features

KINDS = {0: Kind.SESSION, 1: Kind.RECORD}


class CounsellingSocket(Socket):
    """What the three have in common: a token in the address, features, errors as system frames."""

    most_faults = 10
    features: frozenset[str] = frozenset()

    async def identify(
        self, query: asked.ChatQuery | asked.NotifyQuery | asked.ObserveQuery, known_features: frozenset[str]
    ) -> Identity:
        self.features = features(query.features, known_features)
        return await self.services.gate.verify(query.token or None)

    def receive(self, data: str | bytes) -> Awaitable[None] | None:
        """What those may send who only listen; ``ChatSocket`` has more."""
        wire.parse_listener(data, self.features)
        self.send(wire.ALIVE)
        return None

    def answer(self, error: ChatError, data: str | bytes) -> None:
        encoder = self.services.frames.chat(self.features)
        self.send(encoder.error(error, now_microseconds(), wire.peek_id(data)))


class ChatSocket(CounsellingSocket):
    """``/chat?token=&sessionId=&type=``: a participant in a session or a record."""

    endpoint = "chat"
    seat: Seat | None = None
    identity: Identity

    def about(self) -> Mapping[str, int]:
        return self.seat.thread.named if self.seat else {}

    async def admit(self) -> None:
        query = parameters(self, asked.ChatQuery)
        self.identity = await self.identify(query, wire.CHAT_FEATURES)
        thread = Thread(KINDS[query.type], query.sessionId)
        outbox = self.open_outbox(self.identity, self.services.frames.chat(self.features))
        self.seat = await self.services.counselling.enter(self.identity, thread, outbox)
        self.admitted = True
        if "history" in self.features:
            await self._send_history(self.seat, wire.GetHistory(None))
        if self.features & {"read", "presence"}:
            encoder = self.services.frames.chat(self.features)
            for event in await self.services.counselling.status(self.seat):
                frame = encoder.encode(event, own=False)
                if frame is not None:
                    self.send(frame)

    def receive(self, data: str | bytes) -> Awaitable[None] | None:
        assert self.seat is not None, "frames are read when the socket has been admitted"
        command = wire.parse_chat(data, self.features)
        if self.tracing:
            self.trace(command, data)
        counselling = self.services.counselling
        if isinstance(command, wire.Say):  # nearly all are
            stored = counselling.say(self.seat, command.msg, command.id)
            acknowledgement = None
            if command.id is not None:
                acknowledgement = partial(self.services.frames.chat(self.features).ack, command.id)
            self.when_stored(stored, data, acknowledgement)
        elif isinstance(command, wire.TypingNow):
            counselling.typing(self.seat, command.typing)
        elif isinstance(command, wire.MarkRead):
            counselling.read(self.seat, command.seq)
        else:
            return self._send_history(self.seat, command)
        return None

    def gone(self, close_code: int | None) -> None:
        if self.seat is not None:
            self.services.counselling.leave(self.seat, close_code)

    async def _send_history(self, seat: Seat, request: wire.GetHistory) -> None:
        page, more = await self.services.counselling.history(seat, request.before, request.limit)
        self.send(self.services.frames.chat(self.features).history(page, more))


class NotifySocket(CounsellingSocket):
    """``/notify?token=``: pop-ups for one person."""

    endpoint = "notify"

    async def admit(self) -> None:
        identity = await self.identify(parameters(self, asked.NotifyQuery), wire.NOTIFY_FEATURES)
        if identity.person.role is Role.SERVICE:
            raise Forbidden("role_not_allowed", role=identity.person.role.value)
        await self.services.gate.allows(identity, Action.NOTIFY)
        outbox = self.open_outbox(identity, self.services.frames.notify(self.features))
        self.admitted = True
        await self.services.notifications.attach(outbox)


class ObserveSocket(CounsellingSocket):
    """``/observe?token=&sessionId=``: a supervisor or an admin listens in."""

    endpoint = "observe"
    observing: tuple[Identity, int] | None = None

    def about(self) -> Mapping[str, int]:
        return Thread(Kind.SESSION, self.observing[1]).named if self.observing else {}

    async def admit(self) -> None:
        query = parameters(self, asked.ObserveQuery)
        identity = await self.identify(query, wire.OBSERVE_FEATURES)
        session_id = query.sessionId
        outbox = self.open_outbox(identity, self.services.frames.observe(self.features))
        room = await self.services.counselling.observe(identity, session_id, outbox, self.opened)
        self.observing = identity, session_id
        self.admitted = True
        if "presence" in self.features:
            present = await self.services.counselling.presence(room)
            frame = self.services.frames.observe(self.features).encode(present, own=False)
            if frame is not None:
                self.send(frame)
        if outbox.closed:  # while we waited
            self.gone(None)

    def gone(self, close_code: int | None) -> None:
        if self.observing is not None:
            self.services.counselling.stop_observing(*self.observing)
            self.observing = None


ROUTES = [
    (r"/chat", ChatSocket),
    (r"/notify", NotifySocket),
    (r"/observe", ObserveSocket),
]
