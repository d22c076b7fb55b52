"""``/api/v1/sessions`` and ``/api/v1/supervisions``."""

from http import HTTPStatus
from typing import Any

import msgspec

from tornado_chat.core.errors import Conflict, Forbidden, NotFound
from tornado_chat.core.types import Kind, Role, Thread
from tornado_chat.web.api import schemas, serializers, transcripts
from tornado_chat.web.api.base import ApiHandler
from tornado_chat.web.api.operations import ApiResponse, operation
from tornado_chat.web.http.query_params import parameters
from tornado_chat.wire.counselling import transcript_line

_open_session_decoder = msgspec.json.Decoder(schemas.OpenSession)
_call_supervisor_decoder = msgspec.json.Decoder(schemas.CallSupervisor)
_rating_decoder = msgspec.json.Decoder(schemas.Rating)

READERS = "Its two people, supervisors with a record on it, and the roles `service` and `admin`."
RECORD_READERS = "Its consultant, its supervisor, and the roles `service` and `admin`."
NO_SESSION = NotFound("no_such_session", id=4)
NO_RECORD = NotFound("no_such_record", id=6)
NOT_YOURS = Forbidden("not_your_session")


class SessionsHandler(ApiHandler):
    @operation(
        "open_session",
        "Open a session",
        who="The roles `service` and `admin`, and a `user` for itself.",
        body=schemas.OpenSession,
        responses=[
            ApiResponse(HTTPStatus.CREATED, schemas.Session),
            ApiResponse(
                HTTPStatus.OK, schemas.Session, "It was opened before, with the same `session_id` and people."
            ),
        ],
        errors=[
            Forbidden("role_not_allowed", role=Role.WAITER.value),
            Forbidden("only_yourself"),
            Conflict("session_exists", id=4),
        ],
    )
    async def post(self) -> None:
        """The consultant is notified (type 2). Both then connect to ``/chat`` with ``session_id``."""
        identity = await self.authenticate()
        wanted = self.body(_open_session_decoder)
        room, created = await self.services.sessions.open(
            identity,
            user_id=str(wanted.user_id),
            consultant_id=str(wanted.consultant_id),
            user_name=wanted.user_name,
            consultant_name=wanted.consultant_name,
            appointment_id=wanted.appointment_id,
            session_id=wanted.session_id,
        )
        status = HTTPStatus.CREATED if created else HTTPStatus.OK
        self.respond(serializers.session(room, self.services.times), status)


class SessionHandler(ApiHandler):
    @operation(
        "get_session",
        "State and times of a session",
        who=READERS,
        responses=[ApiResponse(HTTPStatus.OK, schemas.Session)],
        errors=[NOT_YOURS, NO_SESSION],
    )
    async def get(self, session_id: str) -> None:
        identity = await self.authenticate()
        room = await self.services.sessions.read(identity, Thread(Kind.SESSION, int(session_id)))
        self.respond(serializers.session(room, self.services.times))


class RecordHandler(ApiHandler):
    @operation(
        "get_supervision",
        "State, times and people of a supervision record",
        who=RECORD_READERS,
        responses=[ApiResponse(HTTPStatus.OK, schemas.SupervisionRecord)],
        errors=[NOT_YOURS, NO_RECORD],
    )
    async def get(self, record_id: str) -> None:
        identity = await self.authenticate()
        room = await self.services.sessions.read(identity, Thread(Kind.RECORD, int(record_id)))
        self.respond(serializers.record(room, self.services.times))


class SupervisionHandler(ApiHandler):
    @operation(
        "call_supervisor",
        "Call a supervisor",
        who="Its consultant, and the roles `service` and `admin`.",
        body=schemas.CallSupervisor,
        responses=[
            ApiResponse(HTTPStatus.CREATED, schemas.Supervision),
            ApiResponse(
                HTTPStatus.OK,
                schemas.Supervision,
                "It was asked for before, with the same `record_id` and supervisor.",
            ),
        ],
        errors=[NOT_YOURS, NO_SESSION, Conflict("session_exists", id=6)],
    )
    async def post(self, session_id: str) -> None:
        """Makes a record, in which the consultant and the supervisor talk. The supervisor is notified (type 2),
        and may listen to the session from then on.
        """
        identity = await self.authenticate()
        wanted = self.body(_call_supervisor_decoder)
        record, created = await self.services.sessions.call_supervisor(
            identity,
            int(session_id),
            supervisor_id=str(wanted.supervisor_id),
            supervisor_name=wanted.supervisor_name,
            record_id=wanted.record_id,
        )
        answer = schemas.Supervision(record.thread.id, record.session_id, record.state)
        self.respond(answer, HTTPStatus.CREATED if created else HTTPStatus.OK)


