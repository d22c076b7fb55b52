"""Messages that no process of this version sends: from broken or old processes, or from other programs."""

import asyncio
import logging
import tracemalloc
from typing import Any

import msgspec
import pytest

from tests.cluster.conftest import (
    THREAD,
    EventRecorder,
    LinkObserver,
    message,
    process,
    settings,
)
from tests.cluster.test_leader_election import FakeCoordinator, in_room, nodes, until
from tests.helpers.redis_server import RedisServer
from tornado_chat import config
from tornado_chat.cluster import codec
from tornado_chat.cluster.codec import EVENTS, Codec
from tornado_chat.cluster.messages import ALL_MESSAGES, FactReported, FactWithdrawn, FullReport, Heartbeat
from tornado_chat.cluster.redis_bus import COORDINATOR_CHANNEL, RedisBus, channel_name
from tornado_chat.cluster.redis_link import MAX_SENDERS, Link
from tornado_chat.cluster.remote_facts import MAX_PROCESSES, MAX_REPORT_PARTS, NAMED_PROCESSES, RemoteFacts

CODEC = Codec((*EVENTS, *ALL_MESSAGES))
IGNORED = "is not understood and is ignored from now on"
DEEP = b"\x91" * 200_000 + b"\xc0"
"""Nested arrays."""


def envelope(process: str, number: int, kind: str, content: bytes) -> bytes:
    """Return the bytes of a message with any content."""
    return msgspec.msgpack.encode((process, number, kind, msgspec.Raw(content)))


async def forge(bus: RedisBus, value: Any, process: str, number: int, channel: str) -> None:
    """Publish a message in the name of another process."""
    await bus.link.execute("PUBLISH", bus.link.key(channel), CODEC.encode(process, number, value))


# --- content ---


