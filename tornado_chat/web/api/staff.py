"""``/api/v1/staff``: signing in with an account of the server, for the server's own pages only."""

from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tornado_chat.core.errors import ChatError, Forbidden, TooFast, Unauthenticated, Unavailable
from tornado_chat.core.types import StaffAccount
from tornado_chat.services.auth.passwords import MAX_PASSWORD_CHARS
from tornado_chat.web.api.base import READING_METHODS, ApiHandler
from tornado_chat.web.api.operations import ApiResponse, operation
from tornado_chat.web.api.page_session import (
    SECURE_COOKIE_PREFIX,
    SESSION_COOKIE,
    is_secure,
    page_cookie,
    require_own_page,
)
from tornado_chat.web.http.client_request import NOT_JSON

DEVICE_COOKIE = "tornado-chat-device"
DEVICE_DAYS = 180


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=64, description="The name of the account.", examples=["chen"])]
    password: Annotated[
        str,
        Meta(
            max_length=MAX_PASSWORD_CHARS,
            description="The password as typed.",
            examples=["correct horse battery"],
        ),
    ]


class Account(msgspec.Struct, frozen=True):
    """The person of an account of this server."""

    id: Annotated[str, Meta(description="The person's id, as in the tokens.", examples=["staff-chen"])]
    role: Annotated[str, Meta(examples=["consultant"])]
    name: Annotated[str, Meta(description="The name that other participants see.", examples=["Chen"])]


class SignedIn(msgspec.Struct, frozen=True):
    account: Annotated[
        Account | None, Meta(description="The signed-in account; null if the browser is not signed in.")
    ]


class OwnToken(msgspec.Struct, frozen=True):
    """A token for the signed-in account."""

    token: Annotated[str, Meta(description="A JWT with the claims of a host's token.")]
    expires_in: Annotated[int, Meta(description="The validity of the token, in seconds.", examples=[900])]
    id: Annotated[str, Meta(description="The person's id, as in the token.", examples=["staff-chen"])]
    role: Annotated[str, Meta(examples=["consultant"])]
    name: Annotated[str, Meta(description="The name that other participants see.", examples=["Chen"])]


COMMON_ERRORS: tuple[ChatError, ...] = (Forbidden("other_origin"), Unavailable("database_away"))


_credentials_decoder = msgspec.json.Decoder(Credentials)


class StaffHandler(ApiHandler):
    """Base class of the handlers that only pages of this server may call."""

    def set_cors_headers(self) -> None:
        """Set none: no page of another origin may read the answer."""

    def prepare(self) -> None:
        require_own_page(self.request, "staff")
        if self.request.method not in READING_METHODS:
            self.count_write(None)

    def get_staff_cookie(self, name: str) -> str | None:
        return page_cookie(self, name)

    def set_staff_cookie(self, name: str, value: str, days: int | None = None) -> None:
        """Set a cookie for ``days`` days; None: until the browser is closed."""
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
        return is_secure(self.request)


class StaffSessionHandler(StaffHandler):
    @operation(
        "sign_in",
        "Sign in with an account of this server",
        access=None,
        body=Credentials,
        responses=[ApiResponse(HTTPStatus.NO_CONTENT, {}, "The answer sets the session cookie.")],
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
        body = self.body(_credentials_decoder)
        signed_in = await self.services.accounts.sign_in(
            body.name, body.password, self.client_address, self.get_staff_cookie(DEVICE_COOKIE)
        )
        await self.services.accounts.sign_out(self.get_staff_cookie(SESSION_COOKIE))
        self.set_staff_cookie(SESSION_COOKIE, signed_in.secret)
        self.set_staff_cookie(DEVICE_COOKIE, signed_in.device, DEVICE_DAYS)
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()

    @operation(
        "get_account",
        "Get the signed-in account",
        access=None,
        responses=[ApiResponse(HTTPStatus.OK, SignedIn)],
        errors=COMMON_ERRORS,
    )
    async def get(self) -> None:
        """The account is found by the cookie that ``POST`` has set."""
        account = await self.services.accounts.find_account(self.get_staff_cookie(SESSION_COOKIE))
        self.respond(SignedIn(Account(**_account_fields(account)) if account else None))

    @operation(
        "sign_out",
        "Sign out",
        access=None,
        responses=[ApiResponse(HTTPStatus.NO_CONTENT, {}, "Also if the browser was not signed in.")],
        errors=COMMON_ERRORS,
    )
    async def delete(self) -> None:
        """Ends the session, its tokens, and the sockets that were opened with these tokens."""
        await self.services.accounts.sign_out(self.get_staff_cookie(SESSION_COOKIE))
        self.clear_staff_cookie(SESSION_COOKIE)
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()


class StaffTokenHandler(StaffHandler):
    @operation(
        "make_own_token",
        "Issue a token for the signed-in account",
        access=None,
        responses=[ApiResponse(HTTPStatus.OK, OwnToken)],
        errors=[*COMMON_ERRORS, NOT_JSON, Unauthenticated("signed_out"), Forbidden("accounts_off")],
    )
    async def post(self) -> None:
        """The account is found by the session cookie. The request must have the content type
        ``application/json``, which a form of another site cannot send.
        """
        issued = await self.services.accounts.issue_token(self.get_staff_cookie(SESSION_COOKIE))
        self.respond(OwnToken(issued.token, issued.expires_in, **_account_fields(issued.account)))


def _account_fields(account: StaffAccount) -> dict[str, Any]:
    return {
        "id": account.person.id,
        "role": account.person.role.value,
        "name": account.shown_name,
    }


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
    (r"/api/v1/staff/session", StaffSessionHandler, {}),
    (r"/api/v1/staff/token", StaffTokenHandler, {}),
]
