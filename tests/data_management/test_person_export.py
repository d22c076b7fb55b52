"""The export of a person: complete, without data of others except their messages, and without active HTML."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import peewee as pw
import pytest

from tests.storage.conftest import NOW, transact
from tests.storage.people import BOB, CHEN, DAY, LIN, SECRET, WU, build_sample, leave_message, post
from tornado_chat.core.types import ConsentForm, Person, Role, StaffAccount
from tornado_chat.data_management import person_files
from tornado_chat.data_management.person_export import PersonData
from tornado_chat.data_management.person_html import TEXTS
from tornado_chat.plugins.data_keepers import DataKeepers
from tornado_chat.storage import (
    consents,
    conversations,
    erasure,
    left_messages,
    operations,
    retention,
    revocations,
    staff,
)

ZONE = "Asia/Shanghai"


def written(
    database: pw.Database, person: Person, folder: Path, language: str = "en"
) -> tuple[dict[str, Any], str]:
    steps: list[int] = []
    gathered = PersonData(database, DataKeepers(), person, ZONE)
    person_files.write(gathered, folder, language, "1.2", NOW, steps.append)
    assert sum(steps) == gathered.counts.total()
    document: dict[str, Any] = json.loads((folder / person_files.JSON_FILE).read_text())
    return document, (folder / person_files.HTML_FILE).read_text()


def test_the_export_names_the_group_of_a_conversation(database: pw.Database, tmp_path: Path) -> None:
    transact(database, lambda tx: conversations.join(tx, LIN, None, "uuid-1", group="crisis"))
    document, page = written(database, LIN, tmp_path)
    assert [each["group"] for each in document["conversations"]] == ["crisis"]
    assert "crisis" in page
    staff.add(database, StaffAccount("chen", "Chen", CHEN, NOW, groups=("crisis", "legal")), "the hash")
    (tmp_path / "agent").mkdir()
    document, _ = written(database, CHEN, tmp_path / "agent")
    assert [each["groups"] for each in document["accounts"]] == [["crisis", "legal"]]


def test_the_export_has_left_messages_and_their_handling(database: pw.Database, tmp_path: Path) -> None:
    id = leave_message(database, LIN, "my words")
    transact(database, lambda tx: left_messages.mark_handled(tx, id, BOB), NOW + 1_000_000)
    document, page = written(database, LIN, tmp_path)
    (conversation,) = document["conversations"]
    times = {"time": "2023-11-15T06:13:20.000+08:00", "handled": "2023-11-15T06:13:21.000+08:00"}
    assert conversation["left_message"] == times
    assert [each["text"] for each in conversation["messages"]] == ["my words"]
    assert "2023-11-15T06:13:21.000+08:00" in page
    (tmp_path / "agent").mkdir()
    document, page = written(database, BOB, tmp_path / "agent")
    assert document["handled_messages"] == [{"conversation": id, "handled": times["handled"]}]
    assert "my words" not in page + json.dumps(document)


def test_consents_are_exported_erased_and_removed(database: pw.Database, tmp_path: Path) -> None:
    form = ConsentForm("crisis", "2026-01", "en", "text")
    row, _ = transact(database, lambda tx: conversations.join(tx, LIN, None, "uuid-1", group="crisis"))
    other, _ = transact(database, lambda tx: conversations.join(tx, Person(Role.USER, "9"), None, "uuid-2"))
    for person, thread in ((LIN, row.thread), (LIN, row.thread), (other.user, other.thread)):
        transact(database, partial(consents.accept, thread=thread, person=person, form=form))
    document, page = written(database, LIN, tmp_path)
    (given,) = document["conversations"][0]["consents"]
    assert given == {
        "group": "crisis",
        "version": "2026-01",
        "language": "en",
        "accepted": "2023-11-15T06:13:20.000+08:00",
    }
    assert "crisis 2026-01 (en)" in page
    counts, _ = transact(database, lambda tx: erasure.erase_conversation(tx, LIN, row.thread, "[erased]"))
    assert counts[erasure.ErasureEffect("consent", erasure.DELETED)] == 1
    assert consents.of_thread(database, row.thread) == []
    (removed, _), _ = transact(database, lambda tx: retention.remove_conversations(tx, [other.thread], 10))
    assert removed["consent"] == 1


def test_the_export_of_a_visitor_is_complete(database: pw.Database, tmp_path: Path) -> None:
    sample = build_sample(database)
    transact(database, lambda tx: operations.add(tx, "root", "export", "done", LIN))
    revocations.add(database, LIN, NOW, NOW + 10_000_000, False, "consultant:2")
    document, page = written(database, LIN, tmp_path)
    assert (document["format"], document["version"]) == ("tornado-chat-person", 1)
    assert document["person"] == {"role": "user", "id": "1", "names": [f"Lin {SECRET}"]}
    assert document["made"] == "2023-11-15T06:13:20.000+08:00"
    assert document["sessions"] == [
        {
            "id": sample.session.id,
            "others": ["consultant"],
            "state": "completed",
            "created": "2023-11-15T06:13:20.000+08:00",
            "started": "2023-11-15T06:13:20.000+08:00",
            "ended": "2023-11-15T06:13:20.000+08:00",
            "rate": 4,
            "feedback": f"feedback {SECRET}",
            "appointment": 77,
            "stays": [
                {
                    "part": "client",
                    "joined": "2023-11-15T06:13:20.000+08:00",
                    "left": "2023-11-15T06:13:20.000+08:00",
                }
            ],
            "received": 3,
            "read": 3,
            "messages": [
                message(1, "you", f"{SECRET} one"),
                message(2, "you", f"{SECRET} two"),
                message(3, "consultant", "I hear you"),
            ],
        }
    ]
    (conversation,) = document["conversations"]
    assert conversation["claims"] == {"skills": SECRET, "priority": 1}
    assert [each["from"] for each in conversation["messages"]] == ["you", "waiter"]
    assert document["supervisions"] == [], "a supervision record belongs to the counsellor and the supervisor"
    assert [each["msg"] for each in document["notifications"]] == [f"for Lin {SECRET}"]
    assert document["revocations"] == [
        {
            "since": "2023-11-15T06:13:20.000+08:00",
            "until": "2023-11-15T06:13:30.000+08:00",
            "all_tokens": False,
        }
    ]
    assert [each["action"] for each in document["operations"]] == ["export"]
    for name in ("Chen", "Wu", "Bob", "Eve", "about this session", "consultant:2"):
        assert name not in page
        assert name not in json.dumps(document)


def message(seq: int, sender: str, text: str) -> dict[str, Any]:
    time = "2023-11-15T06:13:20.000+08:00"
    return {"seq": seq, "time": time, "from": sender, "media": "text", "text": text}


def test_the_export_of_agents_is_complete(database: pw.Database, tmp_path: Path) -> None:
    sample = build_sample(database)
    for person, sessions, supervisions, support in (
        (CHEN, 1, 1, 0),
        (WU, 0, 1, 0),
        (BOB, 0, 0, 1),  # Bob handed the user over, so only his messages are left
    ):
        folder = tmp_path / person.role
        folder.mkdir()
        document, page = written(database, person, folder)
        found = [len(document[name]) for name in ("sessions", "supervisions", "conversations")]
        assert found == [sessions, supervisions, support]
        assert "Lin" not in json.dumps(document).replace(SECRET, "")
        assert page.count("<section>") == sum(found)
    assert document["conversations"][0]["others"] == ["user", "waiter"]
    (tmp_path / "wu").mkdir()
    document, _ = written(database, WU, tmp_path / "wu")
    assert document["listened"] == [{"kind": "session", "id": sample.session.id, "received": 2}]


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_message_texts_are_escaped_in_html(database: pw.Database, tmp_path: Path, language: str) -> None:
    sample = build_sample(database, over=False)
    evil = "<script>alert(1)</script>\"'&\n\\u0000 </p><img src=x onerror=alert(2)>"
    post(database, sample.session, LIN, evil)
    document, page = written(database, LIN, tmp_path, language)
    assert document["sessions"][0]["messages"][-1]["text"] == evil
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    assert f'<html lang="{language.replace("_", "-")}">' in page


def test_an_account_without_its_secrets(database: pw.Database, tmp_path: Path) -> None:
    staff.add(database, StaffAccount("chen", "Chen", CHEN, NOW), "the hash")
    assert staff.open_session(database, "the key", "chen", "the hash", NOW, NOW + DAY, 0)
    document, page = written(database, CHEN, tmp_path)
    (account,) = document["accounts"]
    assert (account["name"], account["disabled"], account["removed"]) == ("chen", False, None)
    assert [sorted(browser) for browser in account["browsers"]] == [["created", "expires", "used"]]
    assert "the hash" not in page + json.dumps(document)
    assert "the key" not in page + json.dumps(document)


def test_a_person_without_data_gets_a_valid_document(database: pw.Database, tmp_path: Path) -> None:
    document, _ = written(database, Person(Role.ADMIN, "nobody"), tmp_path)
    assert document["sessions"] == document["notifications"] == document["operations"] == []
    assert document["plugins"] == {}


def test_only_the_owner_can_read_the_files(database: pw.Database, tmp_path: Path) -> None:
    written(database, LIN, tmp_path)
    assert {
        path.stat().st_mode & 0o777 for path in tmp_path.iterdir() if path.suffix in (".json", ".html")
    } == {0o600}


def test_every_role_and_state_has_a_text() -> None:
    from tornado_chat.core.types import ConversationState, SessionState

    for word in (*Role, *SessionState, *ConversationState):
        assert word.value in TEXTS
