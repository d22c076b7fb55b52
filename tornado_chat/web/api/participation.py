"""``…/join``, ``…/leave`` and ``…/takeover`` of sessions and support conversations."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tornado_chat.core.errors import Conflict, Forbidden, NotFound
from tornado_chat.core.numbers import NUMBER_PATTERN
from tornado_chat.core.types import Kind, Participant, Thread
from tornado_chat.web.api import schemas, serializers
from tornado_chat.web.api.base import ApiHandler
from tornado_chat.web.api.operations import ApiResponse, operation

SUPERVISORS = "Supervisors of the group or with a record on the conversation, and the role `admin`."
JOINED = [ApiResponse(HTTPStatus.OK, schemas.ConversationParticipant)]
LEFT = [ApiResponse(HTTPStatus.NO_CONTENT, {})]
NO_SESSION, NO_CONVERSATION = NotFound("no_such_session", id=4), NotFound("no_such_conversation", id=7)
OVER, IN_IT = Conflict("session_finished"), Conflict("takes_part")


class TakeOver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    former: Annotated[
        Literal["observe", "leave"],
        Meta(
            description="What the agent before does: it stays as an observer (`/observe`), or leaves.",
            examples=["observe"],
        ),
    ] = "leave"


_take_over_decoder = msgspec.json.Decoder(TakeOver)


class ParticipationHandler(ApiHandler):
    """Base class of the handlers of both kinds."""

    async def join(self, thread: Thread) -> None:
        identity = await self.authenticate()
        self._respond_with(await self.services.participation.join(identity, thread))

    async def leave(self, thread: Thread) -> None:
        await self.services.participation.leave(await self.authenticate(), thread)
        self.set_status(HTTPStatus.NO_CONTENT)

    async def take_over(self, thread: Thread) -> None:
        identity = await self.authenticate()
        body = self.body(_take_over_decoder)
        self._respond_with(await self.services.participation.take_over(identity, thread, body.former))

    def session(self, session_id: str) -> Thread:
        return Thread(Kind.SESSION, self.path_number(session_id))

    def conversation(self, conversation_id: str) -> Thread:
        return Thread(Kind.SUPPORT, self.path_number(conversation_id))

    def _respond_with(self, participant: Participant) -> None:
        self.respond(serializers.participant(participant, self.services.times))


class JoinSessionHandler(ParticipationHandler):
    @operation(
        "join_session",
        "Join a session as a third participant",
        access=SUPERVISORS,
        responses=JOINED,
        errors=[Forbidden("not_your_session"), NO_SESSION, OVER, IN_IT],
    )
    async def post(self, session_id: str) -> None:
        """The participants are told the name of the supervisor. Its sockets at `/observe` with the feature
        `speak` send messages from then on. A second call changes nothing.
        """
        await self.join(self.session(session_id))


class JoinConversationHandler(ParticipationHandler):
    @operation(
        "join_conversation",
        "Join a support conversation as a third participant",
        access=SUPERVISORS,
        responses=JOINED,
        errors=[Forbidden("not_your_conversation"), NO_CONVERSATION, OVER, IN_IT],
    )
    async def post(self, conversation_id: str) -> None:
        """As for a session."""
        await self.join(self.conversation(conversation_id))


class LeaveSessionHandler(ParticipationHandler):
    @operation(
        "leave_session",
        "Leave a session as a third participant",
        access="Every caller; a caller that takes no part as a supervisor or observer changes nothing.",
        responses=LEFT,
        errors=[NO_SESSION],
    )
    async def post(self, session_id: str) -> None:
        """A supervisor that has joined only observes from then on. A former agent that observes sees nothing
        more.
        """
        await self.leave(self.session(session_id))


class LeaveConversationHandler(ParticipationHandler):
    @operation(
        "leave_conversation",
        "Leave a support conversation as a third participant",
        access="Every caller; a caller that takes no part as a supervisor or observer changes nothing.",
        responses=LEFT,
        errors=[NO_CONVERSATION],
    )
    async def post(self, conversation_id: str) -> None:
        """As for a session."""
        await self.leave(self.conversation(conversation_id))


class TakeOverSessionHandler(ParticipationHandler):
    @operation(
        "take_over_session",
        "Take over a session",
        access=SUPERVISORS,
        body=TakeOver,
        responses=JOINED,
        errors=[Forbidden("not_your_session"), NO_SESSION, OVER],
    )
    async def post(self, session_id: str) -> None:
        """The supervisor becomes the agent, and the participants are told. Its socket at `/observe` with the
        feature `speak` is its presence: open it before. A second call changes nothing.
        """
        await self.take_over(self.session(session_id))


class TakeOverConversationHandler(ParticipationHandler):
    @operation(
        "take_over_conversation",
        "Take over a support conversation",
        access=SUPERVISORS,
        body=TakeOver,
        responses=JOINED,
        errors=[Forbidden("not_your_conversation"), NO_CONVERSATION, OVER],
    )
    async def post(self, conversation_id: str) -> None:
        """As for a session. A user that waits gets the supervisor as its agent."""
        await self.take_over(self.conversation(conversation_id))


_SESSION = rf"/api/v1/sessions/{NUMBER_PATTERN}"
_CONVERSATION = rf"/api/v1/support/conversations/{NUMBER_PATTERN}"

ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
    (f"{_SESSION}/join", JoinSessionHandler, {}),
    (f"{_SESSION}/leave", LeaveSessionHandler, {}),
    (f"{_SESSION}/takeover", TakeOverSessionHandler, {}),
    (f"{_CONVERSATION}/join", JoinConversationHandler, {}),
    (f"{_CONVERSATION}/leave", LeaveConversationHandler, {}),
    (f"{_CONVERSATION}/takeover", TakeOverConversationHandler, {}),
]
