"""Pictures of every page, to be looked at: light and dark, on a phone and on a desk, in both languages."""

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright
from scene import Scene, served

SIZES = {"phone": (360, 740), "desk": (1280, 800)}
LOCALES = {"en": "en-GB", "zh": "zh-CN"}
SCHEMES = ("light", "dark")
SETTLED = 0.7  # seconds for what comes in after a page has been loaded


async def main(folder: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("there is no chromium; scripts/test installs Debian's")
    with tempfile.TemporaryDirectory() as state:
        async with served(Path(state)) as url, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for word, locale in LOCALES.items():
                scene = Scene(url, word)
                await scene.set()
                for widget in (False, True):  # its guests are answered by somebody who would empty the line
                    if widget:
                        await scene.greet()
                    for scheme in SCHEMES:
                        for size in SIZES:
                            suffix = f"{word}-{scheme}-{size}"
                            await _take(browser, scene, folder, suffix, locale, scheme, size, widget)
                await scene.clear()
            await browser.close()


async def _take(
    browser: Browser,
    scene: Scene,
    folder: Path,
    suffix: str,
    locale: str,
    scheme: Any,
    size: str,
    widget: bool,
) -> None:
    width, height = SIZES[size]
    for name, address in scene.addresses().items():
        if widget != (name == "widget"):
            continue
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            locale=locale,
            color_scheme=scheme,
            device_scale_factor=1,
            reduced_motion="reduce",
        )
        page = await context.new_page()
        await page.goto(address, wait_until="networkidle" if name.startswith("docs") else "load")
        await asyncio.sleep(SETTLED)
        await _prepare(name, page, scene)
        await page.screenshot(path=folder / f"{name}-{suffix}.png")
        await context.close()


async def _prepare(name: str, page: Page, scene: Scene) -> None:
    """What somebody would do on the page before there is anything to see."""
    if name == "widget":
        await page.locator("#start").click()
        await scene.welcome()
        await asyncio.sleep(SETTLED)
    if name == "console" and await page.locator("[data-conversation]").count():
        await page.locator("[data-conversation]").first.click()
        await asyncio.sleep(SETTLED)


folder = Path(sys.argv[1]).resolve()
folder.mkdir(parents=True, exist_ok=True)
asyncio.run(main(folder))
sys.stdout.write(f"{len(list(folder.glob('*.png')))} pictures in {folder}\n")
