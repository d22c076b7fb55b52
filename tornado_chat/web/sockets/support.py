"""``/v1/ws/user/connect`` and ``/v1/ws/waiter/connect`` (support seed)."""

import asyncio
import uuid
from collections.abc import Awaitable, Mapping
from functools import partial

from tornado_chat.core.errors import ChatError, Conflict, Forbidden, Unauthenticated
from tornado_chat.core.types import Role
from tornado_chat.services.support.sockets import Seat
from tornado_chat.web.sockets.base import Socket
from tornado_chat.wire import support as wire
from tornado_chat.wire import support_frames as asked


class SupportSocket(Socket):
    """What the two have in common: ``initialize``, authentication in time, talking."""

    role: Role
    seat: Seat | None = None

    async def admit(self) -> None:
        self.frames = wire.SupportFrames(
            str(uuid.uuid4()), self.role, self.services.language, self.services.times
        )
        self._patience: asyncio.TimerHandle | None = self._loop.call_later(
            self.services.support_settings.auth_timeout, self.refuse, Unauthenticated("auth_timeout")
        )
        self.send(self.frames.initialize())

    def receive(self, data: str | bytes) -> Awaitable[None] | None:
        command = wire.parse_command(data, self.role)
        payload = command.payload
        if self.tracing:
            self.trace(payload, data)
        if isinstance(payload, asked.Auth):
            return self._authenticate(command, payload)
        if self.seat is None:
            raise Conflict("auth_first")
        if isinstance(payload, asked.MessageText):
            self._say(self.seat, command, payload.message, "text", data)
            return None
        if isinstance(payload, asked.MessageImage):
            self._say(self.seat, command, payload.url, "image", data)
            return None
        return self.act(self.seat, command)

    async def act(self, seat: Seat, command: wire.Command) -> None:
        """Do what only one side, or only a few, ask for."""
        support, payload = self.services.support, command.payload
        match payload:
            case asked.Connect():
                if not await support.connect(seat, resume=payload.resume):
                    self.send(self.frames.nothing_to_resume(command.id))
            case asked.Ready():
                await support.ready(seat)
                self._told_ready(command, ready=True)
            case asked.Unready():
                await support.ready(seat, ready=False)
                self._told_ready(command, ready=False)
            case asked.Disconnect():
                await support.disconnect(seat, command.to)
            case asked.TypingNow():
                support.typing(seat, command.to, payload.typing)
            case asked.MarkRead():
                support.read(seat, command.to, payload.seq)
            case asked.GetHistory():
                page = await support.history(seat, command.to, payload.before, payload.limit)
                self.send(self.frames.history(*page, command.id))
            case asked.Transfer():
                await support.transfer(seat, command.to, str(payload.waiter))
                self.send(self.frames.success("transfer_success", asked.Transferred(), command.id))
            case asked.Rate():
                await support.rate(seat, payload.rate, payload.feedback)
                self.send(self.frames.success("rate_success", asked.Rated(payload.rate), command.id))

    def answer(self, error: ChatError, data: str | bytes) -> None:
        self.send(self.frames.error(error, wire.peek_id(data)))

    def gone(self, close_code: int | None) -> None:
        self._stop_waiting()
        if self.seat is not None:
            self.services.support.leave(self.seat)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    async def _authenticate(self, command: wire.Command, auth: asked.Auth) -> None:
        if self.seat is not None:
            raise Conflict("auth_already")
        try:
            identity = await self.services.gate.verify(auth.token)
            if identity.person.role is not self.role:
                raise Forbidden("role_not_allowed", role=identity.person.role.value)
            self.frames.features = wire.FEATURES.intersection(auth.features)
            outbox = self.open_outbox(identity, self.frames)
        except ChatError as error:
            self.send(self.frames.error(error, command.id))
            self.refuse(error)
            return
        self._stop_waiting()
        self.admitted = True
        self.seat = Seat(identity, outbox, self.frames)
        person = identity.person
        success = self.frames.auth_success(person.id, person.role, identity.name, command.id)
        if success is not None:
            self.send(success)
        self.services.support.sign_in(self.seat)

    def _told_ready(self, command: wire.Command, *, ready: bool) -> None:
        """After this a page knows that the conversations which it has not been given (again) are over."""
        if "ready" in self.frames.features:
            self.send(self.frames.success("ready_success", asked.ReadyNoted(ready), command.id))

    def _say(self, seat: Seat, command: wire.Command, text: str, media: str, data: str | bytes) -> None:
        conversation, stored = self.services.support.say(seat, command.to, text, media, command.client_id)
        acknowledgement = None
        if "ack" in seat.frames.features:
            acknowledgement = partial(self.frames.message_success, conversation.id, command.id)
        self.when_stored(stored, data, acknowledgement)


class UserSocket(SupportSocket):
    """A user who wants a waiter."""

    endpoint = "user"
    role = Role.USER

    def about(self) -> Mapping[str, int]:
        talk = self.seat.talk if self.seat else None
        return talk.conversation.thread.named if talk and talk.conversation else {}


class WaiterSocket(SupportSocket):
    """A waiter at work."""

    endpoint = "waiter"
    role = Role.WAITER


ROUTES = [
    (r"/v1/ws/user/connect", UserSocket),
    (r"/v1/ws/waiter/connect", WaiterSocket),
]
