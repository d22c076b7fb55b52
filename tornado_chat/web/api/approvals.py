"""``/api/v1/approvals``: messages of trainees that wait for a supervisor."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tornado_chat.core.errors import Conflict, Forbidden, Malformed, NotFound
from tornado_chat.core.numbers import NUMBER_PATTERN, Cursor
from tornado_chat.core.types import HeldMessage, Role
from tornado_chat.web.api.base import ApiHandler
from tornado_chat.web.api.operations import ApiResponse, operation
from tornado_chat.web.api.schemas import MAX_PAGE_ITEMS, Next
from tornado_chat.web.http.query_params import query_parameters
from tornado_chat.wire.approval_frames import HeldShown, Note, held_shown

SUPERVISING_ROLES = (Role.SUPERVISOR, Role.ADMIN)


class ApprovalQuery(msgspec.Struct, frozen=True):
    group: Annotated[str, Meta(description="Only messages of this group.", examples=["default"])] | None = (
        None
    )
    state: Annotated[
        Literal["held", "decided"],
        Meta(description="`held`: those that wait, oldest first. `decided`: the others, newest first."),
    ] = "held"
    after: Annotated[Cursor, Meta(description="The `next` of the page before.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_ITEMS)] = 100


class Approve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: (
        Annotated[str, Meta(description="The text to send instead; leave out to send the message as it is.")]
        | None
    ) = None


class Refuse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    note: Note | None = None


class ApprovalPage(msgspec.Struct, frozen=True):
    items: Annotated[list[HeldShown], Meta(description="Held messages that the caller may decide on.")]
    next: Next


DECISION_ERRORS = (
    Forbidden("not_your_session"),
    Forbidden("not_your_conversation"),
    NotFound("no_such_held_message", id=12),
    Conflict("already_decided", by="supervisor:3", state="approved"),
)

_approve_decoder = msgspec.json.Decoder(Approve)
_refuse_decoder = msgspec.json.Decoder(Refuse)


class ApprovalHandler(ApiHandler):
    """Base class of the handlers of held messages."""

    async def serialize(self, held: HeldMessage) -> HeldShown:
        return held_shown(held, self.services.times, await self.services.approvals.name_of_sender(held))


class ApprovalsHandler(ApprovalHandler):
    @operation(
        "list_approvals",
        "List messages that wait for an approval",
        access=SUPERVISING_ROLES,
        query=ApprovalQuery,
        responses=[ApiResponse(HTTPStatus.OK, ApprovalPage)],
    )
    async def get(self) -> None:
        """A supervisor gets the messages of the conversations that it may supervise, an admin all; none
        gets its own. With `state=decided` the answer says who has approved, edited or refused a message.
        """
        identity = await self.authenticate()
        query = query_parameters(self, ApprovalQuery)
        page = await self.services.approvals.page(
            identity,
            decided=query.state == "decided",
            group=query.group,
            after=query.after,
            limit=query.limit,
        )
        items = [await self.serialize(held) for held in page.items]
        self.respond(ApprovalPage(items, page.items[-1].id if page.has_more else None))


class ApproveHandler(ApprovalHandler):
    @operation(
        "approve_message",
        "Send a held message, as it is or edited",
        access=SUPERVISING_ROLES,
        body=Approve,
        responses=[ApiResponse(HTTPStatus.OK, HeldShown)],
        errors=[
            *DECISION_ERRORS,
            Malformed("empty_message"),
            Conflict("earlier_held", id=11),
            Conflict("only_texts_edited"),
        ],
    )
    async def post(self, held_id: str) -> None:
        """The message is the agent's. An edited text passes the filters as a message of the supervisor.

        A request that is repeated by the same person has no effect.
        """
        identity = await self.authenticate()
        body = self.body(_approve_decoder)
        held = await self.services.approvals.approve(identity, self.path_number(held_id), body.text)
        self.respond(await self.serialize(held))


class RefuseHandler(ApprovalHandler):
    @operation(
        "refuse_message",
        "Refuse a held message",
        access=SUPERVISING_ROLES,
        body=Refuse,
        responses=[ApiResponse(HTTPStatus.OK, HeldShown)],
        errors=DECISION_ERRORS,
    )
    async def post(self, held_id: str) -> None:
        """Its sender is told, with the note. A request that is repeated by the same person has no effect."""
        identity = await self.authenticate()
        body = self.body(_refuse_decoder)
        held = await self.services.approvals.refuse(identity, self.path_number(held_id), body.note)
        self.respond(await self.serialize(held))


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
    (r"/api/v1/approvals", ApprovalsHandler, {}),
    (rf"/api/v1/approvals/{NUMBER_PATTERN}/approve", ApproveHandler, {}),
    (rf"/api/v1/approvals/{NUMBER_PATTERN}/refuse", RefuseHandler, {}),
]
