"""``/chat``, ``/notify`` and ``/observe`` (counselling seed)."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.errors import ChatError, Forbidden
from tornado_chat.core.events import Event, HeldChanged
from tornado_chat.core.handed_over import SocketState, ThreadDetails
from tornado_chat.core.types import Action, Grant, Identity, Kind, Part, Role, Thread
from tornado_chat.services.counselling.service import RoomConnection
from tornado_chat.services.messaging.connections import (
    ACCOUNT_SESSION_CLAIM,
    Encoder,
    SocketGrant,
    SocketStream,
)
from tornado_chat.services.messaging.consents import CONSENT_FEATURE, require_form
from tornado_chat.services.supervision.observers import Observation
from tornado_chat.web.http.query_params import query_parameters
from tornado_chat.web.sockets.base import SocketHandler
from tornado_chat.wire import counselling as wire
from tornado_chat.wire import counselling_frames as frames
from tornado_chat.wire.parsing import parse_features, parse_language, peek_id

AFTER_CONSENT = (wire.PostMessage, wire.TypingNow)
"""The commands of a visitor that are refused until the visitor has accepted the text of its group."""

KIND_BY_TYPE = {0: Kind.SESSION, 1: Kind.RECORD}


def followed(state: SocketState) -> tuple[Thread, int]:
    """Return the thread of a socket, and the last ``seq`` that was written to it."""
    assert isinstance(state.details, ThreadDetails)
    thread = state.details.thread
    return thread, dict(state.stream.positions)[thread]


class CounsellingHandler(SocketHandler):
    """Base class of the three endpoints: token and features in the query, errors as system frames."""

    token_in_query = True
    features: frozenset[str] = frozenset()

    @property
    def is_plain(self) -> bool:
        return not self.features

    @property
    def asked_features(self) -> frozenset[str]:
        return self.features

    @property
    def chat_encoder(self) -> wire.ChatEncoder:
        """The encoder of ``/chat`` for this socket; errors on the other endpoints have its form, too."""
        return self.services.frames.chat(self.features, self.language)

    async def authenticate(
        self,
        query: frames.ChatQuery | frames.NotifyQuery | frames.ObserveQuery,
        known_features: frozenset[str],
    ) -> Grant:
        self.language = parse_language(query.language)
        self.features = parse_features(query.features, known_features)
        return await self.authenticate_token(query.token)

    def receive(self, data: str | bytes) -> Awaitable[None] | None:
        """Answer ``alive`` and ``token``, the only frames of listeners; ``ChatHandler`` overrides this."""
        command = wire.parse_listener(data, self.features)
        if isinstance(command, wire.RenewToken):
            return self.accept_token(command.token)
        if command is None:
            self.ignore(data)
        else:
            self.send(wire.ALIVE)
        return None

    async def accept_token(self, token: str) -> None:
        """Use a newer token for this socket, or answer why it is refused."""
        try:
            self.on_renewed(await self.renew_token(token))
        except ChatError as error:
            self.services.metrics.frames_refused.add(self.endpoint, error.code)
            self.send(self.chat_encoder.error(error, now_microseconds(), refused="token"))
        else:
            self.send(wire.TOKEN_ACCEPTED)

    def on_renewed(self, identity: Identity) -> None:
        """Called with the identity of a newer token."""

    def reply_error(self, error: ChatError, data: str | bytes) -> None:
        self.send(self.chat_encoder.error(error, now_microseconds(), peek_id(data)))


class ChatHandler(CounsellingHandler):
    """``/chat?token=&sessionId=&type=``: the socket of a participant in a session or a record."""

    endpoint = "chat"
    max_malformed_frames = 10
    connection: RoomConnection | None = None

    @property
    def is_engaged(self) -> bool:
        return self.connection is not None  # the end of the room closes the socket

    def on_renewed(self, identity: Identity) -> None:
        if self.connection is not None:
            self.connection.identity = identity

    def describe(self, grant: SocketGrant) -> tuple[Identity, ThreadDetails] | None:
        if self.connection is None or self.connection.consent_form is not None:
            return None
        return self.connection.identity, ThreadDetails(self.connection.thread)

    def make_encoder(self, state: SocketState) -> Encoder:
        self.features = frozenset(state.features)
        return self.chat_encoder

    async def continue_from(self, state: SocketState, socket_stream: SocketStream) -> None:
        thread, position = followed(state)
        self.connection = await self.services.counselling.enter(
            state.grant.identity,
            thread,
            socket_stream,
            needs_names=bool(self.features & {"sender", "history"}),
            position=position,
        )
        if "receipt" in self.features:
            await self.services.counselling.watch_receipts(self.connection)

    def conversation_fields(self) -> Mapping[str, int]:
        return self.connection.thread.named if self.connection else {}

    async def admit(self) -> None:
        query = query_parameters(self, frames.ChatQuery)
        grant = await self.authenticate(query, wire.CHAT_FEATURES)
        thread = Thread(KIND_BY_TYPE[query.type], query.sessionId)
        socket_stream = self.open_stream(grant, self.chat_encoder)
        try:
            self.connection = await self.services.counselling.enter(
                grant.identity,
                thread,
                socket_stream,
                needs_names=bool(self.features & {"sender", "history"}),
                can_ask_consent=CONSENT_FEATURE in self.features,
                language=self.language or self.services.language,
            )
        except Forbidden as error:
            if error.code == "consent_required":  # people read it, who may have another client
                self.send(self.chat_encoder.error(error, now_microseconds()))
            raise
        self.admitted = True
        if self.connection.consent_form is not None:
            self.send(wire.consent_asked(self.connection.consent_form))
        if "history" in self.features:
            await self._send_history(self.connection, wire.GetHistory(None))
        events: list[Event] = []
        if self.features & {"read", "presence"}:
            events += await self.services.counselling.initial_events(self.connection)
        if "receipt" in self.features:
            events += await self.services.counselling.watch_receipts(self.connection)
        if "approval" in self.features:
            events += await self.services.approvals.events_for_sender(grant.identity.person, thread)
        encoder = self.chat_encoder
        for event in events:
            frame = encoder.encode(event, own=isinstance(event, HeldChanged))
            if frame is not None:
                self.send(frame)
        if "offer" in self.features:
            await self.services.offer_notices.catch_up(socket_stream)

    def receive(self, data: str | bytes) -> Awaitable[None] | None:
        assert self.connection is not None, "frames are read only after the socket is admitted"
        command = wire.parse_chat(data, self.features)
        if command is None:
            self.ignore(data)
            return None
        if self.tracing:
            self.trace(command, data)
        if self.connection.consent_form is not None and isinstance(command, AFTER_CONSENT):
            return self._receive_after_consent(self.connection, command, data)
        return self._run_command(self.connection, command, data)

    def _run_command(
        self, connection: RoomConnection, command: wire.Command, data: str | bytes
    ) -> Awaitable[None] | None:
        counselling = self.services.counselling
        if isinstance(command, wire.PostMessage):  # first, as most frames are messages
            stored = counselling.send(connection, command.msg, command.id)
            acknowledgement = None
            if command.id is not None:
                acknowledgement = partial(self.chat_encoder.ack, command.id)
            self.acknowledge_when_stored(stored, data, acknowledgement)
        elif isinstance(command, wire.TypingNow):
            counselling.typing(connection, command.typing)
        elif isinstance(command, wire.MarkRead):
            counselling.mark_read(connection, command.seq)
        elif isinstance(command, wire.RenewToken):
            return self.accept_token(command.token)
        elif isinstance(command, wire.AnswerOffer):
            return self._answer_offer(connection, command)
        elif isinstance(command, wire.WaitLonger):
            return self._wait_longer(connection, command.seconds)
        elif isinstance(command, wire.AnswerConsent):
            return self._answer_consent(connection, command)
        else:
            return self._send_history(connection, command)
        return None

    def on_disconnected(self, close_code: int | None) -> None:
        if self.connection is not None:
            self.services.counselling.leave(self.connection, close_code, has_left=self.has_left)

    async def _answer_consent(self, connection: RoomConnection, answer: wire.AnswerConsent) -> None:
        """Note that the visitor accepts or declines; a visitor that declines leaves the room."""
        try:
            form = require_form(connection.consent_form, answer.version)
            if answer.accept:
                await self.services.counselling.accept_consent(connection, form)
        except ChatError as error:
            self.services.metrics.frames_refused.add(self.endpoint, error.code)
            self.send(self.chat_encoder.error(error, now_microseconds(), refused="consent"))
            return
        self.send(wire.consent_noted(form, is_accepted=answer.accept))
        if not answer.accept:
            self.refuse(Forbidden("consent_declined"))

    async def _receive_after_consent(
        self, connection: RoomConnection, command: wire.Command, data: str | bytes
    ) -> None:
        """Handle a frame that has to follow the consent: the visitor may have given it on another socket."""
        form = connection.consent_form
        if form is not None and await self.services.counselling.has_consented(connection):
            self.send(wire.consent_noted(form, is_accepted=True))
        executed = self._run_command(connection, command, data)
        if executed is not None:
            await executed

    async def _wait_longer(self, connection: RoomConnection, seconds: int) -> None:
        """Let the room wait longer. The answer is a frame ``presence``, or the error."""
        try:
            await self.services.counselling.wait_longer(connection, seconds)
        except ChatError as error:
            self.services.metrics.frames_refused.add(self.endpoint, error.code)
            self.send(self.chat_encoder.error(error, now_microseconds(), refused="wait"))

    async def _answer_offer(self, connection: RoomConnection, answer: wire.AnswerOffer) -> None:
        """Accept or decline an offer. The answer is a frame ``offer``, or the error."""
        offers = self.services.offers
        act = offers.accept if answer.accepts else offers.decline
        try:
            await act(connection.identity, await offers.find(answer.offer_id))
        except ChatError as error:
            self.services.metrics.frames_refused.add(self.endpoint, error.code)
            self.send(self.chat_encoder.error(error, now_microseconds(), refused="offer"))

    async def _send_history(self, connection: RoomConnection, request: wire.GetHistory) -> None:
        page = await self.services.counselling.history(
            connection, request.before, request.limit, self.max_page_bytes
        )
        self.send(self.chat_encoder.history(page.items, page.has_more))


class NotifyHandler(CounsellingHandler):
    """``/notify?token=``: a socket that receives the notifications of one person."""

    endpoint = "notify"

    def describe(self, grant: SocketGrant) -> tuple[Identity, ThreadDetails] | None:
        if self.socket_stream is None or len(self.socket_stream.threads) != 1:
            return None
        claims = {} if grant.session is None else {ACCOUNT_SESSION_CLAIM: grant.session}
        identity = Identity(self.socket_stream.person, claims=claims)
        return identity, ThreadDetails(self.socket_stream.threads[0])

    def make_encoder(self, state: SocketState) -> Encoder:
        self.features = frozenset(state.features)
        return self.services.frames.notify(self.features)

    async def continue_from(self, state: SocketState, socket_stream: SocketStream) -> None:
        await self.services.notifications.attach(
            socket_stream, is_plain=self.is_plain, position=followed(state)[1]
        )

    async def admit(self) -> None:
        grant = await self.authenticate(query_parameters(self, frames.NotifyQuery), wire.NOTIFY_FEATURES)
        identity = grant.identity
        if identity.person.role is Role.SERVICE:
            raise Forbidden("role_not_allowed", role=identity.person.role.value)
        await self.services.access_control.is_allowed_by_plugin(identity, Action.NOTIFY)
        socket_stream = self.open_stream(grant, self.services.frames.notify(self.features))
        self.admitted = True
        await self.services.notifications.attach(socket_stream, is_plain=self.is_plain)


class ObserveHandler(CounsellingHandler):
    """``/observe?token=&sessionId=`` or ``&conversationId=``: the socket of a supervisor or an admin."""

    endpoint = "observe"
    observation: Observation | None = None

    def conversation_fields(self) -> Mapping[str, int]:
        return self.observation.thread.named if self.observation else {}

    def describe(self, grant: SocketGrant) -> tuple[Identity, ThreadDetails] | None:
        if self.observation is None:
            return None
        return self.observation.identity, ThreadDetails(self.observation.thread)

    def make_encoder(self, state: SocketState) -> Encoder:
        self.features = frozenset(state.features)
        return self.services.frames.observe(self.features, self.language)

    async def continue_from(self, state: SocketState, socket_stream: SocketStream) -> None:
        thread, position = followed(state)
        self.observation = await self.services.observers.observe(
            state.grant.identity,
            thread,
            socket_stream,
            self.opened_at,
            needs_names="sender" in self.features,
            position=position,
            on_part=self._on_part,
        )

    async def admit(self) -> None:
        query = query_parameters(self, frames.ObserveQuery)
        thread = query.thread
        grant = await self.authenticate(query, wire.OBSERVE_FEATURES)
        encoder = self.services.frames.observe(self.features, self.language)
        socket_stream = self.open_stream(grant, encoder)
        self.observation = await self.services.observers.observe(
            grant.identity,
            thread,
            socket_stream,
            self.opened_at,
            needs_names="sender" in self.features,
            on_part=self._on_part,
        )
        self.admitted = True
        if "presence" in self.features:
            present = await self.services.observers.presence(self.observation)
            frame = encoder.encode(present, own=False)
            if frame is not None:
                self.send(frame)
        if "approve" in self.features:
            for held in await self.services.approvals.events_for_supervisor(thread):
                socket_stream.send_event(held, thread, {})
        if socket_stream.closed:  # the client disconnected during the calls above
            self.on_disconnected(None)

    @property
    def is_engaged(self) -> bool:
        return self.observation is not None and self.observation.part is not None

    def on_renewed(self, identity: Identity) -> None:
        if self.observation is not None:
            self.observation.identity = identity

    def receive(self, data: str | bytes) -> Awaitable[None] | None:
        decision = wire.parse_decision(data, self.features)
        if decision is not None and self.observation is not None:
            return self._decide(self.observation.identity, decision)
        if "speak" not in self.features or wire.parse_listener(data, self.features) is not None:
            return super().receive(data)
        assert self.observation is not None, "frames are read only after the socket is admitted"
        command = wire.parse_chat(data, self.features)
        observers = self.services.observers
        if isinstance(command, wire.PostMessage):
            stored = observers.send(self.observation, command.msg, command.id)
            acknowledgement = None
            if command.id is not None:
                acknowledgement = partial(self.chat_encoder.ack, command.id)
            self.acknowledge_when_stored(stored, data, acknowledgement)
        elif isinstance(command, wire.TypingNow):
            observers.typing(self.observation, command.typing)
        elif isinstance(command, wire.MarkRead):
            observers.mark_read(self.observation, command.seq)
        else:
            self.ignore(data)
        return None

    @property
    def _on_part(self) -> Callable[[Part | None], None] | None:
        """What shows the client its part; None: it does not speak."""
        return self._show_part if "speak" in self.features else None

    def _show_part(self, part: Part | None) -> None:
        if self.socket_stream is not None:
            encoder = self.services.frames.observe(self.features, self.language)
            self.socket_stream.send(encoder.part(part))

    async def _decide(self, identity: Identity, decision: wire.Decide) -> None:
        """Decide on a held message. The answer is its frame `held`, or the error."""
        if decision.is_refused:
            await self.services.approvals.refuse(identity, decision.held, decision.note)
        else:
            await self.services.approvals.approve(identity, decision.held, decision.text)

    def on_disconnected(self, close_code: int | None) -> None:
        if self.observation is not None:
            self.services.observers.stop(self.observation, has_left=self.has_left)
            self.observation = None


ROUTES = [
    (r"/chat", ChatHandler),
    (r"/notify", NotifyHandler),
    (r"/observe", ObserveHandler),
]
