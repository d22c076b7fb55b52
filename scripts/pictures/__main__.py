"""Takes screenshots of every page: light and dark, in phone and desktop size, in both languages.

Words after the folder select the pictures whose names contain all of them, such as ``console zh``.
"""

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect
from scene import Scene
from servers import served

SIZES = {"phone": (360, 740), "desk": (1280, 800)}
LOCALES = {"en": "en-GB", "zh": "zh-CN"}
SCHEMES = ("light", "dark")
NOTICE_TIMEOUT_MS = 15_000  # until a passing notice has disappeared
SETTLE_SECONDS = 0.7  # for the data that arrive after a page is loaded


async def main(folder: Path, words: list[str]) -> int:
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("chromium is missing: install Debian's package chromium, as scripts/test does")
    taken = 0
    with tempfile.TemporaryDirectory() as state:
        async with served(Path(state)) as (url, shop), async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for language in LOCALES:
                scene = Scene(url, shop, language)
                await scene.set()
                pages = scene.addresses()
                last = pages.pop("widget")  # its guests are answered by a waiter who empties the queue
                for name, address in pages.items():
                    taken += await _take_all(browser, scene, name, address, language, folder, words)
                await scene.greet()
                taken += await _take_all(browser, scene, "widget", last, language, folder, words)
                await scene.clear()
            await browser.close()
    return taken


async def _take_all(
    browser: Browser, scene: Scene, name: str, address: str, language: str, folder: Path, words: list[str]
) -> int:
    """Take the pictures of a page in all schemes and sizes. Returns their number."""
    taken = 0
    for scheme in SCHEMES:
        for size in SIZES:
            picture = f"{name}-{language}-{scheme}-{size}"
            if all(word in picture for word in words):
                await _take(browser, scene, name, address, LOCALES[language], scheme, size, folder / picture)
                taken += 1
    return taken


async def _take(
    browser: Browser,
    scene: Scene,
    name: str,
    address: str,
    locale: str,
    scheme: Any,
    size: str,
    picture: Path,
) -> None:
    width, height = SIZES[size]
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        locale=locale,
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    page = await context.new_page()
    await page.goto(address, wait_until="networkidle" if name.startswith("docs") else "load")
    await asyncio.sleep(SETTLE_SECONDS)
    await _prepare(name, page, scene, size)
    await asyncio.sleep(SETTLE_SECONDS)
    await page.screenshot(path=picture.with_suffix(".png"))
    await context.close()


async def _prepare(name: str, page: Page, scene: Scene, size: str) -> None:
    """Operate the page until it shows its typical contents."""
    if name == "widget":
        await page.locator("tornado-chat .launcher").click()
        inside = page.frame_locator("tornado-chat iframe")
        await inside.locator("#start-button").click()
        await inside.locator("chat-composer textarea").fill(scene.question)
        await inside.locator("chat-composer textarea").press("Enter")
        await scene.welcome()
        await expect(inside.locator(".message")).to_have_count(2)
    if name == "console" and size == "desk":
        await page.locator(".row").first.click()
    if name == "console":  # a notice of the new user disappears after some seconds
        await expect(page.locator("#toast")).to_be_empty(timeout=NOTICE_TIMEOUT_MS)
    if name == "supervise":
        for session in scene.sessions if size == "desk" else scene.sessions[:1]:
            await page.locator("#number").fill(str(session))
            await page.locator("#number").press("Enter")
            await expect(page.locator(f"#session-{session} .state")).to_have_attribute("data-state", "live")
        for toast in ("#toast-arrived", "#toast-urgent"):
            await expect(page.locator(toast)).to_be_empty(timeout=NOTICE_TIMEOUT_MS)


folder = Path(sys.argv[1]).resolve()
folder.mkdir(parents=True, exist_ok=True)
sys.stdout.write(f"{asyncio.run(main(folder, sys.argv[2:]))} pictures in {folder}\n")
