"""``/v1/ws/user/connect`` and ``/v1/ws/waiter/connect`` (support seed).

Also at ``/v1/ws/connect/user`` and ``/v1/ws/connect/waiter``, which deployed front ends use.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Mapping
from functools import partial

from msgspec import UNSET

from tornado_chat.core.errors import ChatError, Conflict, Forbidden, Malformed, Unauthenticated
from tornado_chat.core.handed_over import SocketState, SupportDetails
from tornado_chat.core.types import (
    ConsentForm,
    Conversation,
    ExpectedWait,
    Handover,
    Identity,
    Kind,
    Person,
    Role,
    Thread,
)
from tornado_chat.services.auth.client_limits import Activity
from tornado_chat.services.messaging.connections import Encoder, SocketGrant, SocketStream
from tornado_chat.services.messaging.consents import require_form
from tornado_chat.services.support.connections import SupportConnection
from tornado_chat.web.sockets.base import SocketHandler
from tornado_chat.wire import support as wire
from tornado_chat.wire import support_frames as frames
from tornado_chat.wire.parsing import parse_language, peek_id

AFTER_CONSENT = (frames.MessageText, frames.MessageImage, frames.TypingNow)
"""The payloads of a user that are refused until the user has accepted the text of its group."""


class SupportHandler(SocketHandler):
    """The socket of a user or a waiter; also the ``SupportView`` of its connection.

    It requires ``auth`` within ``[support] auth_timeout``, executes commands and sends the frames.
    """

    role: Role
    connection: SupportConnection | None = None
    _auth_timer: asyncio.TimerHandle | None = None

    @property
    def is_plain(self) -> bool:
        return not (self.admitted and self.frames.features)

    async def admit(self) -> None:
        self.frames = self._make_frames(str(uuid.uuid4()))
        self._auth_timer = self._loop.call_later(
            self.services.support_settings.auth_timeout, self.refuse, Unauthenticated("auth_timeout")
        )
        self.send(self.frames.initialize())

    def _make_frames(self, address: str) -> wire.SupportEncoder:
        return wire.SupportEncoder(
            address,
            self.role,
            self.services.language,
            self.services.times,
            self.services.participant_names.name_of,
        )

    # --- the hand-over to another process ---

    @property
    def asked_features(self) -> frozenset[str]:
        return self.frames.features

    def describe(self, grant: SocketGrant) -> tuple[Identity, SupportDetails] | None:
        connection = self.connection
        if connection is None or connection.departures or connection.consent_form is not None:
            return None
        return connection.identity, self.services.local_conversations.describe(connection)

    def make_encoder(self, state: SocketState) -> Encoder:
        assert isinstance(state.details, SupportDetails)
        self.frames = self._make_frames(state.details.address)
        self.frames.features = frozenset(state.features)
        self.frames.language = self.language or self.services.language
        for number, peer in state.details.shown.items():
            self.frames.set_peer(Thread(Kind.SUPPORT, number), peer)
        return self.frames

    async def continue_from(self, state: SocketState, socket_stream: SocketStream) -> None:
        details = state.details
        assert isinstance(details, SupportDetails)
        self.connection = SupportConnection(
            state.grant.identity,
            socket_stream,
            self,
            self.frames.address,
            self.frames.features,
            self.frames.language,
        )
        self.connection.shown.update(details.shown)
        self.connection.positions.update(state.stream.positions)
        await self.services.local_conversations.sign_in(self.connection)
        if not details.is_connected:
            return
        if self.role is Role.USER:
            await self.services.local_conversations.continue_user(self.connection, details)
        else:
            await self.services.local_conversations.continue_waiter(self.connection, ready=details.is_ready)

    def receive(self, data: str | bytes) -> Awaitable[None] | None:
        command = wire.parse_command(data, self.role)
        payload = command.payload
        if self.tracing:
            self.trace(payload, data)
        if isinstance(payload, frames.Auth):
            return self._authenticate(command, payload)
        if self.connection is None:
            raise Conflict("auth_first")
        if self.connection.consent_form is not None and isinstance(payload, AFTER_CONSENT):
            return self._receive_after_consent(self.connection, command, data)
        if isinstance(payload, frames.MessageText):
            self._post_message(self.connection, command, payload.message, "text", data)
            return None
        if isinstance(payload, frames.MessageImage):
            self._post_message(self.connection, command, payload.url, "image", data)
            return None
        return self.run_command(self.connection, command)

    async def run_command(self, connection: SupportConnection, command: wire.Command) -> None:
        """Execute a command other than ``auth`` and messages."""
        support, payload = self.services.support, command.payload
        match payload:
            case frames.Connect():
                if not await self._attach_user(connection, command, payload):
                    self.send(self.frames.nothing_to_resume(command.id))
            case frames.AnswerConsent():
                await self._answer_consent(connection, command, payload)
            case frames.Ready():
                await self.services.local_conversations.attach_waiter(connection, ready=True)
                if "offer" in connection.features:
                    await self.services.offer_notices.catch_up(connection.socket_stream)
                self._acknowledge_ready(command, ready=True)
            case frames.Unready():
                await self.services.local_conversations.attach_waiter(connection, ready=False)
                self._acknowledge_ready(command, ready=False)
            case frames.Disconnect():
                withdraws = payload.withdraw and "early" in connection.features
                await support.disconnect(connection, command.to, withdraws=withdraws)
            case frames.DisconnectUser():
                await support.disconnect(connection, command.to or payload.uuid)
            case frames.TypingNow():
                support.typing(connection, command.to, payload.typing)
            case frames.MarkRead():
                support.mark_read(connection, command.to, payload.seq)
            case frames.GetHistory():
                found = await support.history(
                    connection, command.to, payload.before, payload.limit, self.max_page_bytes
                )
                page = found.page
                self.send(
                    self.frames.history(
                        found.conversation,
                        page.items,
                        page.has_more,
                        command.id,
                        found.names,
                        found.handovers,
                    )
                )
            case frames.Transfer():
                await self._transfer(connection, command.to, payload)
                self.send(self.frames.success("transfer_success", frames.Transferred(), command.id))
            case frames.Accept():
                await support.accept(connection, command.to)
                if "accept" in connection.features:
                    self.send(self.frames.success("accept_success", frames.Accepted(), command.id))
            case frames.AcceptOffer():
                offers = self.services.offers
                await offers.accept(connection.identity, await offers.find(int(payload.offer)))
            case frames.DeclineOffer():
                offers = self.services.offers
                await offers.decline(connection.identity, await offers.find(int(payload.offer)))
            case frames.Rate():
                await support.rate(connection, payload.rate, payload.feedback)
                self.send(self.frames.success("rate_success", frames.Rated(payload.rate), command.id))

    @property
    def is_engaged(self) -> bool:
        return self.connection is not None and self.connection.is_engaged

    def reply_error(self, error: ChatError, data: str | bytes) -> None:
        self.send(self.frames.error(error, peek_id(data)))

    def on_disconnected(self, close_code: int | None) -> None:
        self._cancel_auth_timer()
        if self.connection is not None:
            self.services.local_conversations.detach(self.connection, has_left=self.has_left)

    def is_served_here(self, identity: Identity) -> bool:
        """Return True if the endpoint is for this person."""
        return identity.person.role is self.role

    # --- SupportView ---

    def show_agent(self, conversation: Conversation) -> None:
        assert conversation.waiter_uuid is not None
        self.frames.set_peer(conversation.thread, conversation.waiter_uuid)
        self._show(self.frames.connect_success(conversation))

    def show_user(self, conversation: Conversation) -> None:
        self.frames.set_peer(conversation.thread, conversation.user_uuid)
        timeout = self.services.support_settings.accept_timeout
        self._show(self.frames.new_connection(conversation, timeout))

    def show_position(
        self,
        conversation: Conversation,
        position: int,
        serving: int | None,
        expected: ExpectedWait | None = None,
    ) -> None:
        early = self.services.first_words.offer(conversation)
        self._show(
            self.frames.connect_queue(
                position, conversation=conversation, serving=serving, expected=expected, early=early
            )
        )

    def show_handover(self, handover: Handover) -> None:
        text = self.frames.handed_over(handover)
        if text is not None:
            self._show(text)

    def show_departure(self, thread: Thread, reason: str | None = None) -> None:
        self._show(self.frames.disconnected(thread, reason))

    def show_pause(self) -> None:
        self._show(self.frames.paused())

    def show_replacement(self) -> None:
        self._show(self.frames.kickout())

    def _show(self, text: bytes) -> None:
        if self.socket_stream is not None:
            self.socket_stream.send(text)

    # --- inside ---

    def _cancel_auth_timer(self) -> None:
        if self._auth_timer is not None:
            self._auth_timer.cancel()
            self._auth_timer = None

    async def _authenticate(self, command: wire.Command, auth: frames.Auth) -> None:
        token = "" if auth.token is UNSET else auth.token
        if auth.token is UNSET and not self.services.access_control.asks_for_requests:
            raise Malformed("bad_shape", reason="Object missing required field `token`")
        if self.connection is not None:
            self.connection.identity = await self.renew_token(token)
            self._send_auth_success(self.connection.identity, command)
            return
        self.language = parse_language(auth.language)
        self.frames.language = self.language or self.services.language
        try:
            grant = await self.authenticate_token(token)
            if self.is_closing:  # the check took longer than ``auth_timeout``, or than the connection lasted
                return
            identity = grant.identity
            if not self.is_served_here(identity):
                raise Forbidden("role_not_allowed", role=identity.person.role.value)
            self.frames.features = wire.FEATURES.intersection(auth.features)
            socket_stream = self.open_stream(grant, self.frames)
        except ChatError as error:
            self.send(self.frames.error(error, command.id))
            self.refuse(error)
            return
        self._cancel_auth_timer()
        self.admitted = True
        self.connection = SupportConnection(
            identity,
            socket_stream,
            self,
            self.frames.address,
            self.frames.features,
            self.frames.language,
        )
        self._send_auth_success(identity, command)
        await self.services.local_conversations.sign_in(self.connection)

    def _attach_user(
        self,
        connection: SupportConnection,
        command: wire.Command,
        connect: frames.Connect,
        accepted: ConsentForm | None = None,
    ) -> Awaitable[bool]:
        limit = partial(
            self.services.client_limits.require, Activity.SESSION, connection.identity, self.client_address
        )
        return self.services.local_conversations.attach_user(
            connection,
            resume=connect.resume,
            before_new=limit,
            group=connect.group,
            accepted=accepted,
            ask_consent=lambda form: self.send(self.frames.consent(form, command.id)),
        )

    async def _answer_consent(
        self, connection: SupportConnection, command: wire.Command, answer: frames.AnswerConsent
    ) -> None:
        """Note that the user accepts or declines; without a conversation, accepting joins the queue."""
        form = require_form(connection.consent_form, answer.version)
        is_connected = connection.user_conversation is not None
        if answer.accept and is_connected:
            await self.services.local_conversations.accept_consent(connection, form)
        elif answer.accept:
            await self._attach_user(connection, command, frames.Connect(group=form.group), form)
        elif is_connected:
            await self.services.support.disconnect(connection, None)
        if not answer.accept:
            connection.consent_form = None
        if connection.consent_form is None:  # else asked: a newer version, or a conversation of another group
            self.send(self.frames.consent_success(form, command.id, is_accepted=answer.accept))

    async def _receive_after_consent(
        self, connection: SupportConnection, command: wire.Command, data: str | bytes
    ) -> None:
        """Handle a frame that has to follow the consent, which the user may have given on another socket."""
        form = connection.consent_form
        if form is not None and await self.services.local_conversations.has_consented(connection):
            self.send(self.frames.consent_success(form))
        match command.payload:
            case frames.MessageText(message=text):
                self._post_message(connection, command, text, "text", data)
            case frames.MessageImage(url=url):
                self._post_message(connection, command, url, "image", data)
            case frames.TypingNow(typing=typing):
                self.services.support.typing(connection, command.to, typing)

    def _send_auth_success(self, identity: Identity, command: wire.Command) -> None:
        person = identity.person
        success = self.frames.auth_success(
            person.id,
            person.role,
            identity.name,
            command.id,
            is_unasked=self.services.support_settings.legacy_auth_success,
        )
        if success is not None:
            self.send(success)

    async def _transfer(
        self, connection: SupportConnection, address: str | None, payload: frames.Transfer
    ) -> None:
        """Transfer a user, or offer it to a waiter that is to be asked first."""
        support, offers = self.services.support, self.services.offers
        if payload.group is not None:
            thread = await support.prepare_handover(connection, address)
            await offers.offer(connection.identity, thread, group=payload.group, note=payload.note)
            return
        if payload.waiter is None:
            raise Malformed("bad_shape", reason="Object missing required field `waiter`")
        target = Person(Role(payload.role), str(payload.waiter))
        thread = await support.prepare_handover(connection, address)
        asked = await support.transfer(connection, thread, target, payload.note)
        if asked is not None:
            await offers.offer(connection.identity, thread, [asked], note=payload.note)

    def _acknowledge_ready(self, command: wire.Command, *, ready: bool) -> None:
        """Send ``ready_success``, if requested: all open conversations were sent before this frame.

        The client then knows that all other conversations have ended.
        """
        if "ready" in self.frames.features:
            self.send(self.frames.success("ready_success", frames.ReadyNoted(ready), command.id))

    def _post_message(
        self, connection: SupportConnection, command: wire.Command, text: str, media: str, data: str | bytes
    ) -> None:
        conversation, stored = self.services.support.send(
            connection, command.to, text, media, command.client_id
        )
        acknowledgement = None
        if "ack" in connection.features:
            acknowledgement = partial(self.frames.message_success, conversation.id, command.id)
        self.acknowledge_when_stored(stored, data, acknowledgement)


class UserHandler(SupportHandler):
    """``/v1/ws/user/connect``: the socket of a user."""

    endpoint = "user"
    role = Role.USER

    def conversation_fields(self) -> Mapping[str, int]:
        if self.connection is None or self.connection.user_conversation is None:
            return {}
        conversation = self.connection.user_conversation.conversation
        return {} if conversation is None else conversation.thread.named


class WaiterHandler(SupportHandler):
    """``/v1/ws/waiter/connect``: the socket of a waiter, or of a consultant who serves a group."""

    endpoint = "waiter"
    role = Role.WAITER

    def is_served_here(self, identity: Identity) -> bool:
        return super().is_served_here(identity) or self.services.groups.has_agent(identity)


ROUTES = [
    (r"/v1/ws/user/connect", UserHandler),
    (r"/v1/ws/waiter/connect", WaiterHandler),
    (r"/v1/ws/connect/user", UserHandler),
    (r"/v1/ws/connect/waiter", WaiterHandler),
]
