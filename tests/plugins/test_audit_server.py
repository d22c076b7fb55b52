"""The audit log in a running server: its actions, its problems, and reads that wait for their record."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tornado_chat_plugins.audit as plugin
from tornado_chat_plugins.audit.chain import AuditDetail, AuditHead, AuditRecord

from tests.conftest import Harness, on_both, token
from tests.helpers.accounts import PASSWORD, make_account
from tests.plugins.test_audit import COUNSELLOR, SUPERVISOR, VISITOR, command, everything_told, settings
from tornado_chat import config
from tornado_chat.cli.options import Misconfigured
from tornado_chat.cli.plugins import plugin_findings
from tornado_chat.server.bootstrap import StartError
from tornado_chat.server.server import Server

__all__ = ["command", "settings"]

ADMIN, STRANGER = token("admin", 9), token("supervisor", 8)
CHECK_SECONDS = 0.02


@pytest.fixture(autouse=True)
def frequent_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "CHECK_SECONDS", CHECK_SECONDS)


async def write(harness: Harness, work: Callable[[Any], Any]) -> Any:
    return await harness.server._store.write(lambda tx: work(tx.database))


async def actions(harness: Harness) -> list[tuple[str, str, str | None]]:
    """Return the actor, the action and the detail of each record."""
    query = AuditRecord.select(AuditRecord.actor, AuditRecord.action, AuditDetail.text).left_outer_join(
        AuditDetail, on=AuditRecord.number == AuditDetail.number
    )
    return await harness.server._store.read(
        lambda database: list(query.order_by(AuditRecord.number).tuples().execute(database))
    )


async def problem(harness: Harness, *, there: bool) -> str:
    """Wait until the plugin reports a problem, or none, and return its text."""
    while bool(harness.server._readiness.degraded.get("plugin audit")) != there:  # noqa: ASYNC110 - no event
        await asyncio.sleep(CHECK_SECONDS)
    return harness.server._readiness.degraded.get("plugin audit", "")


async def begin_again(harness: Harness, settings: config.Config) -> None:
    await everything_told(harness)
    harness.server = Server(settings)
    await harness.server.start()


@on_both
@pytest.mark.gen_test
async def test_every_kind_of_action_is_recorded(harness: Harness, settings: config.Config) -> None:
    session = await harness.session()
    path = f"/api/v1/sessions/{session}"
    await harness.api("POST", f"{path}/supervision", COUNSELLOR, {"supervisor_id": 3})
    assert (await harness.api("GET", f"{path}/messages", STRANGER)).code == 403
    for socket in (
        await harness.chat(token("user", 66), session),
        await harness.connect(f"/observe?token={STRANGER}&sessionId={session}"),
    ):
        assert (await socket.wait_closed()).code == 4403
    assert (await harness.api("POST", f"{path}/end", COUNSELLOR)).code == 200
    assert (await harness.api("POST", f"{path}/rating", VISITOR, {"rate": 4})).code == 200
    person = {"role": "consultant", "id": 77}
    assert (await harness.api("POST", "/api/v1/revocations", ADMIN, person)).code == 201
    assert (await harness.api("DELETE", "/api/v1/revocations?role=consultant&id=77", ADMIN)).code == 200
    await make_account(harness, "chen")
    await harness.server._accounts.sign_in("chen", PASSWORD, "127.0.0.1", None)
    await harness.server.reload(replace(settings, limits=replace(settings.limits, burst=77)))
    await begin_again(harness, settings)
    found = await actions(harness)
    for expected in (
        ("-", "begins", None),
        ("consultant:2", "asked for supervision", "record 1 with supervisor:3"),
        ("supervisor:8", "refused to read", None),
        ("supervisor:8", "refused to observe", None),
        ("user:66", "refused to enter", None),
        ("consultant:2", "ended", None),
        ("user:1", "rated", "4 of 5"),
        ("admin:9", "revoked", "consultant:77"),
        ("admin:9", "undid revocation", "consultant:77"),
        ("consultant:staff-chen", "signed in", "account chen"),
        ("-", "reloaded", "limits.burst"),
    ):
        assert expected in found
    assert [detail for _, action, detail in found if action == "opened session"] == [
        "user:1 with consultant:2"
    ]


@pytest.mark.gen_test
async def test_a_read_is_recorded_before_its_answer(harness: Harness) -> None:
    session = await harness.session()
    for how, action in (("messages", "read"), ("export", "exported")):
        await harness.api("GET", f"/api/v1/sessions/{session}/{how}", SUPERVISOR)
        await harness.api("GET", f"/api/v1/sessions/{session}/{how}", ADMIN)
        assert ("admin:9", action, None) in await actions(harness), "answered, and not recorded yet"


@pytest.mark.gen_test
async def test_a_read_that_cannot_be_recorded_is_refused(harness: Harness, expected_logs: list[str]) -> None:
    expected_logs += ["a write failed", "audit", "no such table", "could not"]
    session = await harness.session()
    path = f"/api/v1/sessions/{session}"
    assert (await harness.api("GET", f"{path}/messages", ADMIN)).code == 200
    await write(harness, lambda database: database.execute_sql("DROP TABLE audit_record"))
    assert "cannot be read" in await problem(harness, there=True)
    for how in ("messages", "export"):
        assert (await harness.api("GET", f"{path}/{how}", ADMIN)).code == 503
    observer = await harness.connect(f"/observe?token={ADMIN}&sessionId={session}&features=seq")
    assert (await observer.wait_closed()).code == 1013


@on_both
@pytest.mark.gen_test
async def test_a_broken_chain_is_a_problem_until_it_is_acknowledged(
    harness: Harness, expected_logs: list[str], command: Callable[..., Any]
) -> None:
    expected_logs += ["plugin audit reports a problem: the audit log"]
    await harness.session()
    while not any(action == "opened session" for _, action, _ in await actions(harness)):  # noqa: ASYNC110
        await asyncio.sleep(CHECK_SECONDS)
    await problem(harness, there=False)
    await write(harness, lambda database: AuditHead.delete().execute(database))
    assert "the head is missing" in await problem(harness, there=True)
    ready = json.loads((await harness.api("GET", "/readyz")).body)
    assert ready["ok"]
    assert any(text.startswith("plugin audit: the audit log is broken") for text in ready["degraded"])
    metrics = (await harness.api("GET", "/metrics")).body.decode()
    assert 'tornado_chat_plugin_problem{plugin="audit"} 1.0' in metrics
    status = json.loads((await harness.api("GET", "/api/v1/status", ADMIN)).body)
    assert "the audit log is broken" in status["problems"]["plugin audit"]
    await harness.session(5, 6)
    while "was broken before record" not in await problem(harness, there=True):  # noqa: ASYNC110 - no event
        await asyncio.sleep(CHECK_SECONDS)
    broken = command("verify")
    assert (broken.exit_code, "says that the chain was broken" in broken.output) == (1, True)
    assert "add --yes" in command("acknowledge").output  # no terminal
    assert command("acknowledge", "--yes").output.splitlines()[-1] == "acknowledged and recorded"
    await problem(harness, there=False)
    assert command("verify").exit_code == 0
    assert "acknowledges break, record " in command("show").output
    assert command("acknowledge").output == "there is nothing to acknowledge\n"


@pytest.mark.gen_test
async def test_emptied_or_dropped_tables_are_found_before_and_after_the_next_start(
    harness: Harness, settings: config.Config, command: Callable[..., Any], expected_logs: list[str]
) -> None:
    expected_logs += ["plugin audit reports a problem: the audit log"]
    await harness.session()
    await everything_told(harness)
    for tamper in ("DELETE FROM", "DROP TABLE"):
        database = chain_database(settings)
        database.execute_sql(f"{tamper} audit_record")
        database.execute_sql(f"{tamper} audit_head")
        database.close()
        found = command("verify")
        assert (found.exit_code, "there is no record at all" in found.output) == (1, True)
        harness.server = Server(settings)
        await harness.server.start()
        assert "was broken before record " in await problem(harness, there=True)
        await everything_told(harness)
        assert command("verify").exit_code == 1
    harness.server = Server(settings)
    await harness.server.start()


def check_config(settings: config.Config) -> None:
    problems, _ = plugin_findings(settings)
    if problems:
        raise Misconfigured(problems)


def chain_database(settings: config.Config) -> Any:
    import peewee

    return peewee.SqliteDatabase(settings.storage.url.removeprefix("sqlite:///"))


@pytest.mark.gen_test
async def test_a_lost_or_invalid_key_is_not_replaced(
    harness: Harness, settings: config.Config, command: Callable[..., Any], expected_logs: list[str]
) -> None:
    expected_logs += ["plugin audit failed in startup", "plugin audit reports a problem: the audit log was"]
    await harness.session()
    await everything_told(harness)
    key = Path(settings.state_dir, "audit.key")
    for lose, sentence in (
        (lambda: key.unlink(), "is missing, and the log has records"),
        (lambda: key.write_text(""), "is empty"),
        (lambda: key.write_text("nonsense"), "has no key"),
    ):
        lose()
        with pytest.raises(StartError, match=f"{sentence}.*audit new-key"):
            await Server(settings).start()
        found = command("verify")
        assert found.exit_code == 1
        assert sentence in found.output
        assert "new-key" in found.output
        with pytest.raises(Misconfigured, match=sentence):
            check_config(settings)
    renewed = command("new-key", "--yes")
    assert renewed.exit_code == 0
    assert "the former file is" in renewed.output
    assert "has a valid key" in command("new-key", "--yes").output
    harness.server = Server(settings)
    await harness.server.start()
    await problem(harness, there=True)
    assert command("verify").exit_code == 1
    assert command("acknowledge", "--yes").exit_code == 0
    assert command("verify").exit_code == 0


@pytest.mark.gen_test
async def test_a_head_of_nonsense_gets_a_sentence(harness: Harness, command: Callable[..., Any]) -> None:
    for head in ("nonsense", ":", "-1:abc", "1", "1:", ":abc", "\x00", "１:abc"):
        found = command("verify", "--head", head)
        assert (found.exit_code, "is not a head: write NUMBER:CODE" in found.output) == (2, True), head