class EndHandler(ApiHandler):
    @operation(
        "end_session",
        "End a session",
        who="Its two people, and the roles `service` and `admin`.",
        responses=[ApiResponse(HTTPStatus.OK, schemas.Session)],
        errors=[NOT_YOURS, NO_SESSION],
    )
    async def post(self, session_id: str) -> None:
        """At once: everybody in it gets ``会话已结束`` and is closed. A finished session stays as it is."""
        identity = await self.authenticate()
        room = await self.services.sessions.end(identity, int(session_id))
        self.respond(serializers.session(room, self.services.times))


class RatingHandler(ApiHandler):
    @operation(
        "rate_session",
        "Rate a session",
        who="Its visitor.",
        body=schemas.Rating,
        responses=[ApiResponse(HTTPStatus.OK, schemas.Session)],
        errors=[NOT_YOURS, NO_SESSION],
    )
    async def post(self, session_id: str) -> None:
        """The last rating given counts."""
        identity = await self.authenticate()
        rating = self.body(_rating_decoder)
        room = await self.services.sessions.rate(identity, int(session_id), rating.rate, rating.feedback)
        self.respond(serializers.session(room, self.services.times))


class MessagesHandler(ApiHandler):
    """What was said, page by page."""

    async def answer_page(self, thread: Thread) -> None:
        identity = await self.authenticate()
        after, limit = self.cursor()
        page, has_more = await self.services.sessions.page(identity, thread, after, limit)
        items = [transcript_line(message, self.services.times) for message in page]
        self.respond(schemas.MessagePage(items, page[-1].seq if has_more else None))


class SessionMessagesHandler(MessagesHandler):
    @operation(
        "list_session_messages",
        "What was said in a session",
        who=READERS,
        query=schemas.PageQuery,
        responses=[ApiResponse(HTTPStatus.OK, schemas.MessagePage)],
        errors=[NOT_YOURS, NO_SESSION],
    )
    async def get(self, session_id: str) -> None:
        await self.answer_page(Thread(Kind.SESSION, int(session_id)))


class RecordMessagesHandler(MessagesHandler):
    @operation(
        "list_supervision_messages",
        "What was said in a supervision record",
        who=RECORD_READERS,
        query=schemas.PageQuery,
        responses=[ApiResponse(HTTPStatus.OK, schemas.MessagePage)],
        errors=[NOT_YOURS, NO_RECORD],
    )
    async def get(self, record_id: str) -> None:
        await self.answer_page(Thread(Kind.RECORD, int(record_id)))


class ExportHandler(ApiHandler):
    """A transcript as a file."""

    async def answer_file(self, thread: Thread) -> None:
        identity = await self.authenticate()
        write = transcripts.FORMATS[parameters(self, schemas.ExportQuery).format]
        room, said = await self.services.sessions.transcript(identity, thread)
        content_type, extension, text = write(room, said, self.services.times, self.services.language)
        name = f"{transcripts.FILE_NAMES[thread.kind]}-{thread.id}.{extension}"
        self.set_header("Content-Type", content_type)
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.finish(text)


class SessionExportHandler(ExportHandler):
    @operation(
        "export_session",
        "The transcript of a session, as a download",
        who=READERS,
        query=schemas.ExportQuery,
        responses=[
            ApiResponse(
                HTTPStatus.OK, {"text/plain": None, "application/json": schemas.Transcript, "text/html": None}
            )
        ],
        errors=[NOT_YOURS, NO_SESSION],
    )
    async def get(self, session_id: str) -> None:
        """With the header ``Content-Disposition``, so that a browser saves it."""
        await self.answer_file(Thread(Kind.SESSION, int(session_id)))


class RecordExportHandler(ExportHandler):
    @operation(
        "export_supervision",
        "The transcript of a supervision record, as a download",
        who=RECORD_READERS,
        query=schemas.ExportQuery,
        responses=[
            ApiResponse(
                HTTPStatus.OK,
                {"text/plain": None, "application/json": schemas.SupervisionTranscript, "text/html": None},
            )
        ],
        errors=[NOT_YOURS, NO_RECORD],
    )
    async def get(self, record_id: str) -> None:
        """As that of a session."""
        await self.answer_file(Thread(Kind.RECORD, int(record_id)))


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
    (r"/api/v1/sessions", SessionsHandler, {}),
    (r"/api/v1/sessions/(\d{1,18})", SessionHandler, {}),
    (r"/api/v1/sessions/(\d{1,18})/supervision", SupervisionHandler, {}),
    (r"/api/v1/sessions/(\d{1,18})/end", EndHandler, {}),
    (r"/api/v1/sessions/(\d{1,18})/rating", RatingHandler, {}),
    (r"/api/v1/sessions/(\d{1,18})/messages", SessionMessagesHandler, {}),
    (r"/api/v1/supervisions/(\d{1,18})/messages", RecordMessagesHandler, {}),
    (r"/api/v1/sessions/(\d{1,18})/export", SessionExportHandler, {}),
    (r"/api/v1/supervisions/(\d{1,18})", RecordHandler, {}),
    (r"/api/v1/supervisions/(\d{1,18})/export", RecordExportHandler, {}),
]
