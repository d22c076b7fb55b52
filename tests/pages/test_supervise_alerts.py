"""Alerts, raised by the real plugin: not to be overlooked, acknowledged once, and for good."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.conftest import token
from tests.pages.conftest import SUPERVISOR, People, Process
from tests.pages.supervising import Desk, desk, talking, watch_for

WORD = "撑不下去"


@pytest.mark.gen_test
@pytest.mark.parametrize("language", ["zh_CN", "en"])
async def test_an_alert_stays_on_top_until_it_is_acknowledged(
    process: Process, people: People, tmp_path: Path, language: str
) -> None:
    watch_for(process, tmp_path, WORD)
    house = (await process.start(f"server.language={language}")).house
    one = await talking(house)
    supervisor = await desk(process, people)
    url = f"{process.url}/supervise#token={SUPERVISOR}"
    other = await Desk(await people.tab(supervisor.page.context, url)).ready()
    await one.say("hello", "hello", f"我{WORD}了")
    alert = supervisor.page.locator(".notice.alert")
    await expect(alert).to_contain_text("Alert: Lin and Chen")
    await expect(alert.locator(".notice-message")).to_have_count(0)  # the server's words would say less
    await expect(supervisor.page.get_by_role("alert").filter(has_text="Alert: Lin and Chen")).to_be_visible()
    await expect(supervisor.page).to_have_title("⚠ Open alerts: 1 · Supervision desk")
    pane = await supervisor.open(one.number)
    await pane.hears("hello", "hello", f"我{WORD}了")
    await expect(supervisor.page).to_have_title(re.compile("Open alerts"))  # to look is not to acknowledge
    await supervisor.page.reload()
    await expect(supervisor.notices.first).to_have_class(re.compile("alert"))

    await pane.place.get_by_role("button", name="Acknowledge").click()
    await expect(pane.place.locator(".pane-alert")).to_have_count(0)
    await expect(alert).to_contain_text(re.compile(r"Acknowledged at \d\d:\d\d"))
    await expect(supervisor.page).to_have_title(re.compile(r"Supervision desk$"))
    await expect(supervisor.page).not_to_have_title(re.compile("alert"))
    for page in (supervisor, other):
        await expect(page.page.locator(".notice.alert")).to_contain_text("Acknowledged at")
        await page.page.reload()
        await page.ready()
        await expect(page.page.locator(".notice.alert")).to_contain_text("Acknowledged at")
        await expect(page.page.get_by_role("button", name="Acknowledge")).to_have_count(0)


@pytest.mark.gen_test
async def test_what_could_not_be_acknowledged_stays_open(
    process: Process, people: People, expected_complaints: list[str], tmp_path: Path
) -> None:
    expected_complaints.append("Failed to load resource")
    watch_for(process, tmp_path, WORD)
    house = (await process.start()).house
    one = await talking(house)
    supervisor = await desk(process, people)
    await one.say(WORD)
    alert = supervisor.page.locator(".notice.alert")
    await supervisor.page.route("**/read", lambda route: route.abort())
    await alert.get_by_role("button", name="Acknowledge").click()
    await expect(alert.get_by_role("alert")).to_contain_text("cannot be reached")
    await expect(supervisor.page).to_have_title(re.compile("Open alerts"))
    await supervisor.page.unroute("**/read")
    await alert.get_by_role("button", name="Acknowledge").click()
    await expect(alert).to_contain_text("Acknowledged at")
    await expect(alert.get_by_role("heading")).to_be_focused()  # as the button is gone


@pytest.mark.gen_test
async def test_a_supervisor_without_a_record_gets_one_with_the_alert(
    process: Process, people: People, tmp_path: Path
) -> None:
    watch_for(process, tmp_path, WORD, alert_role="supervisor")
    house = (await process.start()).house
    supervisor = await desk(process, people)
    one = await talking(house, record=False)
    await one.say(f"before, {WORD}")
    pane = await supervisor.open(one.number)
    await pane.live()
    await pane.hears(f"before, {WORD}")
    await expect(pane.record).to_contain_text("Not here right now")
    await pane.write("I am with you.")
    await pane.wrote("I am with you.")


@pytest.mark.gen_test
async def test_attention_is_drawn_without_a_name_or_a_word(
    process: Process, people: People, tmp_path: Path
) -> None:
    watch_for(process, tmp_path, WORD)
    house = (await process.start()).house
    one = await talking(house)
    page = await people.page("about:blank", permissions=["notifications"])
    await page.add_init_script(
        """
        window.shown = []; window.sounds = 0;
        window.Notification = class extends EventTarget {
          static permission = "granted";
          static requestPermission = async () => "granted";
          constructor(title, options) { super(); shown.push(title + "|" + options.body); }
          close() {}
        };
        document.hasFocus = () => false;
        AudioContext.prototype.createOscillator = new Proxy(AudioContext.prototype.createOscillator, {
          apply: (make, audio, given) => { window.sounds += 1; return Reflect.apply(make, audio, given); },
        });
        """
    )
    await page.clock.install()
    await page.goto(f"{process.url}/supervise#token={token('supervisor', 3, 'Wu')}")
    supervisor = await Desk(page).ready()
    await page.locator("#settings-button").click()
    await page.get_by_role("switch", name="Desktop notifications").check()
    await page.get_by_role("button", name="Close").click()
    await one.say(WORD)
    await expect(page.locator(".notice.alert")).to_be_visible()
    assert await page.evaluate("shown") == [f"Alert|Session {one.number}"]

    async def sounds() -> int:
        return int(await page.evaluate("sounds"))

    await page.wait_for_function("sounds >= 4")
    before = await sounds()
    await page.clock.run_for(21_000)
    await page.wait_for_function(f"sounds > {before}")  # again, as nobody has acknowledged it
    await page.locator(".notice.alert").get_by_role("button", name="Acknowledge").click()
    await expect(page.locator(".notice.alert")).to_contain_text("Acknowledged")
    pane = await (await supervisor.open(one.number)).live()
    await expect(page.locator(".notice.unread")).to_have_count(0)
    before = await sounds()
    for _ in range(
        12
    ):  # in steps, and the server answers between: to a page that waits these are real seconds
        await page.clock.run_for(5_000)
        await page.evaluate("fetch('/healthz')")
        await pane.live()
    assert await sounds() == before
    await page.locator("#settings-button").click()
    await page.get_by_role("switch", name="Sounds").uncheck()
    await page.reload()
    await page.locator("#settings-button").click()
    await expect(page.get_by_role("switch", name="Sounds")).not_to_be_checked()
