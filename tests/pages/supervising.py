"""The page ``/supervise``, and counselling sessions for a supervisor to observe."""

import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.conftest import Harness, token
from tests.pages.conftest import SUPERVISOR, People, Process
from tornado_chat.client import RawClient

VISITOR, CONSULTANT = "Lin", "Chen"


class SupervisePage:
    """The page ``/supervise`` of a supervisor."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.notices = page.locator(".notice")
        self.connection_status = page.locator("#connection-status")

    async def wait_ready(self) -> "SupervisePage":
        await expect(self.page.locator("#my-connection")).to_have_attribute("data-connected", "true")
        return self

    def pane(self, session: int) -> "Pane":
        return Pane(self.page.locator(f"#session-{session}"))

    async def open(self, session: int) -> "Pane":
        await self.page.get_by_role(
            "button", name=re.compile(rf"^(Open session|打开会话) {session}$")
        ).first.click()
        return self.pane(session)

    async def open_by_number(self, session: int) -> "Pane":
        await self.page.locator("#number").fill(str(session))
        await self.page.locator("#number").press("Enter")
        return self.pane(session)

    def tab(self, name: str) -> Locator:
        return self.page.locator("#session-rows button", has_text=name)

    async def put_aside(self, session: int) -> None:
        """Hide the pane of a session, and return when the page has noticed that it is hidden."""
        await self.pane(session).menu("Put aside")
        await expect(self.pane(session).element).to_be_hidden()
        # The page notices by an IntersectionObserver; the browser calls a new observer after the older ones.
        await self.page.evaluate(
            """() => new Promise((resolve) => {
                new IntersectionObserver((_, observer) => {
                    observer.disconnect();
                    resolve();
                }).observe(document.body);
            })"""
        )


class Pane:
    """The pane of one session on the page."""

    def __init__(self, element: Locator) -> None:
        self.element = element
        self.transcript = element.locator("session-transcript")
        self.state = element.locator(".state")
        self.record = element.locator(".record")
        self.field = element.locator(".record textarea")
        self.end = element.locator(".transcript-end")

    async def expect_transcript(self, *lines: str) -> None:
        """Wait until the transcript shows exactly these messages of visitor and consultant."""
        await expect(self.transcript.locator(".transcript-message .text")).to_have_text(list(lines))

    async def wait_live(self) -> "Pane":
        await expect(self.state).to_have_attribute("data-state", "live")
        return self

    async def write(self, text: str) -> None:
        await self.field.fill(text)
        await self.field.press("Enter")

    async def expect_record(self, *messages: str) -> None:
        """Wait until the supervision record shows exactly these messages."""
        await expect(self.record.locator(".message .text")).to_have_text(list(messages))

    async def menu(self, item: str) -> None:
        await self.element.locator(".more").click()
        await self.element.locator(".menu").get_by_text(item).click()


@dataclass
class Session:
    """A counselling session whose visitor and consultant are connected without pages."""

    harness: Harness
    number: int
    visitor: RawClient
    consultant: RawClient
    record: int

    async def send(self, *lines: str) -> None:
        """Send lines as visitor and consultant in turns, the visitor first. Wait until all are stored."""
        for turn, line in enumerate(lines):
            client = (self.visitor, self.consultant)[turn % 2]
            message_id = f"s{next(_ids)}"
            await client.send_json({"msg": line, "id": message_id})
            while (await client.recv_json()).get("ack") != message_id:
                pass


_ids = count()


async def start_session(
    harness: Harness,
    user: int = 1,
    consultant: int = 2,
    names: tuple[str, str] = (VISITOR, CONSULTANT),
    record: bool = True,
) -> Session:
    """Open a session, connect both participants, and by default open a supervision record of it."""
    number = await harness.session(user, consultant, user_name=names[0], consultant_name=names[1])
    visitor = await harness.chat(token("user", user, names[0]), number, features="ack")
    helper = await harness.chat(token("consultant", consultant, names[1]), number, features="ack")
    return Session(harness, number, visitor, helper, await harness.record(number) if record else 0)


async def open_desk(
    process: Process, people: People, access_token: str = SUPERVISOR, url: str = "", **more: Any
) -> SupervisePage:
    page = await people.page(f"{url or process.url}/supervise#token={access_token}", **more)
    return await SupervisePage(page).wait_ready()


def enable_keyword_alerts(process: Process, folder: Path, *words: str, **options: str) -> None:
    """Enable the plugin keyword_filter, which raises alerts for ``words``, before the process starts."""
    (folder / "words").write_text("\n".join(words), "utf-8")
    settings = {"alert": str(folder / "words"), **options}
    lines = ["[plugins]", "enabled = *, keyword_filter", "[plugin:keyword_filter]"]
    lines += [f"{name} = {value}" for name, value in settings.items()]
    (folder / "alerts.ini").write_text("\n".join(lines) + "\n", "utf-8")
    process.files.append(folder / "alerts.ini")
