"""Links in messages: web addresses, mail addresses and phone numbers, in every list of messages."""

import pytest
from playwright.async_api import Page, expect

from tests.pages.conftest import COUNSELLOR, VISITOR, People, Process

LINKS: list[tuple[str, list[tuple[str, str]]]] = [
    # web addresses
    ("see https://a.example/x?y=1#z.", [("https://a.example/x?y=1#z", "https://a.example/x?y=1#z")]),
    ("(https://a.example/x)", [("https://a.example/x", "https://a.example/x")]),
    ("https://a.example/x_(y), ok", [("https://a.example/x_(y)", "https://a.example/x_(y)")]),
    ("HTTP://A.example", [("HTTP://A.example", "http://a.example/")]),
    ("请看https://a.example/x谢谢", [("https://a.example/x", "https://a.example/x")]),
    (
        "https://例子.example/路径，好",
        [("https://例子.example/路径", "https://xn--fsqu00a.example/%E8%B7%AF%E5%BE%84")],
    ),
    ("www.example.org!", [("www.example.org", "https://www.example.org/")]),
    ("去www.example.org看", [("www.example.org", "https://www.example.org/")]),
    ("javascript:alert(1) http:// www. www.a awww.example.org file:///etc/passwd", []),
    # mail addresses
    ("mail a.b+c@mail.example.org.", [("a.b+c@mail.example.org", "mailto:a.b+c@mail.example.org")]),
    ("联系a@example.cn谢谢", [("a@example.cn", "mailto:a@example.cn")]),
    ("x@y @example.org a@b@example.org", []),
    ("a@example.org?bcc=b@c", [("a@example.org", "mailto:a@example.org")]),
    # phone numbers
    ("电话13800138000。", [("13800138000", "tel:13800138000")]),
    (
        "电话:13800138000,13900139000",
        [("13800138000", "tel:13800138000"), ("13900139000", "tel:13900139000")],
    ),
    ("138 0013 8000", [("138 0013 8000", "tel:13800138000")]),
    ("+86 138-0013-8000", [("+86 138-0013-8000", "tel:+8613800138000")]),
    ("+49 (0)30 123456", [("+49 (0)30 123456", "tel:+4930123456")]),
    (
        "010-12345678 or (010) 12345678",
        [("010-12345678", "tel:01012345678"), ("(010) 12345678", "tel:01012345678")],
    ),
    ("020 7946 0958", [("020 7946 0958", "tel:02079460958")]),
    ("400-820-8820", [("400-820-8820", "tel:4008208820")]),
    ("(555) 123-4567", [("(555) 123-4567", "tel:5551234567")]),
    # other numbers
    ("on 2025-03-20 08:30, or 01-02-2025 10:30, not 20-03-2025", []),
    ("1,000,000 and 3.14159265358 and 192.168.100.200", []),
    ("order 138001380001, ID 110101199003074518, 12345678901234567890", []),
]

LINKIFY = """async (text) => {
    const { linkify } = await import("/static/shared/links.js");
    const pieces = linkify(text);
    return {
        whole: pieces.map((piece) => piece.textContent ?? piece).join(""),
        links: pieces.filter((piece) => piece.href).map((piece) => [piece.textContent, piece.href]),
        directions: pieces.filter((piece) => piece.href).map((piece) => piece.dir),
        rels: pieces.filter((piece) => piece.href).map((piece) => piece.rel),
    };
}"""


@pytest.mark.gen_test
async def test_what_becomes_a_link(process: Process, people: People) -> None:
    await process.start()
    page = await people.page(f"{process.url}/room")
    for text, links in LINKS:
        found = await page.evaluate(LINKIFY, text)
        assert found["whole"] == text
        assert [tuple(link) for link in found["links"]] == links, text
        assert set(found["directions"]) <= {"ltr"}, "a character before the link could reverse it"
        assert set(found["rels"]) <= {"noopener noreferrer"}
    for text in ("1-" * 5000, "a." * 5000 + "@", "x@" + "a." * 5000, "+1" * 5000, "0 " * 5000, "(" * 9000):
        assert (await page.evaluate(LINKIFY, text))["whole"] == text


def note_foreign_requests(page: Page, server: str) -> list[str]:
    """Return the list of the page's requests to other servers."""
    requests: list[str] = []
    page.on("request", lambda request: request.url.startswith(server) or requests.append(request.url))
    return requests


@pytest.mark.gen_test
async def test_links_in_a_room(process: Process, people: People) -> None:
    session = await (await process.start()).harness.session()
    counsellor = await people.room(process.url, COUNSELLOR, session)
    visitor = await people.room(process.url, VISITOR, session)
    foreign = [note_foreign_requests(each.page, process.url) for each in (counsellor, visitor)]
    text = "See www.example.org/help, write to help@example.org or call 010-12345678 <b>"
    await counsellor.send(text)
    for room in (visitor, counsellor):
        await room.expect_messages(text)
        links = room.message("See").get_by_role("link")
        await expect(links).to_have_text(["www.example.org/help", "help@example.org", "010-12345678"])
        addresses = ["https://www.example.org/help", "mailto:help@example.org", "tel:01012345678"]
        for number, address in enumerate(addresses):
            await expect(links.nth(number)).to_have_attribute("href", address)
            await expect(links.nth(number)).to_have_attribute("rel", "noopener noreferrer")
        await expect(links.first).to_have_attribute("target", "_blank")
    assert foreign == [[], []]  # no preview
