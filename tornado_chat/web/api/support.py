"""``/api/v1/support/conversations``: support conversations, their messages, supervision and priority."""

from http import HTTPStatus
from typing import Any

import msgspec

from tornado_chat.core.errors import Conflict, Forbidden, NotFound
from tornado_chat.core.lists import ConversationFilter
from tornado_chat.core.numbers import NUMBER_PATTERN
from tornado_chat.core.types import ConversationState, Identity, Kind, Person, Role, Thread
from tornado_chat.services.auth.access import HOST_ROLES
from tornado_chat.web.api import schemas, serializers
from tornado_chat.web.api.base import TOO_MANY_ANSWERS, ApiHandler
from tornado_chat.web.api.ids import Id
from tornado_chat.web.api.operations import ApiResponse, operation
from tornado_chat.web.api.sessions import ExportHandler, ReadTranscript, SupervisionHandler
from tornado_chat.web.http.query_params import query_parameters
from tornado_chat.wire.support import handover_shown

READER_ROLES = (Role.WAITER, Role.CONSULTANT, Role.SUPERVISOR, *HOST_ROLES)
READERS = (
    "The user; the waiter that serves the user now, or had this conversation last; supervisors of the group "
    "or with a record on the conversation; the roles `service` and `admin`."
)
_prioritise_decoder = msgspec.json.Decoder(schemas.Prioritise)
NOT_YOURS = Forbidden("not_your_user", to="1")
NO_CONVERSATION = NotFound("no_such_conversation", id=7)
STATES: dict[str, tuple[ConversationState, ...]] = {
    "": (),
    "open": (ConversationState.WAITING, ConversationState.ACTIVE),
    **{state.value: (state,) for state in ConversationState},
}
"""The states by the value of the query parameter ``state``."""


class ConversationsHandler(ApiHandler):
    @operation(
        "list_conversations",
        "List support conversations",
        access=READER_ROLES,
        query=schemas.ConversationQuery,
        responses=[ApiResponse(HTTPStatus.OK, schemas.ConversationPage)],
        errors=[NOT_YOURS, Forbidden("role_not_allowed", role=Role.USER.value), TOO_MANY_ANSWERS],
    )
    async def get(self) -> None:
        """Newest first. Waiters see their own conversations, supervisors those that they may follow, `admin`
        and `service` all. With `user` alone: the finished conversations of a user that the waiter serves now.
        """
        identity = await self.authenticate()
        query = query_parameters(self, schemas.ConversationQuery)
        history = self.services.support_history
        following: int | None
        if query.user and not query.state and not query.group and identity.person.role is not Role.SUPERVISOR:
            page, has_more = await history.of_user(identity, query.user, query.before, query.limit)
            following = page[-1].id if has_more else None
        else:
            wanted = ConversationFilter(
                user=Person(Role.USER, query.user) if query.user else None,
                states=STATES[query.state],
                group=query.group or None,
            )
            found, following = await history.list_page(identity, wanted, query.before, query.limit)
            page = list(found)
        items = [serializers.conversation(each, self.services.times) for each in page]
        self.respond(schemas.ConversationPage(items, following))


class ConversationHandler(ApiHandler):
    @operation(
        "get_conversation",
        "State, times and participants of a support conversation",
        access=READERS,
        responses=[ApiResponse(HTTPStatus.OK, schemas.ConversationDetails)],
        errors=[NOT_YOURS, NO_CONVERSATION],
    )
    async def get(self, conversation_id: str) -> None:
        identity = await self.authenticate()
        number = self.path_number(conversation_id)
        conversation = await self.services.support_history.read(identity, number)
        people = await self.services.support_history.participants(number)
        self.respond(serializers.conversation_details(conversation, people, self.services.times))


class ConversationSupervisionHandler(SupervisionHandler):
    @operation(
        "call_supervisor_to_conversation",
        "Call a supervisor to a support conversation",
        access="The conversation's agent, and the roles `service` and `admin`.",
        body=schemas.CallSupervisor,
        responses=[
            ApiResponse(HTTPStatus.CREATED, schemas.Supervision),
            ApiResponse(
                HTTPStatus.OK,
                schemas.Supervision,
                "The record exists already, with the same `record_id` and supervisor.",
            ),
        ],
        errors=[
            Forbidden("not_your_conversation"),
            Forbidden("number_by_host", name="record_id"),
            NO_CONVERSATION,
            Conflict("session_exists", id=6),
            Conflict("no_conversation"),
        ],
    )
    async def post(self, conversation_id: str) -> None:
        """Creates a supervision record, the conversation between the agent and the supervisor (`/chat` with
        `type=1`). The supervisor is notified (type 2), and may observe the conversation from then on.
        """
        await self.call_supervisor(Thread(Kind.SUPPORT, self.path_number(conversation_id)))


class MessagesHandler(ApiHandler):
    @operation(
        "list_conversation_messages",
        "List the messages of a support conversation",
        access=READERS,
        query=schemas.PageQuery,
        responses=[ApiResponse(HTTPStatus.OK, schemas.SupportMessagePage)],
        errors=[NOT_YOURS, NO_CONVERSATION, TOO_MANY_ANSWERS],
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
            serializers.support_message(each, self.services.times, names.get(each.sender)) for each in page
        ]
        shown = [handover_shown(each, self.services.times, shows_loss=True) for each in handovers]
        following = page[-1].seq if has_more else None
        consents = serializers.given_consents(given, self.services.times)
        self.respond(schemas.SupportMessagePage(items, following, shown, consents))


class ConversationExportHandler(ExportHandler):
    @operation(
        "export_conversation",
        "Download the transcript of a support conversation",
        access=READERS,
        query=schemas.ExportQuery,
        responses=[
            ApiResponse(
                HTTPStatus.OK,
                {
                    "text/plain": None,
                    "application/json": schemas.ConversationTranscript,
                    "text/html": None,
                },
            )
        ],
        errors=[NOT_YOURS, NO_CONVERSATION, TOO_MANY_ANSWERS],
    )
    async def get(self, conversation_id: str) -> None:
        """The formats are those of a session's transcript."""
        number = self.path_number(conversation_id)
        history = self.services.support_history

        async def read(identity: Identity) -> ReadTranscript:
            conversation, chunks = await history.transcript(identity, number)
            names, _ = await history.people(number)
            return conversation, names, chunks

        await self.answer_file(read)


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
    (rf"/api/v1/support/conversations/{NUMBER_PATTERN}", ConversationHandler, {}),
    (rf"/api/v1/support/conversations/{NUMBER_PATTERN}/supervision", ConversationSupervisionHandler, {}),
    (rf"/api/v1/support/conversations/{NUMBER_PATTERN}/messages", MessagesHandler, {}),
    (rf"/api/v1/support/conversations/{NUMBER_PATTERN}/export", ConversationExportHandler, {}),
    (rf"/api/v1/support/conversations/{NUMBER_PATTERN}/priority", PriorityHandler, {}),
]
