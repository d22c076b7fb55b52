"""``/metrics``, ``/readyz`` and ``GET /api/v1/status`` of a server with connected clients."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Harness, changed, token
from tornado_chat import config
from tornado_chat.client import ConnectionClosed
from tornado_chat.core.status import ParticipantStatus, Status

VISITOR = token("user", 1, "V")
COUNSELLOR = token("consultant", 2, "C")
ADMIN = token("admin", 1)


async def metrics(harness: Harness) -> dict[tuple[str, ...], float]:
    """Return the metrics by name and label values, in the order of the label names."""
    answer = await harness.api("GET", "/metrics")
    assert answer.code == 200
    return {
        (
            sample.name.removeprefix("tornado_chat_"),
            *(value for _, value in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


async def status(harness: Harness, who: str | None = None) -> Status:
    answer = await harness.api("GET", "/api/v1/status", who)
    assert answer.code == 200, answer.body
    return msgspec.json.decode(answer.body, type=Status, strict=True)


async def reached(harness: Harness, value: float, *key: str) -> dict[tuple[str, ...], float]:
    """Wait until a metric has this value, and return all metrics."""
    while (seen := await metrics(harness))[key] != value:  # noqa: ASYNC110 - another process would poll, too
        await asyncio.sleep(0.01)
    return seen


async def status_when(harness: Harness, right: Callable[[Status], bool]) -> Status:
    while not right(found := await status(harness)):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.01)
    return found


async def talking(harness: Harness) -> tuple[int, Any, Any]:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="ack")
    counsellor = await harness.chat(COUNSELLOR, session)
    for who in (visitor, counsellor):
        while (await who.recv_json())["msg"] != "会话已开始":
            pass
    return session, visitor, counsellor


class TestMetrics:
    @pytest.mark.gen_test
    async def test_the_metrics_of_a_session(self, harness: Harness) -> None:
        _, visitor, counsellor = await talking(harness)
        for n in range(3):
            await visitor.send_json({"msg": f"{n}", "id": f"{n}"})
            assert (await visitor.recv_json())["ack"] == f"{n}"
            await counsellor.recv_json()
        await visitor.send_json({"message": "?"})
        await visitor.recv_json()
        seen = await metrics(harness)
        assert seen["sockets", "chat"] == seen["sockets_opened_total", "chat"] == 2
        assert seen["frames_received_total", "chat"] == 4
        assert seen["frames_refused_total", "chat", "bad_shape"] == 1
        assert seen["messages_received_total", "counselling"] == 3
        assert seen["messages_delivered_total", "counselling"] == 3
        assert seen["messages_delivered_total", "support"] == 0
        assert seen["delivery_seconds_count",] == 3
        assert 0 < seen["delivery_seconds_sum",] < 60
        assert seen["commit_seconds_count",] >= 3
        assert seen["commit_batch_size_sum",] >= seen["commit_batch_size_count",]
        assert seen["rooms", "session", "active"] == 1
        assert seen["last_commit_timestamp_seconds",] > 1e9
        assert seen["database_size_bytes",] > 0
        assert seen["ready", "database"] == seen["ready", "server"] == 1
        await visitor.close(1001)
        seen = await reached(harness, 1, "sockets", "chat")
        assert seen["sockets_closed_total", "1001", "chat"] == 1

    @pytest.mark.gen_test
    async def test_the_metrics_of_the_queue(self, harness: Harness) -> None:
        waiter = await harness.waiter("w")
        users = [await harness.user(n) for n in range(7)]
        for user in users[:5]:
            await user.until("connect_success")
        for user in users[5:]:
            await user.until("connect_queue")
        seen = await metrics(harness)
        assert seen["queue_length",] == 2
        assert 0 <= seen["queue_longest_wait_seconds",] < 60
        assert seen["queue_wait_seconds_count",] == 5
        assert [seen["waiters", state] for state in ("ready", "busy", "paused", "away")] == [0, 1, 0, 0]
        assert [seen["conversations", state] for state in ("waiting", "active")] == [2, 5]
        await users[0].send_frame("message_text", {"message": "hi"})
        await waiter.until("message_text")
        seen = await metrics(harness)
        assert seen["messages_received_total", "support"] == seen["messages_delivered_total", "support"] == 1
        await waiter.send_frame("unready")
        await users[1].send_frame("disconnect")
        seen = await reached(harness, 4, "conversations", "active")
        assert (seen["waiters", "paused"], seen["queue_length",]) == (1, 2)

    @pytest.mark.gen_test
    async def test_refusals_are_counted_by_reason(self, harness: Harness) -> None:
        session = await harness.session()
        for who, path in (
            ("token_expired", f"/chat?token={token('user', 1, lifetime=-60)}&sessionId={session}"),
            ("token_missing", f"/chat?sessionId={session}"),
            ("no_such_session", f"/chat?token={VISITOR}&sessionId=99"),
            ("not_your_session", f"/chat?token={token('user', 8)}&sessionId={session}"),
        ):
            socket = await harness.connect(path)
            with pytest.raises(ConnectionClosed):
                await socket.recv_json()
            assert (await metrics(harness))["sockets_refused_total", "chat", who] == 1
        late = await harness.connect("/v1/ws/user/connect")
        await late.recv_json()
        await late.send_json({"id": "1", "type": "auth", "payload": {"token": "nonsense"}})
        await late.recv_json()
        with pytest.raises(ConnectionClosed):
            await late.recv_json()
        assert (await metrics(harness))["sockets_refused_total", "user", "token_invalid"] == 1
        with pytest.raises(Exception, match="403"):
            await harness.connect(f"/notify?token={VISITOR}", headers={"Origin": "https://elsewhere.example"})
        assert (await metrics(harness))["sockets_refused_total", "notify", "origin"] == 1

    @pytest.mark.gen_test
    async def test_resent_messages_are_counted(self, harness: Harness) -> None:
        session, visitor, counsellor = await talking(harness)
        await counsellor.close()
        for n in range(3):
            await visitor.send_json({"msg": f"{n}", "id": f"{n}"})
            await visitor.recv_json()
        again = await harness.chat(COUNSELLOR, session)
        assert [(await again.recv_json())["msg"] for _ in range(3)] == ["0", "1", "2"]
        seen = await metrics(harness)
        assert seen["messages_resent_total",] >= 3
        assert seen["messages_delivered_total", "counselling"] >= 3


class TestDropped:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "limits", messages_per_second=1.0, burst=5)

    @pytest.mark.gen_test
    async def test_dropped_sockets_are_counted_by_reason(self, harness: Harness) -> None:
        session = await harness.session()
        for reason, frames in (("too_fast", ['{"msg": "x"}'] * 6), ("too_big", ["x" * 70000])):
            visitor = await harness.chat(VISITOR, session)
            for frame in frames:
                await visitor.send(frame.encode())
            await reached(harness, 1, "sockets_dropped_total", "chat", reason)


class TestReady:
    @pytest.mark.gen_test
    async def test_readiness_names_the_problems(self, harness: Harness) -> None:
        answer = await harness.api("GET", "/readyz")
        assert (answer.code, json.loads(answer.body)) == (
            200,
            {"ok": True, "problems": {}, "degraded": []},
        )
        harness.server._connections.stop_opening()
        answer = await harness.api("GET", "/readyz")
        problems = {"server": "about to stop"}
        assert (answer.code, json.loads(answer.body)) == (
            503,
            {"ok": False, "problems": problems, "degraded": []},
        )
        assert (await harness.api("GET", "/healthz")).code == 200
        assert (await status(harness)).problems == problems
        assert (await metrics(harness))["ready", "server"] == 0

    @pytest.mark.gen_test
    async def test_a_hanging_database_is_reported_and_queried_once(self, harness: Harness) -> None:
        asked: list[asyncio.Future[None]] = []

        def write(work: Any) -> asyncio.Future[None]:
            asked.append(asyncio.get_running_loop().create_future())
            return asked[-1]

        with patch.object(harness.server._store, "write", write):
            ready = harness.server._readiness
            assert await ready.problems(0.01) == {"database": "no answer within 0 s"}
            assert (await ready.problems(0.01)).keys() == {"database"}
            assert len(asked) == 1
            asked[0].set_result(None)
            assert await ready.problems() == {}
            assert ready.ready == {"database": True, "server": True}


class TestStatus:
    @pytest.mark.gen_test
    async def test_an_empty_server(self, harness: Harness) -> None:
        found = await status(harness)
        assert found.problems == {}
        assert found.sockets == {"chat": 0, "notify": 0, "observe": 0, "user": 0, "waiter": 0}
        assert (found.line.length, found.line.longest_wait, found.line.first) == (0, 0.0, [])
        assert found.waiters.items == found.conversations.items == found.rooms.items == found.plugins == []
        assert found.database.kind == "sqlite"
        assert found.process.uptime >= 0
        assert found.process.memory is not None
        assert found.history.time == []

    @pytest.mark.gen_test
    async def test_the_status_has_persons_but_no_texts(self, harness: Harness) -> None:
        session, visitor, counsellor = await talking(harness)
        await harness.record(session)
        await visitor.send_json({"msg": "between us", "id": "1"})
        await counsellor.recv_json()
        waiter = await harness.waiter("w1", name="Anna")
        user = await harness.user(5, name="Bo")
        await user.until("connect_success")
        await harness.waiter("w2", ready=False)
        third = await harness.waiter("w3")
        await third.send_frame("unready")
        await counsellor.close()
        found = await status_when(
            harness, lambda found: found.sockets["chat"] == 1 and found.waiters.states["paused"] == 1
        )
        assert b"between us" not in (await harness.api("GET", "/api/v1/status")).body
        (room,) = found.rooms.items
        assert (room.kind, room.id, room.state) == ("session", str(session), "active")
        assert room.people == [
            ParticipantStatus("user", "1", True),
            ParticipantStatus("consultant", "2", False),
        ]
        (talk,) = found.conversations.items
        assert (talk.kind, talk.state) == ("conversation", "active")
        assert talk.people == [
            ParticipantStatus("user", "5", True, "Bo"),
            ParticipantStatus("waiter", "w1", True, "Anna"),
        ]
        assert found.conversations.states == {"waiting": 0, "active": 1}
        by_id = {each.id: each for each in found.waiters.items}
        assert (by_id["w1"].name, by_id["w1"].state, by_id["w1"].conversations) == ("Anna", "ready", 1)
        assert by_id["w3"].state == "paused"
        assert found.waiters.states == {"ready": 1, "busy": 0, "paused": 1, "away": 0}
        await waiter.close()
        await status_when(harness, lambda found: found.waiters.states["away"] == 1)

    @pytest.mark.gen_test
    async def test_the_status_has_the_names_of_sessions_and_records(self, harness: Harness) -> None:
        session = await harness.session(user_name="Lin", consultant_name="Chen")
        record = await harness.record(session)
        await harness.chat(VISITOR, session)
        await harness.chat(COUNSELLOR, record, type=1)
        found = await status_when(harness, lambda found: len(found.rooms.items) == 2)
        names = {room.kind: {each.role: each.name for each in room.people} for room in found.rooms.items}
        assert names == {
            "session": {"user": "Lin", "consultant": "Chen"},
            "record": {"consultant": "Chen", "supervisor": None},
        }

    @pytest.mark.gen_test
    async def test_the_status_has_the_queue_in_order(self, harness: Harness) -> None:
        for n in range(3):
            await (await harness.user(n)).until("connect_queue")
        await (await harness.user(3, name="Ada")).until("connect_queue")
        line = (await status(harness)).line
        assert line.length == 4
        found_names = [(each.id, each.name) for each in line.first]
        assert found_names == [("0", None), ("1", None), ("2", None), ("3", "Ada")]
        assert line.longest_wait == max(each.seconds for each in line.first)

    @pytest.mark.gen_test
    async def test_access_to_the_status(self, harness: Harness) -> None:
        assert (await harness.api("GET", "/api/v1/status")).code == 200
        for who in (ADMIN, token("service", "host")):
            assert (await harness.api("GET", "/api/v1/status", who)).code == 200
        for who in (VISITOR, COUNSELLOR, token("supervisor", 1), token("waiter", 1)):
            assert (await harness.api("GET", "/api/v1/status", who)).code == 403
        # These requests have a local address, but come through a proxy, a name or a page.
        for header in (
            {"X-Forwarded-For": "203.0.113.9"},
            {"X-Real-Ip": "203.0.113.9"},
            {"Forwarded": "for=203.0.113.9"},
            {"Origin": "https://evil.example"},
            {"Host": "evil.example:8080"},
        ):
            assert (await harness.api("GET", "/api/v1/status", **header)).code == 401
            assert (await harness.api("GET", "/api/v1/status", ADMIN, **header)).code == 200
        assert (await harness.api("GET", "/api/v1/status", Host="localhost:8080")).code == 200
        assert (await harness.api("GET", "/api/v1/status", Host="[::1]:8080")).code == 200


class TestElsewhere:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "web", ops_networks=("10.0.0.0/8",))

    @pytest.mark.gen_test
    async def test_other_networks_need_a_token(self, harness: Harness) -> None:
        assert (await harness.api("GET", "/api/v1/status")).code == 401
        assert (await harness.api("GET", "/api/v1/status", ADMIN)).code == 200
        assert (await harness.api("GET", "/metrics")).code == 403


class TestPlugins:
    @pytest.fixture
    def settings(self, settings: config.Config, tmp_path: Path) -> config.Config:
        folder = tmp_path / "plugins.d"
        folder.mkdir()
        (folder / "picky.py").write_text(
            "from tornado_chat import Plugin, hookimpl\n"
            "class Picky(Plugin):\n"
            "    version = '1.2'\n"
            "    @hookimpl\n"
            "    def filter_message(self, draft):\n"
            "        if draft.text == 'bad': raise ValueError(draft.text)\n"
        )
        return changed(settings, "plugins", paths=(str(folder),))

    @pytest.mark.gen_test
    async def test_the_health_of_plugins_is_in_the_status(
        self, harness: Harness, expected_logs: list[str]
    ) -> None:
        expected_logs.append("plugin picky failed in filter_message: ValueError")
        _, visitor, _ = await talking(harness)
        for n, text in enumerate(("good", "bad", "bad", "bad", "bad", "bad", "good")):
            await visitor.send_json({"msg": text, "id": str(n)})
            await visitor.recv_json()
        seen_status = await status(harness)
        (plugin,) = seen_status.plugins
        # A filter is never suspended: one sender would switch it off for all people.
        assert (plugin.name, plugin.version, plugin.state) == ("picky", "1.2", "running")
        assert (plugin.calls, plugin.failures) == (7, 5)
        problem = seen_status.problems["plugin picky"]
        assert problem.startswith("filter_message failed 5 times (last: ValueError): the texts for which it")
        assert seen_status.degraded == ["plugin picky"]
        ready = await harness.api("GET", "/readyz")
        assert (ready.code, "filter_message failed 5 times" in ready.body.decode()) == (200, True)
        seen = await metrics(harness)
        assert seen["plugin_calls_total", "picky"] == 7
        assert seen["plugin_failures_total", "filter_message", "error", "picky"] == 5
        assert seen["plugin_suspended", "picky"] == 0
        assert seen["plugin_problem", "picky"] == 1
