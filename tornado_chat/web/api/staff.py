"""``/api/v1/staff``: signing in with an account of the server, for its own pages only.

The cookie must do nothing for other sites: browsers send it with nothing that another site brought about
(``SameSite=Strict``), and what says that another origin asks is refused, as is what a form could send.
"""

from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from tornado_chat.core.errors import ChatError, Forbidden, Malformed, TooFast, Unauthenticated, Unavailable
from tornado_chat.core.types import StaffAccount
from tornado_chat.services.auth.passwords import MAX_PASSWORD_CHARS
from tornado_chat.web.api.base import ApiHandler
from tornado_chat.web.api.operations import ApiResponse, operation

SESSION_COOKIE = "tornado-chat-staff"
DEVICE_COOKIE = "tornado-chat-device"
SECURE_COOKIE_PREFIX = "__Host-"
"""Browsers take a cookie whose name begins so from a secure origin only, and from no other host."""

DEVICE_DAYS = 180


class Credentials(msgspec.Struct, frozen=True):
    name: Annotated[str, Meta(max_length=64, description="Of the account.", examples=["chen"])]
    password: Annotated[
        str,
        Meta(
            max_length=MAX_PASSWORD_CHARS, description="As it was typed.", examples=["correct horse battery"]
        ),
    ]


class Account(msgspec.Struct, frozen=True):
    """Somebody with an account of this server."""

    id: Annotated[int | str, Meta(description="As in the tokens.", examples=["staff-chen"])]
    role: Annotated[str, Meta(examples=["consultant"])]
    name: Annotated[str, Meta(description="What others see.", examples=["Chen"])]


class SignedIn(msgspec.Struct, frozen=True):
    account: Annotated[Account | None, Meta(description="null: nobody is.")]


class OwnToken(msgspec.Struct, frozen=True):
    """A token for who is signed in."""

    token: Annotated[str, Meta(description="A JWT, as a host would make it.")]
    expires_in: Annotated[int, Meta(description="Seconds.", examples=[900])]
    id: Annotated[int | str, Meta(description="As in the token.", examples=["staff-chen"])]
    role: Annotated[str, Meta(examples=["consultant"])]
    name: Annotated[str, Meta(description="What others see.", examples=["Chen"])]


COMMON_ERRORS: tuple[ChatError, ...] = (Forbidden("other_origin"), Unavailable("database_away"))
NOT_JSON = Malformed("bad_shape", reason="the Content-Type must be application/json")


_credentials_decoder = msgspec.json.Decoder(Credentials)


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

    def get_staff_cookie(self, name: str) -> str | None:
        # A GET does not tell its origin. A browser with the first kind got it over HTTPS.
        own = self.get_cookie(SECURE_COOKIE_PREFIX + name)
        return own if own or self._is_secure() else self.get_cookie(name)

    def set_staff_cookie(self, name: str, value: str, days: int | None = None) -> None:
        """Set a cookie; without ``days`` until the browser ends."""
        self.set_cookie(
            self._cookie_name(name),
            value,
            expires_days=days,
            httponly=True,
            samesite="Strict",
            secure=self._is_secure(),
        )

    def clear_staff_cookie(self, name: str) -> None:
        self.clear_cookie(self._cookie_name(name), httponly=True, samesite="Strict", secure=self._is_secure())

    def _cookie_name(self, name: str) -> str:
        return SECURE_COOKIE_PREFIX + name if self._is_secure() else name

    def _is_secure(self) -> bool:
        """Whether the browser speaks HTTPS, to us or to a proxy.

        A proxy need not tell: the origin of the page does, which is this server's, see ``prepare``. Who makes
        that up gets a cookie for himself that his browser does not take.
        """
        return self.request.protocol == "https" or self.request.headers.get("Origin", "").startswith("https:")

    def _is_own(self, origin: str) -> bool:
        return urlsplit(origin).netloc == self.request.host.lower()


class StaffSessionHandler(StaffHandler):
    @operation(
        "sign_in",
        "Sign in with an account of this server",
        who=None,
        body=Credentials,
        responses=[ApiResponse(HTTPStatus.NO_CONTENT, {}, "The cookie of the session comes with it.")],
        errors=[
            *COMMON_ERRORS,
            Unauthenticated("wrong_password"),
            Forbidden("account_disabled"),
            Forbidden("accounts_off"),
            TooFast("too_many_attempts", retry_after=30),
        ],
    )
    async def post(self) -> None:
        """For the pages of this server only: requests of other origins are refused."""
        given = self.body(_credentials_decoder)
        signed_in = await self.services.accounts.sign_in(
            given.name, given.password, self.request.remote_ip or "", self.get_staff_cookie(DEVICE_COOKIE)
        )
        await self.services.accounts.sign_out(self.get_staff_cookie(SESSION_COOKIE))
        self.set_staff_cookie(SESSION_COOKIE, signed_in.secret)
        self.set_staff_cookie(DEVICE_COOKIE, signed_in.device, DEVICE_DAYS)
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()

    @operation(
        "get_account",
        "Who is signed in",
        who=None,
        responses=[ApiResponse(HTTPStatus.OK, SignedIn)],
        errors=COMMON_ERRORS,
    )
    async def get(self) -> None:
        """By the cookie of ``POST``."""
        account = await self.services.accounts.find_account(self.get_staff_cookie(SESSION_COOKIE))
        self.respond(SignedIn(Account(**_account_fields(account)) if account else None))

    @operation(
        "sign_out",
        "Sign out",
        who=None,
        responses=[ApiResponse(HTTPStatus.NO_CONTENT, {}, "Also if nobody was signed in.")],
        errors=COMMON_ERRORS,
    )
    async def delete(self) -> None:
        """Ends the session, the tokens that were made for it, and the sockets that were opened with them."""
        await self.services.accounts.sign_out(self.get_staff_cookie(SESSION_COOKIE))
        self.clear_staff_cookie(SESSION_COOKIE)
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()


class StaffTokenHandler(StaffHandler):
    @operation(
        "make_own_token",
        "A token for who is signed in",
        who=None,
        responses=[ApiResponse(HTTPStatus.OK, OwnToken)],
        errors=[*COMMON_ERRORS, NOT_JSON, Unauthenticated("signed_out"), Forbidden("accounts_off")],
    )
    async def post(self) -> None:
        """By the cookie of the session; sent as application/json, as a form of another site cannot."""
        made = await self.services.accounts.issue_token(self.get_staff_cookie(SESSION_COOKIE))
        self.respond(OwnToken(made.token, made.expires_in, **_account_fields(made.account)))


def _account_fields(account: StaffAccount) -> dict[str, Any]:
    return {
        "id": account.person.host_id,
        "role": account.person.role.value,
        "name": account.shown_name,
    }


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
    (r"/api/v1/staff/session", StaffSessionHandler, {}),
    (r"/api/v1/staff/token", StaffTokenHandler, {}),
]
