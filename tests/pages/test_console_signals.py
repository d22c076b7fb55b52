"""``/console``: notifications, sounds, keyboard shortcuts and quick replies."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.pages.conftest import People, Process
from tests.pages.consoles import BOB, Console, connect_visitor, receive_text, send_messages
from tests.pages.test_room_accessible import axe_violations

# Records notifications and sounds of the page, and lets a test hide the page (``look(false)``).
RECORDING_SCRIPT = """
  window.recorded = []; window.tones = 0; window.looking = true;
  window.Notification = class extends EventTarget {
    static permission = "default";
    static async requestPermission() { return Notification.permission = "granted"; }
    constructor(title, options) { super(); recorded.push({ title, ...options }); recorded.last = this; }
    close() {}
  };
  const start = OscillatorNode.prototype.start;
  OscillatorNode.prototype.start = function (...when) { tones += 1; start.apply(this, when); };
  Object.defineProperty(document, "hidden", { get: () => !looking });
  document.hasFocus = () => looking;
  window.look = (how) => { looking = how; document.dispatchEvent(new Event("visibilitychange")); };
"""


async def wait_until(page: Page, expression: str) -> None:
    while not await page.evaluate(expression):  # the page's policy forbids wait_for_function()
        await page.wait_for_timeout(20)


@pytest.mark.gen_test
async def test_hidden_page_shows_notifications_and_plays_sounds(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    page = await people.page("about:blank")
    await page.context.add_init_script(RECORDING_SCRIPT)
    await page.goto(f"{process.url}/console#token={BOB}")
    bob = Console(page)
    await bob.wait_connected()
    await bob.take_new()
    assert await page.evaluate("recorded.length") == 0  # no notification before the waiter allows them

    lin = await connect_visitor(harness, 1, "Lin")
    await expect(bob.row("Lin")).to_be_visible()
    await wait_until(page, "tones > 3")  # a new visitor has more tones than a message
    await send_messages(lin, "in front of me")
    await bob.expect_messages("Lin", "in front of me")
    calls = await page.evaluate("tones")
    await page.locator("#settings-button").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("switch", name="Show messages")).to_be_disabled()
    await dialog.get_by_role("switch", name="Desktop notifications").check()
    await page.keyboard.press("Escape")

    # The page plays no sound right after another one: let two seconds pass.
    await page.evaluate("const now = Date.now; Date.now = () => now() + 2000; look(false)")
    await send_messages(lin, "a secret")
    await wait_until(page, "recorded.length === 1")
    note = await page.evaluate("recorded[0]")
    assert (note["title"], note["body"]) == ("Lin", "New message")
    await wait_until(page, f"tones === {calls + 2}")
    await expect(page).to_have_title("(1) Support desk")
    await connect_visitor(harness, 2, "Ada")
    await wait_until(page, "recorded.length === 2")
    note = await page.evaluate("recorded[1]")
    assert (note["title"], note["requireInteraction"]) == ("New visitor: Ada", True)
    await page.evaluate("look(true); recorded.last.dispatchEvent(new Event('click'))")
    await expect(bob.panel("Ada")).to_be_visible()

    # The settings survive a reload, and no sound is played when sounds are off.
    await page.locator("#settings-button").click()
    await dialog.get_by_role("switch", name="Show messages").check()
    await dialog.get_by_role("switch", name="Sounds").uncheck()
    await page.reload()
    await page.evaluate("Notification.permission = 'granted'; tones = 0")
    await bob.wait_connected()
    await page.locator("body").click(position={"x": 5, "y": 5})
    await page.evaluate("look(false)")
    await send_messages(lin, "shown")
    await wait_until(page, "recorded.length === 1")
    assert (await page.evaluate("recorded[0]"))["body"] == "shown"
    assert await page.evaluate("tones") == 0


@pytest.mark.gen_test
async def test_keyboard_shortcuts(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    keyboard = bob.page.keyboard
    lin = await connect_visitor(harness, 1, "Lin")
    await send_messages(lin, "first")
    for number, name in ((2, "Ada"), (3, "Tom")):
        await connect_visitor(harness, number, name)
    await expect(bob.rows).to_have_count(3)
    await bob.composer.fill("draft")
    await keyboard.press("Alt+ArrowDown")
    await expect(bob.panel("Ada")).to_be_visible()
    await expect(bob.composer).to_be_focused()
    await expect(bob.row("Lin")).to_contain_text("Draft: draft")
    await keyboard.press("Alt+ArrowUp")
    await keyboard.press("Alt+ArrowUp")
    await expect(bob.panel("Tom")).to_be_visible()
    await keyboard.press("Alt+n")  # the visitor who has waited longest
    await expect(bob.panel("Lin")).to_be_visible()
    await expect(bob.composer).to_have_value("draft")
    await bob.composer.dispatch_event("keydown", {"code": "ArrowDown", "altKey": True, "isComposing": True})
    await keyboard.press("Control+Alt+ArrowDown")
    await expect(bob.panel("Lin")).to_be_visible()
    await keyboard.press("Alt+i")
    # Later, when the conversation has ended, the server would refuse the request for the earlier ones.
    await expect(bob.page.get_by_role("complementary")).to_contain_text("This is the first one.")
    await keyboard.press("Alt+c")
    await expect(bob.composer).to_be_focused()
    await keyboard.press("?")  # in a text field it is only a question mark
    await expect(bob.composer).to_have_value("draft?")
    await bob.row("Lin").focus()
    await keyboard.press("?")
    keys = bob.page.get_by_role("dialog", name="Keyboard shortcuts")
    await expect(keys).to_contain_text("Alt+N")
    await keyboard.press("Escape")
    await keyboard.press("Alt+x")
    await expect(bob.page.get_by_role("dialog", name="End the conversation with Lin?")).to_be_visible()
    await keyboard.press("Enter")
    await lin.until("disconnected")
    await expect(bob.rows).to_have_count(2)
    await bob.row("Ada").focus()
    await keyboard.press("ArrowDown")
    await expect(bob.row("Tom")).to_be_focused()

    await bob.page.locator("#settings-button").click()
    await bob.page.get_by_role("switch", name="Keyboard shortcuts").uncheck()
    await keyboard.press("Escape")
    await bob.row("Ada").focus()
    await keyboard.press("?")
    await expect(keys).to_be_hidden()


@pytest.mark.gen_test
async def test_quick_replies(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    lin = await connect_visitor(harness, 1, "Lin")
    await bob.composer.fill("/")
    await expect(bob.panel("Lin")).to_contain_text("There are no quick replies yet")
    await expect(bob.page.locator(".suggestions-empty")).to_be_visible()
    await bob.composer.press("Backspace")
    await expect(bob.page.locator(".suggestions-empty")).to_have_count(0)
    await bob.page.locator("#settings-button").click()
    dialog = bob.page.get_by_role("dialog")
    for name, words in [("hello", "Hello {name}, how can I help?"), ("help", "See https://example.org/help")]:
        await dialog.get_by_role("button", name="Add a quick reply").click()
        await dialog.get_by_role("textbox", name="Name").fill(name)
        await dialog.get_by_role("textbox", name="Text").fill(words)
        await dialog.get_by_role("button", name="Save").click()
    await dialog.get_by_role("button", name="Add a quick reply").click()
    await dialog.get_by_role("textbox", name="Name").fill("hello")
    await dialog.get_by_role("textbox", name="Text").fill("another")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog.get_by_role("alert")).to_have_text("There is one of this name.")
    await bob.page.keyboard.press("Escape")

    options = bob.page.get_by_role("listbox", name="Quick replies").get_by_role("option")
    await bob.composer.fill("")
    await bob.composer.press_sequentially("/he")
    await expect(options).to_have_text([re.compile("^/hello"), re.compile("^/help")])
    await expect(options.nth(0)).to_have_attribute("aria-selected", "true")
    assert await axe_violations(bob.page) == []
    await bob.composer.press("Escape")
    await expect(options).to_have_count(0)
    await bob.composer.fill("、hel")  # the / key gives this character with a Chinese input method
    await bob.composer.press("ArrowDown")
    await expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    await bob.composer.press("ArrowUp")
    await bob.composer.press("Enter")
    await expect(bob.composer).to_have_value("Hello Lin, how can I help?")
    await expect(options).to_have_count(0)
    await bob.composer.press("Enter")
    assert await receive_text(lin) == "Hello Lin, how can I help?"
    await bob.send("either/or, and /nothing at all")
    assert await receive_text(lin) == "either/or, and /nothing at all"
    await bob.page.reload()
    await bob.composer.fill("/example")  # it is in the text of the reply
    await options.nth(0).click()
    await expect(bob.composer).to_have_value("See https://example.org/help")


@pytest.mark.gen_test
async def test_a_quick_reply_leaves_out_the_name_of_a_nameless_visitor(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    replies = {
        "hello": ("Hello {name}, how can I help?", "Hello, how can I help?"),
        "start": ("{name}, how are you?\n{name}: welcome", "How are you?\nWelcome"),
        "bye": ("Good bye, {name}!", "Good bye!"),
        "zh": ("您好，{name}，请问有什么可以帮您？", "您好，请问有什么可以帮您？"),
        "zh2": ("{name}您好", "您好"),
    }
    stored = [{"name": name, "words": words} for name, (words, _) in replies.items()]
    await bob.page.evaluate(
        "stored => localStorage.setItem('console:replies:5', JSON.stringify(stored))", stored
    )
    await connect_visitor(harness, 1)
    for name, (_, expected) in replies.items():
        await bob.composer.fill(f"/{name}")
        await bob.composer.press("Enter")
        await expect(bob.composer).to_have_value(expected)