@pytest.mark.parametrize(
    "payload",
    [
        DEEP,
        envelope("box", 1, "Message", DEEP),
        envelope("box", 1, "Beat", DEEP),
        b"\x94" + b"\xda\xff\xff" + b"x" * 65535 + b"\x01\xa4Beat\x80",  # the name of a process
        envelope("box", 1, "Beat", b"\xdf\xff\xff\xff\xff"),  # a map that claims four billion entries
        envelope("box", 1, "Beat", b"\x81\xa6number\xcf" + b"\xff" * 8),
        b"\xdd\xff\xff\xff\xff",
        b"",
    ],
    ids=["deep", "deep event", "deep message", "long name", "large map", "large number", "array", "empty"],
)
@pytest.mark.gen_test
async def test_a_malformed_message_does_not_end_the_connection(
    payload: bytes, redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(IGNORED)
    cluster, observer = settings(redis), LinkObserver()
    async with process(cluster) as here, process(cluster, observer) as there:
        recorder = EventRecorder(there)
        await there.subscribe(THREAD)
        await here.link.execute("PUBLISH", here.link.key(channel_name(THREAD)), payload)
        here.publish(message(1))
        assert await recorder.until(1) == [1]
        assert not observer.disconnect_count


def test_a_message_that_is_too_large_is_not_decoded(
    monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    expected_logs.append(f"too large of another process {IGNORED}")
    payload = CODEC.encode("box", 1, message(1))
    assert CODEC.decode_envelope(payload) is not None
    monkeypatch.setattr(codec, "MAX_PAYLOAD_BYTES", len(payload) - 1)
    assert CODEC.decode_envelope(payload) is None


def test_made_up_kinds_are_logged_up_to_a_limit(
    expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.append(IGNORED)
    decoder = Codec(())
    for number in range(3 * codec.MAX_WARNED_KINDS):
        decoded = decoder.decode_envelope(envelope("box", 1, f"kind {number} " + "x" * 100_000, b"\x80"))
        assert decoded is not None
        assert decoder.decode_value(decoded) is None
    assert len(caplog.records) == codec.MAX_WARNED_KINDS
    assert max(len(record.getMessage()) for record in caplog.records) < 300


# --- names and numbers ---


@pytest.mark.gen_test
async def test_a_forged_number_does_not_hide_the_true_message(redis: RedisServer) -> None:
    cluster = settings(redis)
    async with process(cluster) as here, process(cluster) as there, process(cluster) as broken:
        recorder = EventRecorder(there)
        await there.subscribe(THREAD)
        here.publish(message(1))
        assert await recorder.until(1) == [1]
        number = here.link._sequence
        for forged in (number + 1, 2**62):
            await forge(broken, message(77), here.link.process, forged, channel_name(THREAD))
        await recorder.until(3)
        here.publish(message(2))
        assert (await recorder.until(4))[-1] == 2


def test_made_up_names_of_processes_take_no_memory() -> None:
    link = Link(config.Cluster(url="redis://127.0.0.1:1/0"), "box-0")
    payloads = [CODEC.encode(f"made-up-{n}", 1, message(1)) for n in range(20_000)]
    for payload in payloads[:MAX_SENDERS]:
        link._receive(payload)
    tracemalloc.start()
    for payload in payloads:
        link._receive(payload)
    growth, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(link._last_received) == MAX_SENDERS
    assert growth < 1_000_000  # 20,000 names would take 4 MB


@pytest.mark.gen_test
async def test_the_coordinator_asks_the_process_itself_after_a_forged_change(redis: RedisServer) -> None:
    cluster = settings(redis)
    async with nodes(cluster, 2) as (first, second), process(cluster) as broken:
        second.member.report(in_room(1))
        await until(lambda: len(first.coordinator.facts) == 1)
        # The broken process uses the number of the next change.
        forged = FactReported(2, in_room(99))
        await forge(broken, forged, second.name, second.bus.link._sequence + 1, COORDINATOR_CHANNEL)
        second.member.report(in_room(2))
        expected = {(second.name, in_room(id).key) for id in (1, 2)}
        await until(lambda: set(first.coordinator.facts) == expected)
        # A full report with a high number does not make the process's own reports count as old.
        forged_report = FullReport(10**9, 0, 1, ())
        await forge(broken, forged_report, second.name, 10**9, COORDINATOR_CHANNEL)
        await until(lambda: not first.coordinator.facts)
        await until(lambda: set(first.coordinator.facts) == expected)


class Facts:
    """Remote facts with a clock that the test sets, and the requests for full reports."""

    def __init__(self) -> None:
        self.now = 0.0
        self.requested: list[str] = []
        self.coordinator = FakeCoordinator()
        self.coordinator.active = True
        self.facts = RemoteFacts(
            self.coordinator,
            self.requested.append,
            lambda: self.now,
            dead_after_seconds=5,
            rerequest_seconds=1,
        )


def test_made_up_names_do_not_push_out_processes_with_facts(
    expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.append(f"and {MAX_PROCESSES - 2 - NAMED_PROCESSES + 1} more, each has been silent for 5 s")
    remote = Facts()
    remote.facts.on_report("true", 1, in_room(1))
    for n in range(100_000):
        remote.now += 0.00001
        remote.facts.on_heartbeat(f"made-up-{n}", 0)
    assert len(remote.facts.processes) == MAX_PROCESSES
    assert list(remote.coordinator.facts) == [("true", in_room(1).key)]
    remote.now += 4
    remote.facts.on_heartbeat("true", 1)
    remote.now += 3
    assert remote.facts.remove_dead()
    assert remote.facts.processes == ("true",)
    assert len(caplog.records) == 1


def test_a_doubtful_process_is_asked_until_it_has_reported() -> None:
    remote = Facts()
    remote.facts.on_report("box", 1, in_room(1))
    remote.facts.on_report("box", 1, in_room(2))  # one of the two is forged
    remote.facts.on_withdraw("box", 1, in_room(1).key)
    assert remote.requested == ["box"]
    remote.facts.on_heartbeat("box", 1)
    remote.now = 1.5
    remote.facts.on_heartbeat("box", 1)
    assert remote.requested == ["box", "box"]
    remote.facts.on_full_report("box", 1, 0, 1, (in_room(2),))
    assert list(remote.coordinator.facts) == [("box", in_room(2).key)]
    remote.now = 3
    remote.facts.on_heartbeat("box", 1)
    assert remote.requested == ["box", "box"]


def test_a_full_report_has_a_limit() -> None:
    remote = Facts()
    for part in range(5):
        remote.facts.on_full_report("box", 1, part, MAX_REPORT_PARTS + 1, (in_room(part),))
    assert not remote.facts._processes["box"].chunks
    assert not remote.coordinator.facts


@pytest.mark.gen_test
async def test_messages_of_an_unknown_kind_of_fact_are_ignored(
    redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(IGNORED)
    cluster = settings(redis)
    async with nodes(cluster, 2) as (first, second), process(cluster) as other:
        fact = msgspec.msgpack.encode({"number": 1, "fact": {"type": "Unknown"}})
        payload = envelope("newer", 1, "Here", fact)
        await other.link.execute("PUBLISH", other.link.key(COORDINATOR_CHANNEL), payload)
        await forge(other, Heartbeat(0), "newer", 2, COORDINATOR_CHANNEL)
        await forge(other, FactWithdrawn(1, "conversation not-a-number"), "newer", 3, COORDINATOR_CHANNEL)
        second.member.report(in_room(1))
        await until(lambda: bool(first.coordinator.facts))


# --- reasons of an absence ---


@pytest.mark.gen_test
async def test_each_reason_of_an_absence_is_logged_once(
    own_redis: RedisServer, expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs += ["until it is back, the processes receive no events", "still without Redis: .* login"]
    caplog.set_level(logging.INFO, "tornado_chat.cluster")
    observer = LinkObserver()
    async with process(settings(own_redis), observer) as here:
        own_redis.stop()
        await observer.until(lambda: observer.disconnect_count == 1)
        own_redis._options = ("--requirepass", "another password")
        own_redis.start()
        async with asyncio.timeout(30):
            while "login" not in here.problem:  # noqa: ASYNC110 - the link has no event for it
                await asyncio.sleep(0.02)
        own_redis.stop()
        own_redis._options = ()
        own_redis.start()
        await observer.until(lambda: observer.reconnect_count == 1)
    reasons = [
        record.getMessage() for record in caplog.records if "still without Redis" in record.getMessage()
    ]
    assert len([reason for reason in reasons if "refuses the login" in reason]) == 1
    assert len(reasons) == len(set(reasons))
