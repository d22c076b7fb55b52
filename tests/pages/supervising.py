"""A supervisor's desk, and sessions for it to listen to."""

import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.conftest import House, token
from tests.pages.conftest import SUPERVISOR, People, Process
from tornado_chat.client import RawClient

VISITOR, CONSULTANT = "Lin", "Chen"


class Desk:
    """The page of a supervisor."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.notices = page.locator(".notice")
        self.standing = page.locator("#connection-status")

    async def ready(self) -> "Desk":
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
        await expect(self.pane(session).place).to_be_hidden()
        # The page notices by an IntersectionObserver; the browser calls a new observer not before the older ones.
        await self.page.evaluate(
            """() => new Promise((resolve) => {
                new IntersectionObserver((_, observer) => {
                    observer.disconnect();
                    resolve();
                }).observe(document.body);
            })"""
        )


class Pane:
    """A session on the desk."""

    def __init__(self, place: Locator) -> None:
        self.place = place
        self.script = place.locator("session-transcript")
        self.state = place.locator(".state")
        self.record = place.locator(".record")
        self.field = place.locator(".record textarea")
        self.end = place.locator(".transcript-end")

    async def hears(self, *lines: str) -> None:
        """Wait until exactly this was said by the two."""
        await expect(self.script.locator(".transcript-message .text")).to_have_text(list(lines))

    async def live(self) -> "Pane":
        await expect(self.state).to_have_attribute("data-state", "live")
        return self

    async def write(self, text: str) -> None:
        await self.field.fill(text)
        await self.field.press("Enter")

    async def wrote(self, *messages: str) -> None:
        """Wait until the record is exactly this."""
        await expect(self.record.locator(".message .text")).to_have_text(list(messages))

    async def menu(self, item: str) -> None:
        await self.place.locator(".more").click()
        await self.place.locator(".menu").get_by_text(item).click()


@dataclass
class Session:
    """A session whose two talk without pages."""

    house: House
    number: int
    visitor: RawClient
    consultant: RawClient
    record: int

    async def say(self, *lines: str) -> None:
        """Visitor and consultant in turns, the visitor begins. Returns when all is stored."""
        for turn, line in enumerate(lines):
            client = (self.visitor, self.consultant)[turn % 2]
            said = f"s{next(_ids)}"
            await client.send_json({"msg": line, "id": said})
            while (await client.recv_json()).get("ack") != said:
                pass


_ids = count()


async def talking(
    house: House,
    user: int = 1,
    consultant: int = 2,
    names: tuple[str, str] = (VISITOR, CONSULTANT),
    record: bool = True,
) -> Session:
    """A session that both are in, and by default a supervisor's record of it."""
    number = await house.session(user, consultant, user_name=names[0], consultant_name=names[1])
    visitor = await house.chat(token("user", user, names[0]), number, features="ack")
    helper = await house.chat(token("consultant", consultant, names[1]), number, features="ack")
    return Session(house, number, visitor, helper, await house.record(number) if record else 0)


async def desk(process: Process, people: People, who: str = SUPERVISOR, url: str = "", **more: Any) -> Desk:
    page = await people.page(f"{url or process.url}/supervise#token={who}", **more)
    return await Desk(page).ready()


def watch_for(process: Process, folder: Path, *words: str, **options: str) -> None:
    """Let the process have the plugin keyword_filter, which raises alerts for these words."""
    (folder / "words").write_text("\n".join(words), "utf-8")
    settings = {"alert": str(folder / "words"), **options}
    lines = ["[plugins]", "enabled = *, keyword_filter", "[plugin:keyword_filter]"]
    lines += [f"{name} = {value}" for name, value in settings.items()]
    (folder / "alerts.ini").write_text("\n".join(lines) + "\n", "utf-8")
    process.files.append(folder / "alerts.ini")
