"""The pages and the widget below a path of another site, behind a real nginx with TLS, by its sample."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.conftest import Harness, changed, token
from tests.e2e.conftest import _Address
from tests.e2e.test_nginx import MAIN, running_nginx
from tests.helpers.accounts import PASSWORD, cheap_passwords, make_account
from tests.helpers.own_server import free_port
from tests.pages.conftest import People
from tornado_chat import config
from tornado_chat.server import builders

SAMPLE = Path(__file__).parents[2] / "etc" / "nginx" / "below-a-path.conf"
SITE = '<!doctype html><title>Site</title><link rel="icon" href="data:,"><script src="{src}" async></script>'


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return changed(changed(settings, "web", base_path="/help/chat"), "auth", guests=True)


@asynccontextmanager
async def nginx(harness: Harness, folder: Path, *, removes_path: bool) -> AsyncIterator[str]:
    """Run nginx with the sample in front of the server; yield the address of the site."""
    port = free_port()
    text = SAMPLE.read_text()
    changes = {
        "unix:/run/tornado-chat.sock": harness.http.removeprefix("http://"),
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "    listen [::]:443 ssl;\n": "",
        "/etc/letsencrypt/live/example.org": str(folder),
        "/var/log/nginx": str(folder),
        "/var/www/html": str(folder / "site"),
        "server_name example.org": "server_name 127.0.0.1",
        "http://tornado_chat/": "http://tornado_chat/" if removes_path else "http://tornado_chat",
    }
    for sample, here in changes.items():
        assert sample in text, sample
        text = text.replace(sample, here)
    (folder / "sample.conf").write_text(text)
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
    (folder / "site").mkdir()
    (folder / "site" / "index.html").write_text(SITE.format(src="/help/chat/widget.js"))
    async with running_nginx(folder, port):
        yield f"https://127.0.0.1:{port}"


def through(address: str) -> Harness:
    """Return the server as clients see it at this address."""
    return Harness(_Address(address), config.Config(), [])  # type: ignore[arg-type]


async def sign_in(page: Page) -> None:
    await page.get_by_label("Name").fill("bob")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.keyboard.press("Enter")


@pytest.mark.slow
@pytest.mark.gen_test(timeout=120)
async def test_all_pages_work_below_a_path(
    harness: Harness,
    people: People,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expected_complaints: list[str],
) -> None:
    expected_complaints.append("401")  # a page asks whether the browser is signed in
    monkeypatch.setattr(builders, "Passwords", cheap_passwords)
    await make_account(harness, "bob", "waiter")
    async with nginx(harness, tmp_path, removes_path=True) as site:
        chat = f"{site}/help/chat"
        tls = {"ignore_https_errors": True}

        session = await harness.session()
        visitor = await people.room(chat, token("user", 1), session, **tls)
        counsellor = await people.room(chat, token("consultant", 2), session, **tls)
        await visitor.send("I cannot sleep.")
        await expect(counsellor.page.locator(".message .text").last).to_have_text("I cannot sleep.")

        desk = await people.page(f"{chat}/desk#token={token('consultant', 2)}", **tls)
        await desk.get_by_role("link", name="Enter the session with").click()
        await expect(desk.locator(".message .text")).to_have_text(["I cannot sleep."])
        await expect(desk).to_have_url(f"{chat}/room")
        await desk.get_by_role("link", name="Back to the desk").click()
        await expect(desk).to_have_url(f"{chat}/desk")
        await expect(desk.get_by_role("link", name="Enter the session with")).to_be_visible()

        console = await people.page(f"{chat}/console", **tls)
        await expect(console).to_have_url(f"{chat}/signin?next=%2Fhelp%2Fchat%2Fconsole")
        await sign_in(console)
        await expect(console).to_have_url(f"{chat}/console")
        await console.get_by_role("switch").click()

        shop = await people.page(site, **tls)
        await shop.get_by_role("button").click()
        widget = shop.frame_locator("iframe")
        await widget.get_by_role("button", name="Start a conversation").click()
        await widget.get_by_role("textbox").fill("Is my parcel on its way?")
        await shop.keyboard.press("Enter")
        await expect(console.locator(".message .text").last).to_have_text("Is my parcel on its way?")
        await widget.get_by_role("button", name="End the conversation").click()
        await widget.get_by_role("dialog").get_by_role("button", name="End the conversation").click()
        await widget.get_by_role("button", name="New conversation").click()
        await widget.get_by_text("Earlier conversation", exact=True).click()
        await expect(widget.locator(".earlier .text")).to_have_text(["Is my parcel on its way?"])

        start = await people.page(f"{chat}/", **tls)
        await expect(start).to_have_url(f"{chat}/signin")
        docs = await people.page(f"{chat}/docs", **tls)
        await docs.get_by_role("link", name="WebSocket").first.click()
        await expect(docs).to_have_url(f"{chat}/docs/sockets")
        await expect(docs.locator("[data-ws-origin]").first).to_have_text(chat.replace("https", "wss"))
        for page in (visitor.page, counsellor.page, console, shop, start, docs):
            await page.context.close()  # before nginx ends, which the pages would report


@pytest.mark.gen_test
async def test_a_proxy_may_keep_the_path(harness: Harness, tmp_path: Path) -> None:
    async with nginx(harness, tmp_path, removes_path=False) as site:
        outside = through(f"{site}/help/chat")
        page = (await outside.api("GET", "/room")).body.decode()
        assert 'src="./static/' in page
        assert (await outside.api("POST", "/api/v1/guest")).code == 201
        chat = await outside.chat(token("user", 1), await outside.session())
        assert (await chat.recv_json())["isSystem"]
        assert (await outside.api("GET", "/nothing")).code == 404
