"""``/api/v1/sessions/{id}/handover`` and ``/api/v1/support/conversations/{id}/handover``."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.errors import Conflict, Forbidden, Malformed, NotFound
from tornado_chat.core.events import OfferChanged
from tornado_chat.core.numbers import NUMBER_PATTERN
from tornado_chat.core.types import Candidate, Identity, Kind, Offer, Person, Role, Thread
from tornado_chat.services.handover.notices import shown_to
from tornado_chat.web.api.base import ApiHandler
from tornado_chat.web.api.operations import ApiResponse, operation
from tornado_chat.web.api.schemas import Name
from tornado_chat.wire.counselling_frames import PersonId
from tornado_chat.wire.offers import OfferDetails, offer_details

OFFERERS = "The agent, supervisors that have joined, and the roles `service` and `admin`."
READERS = "The agent, the people that the offer names, and the roles `service` and `admin`."
TARGETS = "The person to whom it is offered now."
NO_HANDOVER, NO_OFFER = NotFound("no_handover"), Conflict("no_offer")
NO_AGENT = NotFound("no_such_waiter", id="8")
NOT_YOURS = Forbidden("not_your_session")
ENDED, OPEN = Conflict("session_finished"), Conflict("handover_open")


class OfferTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person that may take over."""

    role: Annotated[
        Literal["consultant", "supervisor", "waiter"], Meta(description="The role of the person.")
    ]
    id: Annotated[PersonId, Meta(description="The id of the person, as in its tokens.", examples=[8])]
    name: Annotated[Name | None, Meta(description="The name of the person, as others see it.")] = None


class OfferCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to offer a conversation: people, one after the other, or a group."""

    to: Annotated[
        list[OfferTarget],
        Meta(
            max_length=20,
            description="The people, in the order in which they are asked.",
            examples=[[{"role": "consultant", "id": 8}]],
        ),
    ] = []
    group: Annotated[
        str | None,
        Meta(description="Support: return the user to the head of the line of this group."),
    ] = None
    note: (
        Annotated[
            str,
            Meta(max_length=4000, description="For the next agent only.", examples=["speaks Hakka"]),
        ]
        | None
    ) = None
    timeout: (
        Annotated[
            float,
            Meta(
                ge=1,
                le=86400,
                description="Seconds that each person may take; null: `[server] offer_timeout`.",
                examples=[60],
            ),
        ]
        | None
    ) = None


_create_decoder = msgspec.json.Decoder(OfferCreate)


class HandoverHandler(ApiHandler):
    """Base class of the handlers of both kinds of conversations."""

    kind: ClassVar[Kind]

    def thread(self, number: str) -> Thread:
        return Thread(self.kind, self.path_number(number))

    def answer(self, identity: Identity, change: OfferChanged, status: HTTPStatus = HTTPStatus.OK) -> None:
        shown = offer_details(shown_to(change, identity.person), now_microseconds(), self.services.times)
        self.respond(shown, status)

    async def create(self, number: str) -> None:
        identity = await self.authenticate()
        body = self.body(_create_decoder)
        candidates = [Candidate(Person(Role(each.role), str(each.id)), each.name) for each in body.to]
        made = await self.services.offers.offer(
            *(identity, self.thread(number), candidates),
            group=body.group,
            note=body.note,
            timeout=body.timeout,
        )
        self.answer(identity, made, HTTPStatus.CREATED)

    async def show(self, number: str) -> None:
        identity = await self.authenticate()
        self.answer(identity, await self.services.offers.current(identity, self.thread(number)))

    async def reply(self, number: str, act: Callable[[Identity, Offer], Awaitable[object]]) -> None:
        """Accept or decline the last offer of the conversation."""
        identity = await self.authenticate()
        offers, thread = self.services.offers, self.thread(number)
        await act(identity, await offers.latest(thread))
        self.answer(identity, await offers.current_for_target(thread))

    async def withdraw(self, number: str) -> None:
        identity = await self.authenticate()
        self.answer(identity, await self.services.offers.withdraw(identity, self.thread(number)))


_OFFERED = [ApiResponse(HTTPStatus.CREATED, OfferDetails)]
_SHOWN = [ApiResponse(HTTPStatus.OK, OfferDetails)]


class SessionHandoverHandler(HandoverHandler):
    kind = Kind.SESSION

    @operation(
        "offer_session",
        "Offer a session to another agent",
        access=OFFERERS,
        body=OfferCreate,
        responses=_OFFERED,
        errors=[
            NOT_YOURS,
            NotFound("no_such_session", id=4),
            ENDED,
            OPEN,
            Malformed("no_target"),
        ],
    )
    async def post(self, session_id: str) -> None:
        """The people are asked one after the other. The agent keeps the conversation until one of them
        accepts, and is told the outcome. Consultants are notified of sessions (type 2): entering ``/chat``
        accepts.
        """
        await self.create(session_id)

    @operation(
        "get_session_offer",
        "The last offer of a session",
        access=READERS,
        responses=_SHOWN,
        errors=[NOT_YOURS, NO_HANDOVER],
    )
    async def get(self, session_id: str) -> None:
        await self.show(session_id)


class SessionAcceptHandler(HandoverHandler):
    kind = Kind.SESSION

    @operation(
        "accept_session_offer",
        "Accept the offer of a session",
        access=TARGETS,
        responses=_SHOWN,
        errors=[NO_HANDOVER, NO_OFFER],
    )
    async def post(self, session_id: str) -> None:
        """The caller is the agent from then on. Accepting again has no effect."""
        await self.reply(session_id, self.services.offers.accept)


class SessionDeclineHandler(HandoverHandler):
    kind = Kind.SESSION

    @operation(
        "decline_session_offer",
        "Decline the offer of a session",
        access=TARGETS,
        responses=_SHOWN,
        errors=[NO_HANDOVER, NO_OFFER],
    )
    async def post(self, session_id: str) -> None:
        """It is offered to the next person that the offer names."""
        await self.reply(session_id, self.services.offers.decline)


class SessionWithdrawHandler(HandoverHandler):
    kind = Kind.SESSION

    @operation(
        "withdraw_session_offer",
        "Withdraw the offer of a session",
        access=OFFERERS,
        responses=_SHOWN,
        errors=[NOT_YOURS, NO_HANDOVER, NO_OFFER],
    )
    async def post(self, session_id: str) -> None:
        await self.withdraw(session_id)


class ConversationHandoverHandler(HandoverHandler):
    kind = Kind.SUPPORT

    @operation(
        "offer_conversation",
        "Offer a support conversation to another agent",
        access=OFFERERS,
        body=OfferCreate,
        responses=_OFFERED,
        errors=[
            NOT_YOURS,
            NotFound("no_such_conversation", id=4),
            NotFound("no_such_group", group="crisis"),
            Conflict("no_conversation"),
            ENDED,
            OPEN,
            Malformed("no_target"),
        ],
    )
    async def post(self, conversation_id: str) -> None:
        """The people are asked one after the other. The agent keeps the conversation until one of them
        accepts, and is told the outcome. Consultants are notified of sessions (type 2): entering ``/chat``
        accepts.
        """
        await self.create(conversation_id)

    @operation(
        "get_conversation_offer",
        "The last offer of a support conversation",
        access=READERS,
        responses=_SHOWN,
        errors=[NOT_YOURS, NO_HANDOVER],
    )
    async def get(self, conversation_id: str) -> None:
        await self.show(conversation_id)


class ConversationAcceptHandler(HandoverHandler):
    kind = Kind.SUPPORT

    @operation(
        "accept_conversation_offer",
        "Accept the offer of a support conversation",
        access=TARGETS,
        responses=_SHOWN,
        errors=[NO_HANDOVER, NO_OFFER, NO_AGENT],
    )
    async def post(self, conversation_id: str) -> None:
        """The caller is the agent from then on. Accepting again has no effect."""
        await self.reply(conversation_id, self.services.offers.accept)


class ConversationDeclineHandler(HandoverHandler):
    kind = Kind.SUPPORT

    @operation(
        "decline_conversation_offer",
        "Decline the offer of a support conversation",
        access=TARGETS,
        responses=_SHOWN,
        errors=[NO_HANDOVER, NO_OFFER],
    )
    async def post(self, conversation_id: str) -> None:
        """It is offered to the next person that the offer names."""
        await self.reply(conversation_id, self.services.offers.decline)


class ConversationWithdrawHandler(HandoverHandler):
    kind = Kind.SUPPORT

    @operation(
        "withdraw_conversation_offer",
        "Withdraw the offer of a support conversation",
        access=OFFERERS,
        responses=_SHOWN,
        errors=[NOT_YOURS, NO_HANDOVER, NO_OFFER],
    )
    async def post(self, conversation_id: str) -> None:
        await self.withdraw(conversation_id)


_SESSION = rf"/api/v1/sessions/{NUMBER_PATTERN}/handover"
_CONVERSATION = rf"/api/v1/support/conversations/{NUMBER_PATTERN}/handover"
ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
    (_SESSION, SessionHandoverHandler, {}),
    (rf"{_SESSION}/accept", SessionAcceptHandler, {}),
    (rf"{_SESSION}/decline", SessionDeclineHandler, {}),
    (rf"{_SESSION}/withdraw", SessionWithdrawHandler, {}),
    (_CONVERSATION, ConversationHandoverHandler, {}),
    (rf"{_CONVERSATION}/accept", ConversationAcceptHandler, {}),
    (rf"{_CONVERSATION}/decline", ConversationDeclineHandler, {}),
    (rf"{_CONVERSATION}/withdraw", ConversationWithdrawHandler, {}),
]
