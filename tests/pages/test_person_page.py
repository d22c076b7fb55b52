"""The HTML page of a person's data export: its contents, accessibility, and that it runs no script."""

from pathlib import Path

import peewee as pw
import pytest
from playwright.async_api import expect

from tests.pages.conftest import DESK, PHONE, People
from tests.pages.test_room_accessible import axe_violations
from tests.storage.conftest import database, database_file, transact
from tests.storage.people import LIN, build_sample, post
from tornado_chat.data_management import person_files
from tornado_chat.data_management.person_export import PersonData
from tornado_chat.plugins.data_keepers import DataKeepers
from tornado_chat.storage import operations

__all__ = ["database", "database_file"]


@pytest.mark.gen_test
@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "dark"), (DESK, "light")])
async def test_person_page_is_accessible_and_runs_no_script(
    people: People, database: pw.Database, tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    sample = build_sample(database, over=False)
    post(database, sample.session, LIN, "<img src=x onerror='document.title=1'>", "word" * 200)
    transact(database, lambda tx: operations.add(tx, "root", "export", "done", LIN))
    person_files.write(
        PersonData(database, DataKeepers(), LIN, ""), tmp_path, "en", "1", 1, lambda count: None
    )
    page = await people.page(f"file://{tmp_path}/{person_files.HTML_FILE}", size=size, color_scheme=scheme)
    await expect(page).to_have_title("A copy of your personal data")
    messages = page.locator("section", has_text="Session 1").locator("li")
    await expect(messages).to_have_count(5)
    await expect(messages.nth(3)).to_contain_text("<img src=x onerror='document.title=1'>")
    await page.get_by_role("link", name="Support conversations (1)").click()
    await expect(page.get_by_role("heading", name="Support conversations")).to_be_in_viewport()
    assert await axe_violations(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "too wide"
