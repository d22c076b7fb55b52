"""``/api/v1/notifications``, ``/api/v1/support/status`` and ``/api/v1/guest``."""

from http import HTTPStatus
from typing import Any

import msgspec

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.errors import Forbidden, NotFound, Refused, TooFast
from tornado_chat.core.numbers import NUMBER_PATTERN
from tornado_chat.core.types import Role
from tornado_chat.services.auth.access import HOST_ROLES
from tornado_chat.web.api import schemas, serializers
from tornado_chat.web.api.base import TOO_MANY_ANSWERS, ApiHandler
from tornado_chat.web.api.operations import ApiResponse, operation

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
        body.validate_data()
        created = await self.services.notifications.notify(body.recipient, body.type, body.msg, body.data)
        self.respond(schemas.Notified(created.id), HTTPStatus.ACCEPTED)

    @operation(
        "list_notifications",
        "List the caller's notifications",
        access="Every role.",
        query=schemas.PageQuery,
        responses=[ApiResponse(HTTPStatus.OK, schemas.Inbox)],
        errors=[TOO_MANY_ANSWERS],
    )
    async def get(self) -> None:
        """The caller's inbox, oldest first."""
        identity = await self.authenticate()
        after, limit = self.cursor()
        page, has_more = await self.services.notifications.page(identity.person, after, limit)
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
        access=(Role.WAITER, *HOST_ROLES),
        responses=[ApiResponse(HTTPStatus.OK, schemas.SupportStatus)],
    )
    async def get(self) -> None:
        """The state at the moment of the request."""
        await self.authenticate()
        self.respond(
            serializers.support_status(
                await self.services.support.status(), now_microseconds(), self.services.times
            )
        )


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
