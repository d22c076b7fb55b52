"""The page ``/desk`` of a counsellor, and sessions of that counsellor with visitors without pages."""

import json
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.conftest import Harness, token
from tests.pages.conftest import COUNSELLOR, HOST, People
from tornado_chat.client import RawClient


class Desk:
    """The page ``/desk``. Methods take the name of the visitor to select a session."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.connection_status = page.locator("#connection-status")
        self.notices = page.locator(".notice")
        self.new_marks = page.locator("#today .new-mark")
        self.transcript = page.locator("#transcript")
        self.empty_text = page.locator("#today-empty")
        self.problem = page.locator("#today-problem")
        self.history = page.locator("#history .session-name")
        self.history_status = page.locator("#history-status")

    @classmethod
    async def open(cls, people: People, url: str, access_token: str = COUNSELLOR, **more: Any) -> "Desk":
        page = await people.page(f"{url}/desk#token={access_token}", **more)
        return await cls(page).wait_ready()

    async def wait_ready(self) -> "Desk":
        """Wait until the page is connected and has loaded all its parts."""
        await expect(self.page.locator("#my-connection")).to_have_attribute("data-connected", "true")
        for selector in ("#today-empty", "#history-status", "#notices-empty"):
            await expect(self.page.locator(selector)).not_to_have_text("Loading…")
        return self

    async def look(self) -> None:
        """Let the page request the sessions now, as after an outage, and not some seconds later."""
        await self.page.evaluate("dispatchEvent(new Event('online'))")

    def group(self, name: str) -> Locator:
        """Return the visitors of a group of today's sessions: ``waits``, ``active``, ``ended`` …"""
        return self.page.locator(f"#group-{name} .session-name")

    def enter(self, name: str) -> Locator:
        return self.page.get_by_role("link", name=f"Enter the session with {name}")

    async def read(self, name: str) -> None:
        await self.page.get_by_role("button", name=f"Read the session with {name}").first.click()

    async def expect_transcript(self, *texts: str) -> None:
        """Wait until the open transcript shows exactly these messages."""
        await expect(self.transcript.locator(".message .text")).to_have_text(list(texts))

    async def search(self, name: str = "", day: str = "") -> None:
        await self.page.locator("#search-name").fill(name)
        await self.page.locator("#search-day").fill(day)
        await self.page.get_by_role("button", name="Search", exact=True).click()


async def visit(harness: Harness, session: int, user: int = 1, name: str = "Lin") -> RawClient:
    """Connect the visitor of a session. Returns when the others are told that the visitor is there."""
    client = await harness.chat(token("user", user, name), session, features="ack")
    while not (await client.recv_json())["msg"].startswith("来访者"):
        pass
    return client


async def hold_session(
    harness: Harness, name: str, *lines: str, user: int = 1, rate: int = 0, **more: Any
) -> int:
    """Open a session, let visitor and counsellor say ``lines`` in turns, and end it."""
    session = await harness.session(user, user_name=name, consultant_name="Chen", **more)
    clients = [
        await visit(harness, session, user, name),
        await harness.chat(COUNSELLOR, session, features="ack"),
    ]
    for turn, line in enumerate(lines):
        client = clients[turn % 2]
        await client.send_json({"msg": line, "id": f"line {turn}"})
        while (await client.recv_json()).get("ack") != f"line {turn}":
            pass
    await end_session(harness, session)
    if rate:
        rating = {"rate": rate, "feedback": "It helped."}
        path = f"/api/v1/sessions/{session}/rating"
        assert (await harness.api("POST", path, token("user", user), rating)).code == 200
    return session


async def end_session(harness: Harness, session: int) -> None:
    answer = await harness.api("POST", f"/api/v1/sessions/{session}/end", HOST)
    assert json.loads(answer.body)["state"] in ("completed", "cancelled"), answer.body


async def notify(harness: Harness, type: int, msg: str, data: dict[str, Any] | None = None) -> None:
    """Notify the counsellor."""
    body = {"role": "consultant", "id": 2, "type": type, "msg": msg, "data": data}
    assert (await harness.api("POST", "/api/v1/notifications", HOST, body)).code == 202
