"""The texts of the pages: plurals, and both languages."""

import pytest

from tests.pages.conftest import People, Process

PLURALS = {
    "too_long": ("1 character too many", "2 characters too many"),
    "new_messages": ("1 new message", "2 new messages"),
    "messages_coming": ("Loading 1 message…", "Loading 2 messages…"),
    "messages_missing": ("1 message is missing here", "2 messages are missing here"),
    "reply_count": ("1 quick reply, choose with", "2 quick replies, choose with"),
    "earlier_with": ("Bob, 1 message", "Bob, 2 messages"),
    "hand_room": ("1 of 1 conversation", "2 of 2 conversations"),
    "notice_errors_text": ("refused something 1 time.", "refused something 2 times."),
    "too_many_attempts": ("again in 1 second.", "again in 2 seconds."),
    "too_many_attempts_minutes": ("again in 1 minute.", "again in 2 minutes."),
}

TEXTS_OF = """async ([keys, count]) => {
    for (const page of ["console", "supervise", "admin", "widget"]) {
        await import(`/static/${page}/strings.js`);
    }
    const { text } = await import("/static/shared/strings.js");
    const values = { count, capacity: count, seconds: count, minutes: count, waiter: "Bob" };
    return keys.map((key) => text(key, values));
}"""


@pytest.mark.gen_test
async def test_one_message_is_not_called_messages(process: Process, people: People) -> None:
    await process.start()
    english = await people.page(f"{process.url}/room")
    chinese = await people.page(f"{process.url}/room", locale="zh-CN")
    for column, count in enumerate((1, 2)):
        texts = await english.evaluate(TEXTS_OF, [list(PLURALS), count])
        for key, found in zip(PLURALS, texts, strict=True):
            assert PLURALS[key][column] in found
        for found in await chinese.evaluate(TEXTS_OF, [list(PLURALS), count]):
            assert "{" not in found
