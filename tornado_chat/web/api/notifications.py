"""``/api/v1/notifications``, ``/api/v1/support/status`` and ``/api/v1/guest``."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.errors import Forbidden, NotFound, Refused, TooFast
from tornado_chat.core.numbers import MAX_NUMBER, NUMBER_PATTERN, Cursor
from tornado_chat.core.types import Role
from tornado_chat.services.auth.access import HOST_ROLES
from tornado_chat.web.api import schemas, serializers
from tornado_chat.web.api.base import TOO_MANY_ANSWERS, ApiHandler
from tornado_chat.web.api.ids import Id
from tornado_chat.web.api.operations import ApiResponse, operation
from tornado_chat.web.http.query_params import query_parameters


class InboxQuery(msgspec.Struct, frozen=True):
    after: Annotated[Cursor, Meta(description="The `next` of the previous page; 0 for the first page.")] = 0
    order: Annotated[Literal["oldest", "newest"], Meta(description="Which notifications come first.")] = (
        "oldest"
    )
    limit: Annotated[
        int, Meta(ge=1, le=schemas.MAX_PAGE_ITEMS, description="The maximum number of items in the page.")
    ] = 100


_notify_decoder = msgspec.json.Decoder(schemas.Notify)


class NotificationsHandler(ApiHandler):
    @operation(
        "notify",
        "Notify a person",
        access=HOST_ROLES,
        body=schemas.Notify,
        responses=[ApiResponse(HTTPStatus.ACCEPTED, schemas.Notified)],
        errors=[Refused(en="The text contains a word that is not allowed.")],
    )
    async def post(self) -> None:
        """The notification is stored, and delivered at ``/notify`` as soon as the recipient is connected."""
        await self.authenticate()
        body = self.body(_notify_decoder)
        data = body.published_data()
        created = await self.services.notifications.notify(body.recipient, body.type, body.msg, data)
        self.respond(schemas.Notified(Id(created.id)), HTTPStatus.ACCEPTED)

    @operation(
        "list_notifications",
        "List the caller's notifications",
        access="Every role.",
        query=InboxQuery,
        responses=[ApiResponse(HTTPStatus.OK, schemas.Inbox)],
        errors=[TOO_MANY_ANSWERS],
    )
    async def get(self) -> None:
        """The caller's inbox, oldest first, or newest first."""
        identity = await self.authenticate()
        query, inboxes = query_parameters(self, InboxQuery), self.services.notifications
        async with self.large_answer_turn:
            if query.order == "newest":
                page, has_more = await inboxes.newest_page(
                    identity.person, query.after or MAX_NUMBER, query.limit
                )
            else:
                page, has_more = await inboxes.page(identity.person, query.after, query.limit)
        items = [serializers.notification(item, self.services.times) for item in page]
        self.respond(schemas.Inbox(items, page[-1].seq if has_more else None))


class ReadHandler(ApiHandler):
    @operation(
        "read_notification",
        "Mark a notification as read",
        access="The recipient of the notification.",
        responses=[ApiResponse(HTTPStatus.OK, schemas.InboxItem)],
        errors=[NotFound("no_such_notification", id=12)],
    )
    async def post(self, notification_id: str) -> None:
        identity = await self.authenticate()
        read = await self.services.notifications.mark_read(identity.person, self.path_number(notification_id))
        self.respond(serializers.notification(read, self.services.times))


class SupportStatusHandler(ApiHandler):
    @operation(
        "get_support_status",
        "Waiters, queue and conversations",
        access="Waiters, consultants who serve a group, and the roles `supervisor`, `service` and `admin`.",
        responses=[ApiResponse(HTTPStatus.OK, schemas.SupportStatus)],
        errors=[Forbidden("role_not_allowed", role=Role.USER.value)],
    )
    async def get(self) -> None:
        """The state at the moment of the request."""
        identity = await self.authenticate()
        role = identity.person.role
        may_see = role in (*HOST_ROLES, Role.SUPERVISOR) or self.services.groups.has_agent(identity)
        if not may_see:
            raise Forbidden("role_not_allowed", role=role.value)
        status = await self.services.support.status()
        first = status["queue"]["first"]
        waiting = {each["conversation"]: each["group"] for each in first if "conversation" in each}
        first_words = await self.services.first_words.beginnings(identity, waiting)
        self.respond(serializers.support_status(status, now_microseconds(), self.services.times, first_words))


class GuestHandler(ApiHandler):
    @operation(
        "admit_guest",
        "Issue a token for an anonymous user",
        access="Callers without a token; and guests with their own token.",
        token_optional=True,
        responses=[
            ApiResponse(HTTPStatus.CREATED, schemas.GuestToken, "A new guest."),
            ApiResponse(HTTPStatus.OK, schemas.GuestToken, "A new token for the same guest."),
        ],
        errors=[Forbidden("guests_off"), Forbidden("no_guest"), TooFast("too_fast")],
    )
    async def post(self) -> None:
        """Without a token: creates a guest, if ``[auth] guests`` is on, with a rate limit per client network.

        With a valid token of a guest: issues a new token for the same guest, so that a conversation can last
        longer than a token.
        """
        guests = self.services.guests
        if "Authorization" in self.request.headers:
            guest, status = guests.renew_guest(await self.authenticate()), HTTPStatus.OK
        else:
            guest, status = guests.create_guest(self.client_address), HTTPStatus.CREATED
        self.respond(schemas.GuestToken(guest.token, guest.id, guest.expires_in), status)


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
    (r"/api/v1/notifications", NotificationsHandler, {}),
    (rf"/api/v1/notifications/{NUMBER_PATTERN}/read", ReadHandler, {}),
    (r"/api/v1/support/status", SupportStatusHandler, {}),
    (r"/api/v1/guest", GuestHandler, {}),
]
