"""``/supervise``: alerts of the real plugin keyword_filter, and their acknowledgement."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.conftest import token
from tests.pages.conftest import SUPERVISOR, People, Process
from tests.pages.supervising import SupervisePage, enable_keyword_alerts, open_desk, start_session

WORD = "撑不下去"


@pytest.mark.gen_test
@pytest.mark.parametrize("language", ["zh_CN", "en"])
async def test_alert_stays_on_top_until_acknowledged(
    process: Process, people: People, tmp_path: Path, language: str
) -> None:
    enable_keyword_alerts(process, tmp_path, WORD)
    harness = (await process.start(f"server.language={language}")).harness
    one = await start_session(harness)
    supervisor = await open_desk(process, people)
    url = f"{process.url}/supervise#token={SUPERVISOR}"
    other = await SupervisePage(await people.tab(supervisor.page.context, url)).wait_ready()
    await one.send("hello", "hello", f"我{WORD}了")
    alert = supervisor.page.locator(".notice.alert")
    await expect(alert).to_contain_text("Alert: Lin and Chen")
    # The title says more.
    await expect(alert.locator(".notice-message")).to_have_count(0)
    await expect(supervisor.page.get_by_role("alert").filter(has_text="Alert: Lin and Chen")).to_be_visible()
    await expect(supervisor.page).to_have_title("⚠ Open alerts: 1 · Supervision desk")
    pane = await supervisor.open(one.number)
    await pane.expect_transcript("hello", "hello", f"我{WORD}了")
    # Opening the session does not acknowledge the alert.
    await expect(supervisor.page).to_have_title(re.compile("Open alerts"))
    await supervisor.page.reload()
    await expect(supervisor.notices.first).to_have_class(re.compile("alert"))

    await pane.element.get_by_role("button", name="Acknowledge").click()
    await expect(pane.element.locator(".pane-alert")).to_have_count(0)
    await expect(alert).to_contain_text(re.compile(r"Acknowledged at \d\d:\d\d"))
    await expect(supervisor.page).to_have_title(re.compile(r"Supervision desk$"))
    await expect(supervisor.page).not_to_have_title(re.compile("alert"))
    for page in (supervisor, other):
        await expect(page.page.locator(".notice.alert")).to_contain_text("Acknowledged at")
        await page.page.reload()
        await page.wait_ready()
        await expect(page.page.locator(".notice.alert")).to_contain_text("Acknowledged at")
        await expect(page.page.get_by_role("button", name="Acknowledge")).to_have_count(0)


@pytest.mark.gen_test
async def test_failed_acknowledgement_keeps_the_alert_open(
    process: Process, people: People, expected_complaints: list[str], tmp_path: Path
) -> None:
    expected_complaints.append("Failed to load resource")
    enable_keyword_alerts(process, tmp_path, WORD)
    harness = (await process.start()).harness
    one = await start_session(harness)
    supervisor = await open_desk(process, people)
    await one.send(WORD)
    alert = supervisor.page.locator(".notice.alert")
    await supervisor.page.route("**/read", lambda route: route.abort())
    await alert.get_by_role("button", name="Acknowledge").click()
    await expect(alert.get_by_role("alert")).to_contain_text("cannot be reached")
    await expect(supervisor.page).to_have_title(re.compile("Open alerts"))
    await supervisor.page.unroute("**/read")
    await alert.get_by_role("button", name="Acknowledge").click()
    await expect(alert).to_contain_text("Acknowledged at")
    await expect(alert.get_by_role("heading")).to_be_focused()  # because the button is gone


@pytest.mark.gen_test
async def test_alert_opens_a_record_for_the_supervisor(
    process: Process, people: People, tmp_path: Path
) -> None:
    enable_keyword_alerts(process, tmp_path, WORD, alert_role="supervisor")
    harness = (await process.start()).harness
    supervisor = await open_desk(process, people)
    one = await start_session(harness, record=False)
    await one.send(f"before, {WORD}")
    pane = await supervisor.open(one.number)
    await pane.wait_live()
    await pane.expect_transcript(f"before, {WORD}")
    await expect(pane.record).to_contain_text("Not here right now")
    await pane.write("I am with you.")
    await pane.expect_record("I am with you.")


@pytest.mark.gen_test
async def test_notification_and_sound_reveal_neither_names_nor_text(
    process: Process, people: People, tmp_path: Path
) -> None:
    enable_keyword_alerts(process, tmp_path, WORD)
    harness = (await process.start()).harness
    one = await start_session(harness)
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
    supervisor = await SupervisePage(page).wait_ready()
    await page.locator("#settings-button").click()
    await page.get_by_role("switch", name="Desktop notifications").check()
    await page.get_by_role("button", name="Close").click()
    await one.send(WORD)
    await expect(page.locator(".notice.alert")).to_be_visible()
    assert await page.evaluate("shown") == [f"Alert|Session {one.number}"]

    async def sounds() -> int:
        return int(await page.evaluate("sounds"))

    await page.wait_for_function("sounds >= 4")
    before = await sounds()
    await page.clock.run_for(21_000)
    await page.wait_for_function(f"sounds > {before}")  # the sound repeats until the alert is acknowledged
    await page.locator(".notice.alert").get_by_role("button", name="Acknowledge").click()
    await expect(page.locator(".notice.alert")).to_contain_text("Acknowledged")
    pane = await (await supervisor.open(one.number)).wait_live()
    await expect(page.locator(".notice.unread")).to_have_count(0)
    before = await sounds()
    # In steps with an answer of the server between them: the page must not give up its connection.
    for _ in range(12):
        await page.clock.run_for(5_000)
        await page.evaluate("fetch('/healthz')")
        await pane.wait_live()
    assert await sounds() == before
    await page.locator("#settings-button").click()
    await page.get_by_role("switch", name="Sounds").uncheck()
    await page.reload()
    await page.locator("#settings-button").click()
    await expect(page.get_by_role("switch", name="Sounds")).not_to_be_checked()
