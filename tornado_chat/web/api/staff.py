"""``/api/v1/staff``: signing in with an account of the server, for its own pages only.

The cookie must do nothing for other sites: browsers send it with nothing that another site brought about
(``SameSite=Strict``), and what says that another origin asks is refused, as is what a form could send.
"""

from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from tornado_chat.errors import Forbidden, Malformed
from tornado_chat.services.passwords import LONGEST
from tornado_chat.types import StaffAccount
from tornado_chat.web.api.base import ApiHandler

SESSION = "tornado-chat-staff"
DEVICE = "tornado-chat-device"
SECURE = "__Host-"
"""Browsers take a cookie whose name begins so from a secure origin only, and from no other host."""

DEVICE_DAYS = 180


class Credentials(msgspec.Struct, frozen=True):
    name: Annotated[str, Meta(max_length=64)]
    password: Annotated[str, Meta(max_length=LONGEST)]


_credentials = msgspec.json.Decoder(Credentials)


class StaffHandler(ApiHandler):
    """What only a page of this server may ask."""

    def prepare(self) -> None:  # without the CORS headers of the rest of the API
        headers = self.request.headers
        site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
        # Browsers leave Sec-Fetch-Site out over plain HTTP; without both, it is not a page that asks.
        foreign = site not in ("same-origin", "none") if site else origin and not self._is_own(origin)
        if foreign:
            raise Forbidden("other_origin")
        if self.request.method == "POST" and not _is_json(headers.get("Content-Type", "")):
            raise Malformed("bad_shape", reason="the Content-Type must be application/json")

    def cookie(self, name: str) -> str | None:
        # A GET does not tell its origin. A browser with the first kind got it over HTTPS.
        own = self.get_cookie(SECURE + name)
        return own if own or self._secure() else self.get_cookie(name)

    def keep(self, name: str, value: str, days: int | None = None) -> None:
        """Set a cookie; without ``days`` until the browser ends."""
        self.set_cookie(
            self._named(name),
            value,
            expires_days=days,
            httponly=True,
            samesite="Strict",
            secure=self._secure(),
        )

    def drop(self, name: str) -> None:
        self.clear_cookie(self._named(name), httponly=True, samesite="Strict", secure=self._secure())

    def _named(self, name: str) -> str:
        return SECURE + name if self._secure() else name

    def _secure(self) -> bool:
        """Whether the browser speaks HTTPS, to us or to a proxy.

        A proxy need not tell: the origin of the page does, which is this server's, see ``prepare``. Who makes
        that up gets a cookie for himself that his browser does not take.
        """
        return self.request.protocol == "https" or self.request.headers.get("Origin", "").startswith("https:")

    def _is_own(self, origin: str) -> bool:
        return urlsplit(origin).netloc == self.request.host.lower()


class SessionHandler(StaffHandler):
    async def post(self) -> None:
        """Sign in: 204 and a cookie."""
        given = self.body(_credentials)
        signed_in = await self.services.staff.sign_in(
            given.name, given.password, self.request.remote_ip or "", self.cookie(DEVICE)
        )
        await self.services.staff.sign_out(self.cookie(SESSION))
        self.keep(SESSION, signed_in.secret)
        self.keep(DEVICE, signed_in.device, DEVICE_DAYS)
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()

    async def get(self) -> None:
        """Who is signed in: ``{"account": {"id", "role", "name"} | null}``."""
        account = await self.services.staff.account(self.cookie(SESSION))
        self.answer({"account": account and _shown(account)})

    async def delete(self) -> None:
        """Sign out: 204, also if nobody was signed in."""
        await self.services.staff.sign_out(self.cookie(SESSION))
        self.drop(SESSION)
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()


class TokenHandler(StaffHandler):
    async def post(self) -> None:
        """A token for who is signed in: ``{"token", "expires_in", "id", "role", "name"}`` (seconds)."""
        made = await self.services.staff.token(self.cookie(SESSION))
        self.answer({"token": made.token, "expires_in": made.expires_in, **_shown(made.account)})


def _shown(account: StaffAccount) -> dict[str, Any]:
    return {
        "id": account.person.host_id,
        "role": account.person.role.value,
        "name": account.shown_name,
    }


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
    (r"/api/v1/staff/session", SessionHandler, {}),
    (r"/api/v1/staff/token", TokenHandler, {}),
]
