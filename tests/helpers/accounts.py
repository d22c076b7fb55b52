"""Staff accounts for tests, with password hashes that are cheap to compute."""

import json
import time
from http.cookies import SimpleCookie
from typing import Any

from argon2 import PasswordHasher
from tornado.httpclient import HTTPResponse

from tests.conftest import Harness
from tornado_chat.core.types import Person, Role, StaffAccount
from tornado_chat.services.auth.passwords import Passwords
from tornado_chat.storage import staff

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "correct horse battery"
HASH = CHEAP.hash(PASSWORD)
SESSION = "/api/v1/staff/session"
TOKEN = "/api/v1/staff/token"


def cheap_passwords() -> Passwords:
    return Passwords(CHEAP)


async def make_account(
    harness: Harness,
    name: str,
    role: str = "consultant",
    *,
    id: str | None = None,
    hash: str = HASH,
    **more: Any,
) -> None:
    person = Person(Role(role), id or f"staff-{name}")
    account = StaffAccount(name, more.pop("display_name", None), person, time.time_ns() // 1000, **more)
    await harness.server._store.write(lambda tx: staff.add(tx.database, account, hash))


class Browser:
    """An HTTP client with a cookie jar, the ``Origin`` and the fetch metadata of a browser."""

    def __init__(self, harness: Harness, **headers: str) -> None:
        self._harness = harness
        self._headers = {"Origin": harness.http, "Sec-Fetch-Site": "same-origin", **headers}
        self.cookies: dict[str, str] = {}

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> HTTPResponse:
        sent = {**self._headers, "Content-Type": "application/json", **headers}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await self._harness.api(method, path, None, body, **sent)
        for line in answer.headers.get_list("Set-Cookie"):
            for name, morsel in SimpleCookie(line).items():
                if morsel.value:
                    self.cookies[name] = morsel.value
                else:
                    self.cookies.pop(name, None)
        return answer

    async def sign_in(self, name: str, password: str = PASSWORD) -> HTTPResponse:
        return await self.ask("POST", SESSION, {"name": name, "password": password})

    async def token(self) -> str:
        answer = await self.ask("POST", TOKEN)
        assert answer.code == 200, answer.body
        return str(json.loads(answer.body)["token"])

    async def account(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = json.loads((await self.ask("GET", SESSION)).body)["account"]
        return found
