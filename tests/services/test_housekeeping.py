"""Retention: a server removes old data, and nothing else, while it serves."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import peewee as pw
import pytest

from tests.conftest import Harness, changed, token
from tests.storage.conftest import open_at
from tests.storage.people import DAY, SECRET, WU, build_sample, everything, texts
from tornado_chat import config
from tornado_chat.core.errors import Unavailable
from tornado_chat.server.server import Server
from tornado_chat.services import housekeeping
from tornado_chat.services.housekeeping import ReplacedDatabases
from tornado_chat.storage import notifications, schema


async def until(harness: Harness, condition: Callable[[pw.Database], bool]) -> None:
    """Wait until ``condition`` holds; the server emits no event for it."""
    database = open_at(harness.config.state_dir / "tornado-chat.sqlite3")
    while not condition(database):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    database.close()


class TestRemoving:
    @pytest.fixture
    def settings(self, settings: config.Config, monkeypatch: pytest.MonkeyPatch) -> config.Config:
        monkeypatch.setattr(housekeeping, "PAUSE_SECONDS", 0)
        settings = changed(settings, "storage", retention_days=30)
        database = open_at(settings.state_dir / "tornado-chat.sqlite3")
        schema.upgrade(database)
        self.old = build_sample(database)  # of 2023
        self.open = build_sample(database, over=False)
        database.close()
        return settings

    @pytest.mark.gen_test
    async def test_old_conversations_are_removed_and_open_ones_go_on(self, harness: Harness) -> None:
        visitor = await harness.chat(token("user", 1), self.open.session.id)
        await until(harness, lambda database: not texts(database, self.old.session))
        answer = await harness.api("GET", "/api/v1/sessions/1/messages", token("user", 1))
        assert answer.code == 404
        answer = await harness.api(
            "GET", f"/api/v1/sessions/{self.open.session.id}/messages", token("user", 1)
        )
        assert len(json.loads(answer.body)["items"]) == 3
        await visitor.send_json({"msg": "still there"})
        await until(harness, lambda database: "still there" in everything(database))

    @pytest.mark.gen_test
    async def test_the_log_is_emptied_when_old_conversations_are_removed(self, harness: Harness) -> None:
        def has_secret() -> bool:
            return any(
                SECRET.encode() in path.read_bytes() for path in harness.config.state_dir.glob("*-wal")
            )

        await until(harness, lambda database: not texts(database, self.old.session))
        while has_secret():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class TestKeeping:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        database = open_at(settings.state_dir / "tornado-chat.sqlite3")
        schema.upgrade(database)
        build_sample(database)
        database.close()
        return settings

    @pytest.mark.gen_test
    async def test_by_default_nothing_is_removed(self, harness: Harness) -> None:
        assert harness.server._retention._task is None
        assert await harness.server._store.read(lambda database: SECRET in everything(database))

    @pytest.mark.gen_test
    async def test_a_run_is_repeated_after_the_database_was_away(
        self, harness: Harness, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
    ) -> None:
        expected_logs.append("data older than 30 days is removed later")
        monkeypatch.setattr(housekeeping, "PAUSE_SECONDS", 0)
        monkeypatch.setattr(housekeeping, "RETRY_SECONDS", 0.01)
        store = harness.server._store
        works = store.read
        failures = iter([True, True])

        async def read(*arguments: Any, **more: Any) -> Any:
            if next(failures, False):
                raise Unavailable("database_away")
            return await works(*arguments, **more)

        monkeypatch.setattr(store, "read", read)
        harness.server._retention._days = 30
        harness.server._retention.start()
        await until(harness, lambda database: SECRET not in everything(database))

    @pytest.mark.gen_test
    async def test_removed_notifications_leave_no_hole_for_their_owner(
        self, harness: Harness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A notification that was not delivered stays and is delivered; new ones follow it."""
        monkeypatch.setattr(housekeeping, "PAUSE_SECONDS", 0)
        supervisor = token("supervisor", 3)
        socket = await harness.connect(f"/notify?token={supervisor}")
        store = harness.server._store
        first = await store.write(lambda tx: notifications.create(tx, WU, 0, "first", None))
        assert (await socket.recv_json())["msg"] == "first"
        await harness.receipt(WU, first.thread, 1)
        await harness.server._receipts.flush()
        await socket.close()
        await store.write(lambda tx: notifications.create(tx, WU, 0, "second", None))
        harness.server._retention._days = 1
        harness.server._retention._clock = lambda: first.time + 2 * DAY
        counts = await harness.server._retention.run()
        assert counts["notification"] == 2, "Lin's, and the first one"
        await store.write(lambda tx: notifications.create(tx, WU, 0, "third", None))
        socket = await harness.connect(f"/notify?token={supervisor}")
        assert [(await socket.recv_json())["msg"] for _ in range(2)] == ["second", "third"]


@pytest.mark.gen_test
async def test_a_run_that_was_stopped_continues_after_the_next_start(
    settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "PAUSE_SECONDS", 3600)
    settings = changed(settings, "storage", retention_days=30)
    path = settings.state_dir / "tornado-chat.sqlite3"
    database = open_at(path)
    schema.upgrade(database)
    sample = build_sample(database)
    for pause, left in ((3600, 3), (0, 0)):
        monkeypatch.setattr(housekeeping, "PAUSE_SECONDS", pause)
        server = Server(settings)
        await server.start()
        while texts(database, sample.record) or len(texts(database, sample.session)) != left:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await server.stop()
    database.close()


@pytest.mark.gen_test
async def test_an_unexpected_error_is_logged_and_the_next_run_follows(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    expected_logs.append("data older than 30 days could not be removed")
    monkeypatch.setattr(housekeeping, "RUN_INTERVAL_SECONDS", 0.01)
    service = harness.server._retention
    done = asyncio.Event()
    runs = iter([ZeroDivisionError(), None])

    async def run() -> dict[str, int]:
        if error := next(runs, None):
            raise error
        done.set()
        return {}

    monkeypatch.setattr(service, "run", run)
    service._days = 30
    service.start()
    await done.wait()


class TestReplacedDatabases:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        self.database = settings.state_dir / "tornado-chat.sqlite3"
        settings.state_dir.mkdir(exist_ok=True)
        today = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        self.old, self.log, self.new = (
            self.database.with_name(self.database.name + end)
            for end in (".replaced-20250320T033012Z", ".replaced-20250320T033012Z-wal", f".replaced-{today}")
        )
        for path in (self.old, self.log, self.new):
            path.write_text("a database")
        return settings

    @pytest.mark.gen_test
    async def test_old_ones_are_removed(self, harness: Harness) -> None:
        while self.old.exists() or self.log.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert self.new.exists()


def test_replaced_databases_are_kept_if_the_days_are_0(settings: config.Config) -> None:
    loop = asyncio.new_event_loop()
    kept = ReplacedDatabases(settings.state_dir / "x", 0, loop, clock=lambda: 10**18)
    kept.start()
    assert not asyncio.all_tasks(loop)
    loop.close()


def test_copies_that_cannot_be_removed_are_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(copy: object) -> None:
        raise PermissionError(13, "Permission denied")

    copy = tmp_path / "chat.replaced-20250320T033012Z"
    copy.write_text("x")
    monkeypatch.setattr(housekeeping.database_copies, "remove", fail)
    loop = asyncio.new_event_loop()
    ReplacedDatabases(tmp_path / "chat", 30, loop, clock=lambda: 10**18).remove_old(tmp_path / "chat")
    loop.close()
    assert "run `tornado-chat restore --discard`" in caplog.text
    caplog.clear()
    assert copy.exists()
