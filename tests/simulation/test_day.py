"""Small days of the simulation: whatever comes together, nobody is lost, wronged or left."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.simulation.clock import NothingScheduled, VirtualLoop
from scripts.simulation.day import Day, run_day
from scripts.simulation.footprint import footprint
from scripts.simulation.memory import InMemoryConversations
from scripts.simulation.plan import POLICIES, Plan
from scripts.simulation.report import lines
from scripts.simulation.watching import CheckedQueue, DecisionMonitor
from tornado_chat.core.types import Person, Role
from tornado_chat.domain.queue import Choice, FifoLeastLoaded, Ticket, WaiterPool

WAITER = Person(Role.WAITER, "1")


def ticket(number: int) -> Ticket:
    return Ticket(number, Person(Role.USER, str(number)), number)


@pytest.fixture(scope="module")
def expected_logs() -> list[str]:
    return ["could not be stored, trying again", "could not go back to the line, trying again"]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_day_with_a_rush_serves_in_order_and_leaves_nobody(policy: str) -> None:
    day = run_day(Plan(users=600, waiters=12, hours=8, policy=policy, takeovers=3))
    found = day.outcomes
    again = found["people who lost their place and came again"]
    assert day.people == 600
    assert found["served"] + found["gave up"] + found["left the line without a word"] == 600 + again
    assert day.watch.max_length > 50
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
    )
)
def test_whatever_comes_together_holds(plan: Plan) -> None:
    assert run_day(plan).people == plan.users


def test_the_same_seed_is_the_same_day() -> None:
    def seen(seed: int) -> Any:
        day = run_day(Plan(users=150, waiters=4, hours=4, seed=seed))
        return day.outcomes, {hour: list(found) for hour, found in day.wait_seconds.items()}

    assert seen(3) == seen(3)
    assert seen(3) != seen(4)


class TestWhatIsWrongIsSeen:
    class LastFirst(FifoLeastLoaded):
        def rank(self, ticket: Ticket) -> tuple[Any, ...]:
            return (-ticket.number,)

    class Choosy(FifoLeastLoaded):
        def choose(self, ticket: Ticket, pool: WaiterPool) -> Choice | None:
            return None

    def test_who_came_later_is_served_first(self) -> None:
        watch = DecisionMonitor(policy_matches_all=True)
        watch.ready.add(WAITER)
        desk = CheckedQueue(self.LastFirst(), watch)
        desk.join(ticket(1))
        desk.join(ticket(2))
        desk.pool.set(WAITER, available=True, capacity=1)
        with pytest.raises(AssertionError, match="2 was served before"):
            desk.match()

    def test_a_waiter_who_is_not_there_gets_a_user(self) -> None:
        desk = CheckedQueue(FifoLeastLoaded(), DecisionMonitor(policy_matches_all=True))
        desk.join(ticket(1))
        desk.pool.set(WAITER, available=True, capacity=1)
        with pytest.raises(AssertionError, match="waiter:1 is not there"):
            desk.match()

    def test_somebody_waits_for_nothing(self) -> None:
        desk = CheckedQueue(self.Choosy(), DecisionMonitor(policy_matches_all=True))
        desk.join(ticket(1))
        desk.pool.set(WAITER, available=True, capacity=1)
        with pytest.raises(AssertionError, match="although a waiter is free"):
            desk.match()

    def test_a_user_is_lost_by_the_dispatcher(self) -> None:
        def lose_one(day: Day) -> None:
            if day.waiting:
                day.dispatcher.queue.leave(next(day.dispatcher.queue.in_order()).number)

        with pytest.raises(AssertionError, match="the line is not who waits"):
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
    def test_a_day_of_waiting_takes_no_time_and_comes_in_order(self) -> None:
        async def wait() -> list[str]:
            said: list[str] = []
            loop = asyncio.get_running_loop()
            loop.call_later(86400, said.append, "evening")
            loop.call_later(3600, said.append, "morning")
            await asyncio.sleep(86401)
            assert loop.time() == pytest.approx(86401)
            return said

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            assert runner.run(wait()) == ["morning", "evening"]

    def test_waiting_for_what_never_comes_is_an_error(self) -> None:
        loop = VirtualLoop()
        future = loop.create_future()
        with pytest.raises(NothingScheduled):
            loop.run_until_complete(future)
        loop.close()


def test_the_report_says_who_waited_and_what_it_cost() -> None:
    text = "\n".join(lines(run_day(Plan(users=300, waiters=5, hours=3)), footprint(), 1.0))
    for word in (
        "300 users",
        "all  ",
        "longest line",
        "match, each",
        "takeover:",
        "bytes for each who waits",
    ):
        assert word in text


def test_the_script_prints_its_report_and_nothing_else() -> None:
    command = [sys.executable, "-m", "scripts.simulation", "--users=40", "--waiters=2", "--hours=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "everybody was released" in done.stdout
