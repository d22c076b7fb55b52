"""Small simulated days: no person is lost, passed over or left behind in any combination of events."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.simulation.checks import CheckedQueue, DecisionMonitor
from scripts.simulation.clock import NothingScheduled, VirtualLoop
from scripts.simulation.conversations import InMemoryConversations
from scripts.simulation.day import Day, run_day
from scripts.simulation.footprint import footprint
from scripts.simulation.plan import POLICIES, Plan
from scripts.simulation.report import lines
from tornado_chat.core.types import Person, Role
from tornado_chat.domain.queue import Choice, FifoLeastLoaded, Ticket, WaiterPool

WAITER = Person(Role.WAITER, "1")


def ticket(number: int) -> Ticket:
    return Ticket(number, Person(Role.USER, str(number)), number)


@pytest.fixture(scope="module")
def expected_logs() -> list[str]:
    return ["could not be stored, trying again", "could not be requeued, trying again"]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_rush_is_served_in_order_and_leaves_no_user_behind(policy: str) -> None:
    day = run_day(Plan(users=600, waiters=12, hours=8, policy=policy, takeovers=3))
    found = day.outcomes
    again = found["users that lost their position and returned"]
    assert day.people == 600
    assert found["served"] + found["gave up"] + found["left the queue by disconnecting"] == 600 + again
    assert day.monitor.max_length > 50
    assert sum(map(len, day.wait_seconds.values())) == found["served"] > 100


def test_a_rush_with_groups_leaves_no_user_behind() -> None:
    day = run_day(Plan(users=600, waiters=12, hours=8, takeovers=3, groups=4))
    found = day.outcomes
    again = found["users that lost their position and returned"]
    assert found["served"] + found["gave up"] + found["left the queue by disconnecting"] == 600 + again
    assert sum(map(len, day.wait_seconds.values())) == found["served"] > 100


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.builds(
        Plan,
        users=st.integers(0, 80),
        waiters=st.integers(0, 8),
        seed=st.integers(0, 2**32),
        hours=st.sampled_from([0.5, 3.0]),
        policy=st.sampled_from(POLICIES),
        capacity=st.integers(1, 3),
        talk=st.sampled_from([1.0, 45.0]),
        patience=st.sampled_from([1.0, 60.0]),
        takeovers=st.integers(0, 4),
        refused=st.sampled_from([0.0, 0.2]),
        groups=st.integers(1, 4),
    )
)
def test_checks_hold_for_any_plan(plan: Plan) -> None:
    assert run_day(plan).people == plan.users


def test_the_same_seed_makes_the_same_day() -> None:
    def seen(seed: int) -> Any:
        day = run_day(Plan(users=150, waiters=4, hours=4, seed=seed))
        return day.outcomes, {hour: list(found) for hour, found in day.wait_seconds.items()}

    assert seen(3) == seen(3)
    assert seen(3) != seen(4)


class TestViolationsAreFound:
    class LastFirst(FifoLeastLoaded):
        def rank(self, ticket: Ticket) -> tuple[Any, ...]:
            return (-ticket.number,)

    class Choosy(FifoLeastLoaded):
        def choose(self, ticket: Ticket, pool: WaiterPool) -> Choice | None:
            return None

    def test_a_later_user_is_served_first(self) -> None:
        monitor = DecisionMonitor(policy_matches_all=True)
        monitor.ready.add(WAITER)
        queue = CheckedQueue(self.LastFirst(), monitor)
        queue.join(ticket(1))
        queue.join(ticket(2))
        queue.pool.set(WAITER, available=True, capacity=1)
        with pytest.raises(AssertionError, match="2 was served before"):
            queue.match()

    def test_an_absent_waiter_gets_a_user(self) -> None:
        queue = CheckedQueue(FifoLeastLoaded(), DecisionMonitor(policy_matches_all=True))
        queue.join(ticket(1))
        queue.pool.set(WAITER, available=True, capacity=1)
        with pytest.raises(AssertionError, match="waiter:1 is not present"):
            queue.match()

    def test_a_user_waits_while_a_waiter_is_free(self) -> None:
        queue = CheckedQueue(self.Choosy(), DecisionMonitor(policy_matches_all=True))
        queue.join(ticket(1))
        queue.pool.set(WAITER, available=True, capacity=1)
        with pytest.raises(AssertionError, match="although a waiter is free"):
            queue.match()

    def test_the_dispatcher_loses_a_user(self) -> None:
        def lose_one(day: Day) -> None:
            if day.waiting:
                day.dispatcher.queue.leave(next(day.dispatcher.queue.in_order()).number)

        with pytest.raises(AssertionError, match="the queue does not hold"):
            run_day(Plan(users=50, waiters=1, hours=1, takeovers=0), lose_one)

    def test_two_conversations_of_one_user(self) -> None:
        async def twice() -> None:
            day = Day(Plan(), loop)
            store: InMemoryConversations = day.store
            store.join(Person(Role.USER, "1"), {}, None)
            store.join(Person(Role.USER, "1"), {}, None)

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            loop = runner.get_loop()
            assert isinstance(loop, VirtualLoop)
            with pytest.raises(AssertionError, match="two conversations"):
                runner.run(twice())


class TestTheClock:
    def test_virtual_time_runs_timers_in_order_without_waiting(self) -> None:
        async def wait() -> list[str]:
            events: list[str] = []
            loop = asyncio.get_running_loop()
            loop.call_later(86400, events.append, "evening")
            loop.call_later(3600, events.append, "morning")
            await asyncio.sleep(86401)
            assert loop.time() == pytest.approx(86401)
            return events

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            assert runner.run(wait()) == ["morning", "evening"]

    def test_waiting_without_a_timer_is_an_error(self) -> None:
        loop = VirtualLoop()
        future = loop.create_future()
        with pytest.raises(NothingScheduled):
            loop.run_until_complete(future)
        loop.close()


def test_the_report_has_waiting_times_and_costs() -> None:
    text = "\n".join(lines(run_day(Plan(users=300, waiters=5, hours=3)), footprint(), 1.0))
    for word in (
        "300 users",
        "all  ",
        "longest queue",
        "one match",
        "takeover:",
        "bytes for each waiting user",
    ):
        assert word in text


def test_the_script_prints_only_its_report() -> None:
    command = [sys.executable, "-m", "scripts.simulation", "--users=40", "--waiters=2", "--hours=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "checks passed" in done.stdout
