"""``/api/v1/support/conversations``: support conversations, their messages and their priority."""

from http import HTTPStatus
from typing import Any

import msgspec

from tornado_chat.core.errors import Conflict, Forbidden, NotFound
from tornado_chat.core.numbers import NUMBER_PATTERN
from tornado_chat.core.types import Kind, Role, Thread
from tornado_chat.services.auth.access import HOST_ROLES
from tornado_chat.web.api import schemas, serializers
from tornado_chat.web.api.base import TOO_MANY_ANSWERS, ApiHandler
from tornado_chat.web.api.ids import Id
from tornado_chat.web.api.operations import ApiResponse, operation
from tornado_chat.web.http.query_params import query_parameters
from tornado_chat.wire.support import handover_shown, message_id

READER_ROLES = (Role.WAITER, Role.CONSULTANT, *HOST_ROLES)
_prioritise_decoder = msgspec.json.Decoder(schemas.Prioritise)
NOT_YOURS = Forbidden("not_your_user", to="1")


class ConversationsHandler(ApiHandler):
    @operation(
        "list_conversations",
        "List the finished support conversations of a user",
        access=READER_ROLES,
        query=schemas.ConversationQuery,
        responses=[ApiResponse(HTTPStatus.OK, schemas.ConversationPage)],
        errors=[NOT_YOURS, TOO_MANY_ANSWERS],
    )
    async def get(self) -> None:
        """Newest first. A waiter has access to the conversations of the users that are assigned to it now."""
        identity = await self.authenticate()
        query = query_parameters(self, schemas.ConversationQuery)
        page, has_more = await self.services.support_history.of_user(
            identity, query.user, query.before, query.limit
        )
        items = [serializers.conversation(each, self.services.times) for each in page]
        self.respond(schemas.ConversationPage(items, page[-1].id if has_more else None))


class MessagesHandler(ApiHandler):
    @operation(
        "list_conversation_messages",
        "List the messages of a support conversation",
        access="The user, agents and supervisors as below, and the roles `service` and `admin`.",
        query=schemas.PageQuery,
        responses=[ApiResponse(HTTPStatus.OK, schemas.SupportMessagePage)],
        errors=[NOT_YOURS, NotFound("no_such_conversation", id=7), TOO_MANY_ANSWERS],
    )
    async def get(self, conversation_id: str) -> None:
        """A waiter has access if the user is assigned to it now, or if it had this conversation last.

        A user has access to its own conversations. A left message can be read by those who may list it.
        """
        identity = await self.authenticate()
        after, limit = self.cursor()
        number = self.path_number(conversation_id)
        async with self.large_answer_turn:
            page, has_more = await self.services.support_history.page(identity, number, after, limit)
        given = await self.services.consents.of_thread(Thread(Kind.SUPPORT, number))
        names, handovers = await self.services.support_history.people(number)
        items = [
            schemas.SupportMessage(
                id=message_id(each),
                seq=each.seq,
                sender=each.sender.role.value,
                sender_id=each.sender.id,
                sender_name=names.get(each.sender),
                type=f"message_{each.media}",
                message=each.text,
                time=self.services.times.format(each.time),
            )
            for each in page
        ]
        shown = [handover_shown(each, self.services.times, shows_loss=True) for each in handovers]
        following = page[-1].seq if has_more else None
        consents = serializers.given_consents(given, self.services.times)
        self.respond(schemas.SupportMessagePage(items, following, shown, consents))


class PriorityHandler(ApiHandler):
    @operation(
        "prioritise_conversation",
        "Move a waiting user in the queue",
        access=HOST_ROLES,
        body=schemas.Prioritise,
        responses=[ApiResponse(HTTPStatus.OK, schemas.Priority)],
        errors=[NotFound("no_such_conversation", id=7), Conflict("conversation_ended")],
    )
    async def post(self, conversation_id: str) -> None:
        """Users with a higher score come first; 0 is the score of every new conversation. A user that has
        lost its waiter comes before all others, whatever their score. An active conversation keeps the score
        for the case that the user returns to the queue.
        """
        caller = await self.authenticate()
        body = self.body(_prioritise_decoder)
        changed = await self.services.priorities.set(
            self.path_number(conversation_id), body.score, body.reason, caller.person.key
        )
        self.respond(
            schemas.Priority(Id(changed.id), changed.state.value, changed.score, changed.score_reason)
        )


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
    (r"/api/v1/support/conversations", ConversationsHandler, {}),
    (rf"/api/v1/support/conversations/{NUMBER_PATTERN}/messages", MessagesHandler, {}),
    (rf"/api/v1/support/conversations/{NUMBER_PATTERN}/priority", PriorityHandler, {}),
]
