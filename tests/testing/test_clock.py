"""The clock of the test kit: timeouts, expiry and scheduled work without waiting."""

import asyncio
import time

import pytest

from tornado_chat.plugin_api import Context, EndReason, Plugin, PluginSettings, hookimpl
from tornado_chat.testing import StartChatServer
from tornado_chat.testing.clock import MovableLoop, WallClock


class Ticking(Plugin):
    """Does some work each minute, notes the time, and writes to the database."""

    context: Context

    def __init__(self, settings: PluginSettings) -> None:
        super().__init__(settings)
        self.ticks: list[int] = []
        self.seen: list[float] = []

    @hookimpl
    async def startup(self, context: Context) -> None:
        self.context = context
        context.spawn(self.tick())

    async def tick(self) -> None:
        while True:
            await asyncio.sleep(60)
            await self.context.write(lambda tx: None)
            self.ticks.append(self.context.now())
            self.seen.append(time.time())


def test_scheduled_work(chat_server: StartChatServer) -> None:
    server = chat_server(plugins=[Ticking])
    begin = time.time()
    server.clock.advance(600)
    plugin = server.plugin("ticking")
    assert len(plugin.ticks) in (9, 10)  # the first minute began at the start
    for number, (tick, seen) in enumerate(zip(plugin.ticks, plugin.seen, strict=True), 1):
        assert tick / 1e6 == pytest.approx(begin + number * 60, abs=30)
        assert seen == pytest.approx(tick / 1e6, abs=30)
    server.clock.advance(86400)
    assert plugin.ticks[-1] / 1e6 == pytest.approx(begin + 87000, abs=1000)


def test_graces(chat_server: StartChatServer) -> None:
    server = chat_server()
    session = server.session()
    visitor, counsellor = server.visitor(session), server.counsellor(session)
    server.event("session_started")
    visitor.close(1001)
    server.settle()
    server.clock.advance(60)
    assert [event for event in server.events if event.hook == "session_ended"] == []
    server.clock.advance(70)
    assert server.event("session_ended")["room"].end_reason is EndReason.GRACE
    assert counsellor.wait_closed().code == 1000


def test_tokens_end_and_sockets_live_on(chat_server: StartChatServer) -> None:
    server = chat_server()
    lin = server.api("user", 1, lifetime=3600)
    session = server.session()
    visitor, counsellor = server.visitor(session), server.counsellor(session)
    supervisor = server.notify("supervisor", 3)
    assert lin.get(f"/api/v1/sessions/{session}").status == 200
    server.clock.advance(3700)
    refused = lin.get(f"/api/v1/sessions/{session}")
    assert (refused.status, refused.json["code"]) == (401, "token_expired")
    assert server.api("user", 1).get(f"/api/v1/sessions/{session}").status == 200
    server.clock.advance(2 * 86400)
    visitor.send("still here")
    assert counsellor.receive().msg == "still here"
    assert supervisor.unread() == []
    assert supervisor.client.connected


def test_the_clock_of_the_process_moves(chat_server: StartChatServer) -> None:
    originals = time.time, time.time_ns
    server = chat_server()
    assert (time.time, time.time_ns) == originals
    server.clock.advance(1000)
    assert time.time() - originals[0]() == pytest.approx(1000, abs=30)
    assert time.time_ns() - originals[1]() == pytest.approx(1e12, abs=3e10)


def test_the_clock_of_the_process_is_restored() -> None:
    originals = time.time, time.time_ns
    clock = WallClock()
    clock.skip(1000)
    clock.skip(1000)
    assert time.time() - originals[0]() == pytest.approx(2000, abs=30)
    clock.restore()
    clock.restore()
    assert (time.time, time.time_ns) == originals


def test_a_loop_that_skips_time() -> None:
    loop = MovableLoop()
    called: list[str] = []

    async def skip() -> None:
        loop.call_later(30, called.append, "30")
        loop.call_later(10, called.append, "10").cancel()
        loop.call_later(20, called.append, "20")
        assert 19 < loop.seconds_to_next_timer() <= 20
        loop.skip(25)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert called == ["20"]
        assert 4 < loop.seconds_to_next_timer() <= 5
        loop.skip(5)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert called == ["20", "30"]
        assert loop.seconds_to_next_timer() == float("inf")

    loop.run_until_complete(skip())
    loop.close()
