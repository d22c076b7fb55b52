"""``/api/v1/support/left-messages``: the words of users who gave up before an agent had them."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tornado_chat.core.errors import Forbidden, NotFound
from tornado_chat.core.numbers import NUMBER_PATTERN, Cursor
from tornado_chat.core.types import LeftMessage, Role
from tornado_chat.web.api.base import ApiHandler
from tornado_chat.web.api.ids import Id
from tornado_chat.web.api.operations import ApiResponse, operation
from tornado_chat.web.api.schemas import MAX_PAGE_ITEMS, AnyId, Next
from tornado_chat.web.http.query_params import query_parameters
from tornado_chat.wire.times import LocalTimes, Time

ACCESS = (
    "Agents and supervisors of the group (with `[counselling] observe = any` all supervisors), and the roles "
    "`service` and `admin`."
)
NOT_YOURS = Forbidden("not_your_group", group="crisis")
STATES = {"open": False, "handled": True, "all": None}


class LeftMessagesQuery(msgspec.Struct, frozen=True):
    group: Annotated[
        str,
        Meta(
            max_length=64, description="Only those of this group; leave out for all of the caller's groups."
        ),
    ] = ""
    state: Annotated[
        Literal["open", "handled", "all"],
        Meta(description="Those that wait for an answer, those that are marked as handled, or both."),
    ] = "open"
    after: Annotated[Cursor, Meta(description="The `next` of the previous page; 0 for the first page.")] = 0
    limit: Annotated[
        int, Meta(ge=1, le=MAX_PAGE_ITEMS, description="The maximum number of items in the page.")
    ] = 100


class LeftMessageHandling(msgspec.Struct, frozen=True):
    """The mark of a left message as handled."""

    time: Time
    role: Annotated[
        str | None, Meta(description="The role of the person; null if it was erased.", examples=["waiter"])
    ]
    id: Annotated[AnyId | None, Meta(description="The person's id; null if it was erased.")]


class LeftMessageItem(msgspec.Struct, frozen=True):
    """The words of a user who gave up before an agent had them, as a message to be answered."""

    conversation: Annotated[
        Id,
        Meta(
            description="The conversation, whose messages are the text.",
            examples=["7"],
        ),
    ]
    user_id: AnyId
    user_name: Annotated[str | None, Meta(examples=["小林"])]
    group: Annotated[str, Meta(description="The group of the conversation.", examples=["default"])]
    created: Annotated[Time, Meta(description="The time at which the user joined the queue.")]
    time: Annotated[Time, Meta(description="The time at which the user gave up.")]
    messages: Annotated[int, Meta(description="The number of messages.", examples=[2])]
    beginning: Annotated[
        str,
        Meta(
            description="The beginning of the messages in one line, at most 80 characters.",
            examples=["我睡不着已经一周了"],
        ),
    ]
    handled: Annotated[
        LeftMessageHandling | None,
        Meta(description="Who has marked it as handled, and when; else null.", examples=[None]),
    ]


class LeftMessagePage(msgspec.Struct, frozen=True):
    items: Annotated[list[LeftMessageItem], Meta(description="The left messages, oldest first.")]
    next: Next


class LeftMessagesHandler(ApiHandler):
    @operation(
        "list_left_messages",
        "List the messages of users who gave up before an agent had them",
        access=ACCESS,
        query=LeftMessagesQuery,
        responses=[ApiResponse(HTTPStatus.OK, LeftMessagePage)],
        errors=[
            Forbidden("role_not_allowed", role=Role.USER.value),
            NOT_YOURS,
            NotFound("no_such_group", group="crisis"),
        ],
    )
    async def get(self) -> None:
        """Oldest first. A user that writes while it waits, and gives up, leaves such a message where
        `early_words` of its group is `keep`.
        """
        identity = await self.authenticate()
        query = query_parameters(self, LeftMessagesQuery)
        page, has_more = await self.services.first_words.left_messages(
            identity, query.group, STATES[query.state], query.after, query.limit
        )
        items = [_item(each, self.services.times) for each in page]
        self.respond(LeftMessagePage(items, page[-1].conversation.id if has_more else None))


class HandledHandler(ApiHandler):
    @operation(
        "mark_left_message_handled",
        "Mark a left message as handled",
        access=ACCESS,
        responses=[ApiResponse(HTTPStatus.OK, LeftMessageItem)],
        errors=[NOT_YOURS, NotFound("no_such_left_message", id=7)],
    )
    async def post(self, conversation_id: str) -> None:
        """A second mark changes nothing: the answer names the first person."""
        identity = await self.authenticate()
        number = self.path_number(conversation_id)
        handled = await self.services.first_words.mark_handled(identity, number)
        self.respond(_item(handled, self.services.times))


def _item(left: LeftMessage, times: LocalTimes) -> LeftMessageItem:
    conversation, by = left.conversation, left.handled_by
    handled = None
    if left.handled is not None:
        handled = LeftMessageHandling(
            times.format(left.handled),
            None if by is None else by.role.value,
            None if by is None else Id.of(by),
        )
    return LeftMessageItem(
        conversation=Id(conversation.id),
        user_id=Id.of(conversation.user),
        user_name=conversation.user_name,
        group=conversation.group,
        created=times.format(conversation.created),
        time=times.format(left.time),
        messages=conversation.last_seq,
        beginning=left.beginning,
        handled=handled,
    )


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
    (r"/api/v1/support/left-messages", LeftMessagesHandler, {}),
    (rf"/api/v1/support/left-messages/{NUMBER_PATTERN}/handled", HandledHandler, {}),
]
