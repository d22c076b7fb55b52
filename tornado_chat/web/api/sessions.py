"""``/api/v1/sessions`` and ``/api/v1/supervisions``."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from tornado_chat.core.errors import Conflict, Forbidden, NotFound
from tornado_chat.core.numbers import NUMBER_PATTERN
from tornado_chat.core.types import Identity, Kind, Message, Person, Role, Thread
from tornado_chat.services.auth.client_limits import Activity
from tornado_chat.web.api import schemas, serializers, session_lists, transcripts
from tornado_chat.web.api.base import TOO_MANY_ANSWERS, ApiHandler
from tornado_chat.web.api.ids import Id
from tornado_chat.web.api.operations import ApiResponse, operation
from tornado_chat.web.http.query_params import query_parameters
from tornado_chat.wire.counselling import transcript_line

_open_session_decoder = msgspec.json.Decoder(schemas.OpenSession)
_call_supervisor_decoder = msgspec.json.Decoder(schemas.CallSupervisor)
_rating_decoder = msgspec.json.Decoder(schemas.Rating)

ReadTranscript = tuple[transcripts.Subject, transcripts.Names, AsyncIterator[Sequence[Message]]]
"""What a transcript is about, the names of the participants, and the messages in chunks."""

READERS = (
    "The session's participants, supervisors of its group or with a record on the session, and the roles "
    "`service` and `admin`."
)
RECORD_READERS = "The record's consultant and supervisor, and the roles `service` and `admin`."
NO_SESSION = NotFound("no_such_session", id=4)
NO_RECORD = NotFound("no_such_record", id=6)
NOT_YOURS = Forbidden("not_your_session")


class SessionsHandler(ApiHandler):
    @operation(
        "open_session",
        "Open a session",
        access="The roles `service` and `admin`, and a `user` for its own sessions.",
        body=schemas.OpenSession,
        responses=[
            ApiResponse(HTTPStatus.CREATED, schemas.Session),
            ApiResponse(
                HTTPStatus.OK,
                schemas.Session,
                "The session exists already, with the same `session_id` and participants.",
            ),
        ],
        errors=[
            Forbidden("role_not_allowed", role=Role.WAITER.value),
            Forbidden("only_yourself"),
            Forbidden("number_by_host", name="session_id"),
            NotFound("no_such_group", group="crisis"),
            Conflict("session_exists", id=4),
        ],
    )
    async def post(self) -> None:
        """The consultant is notified (type 2). Both participants then connect to ``/chat`` with this
        ``session_id``.
        """
        identity = await self.authenticate()
        body = self.body(_open_session_decoder)
        self.services.client_limits.require_opening(
            Activity.SESSION,
            identity,
            self.client_address,
            Person(Role.CONSULTANT, str(body.consultant_id)),
        )
        room, created = await self.services.sessions.open(
            identity,
            user_id=str(body.user_id),
            consultant_id=str(body.consultant_id),
            user_name=body.user_name,
            consultant_name=body.consultant_name,
            appointment_id=schemas.to_number(body.appointment_id),
            session_id=schemas.to_number(body.session_id),
            group=body.group,
        )
        status = HTTPStatus.CREATED if created else HTTPStatus.OK
        self.respond(serializers.session(room, self.services.times), status)

    @operation(
        "list_sessions",
        "List sessions",
        access="A `user` and a `consultant` for their own sessions; `service` and `admin` for all.",
        query=session_lists.SessionsQuery,
        responses=[ApiResponse(HTTPStatus.OK, session_lists.SessionPage)],
        errors=[
            Forbidden("role_not_allowed", role=Role.WAITER.value),
            Forbidden("only_your_sessions"),
            TOO_MANY_ANSWERS,
        ],
    )
    async def get(self) -> None:
        """Newest first, by the time at which they were opened. All given conditions hold for each session.
        Sessions that only a plugin finds in the host's own tables are not listed before they are opened here.
        """
        identity = await self.authenticate()
        query = query_parameters(self, session_lists.SessionsQuery)
        found = await self.services.sessions.list_page(
            identity, session_lists.filter_of(query), session_lists.position_of(query), query.limit
        )
        items = [
            session_lists.listed_session(room, found.present.get(room.thread), self.services.times)
            for room in found.rooms
        ]
        self.respond(session_lists.SessionPage(items, None if found.next is None else str(found.next)))


class SessionHandler(ApiHandler):
    @operation(
        "get_session",
        "State and times of a session",
        access=READERS,
        responses=[ApiResponse(HTTPStatus.OK, schemas.SessionDetails)],
        errors=[NOT_YOURS, NO_SESSION],
    )
    async def get(self, session_id: str) -> None:
        identity = await self.authenticate()
        room = await self.services.sessions.read(identity, Thread(Kind.SESSION, self.path_number(session_id)))
        progress = await self.services.sessions.progress(room)
        given = await self.services.consents.of_thread(room.thread)
        self.respond(serializers.session_details(room, progress, given, self.services.times))


class RecordHandler(ApiHandler):
    @operation(
        "get_supervision",
        "State, times and participants of a supervision record",
        access=RECORD_READERS,
        responses=[ApiResponse(HTTPStatus.OK, schemas.SupervisionDetails)],
        errors=[NOT_YOURS, NO_RECORD],
    )
    async def get(self, record_id: str) -> None:
        identity = await self.authenticate()
        room = await self.services.sessions.read(identity, Thread(Kind.RECORD, self.path_number(record_id)))
        progress = await self.services.sessions.progress(room)
        self.respond(serializers.record_details(room, progress, self.services.times))


class SupervisionHandler(ApiHandler):
    """Base class of the handlers that open a record about a conversation."""

    async def call_supervisor(self, thread: Thread) -> None:
        identity = await self.authenticate()
        body = self.body(_call_supervisor_decoder)
        self.services.client_limits.require_opening(
            Activity.SUPERVISION,
            identity,
            self.client_address,
            Person(Role.SUPERVISOR, str(body.supervisor_id)),
        )
        record, created = await self.services.sessions.call_supervisor(
            identity,
            thread,
            supervisor_id=str(body.supervisor_id),
            supervisor_name=body.supervisor_name,
            record_id=schemas.to_number(body.record_id),
        )
        answer = schemas.Supervision(
            Id(record.thread.id),
            Id.of_optional(record.session_id),
            record.state,
            Id.of_optional(record.conversation_id),
        )
        self.respond(answer, HTTPStatus.CREATED if created else HTTPStatus.OK)


class SessionSupervisionHandler(SupervisionHandler):
    @operation(
        "call_supervisor",
        "Call a supervisor",
        access="The session's consultant, and the roles `service` and `admin`.",
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
            NOT_YOURS,
            Forbidden("number_by_host", name="record_id"),
            NO_SESSION,
            Conflict("session_exists", id=6),
        ],
    )
    async def post(self, session_id: str) -> None:
        """Creates a supervision record, the conversation between the consultant and the supervisor. The
        supervisor is notified (type 2), and may observe the session from then on.
        """
        await self.call_supervisor(Thread(Kind.SESSION, self.path_number(session_id)))


class EndHandler(ApiHandler):
    @operation(
        "end_session",
        "End a session",
        access="The session's participants, and the roles `service` and `admin`.",
        responses=[ApiResponse(HTTPStatus.OK, schemas.Session)],
        errors=[NOT_YOURS, NO_SESSION],
    )
    async def post(self, session_id: str) -> None:
        """The session ends at once: every participant gets ``会话已结束``, then the server closes the
        sockets. A finished session is not changed.
        """
        identity = await self.authenticate()
        room = await self.services.sessions.end(identity, self.path_number(session_id))
        self.respond(serializers.session(room, self.services.times))


class RatingHandler(ApiHandler):
    @operation(
        "rate_session",
        "Rate a session",
        access="The session's visitor.",
        body=schemas.Rating,
        responses=[ApiResponse(HTTPStatus.OK, schemas.Session)],
        errors=[NOT_YOURS, NO_SESSION],
    )
    async def post(self, session_id: str) -> None:
        """A new rating replaces an earlier one."""
        identity = await self.authenticate()
        rating = self.body(_rating_decoder)
        room = await self.services.sessions.rate(
            identity, self.path_number(session_id), rating.rate, rating.feedback
        )
        self.respond(serializers.session(room, self.services.times))


class MessagesHandler(ApiHandler):
    """Base class of the handlers that list the messages of a room in pages."""

    async def answer_page(self, thread: Thread) -> None:
        identity = await self.authenticate()
        after, limit = self.cursor()
        async with self.large_answer_turn:
            page, has_more = await self.services.sessions.page(identity, thread, after, limit)
        names = await self.services.sessions.names(thread)
        items = [transcript_line(each, self.services.times, names.get(each.sender)) for each in page]
        self.respond(schemas.MessagePage(items, page[-1].seq if has_more else None))


class SessionMessagesHandler(MessagesHandler):
    @operation(
        "list_session_messages",
        "List the messages of a session",
        access=READERS,
        query=schemas.PageQuery,
        responses=[ApiResponse(HTTPStatus.OK, schemas.MessagePage)],
        errors=[NOT_YOURS, NO_SESSION, TOO_MANY_ANSWERS],
    )
    async def get(self, session_id: str) -> None:
        await self.answer_page(Thread(Kind.SESSION, self.path_number(session_id)))


class RecordMessagesHandler(MessagesHandler):
    @operation(
        "list_supervision_messages",
        "List the messages of a supervision record",
        access=RECORD_READERS,
        query=schemas.PageQuery,
        responses=[ApiResponse(HTTPStatus.OK, schemas.MessagePage)],
        errors=[NOT_YOURS, NO_RECORD, TOO_MANY_ANSWERS],
    )
    async def get(self, record_id: str) -> None:
        await self.answer_page(Thread(Kind.RECORD, self.path_number(record_id)))


class ExportHandler(ApiHandler):
    """Base class of the handlers that send a transcript as a file."""

    async def answer_room(self, thread: Thread) -> None:
        """Send the transcript of a session or record."""

        async def read(identity: Identity) -> ReadTranscript:
            room, chunks = await self.services.sessions.transcript(identity, thread)
            return room, await self.services.sessions.names(thread), chunks

        await self.answer_file(read)

    async def answer_file(self, read: Callable[[Identity], Awaitable[ReadTranscript]]) -> None:
        """Send a transcript. :arg read: reads it, if the caller has the right."""
        identity = await self.authenticate()
        render = transcripts.FORMATS[query_parameters(self, schemas.ExportQuery).format]
        end = self.begin_large_answer()
        try:
            subject, names, chunks = await read(identity)
            thread = subject.thread
            file = render(subject, names, self.services.times, self.services.language, self.encode)
            name = f"{transcripts.FILE_NAMES[thread.kind]}-{thread.id}.{file.extension}"
            self.set_header("Content-Type", file.content_type)
            self.set_header("Content-Disposition", f'attachment; filename="{name}"')
            await self.stream(file.parts(chunks))
        finally:
            end()


class SessionExportHandler(ExportHandler):
    @operation(
        "export_session",
        "Download the transcript of a session",
        access=READERS,
        query=schemas.ExportQuery,
        responses=[
            ApiResponse(
                HTTPStatus.OK, {"text/plain": None, "application/json": schemas.Transcript, "text/html": None}
            )
        ],
        errors=[NOT_YOURS, NO_SESSION, TOO_MANY_ANSWERS],
    )
    async def get(self, session_id: str) -> None:
        """The answer has the header ``Content-Disposition``, so that a browser saves the file."""
        await self.answer_room(Thread(Kind.SESSION, self.path_number(session_id)))


class RecordExportHandler(ExportHandler):
    @operation(
        "export_supervision",
        "Download the transcript of a supervision record",
        access=RECORD_READERS,
        query=schemas.ExportQuery,
        responses=[
            ApiResponse(
                HTTPStatus.OK,
                {"text/plain": None, "application/json": schemas.SupervisionTranscript, "text/html": None},
            )
        ],
        errors=[NOT_YOURS, NO_RECORD, TOO_MANY_ANSWERS],
    )
    async def get(self, record_id: str) -> None:
        """The formats are those of a session's transcript."""
        await self.answer_room(Thread(Kind.RECORD, self.path_number(record_id)))


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
    (r"/api/v1/sessions", SessionsHandler, {}),
    (rf"/api/v1/sessions/{NUMBER_PATTERN}", SessionHandler, {}),
    (rf"/api/v1/sessions/{NUMBER_PATTERN}/supervision", SessionSupervisionHandler, {}),
    (rf"/api/v1/sessions/{NUMBER_PATTERN}/end", EndHandler, {}),
    (rf"/api/v1/sessions/{NUMBER_PATTERN}/rating", RatingHandler, {}),
    (rf"/api/v1/sessions/{NUMBER_PATTERN}/messages", SessionMessagesHandler, {}),
    (rf"/api/v1/supervisions/{NUMBER_PATTERN}/messages", RecordMessagesHandler, {}),
    (rf"/api/v1/sessions/{NUMBER_PATTERN}/export", SessionExportHandler, {}),
    (rf"/api/v1/supervisions/{NUMBER_PATTERN}", RecordHandler, {}),
    (rf"/api/v1/supervisions/{NUMBER_PATTERN}/export", RecordExportHandler, {}),
]
