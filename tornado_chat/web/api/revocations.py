"""``/api/v1/revocations``: persons whose tokens are refused, and whose sockets are closed."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tornado_chat.core.durations import parse_duration
from tornado_chat.core.errors import Conflict, Malformed, NotFound
from tornado_chat.core.types import Person, Role
from tornado_chat.core.types import Revocation as StoredRevocation
from tornado_chat.services.auth.access import HOST_ROLES
from tornado_chat.web.api.base import ApiHandler
from tornado_chat.web.api.ids import Id
from tornado_chat.web.api.operations import ApiResponse, operation
from tornado_chat.web.api.schemas import AnyId, Next, PageQuery
from tornado_chat.web.http.query_params import query_parameters
from tornado_chat.wire.counselling_frames import PersonId
from tornado_chat.wire.times import LocalTimes, Time

DEFAULT_SECONDS = 30 * 86400
MAX_SECONDS = 10 * 366 * 86400

AnyRole = Annotated[
    Literal["user", "consultant", "supervisor", "waiter", "admin", "service"],
    Meta(description="The person's role, as in its tokens.", examples=["consultant"]),
]
RevokedId = Annotated[PersonId, Meta(description="The person's id, as in its tokens.", examples=[7])]


class Revoke(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"seconds": "for"}):
    role: AnyRole
    id: RevokedId
    seconds: Annotated[
        int | str,
        Meta(
            description="How long: a number of seconds, or a text such as `12h` or `30d`; at least as long "
            "as the host's tokens are valid.",
            examples=["30d"],
        ),
    ] = DEFAULT_SECONDS
    all_tokens: Annotated[
        bool, Meta(description="True refuses tokens that are issued later, too.", examples=[False])
    ] = False

    def duration(self) -> float:
        """Return the seconds. :raises Malformed: ``for`` is no duration, or is too long."""
        try:
            seconds = parse_duration(self.seconds) if isinstance(self.seconds, str) else self.seconds
        except ValueError:
            seconds = 0
        if not 0 < seconds <= MAX_SECONDS:
            reason = f"`for` is a number of seconds up to {MAX_SECONDS}, or a text such as `30d`"
            raise Malformed("bad_shape", reason=reason)
        return float(seconds)


class UndoQuery(msgspec.Struct, frozen=True):
    role: AnyRole
    id: Annotated[
        str,
        Meta(min_length=1, max_length=64, description="The person's id, as in its tokens.", examples=["7"]),
    ]


class Revocation(msgspec.Struct, frozen=True):
    """The refusal of a person's tokens."""

    role: AnyRole
    id: AnyId
    since: Annotated[Time, Meta(description="Tokens issued before this time are refused (claim `iat`).")]
    until: Annotated[Time, Meta(description="The time at which the revocation ends.")]
    all_tokens: Annotated[
        bool, Meta(description="True if tokens that were issued later are refused, too.", examples=[False])
    ]
    made_by: Annotated[
        str,
        Meta(
            description="The caller's role and id, or the user of the machine who ran the command.",
            examples=["service:host"],
        ),
    ]


class RevocationPage(msgspec.Struct, frozen=True):
    items: Annotated[list[Revocation], Meta(description="The revocations, oldest first.")]
    next: Next


_revoke_decoder = msgspec.json.Decoder(Revoke)


class RevocationsHandler(ApiHandler):
    @operation(
        "revoke",
        "Shut a person out",
        access=HOST_ROLES,
        body=Revoke,
        responses=[ApiResponse(HTTPStatus.CREATED, Revocation)],
        errors=[Conflict("too_many_revocations", limit=10000)],
    )
    async def post(self) -> None:
        """The person's tokens that were issued before now, or that do not say when (claim `iat`), are
        refused, and the sockets that they opened are closed with 4401, on all processes within seconds. A
        token that is issued later is accepted, unless `all_tokens` is true: so stop issuing tokens first.

        Replaces an earlier revocation of the person. An account of the server is signed out, too.
        """
        caller = await self.authenticate()
        body = self.body(_revoke_decoder)
        person = Person(Role(body.role), str(body.id))
        added = await self.services.revocations.revoke(
            person, body.duration(), body.all_tokens, caller.person
        )
        self.respond(_serialize(added, self.services.times), HTTPStatus.CREATED)

    @operation(
        "list_revocations",
        "List the persons that are shut out",
        access=HOST_ROLES,
        query=PageQuery,
        responses=[ApiResponse(HTTPStatus.OK, RevocationPage)],
    )
    async def get(self) -> None:
        """The revocations that have not ended, oldest first."""
        await self.authenticate()
        after, limit = self.cursor()
        found = await self.services.revocations.page(after, limit + 1)
        page = found[:limit]
        items = [_serialize(each, self.services.times) for each in page]
        self.respond(RevocationPage(items, page[-1].id if len(found) > limit else None))

    @operation(
        "undo_revocation",
        "Let a person in again",
        access=HOST_ROLES,
        query=UndoQuery,
        responses=[ApiResponse(HTTPStatus.OK, Revocation)],
        errors=[NotFound("no_such_revocation", role="consultant", id="7")],
    )
    async def delete(self) -> None:
        """Tokens that have not expired are accepted again, on all processes within seconds."""
        caller = await self.authenticate()
        query = query_parameters(self, UndoQuery)
        removed = await self.services.revocations.undo(Person(Role(query.role), query.id), caller.person)
        self.respond(_serialize(removed, self.services.times))


def _serialize(revocation: StoredRevocation, times: LocalTimes) -> Revocation:
    person = revocation.person
    return Revocation(
        role=person.role.value,  # type: ignore[arg-type]  # of a token
        id=Id.of(person),
        since=times.format(revocation.since),
        until=times.format(revocation.until),
        all_tokens=revocation.all_tokens,
        made_by=revocation.made_by,
    )


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
    (r"/api/v1/revocations", RevocationsHandler, {}),
]
