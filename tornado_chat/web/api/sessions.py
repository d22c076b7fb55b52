"""``/api/v1/sessions`` and ``/api/v1/supervisions``."""

from http import HTTPStatus
from typing import Any

import msgspec

from tornado_chat.errors import Malformed
from tornado_chat.types import Kind, Thread
from tornado_chat.web.api import transcripts, values
from tornado_chat.web.api.base import ApiHandler
from tornado_chat.wire.counselling import line

_open_session = msgspec.json.Decoder(values.OpenSession)
_call_supervisor = msgspec.json.Decoder(values.CallSupervisor)
_rating = msgspec.json.Decoder(values.Rating)


class SessionsHandler(ApiHandler):
    async def post(self) -> None:
        """Open a session: 201, or 200 for one that was opened before with this very request."""
        identity = await self.identify()
        wanted = self.body(_open_session)
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
        self.answer(values.session(room, self.services.times), status)


class SessionHandler(ApiHandler):
    async def get(self, session_id: str) -> None:
        identity = await self.identify()
        room = await self.services.sessions.read(identity, Thread(Kind.SESSION, int(session_id)))
        self.answer(values.session(room, self.services.times))


class SupervisionHandler(ApiHandler):
    async def post(self, session_id: str) -> None:
        """Call a supervisor: 201, or 200 as for sessions."""
        identity = await self.identify()
        wanted = self.body(_call_supervisor)
        record, created = await self.services.sessions.call_supervisor(
            identity,
            int(session_id),
            supervisor_id=str(wanted.supervisor_id),
            supervisor_name=wanted.supervisor_name,
            record_id=wanted.record_id,
        )
        answer = {"record_id": record.thread.id, "session_id": record.session_id, "state": record.state.value}
        self.answer(answer, HTTPStatus.CREATED if created else HTTPStatus.OK)


class EndHandler(ApiHandler):
    async def post(self, session_id: str) -> None:
        identity = await self.identify()
        room = await self.services.sessions.end(identity, int(session_id))
        self.answer(values.session(room, self.services.times))


class RatingHandler(ApiHandler):
    async def post(self, session_id: str) -> None:
        identity = await self.identify()
        rating = self.body(_rating)
        room = await self.services.sessions.rate(identity, int(session_id), rating.rate, rating.feedback)
        self.answer(values.session(room, self.services.times))


class MessagesHandler(ApiHandler):
    """What was said in a session or a record."""

    def initialize(self, kind: Kind, **kwargs: object) -> None:  # type: ignore[override]
        super().initialize(**kwargs)  # type: ignore[arg-type]
        self._kind = kind

    async def get(self, thread_id: str) -> None:
        identity = await self.identify()
        after, limit = self.cursor()
        thread = Thread(self._kind, int(thread_id))
        page, more = await self.services.sessions.page(identity, thread, after, limit)
        items = [line(message, self.services.times) for message in page]
        self.answer(values.Page(items, page[-1].seq if more else None))


class ExportHandler(ApiHandler):
    async def get(self, session_id: str) -> None:
        """The transcript as a download; ``format`` is txt, json or html."""
        identity = await self.identify()
        write = transcripts.FORMATS.get(self.get_query_argument("format", "txt"))
        if write is None:
            raise Malformed("bad_parameter", name="format", reason="txt, json or html is expected")
        thread = Thread(Kind.SESSION, int(session_id))
        room, said = await self.services.sessions.transcript(identity, thread)
        content_type, extension, text = write(room, said, self.services.times, self.services.language)
        self.set_header("Content-Type", content_type)
        self.set_header("Content-Disposition", f'attachment; filename="session-{session_id}.{extension}"')
        self.finish(text)


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
    (r"/api/v1/sessions", SessionsHandler, {}),
    (r"/api/v1/sessions/(\d{1,18})", SessionHandler, {}),
    (r"/api/v1/sessions/(\d{1,18})/supervision", SupervisionHandler, {}),
    (r"/api/v1/sessions/(\d{1,18})/end", EndHandler, {}),
    (r"/api/v1/sessions/(\d{1,18})/rating", RatingHandler, {}),
    (r"/api/v1/sessions/(\d{1,18})/messages", MessagesHandler, {"kind": Kind.SESSION}),
    (r"/api/v1/supervisions/(\d{1,18})/messages", MessagesHandler, {"kind": Kind.RECORD}),
    (r"/api/v1/sessions/(\d{1,18})/export", ExportHandler, {}),
]
