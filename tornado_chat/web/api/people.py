"""``/api/v1/notifications``, ``/api/v1/support/status`` and ``/api/v1/guest``."""

from http import HTTPStatus
from typing import Any

import msgspec

from tornado_chat.services.sessions import HOSTS
from tornado_chat.types import Role
from tornado_chat.web.api import values
from tornado_chat.web.api.base import ApiHandler

_notify = msgspec.json.Decoder(values.Notify)


class NotificationsHandler(ApiHandler):
    async def post(self) -> None:
        """Notify somebody. 202: it is stored, and arrives when the recipient is there."""
        await self.identify(*HOSTS)
        wanted = self.body(_notify)
        wanted.check()
        created = await self.services.notifications.notify(
            wanted.recipient, wanted.type, wanted.msg, wanted.data
        )
        self.answer({"notification_id": created.id}, HTTPStatus.ACCEPTED)

    async def get(self) -> None:
        """One's own inbox, oldest first."""
        identity = await self.identify()
        after, limit = self.cursor()
        found = await self.services.notifications.page(identity.person, after, limit + 1)
        page = found[:limit]
        items = [values.notification(item, self.services.times) for item in page]
        self.answer(values.Page(items, page[-1].seq if len(found) > limit else None))


class ReadHandler(ApiHandler):
    async def post(self, notification_id: str) -> None:
        identity = await self.identify()
        read = await self.services.notifications.mark_read(identity.person, int(notification_id))
        self.answer(values.notification(read, self.services.times))


class SupportStatusHandler(ApiHandler):
    async def get(self) -> None:
        """Waiters, line and conversations of this moment."""
        await self.identify(Role.WAITER, *HOSTS)
        status = self.services.support.status()
        since = status["queue"]["waiting_since"]
        status["queue"]["waiting_since"] = None if since is None else self.services.times.text(since)
        for ticket in status["queue"]["first"]:
            ticket["id"] = ticket.pop("person").plain_id
            ticket["since"] = self.services.times.text(ticket["since"])
        for waiter in status["waiters"]:
            waiter["id"] = waiter.pop("person").plain_id
        self.answer(status)


class GuestHandler(ApiHandler):
    async def post(self) -> None:
        """A token for an anonymous user: 201 ``{"token", "id", "expires_in"}`` (seconds).

        With the token of a guest that is still valid, another one for the same guest: 200.
        """
        guests = self.services.guests
        if "Authorization" in self.request.headers:
            guest, status = guests.renew(await self.identify()), HTTPStatus.OK
        else:
            guest, status = guests.admit(self.request.remote_ip or ""), HTTPStatus.CREATED
        self.answer({"token": guest.token, "id": guest.id, "expires_in": guest.expires_in}, status)


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
    (r"/api/v1/notifications", NotificationsHandler, {}),
    (r"/api/v1/notifications/(\d{1,18})/read", ReadHandler, {}),
    (r"/api/v1/support/status", SupportStatusHandler, {}),
    (r"/api/v1/guest", GuestHandler, {}),
]
