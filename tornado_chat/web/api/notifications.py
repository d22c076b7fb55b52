"""``/api/v1/notifications``, ``/api/v1/support/status`` and ``/api/v1/guest``."""

from http import HTTPStatus
from typing import Any

import msgspec

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.errors import Forbidden, NotFound, Refused, TooFast
from tornado_chat.core.types import Role
from tornado_chat.services.auth.access import HOST_ROLES
from tornado_chat.web.api import schemas, serializers
from tornado_chat.web.api.base import ApiHandler
from tornado_chat.web.api.operations import ApiResponse, operation

_notify_decoder = msgspec.json.Decoder(schemas.Notify)


class NotificationsHandler(ApiHandler):
    @operation(
        "notify",
        "Notify somebody",
        who=HOST_ROLES,
        body=schemas.Notify,
        responses=[ApiResponse(HTTPStatus.ACCEPTED, schemas.Notified)],
        errors=[Refused(en="It says too much.")],
    )
    async def post(self) -> None:
        """It is stored, and arrives at ``/notify`` when the recipient is there."""
        await self.authenticate()
        wanted = self.body(_notify_decoder)
        wanted.validate_data()
        created = await self.services.notifications.notify(
            wanted.recipient, wanted.type, wanted.msg, wanted.data
        )
        self.respond(schemas.Notified(created.id), HTTPStatus.ACCEPTED)

    @operation(
        "list_notifications",
        "One's own inbox",
        who="Everybody with a token.",
        query=schemas.PageQuery,
        responses=[ApiResponse(HTTPStatus.OK, schemas.Inbox)],
    )
    async def get(self) -> None:
        """Oldest first."""
        identity = await self.authenticate()
        after, limit = self.cursor()
        found = await self.services.notifications.page(identity.person, after, limit + 1)
        page = found[:limit]
        items = [serializers.notification(item, self.services.times) for item in page]
        self.respond(schemas.Inbox(items, page[-1].seq if len(found) > limit else None))


class ReadHandler(ApiHandler):
    @operation(
        "read_notification",
        "Mark a notification as read",
        who="Its recipient.",
        responses=[ApiResponse(HTTPStatus.OK, schemas.InboxItem)],
        errors=[NotFound("no_such_notification", id=12)],
    )
    async def post(self, notification_id: str) -> None:
        identity = await self.authenticate()
        read = await self.services.notifications.mark_read(identity.person, int(notification_id))
        self.respond(serializers.notification(read, self.services.times))


class SupportStatusHandler(ApiHandler):
    @operation(
        "get_support_status",
        "Waiters, line and conversations",
        who=(Role.WAITER, *HOST_ROLES),
        responses=[ApiResponse(HTTPStatus.OK, schemas.SupportStatus)],
    )
    async def get(self) -> None:
        """As they are at this moment."""
        await self.authenticate()
        self.respond(
            serializers.support_status(
                await self.services.support.status(), now_microseconds(), self.services.times
            )
        )


class GuestHandler(ApiHandler):
    @operation(
        "admit_guest",
        "A token for an anonymous user",
        who="Anybody, without a token; and guests, with their own.",
        token_optional=True,
        responses=[
            ApiResponse(HTTPStatus.CREATED, schemas.GuestToken, "A new guest."),
            ApiResponse(HTTPStatus.OK, schemas.GuestToken, "The same guest, by its token."),
        ],
        errors=[Forbidden("guests_off"), Forbidden("no_guest"), TooFast("too_fast")],
    )
    async def post(self) -> None:
        """Without a token a new one, where ``[auth] guests`` is on; so many per client address and minute.

        With the token of a guest that is still valid, another one of the same guest, so that a conversation
        that lasts longer than a token goes on.
        """
        guests = self.services.guests
        if "Authorization" in self.request.headers:
            guest, status = guests.renew_guest(await self.authenticate()), HTTPStatus.OK
        else:
            guest, status = guests.create_guest(self.request.remote_ip or ""), HTTPStatus.CREATED
        self.respond(schemas.GuestToken(guest.token, guest.id, guest.expires_in), status)


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
    (r"/api/v1/notifications", NotificationsHandler, {}),
    (r"/api/v1/notifications/(\d{1,18})/read", ReadHandler, {}),
    (r"/api/v1/support/status", SupportStatusHandler, {}),
    (r"/api/v1/guest", GuestHandler, {}),
]
