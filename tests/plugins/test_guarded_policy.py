"""A queue policy of a plugin that fails: the default policy decides, and the plugin is named."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tornado_chat.core.errors import NotFound
from tornado_chat.core.types import Person, Role
from tornado_chat.domain.queue import (
    Choice,
    FifoLeastLoaded,
    MatchingQueue,
    PolicyFailed,
    Ticket,
    WaiterPool,
    check_policy,
)
from tornado_chat.observability.metrics import Metrics
from tornado_chat.plugins.health import MAX_CONSECUTIVE_FAILURES, PluginHealth
from tornado_chat.plugins.queue_policy import GuardedPolicy, check_methods
from tornado_chat.plugins.runner import PluginRunner

ANN, BOB = Person(Role.WAITER, "ann"), Person(Role.WAITER, "bob")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Settings:
    timeout: float = 2.0
    on_error: str = "allow"


@dataclass
class Plugin:
    settings: Settings = field(default_factory=Settings)


@dataclass
class Loaded:
    """A loaded plugin, as far as its runner asks."""

    name: str = "languages"
    plugin: Plugin = field(default_factory=Plugin)


class Guarded:
    """A queue with the guarded policy."""

    def __init__(self, policy: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.metrics, self.clock = Metrics(), Clock()
        health = PluginHealth("languages", self.metrics, self.clock)
        runner = PluginRunner(Loaded(), health, loop)  # type: ignore[arg-type]
        self.health = health
        self.queue = MatchingQueue(GuardedPolicy(policy, runner, self.on_switched))
        self.switched = 0
        for waiter in (ANN, BOB):
            self.queue.pool.set(waiter, available=False, capacity=5)

    def on_switched(self) -> None:
        self.switched += 1

    def join(self, *languages: Any, returned: tuple[int, ...] = ()) -> None:
        """Let users join, numbered from 1, with these languages in their tokens."""
        for number, language in enumerate(languages, 1):
            user = Person(Role.USER, str(number))
            self.queue.join(Ticket(number, user, number, number in returned, {"language": language}))

    def sort_again(self) -> None:
        self.queue.set_policy(self.queue._policy)

    @property
    def line(self) -> list[int]:
        return [ticket.number for ticket in self.queue.in_order()]

    def take(self, waiter: Person = ANN) -> list[tuple[int, str]]:
        """A waiter is ready; return the numbers that it gets, with the reasons."""
        self.queue.pool.set(waiter, available=True, capacity=5)
        return [(each.ticket.number, each.reason) for each in self.queue.match()]

    @property
    def failures(self) -> int:
        return self.metrics.plugin("languages").failures


@pytest.fixture
def guarded(io_loop: IOLoop, expected_logs: list[str]) -> Callable[[Any], Guarded]:
    expected_logs.append("plugin languages failed in queue policy")
    expected_logs.append("plugin languages is suspended")
    loop: asyncio.AbstractEventLoop = io_loop.asyncio_loop  # type: ignore[attr-defined]
    return lambda policy: Guarded(policy, loop)


class ByLanguage(FifoLeastLoaded):
    """Users of English first: fails for a token whose language is no text."""

    def rank(self, ticket: Ticket) -> tuple[Any, ...]:
        return (not ticket.claims["language"].startswith("en"), ticket.number)


def test_a_ticket_that_cannot_be_ranked_keeps_its_turn(guarded: Callable[[Any], Guarded]) -> None:
    it = guarded(ByLanguage())
    it.join("zh", "en", None, "zh", "en")
    assert it.line == [2, 3, 5, 1, 4]  # the third comes behind the one that came before it
    assert it.failures == 1
    taken = it.take()
    assert [number for number, _ in taken] == [2, 3, 5, 1, 4]
    assert [
        number for number, reason in taken if reason.endswith("plugin languages failed to rank this user")
    ] == [3]


def test_without_anyone_before_it_the_ticket_is_the_first(guarded: Callable[[Any], Guarded]) -> None:
    it = guarded(ByLanguage())
    it.join(None, "zh", "en")
    assert it.line == [1, 3, 2]


def test_a_returned_ticket_that_cannot_be_ranked_goes_first(guarded: Callable[[Any], Guarded]) -> None:
    it = guarded(ByLanguage())
    it.join("en", "zh", None, returned=(3,))
    assert it.line == [3, 1, 2]


class Answers(FifoLeastLoaded):
    """Returns one answer from each method; None: the default policy's."""

    def __init__(self, rank: Any = None, choice: Any = None) -> None:
        self._rank, self._choice = rank, choice

    def rank(self, ticket: Ticket) -> tuple[Any, ...]:
        answer: tuple[Any, ...] = super().rank(ticket) if self._rank is None else self._rank(ticket)
        return answer

    def choose(self, ticket: Ticket, pool: WaiterPool) -> Choice | None:
        if self._choice is None:
            return super().choose(ticket, pool)
        answer: Choice | None = self._choice(ticket)
        return answer


def raise_error(ticket: Ticket) -> Any:
    raise KeyError("language")


def refuse(ticket: Ticket) -> Any:
    raise NotFound("no_such_page")


def leave(ticket: Ticket) -> Any:
    raise SystemExit


async def wait(ticket: Ticket) -> Any:
    return None


WRONG_RANKS = {
    "raises": raise_error,
    "refuses": refuse,
    "exits": leave,
    "number": lambda ticket: 5,
    "None": lambda ticket: None,
    "list": lambda ticket: [1],
    "NaN": lambda ticket: (float("nan"),),
    "no order": lambda ticket: (None,),
    "awaitable": wait,
}
WRONG_CHOICES = {
    "long reason": lambda ticket: Choice(ANN, "x" * 501),
    "raises": raise_error,
    "refuses": refuse,
    "text": lambda ticket: "ann",
    "a waiter": lambda ticket: ANN,
    "unknown": lambda ticket: Choice(Person(Role.WAITER, "nobody"), "x"),
    "not ready": lambda ticket: Choice(BOB, "x"),
    "no person": lambda ticket: Choice("ann", "x"),  # type: ignore[arg-type]
    "no reason": lambda ticket: Choice(ANN, None),  # type: ignore[arg-type]
    "awaitable": wait,
}


@pytest.mark.parametrize("rank", WRONG_RANKS.values(), ids=WRONG_RANKS)
def test_wrong_ranks_leave_the_order_of_arrival(guarded: Callable[[Any], Guarded], rank: Any) -> None:
    it = guarded(Answers(rank=rank))
    it.join("a", "b", "c")
    assert it.line == [1, 2, 3]
    assert it.failures == 3
    assert [number for number, _ in it.take()] == [1, 2, 3]


@pytest.mark.parametrize("choice", WRONG_CHOICES.values(), ids=WRONG_CHOICES)
def test_wrong_choices_are_replaced_by_the_default_policy(
    guarded: Callable[[Any], Guarded], choice: Any
) -> None:
    it = guarded(Answers(choice=choice))
    it.join("a", "b")
    assert it.take() == [
        (1, "next in line; least loaded waiter, 0 of 5; the queue policy of plugin languages failed"),
        (2, "next in line; least loaded waiter, 1 of 5; the queue policy of plugin languages failed"),
    ]
    assert it.failures == 2


def test_ranks_of_different_kinds_do_not_stop_the_queue(guarded: Callable[[Any], Guarded]) -> None:
    it = guarded(Answers(rank=lambda ticket: (ticket.claims["language"],)))
    it.join("b", 5, "a", True, "c")
    assert it.line == [3, 4, 1, 2, 5]  # 2 behind 1 and 4 behind 3, which came before them
    assert it.failures == 2


def test_a_policy_that_fails_again_and_again_is_suspended(guarded: Callable[[Any], Guarded]) -> None:
    policy = Answers(rank=lambda ticket: (-ticket.number,))
    it = guarded(policy)
    it.join("a", "b", "c")
    assert it.line == [3, 2, 1]
    policy._choice = raise_error
    for number in range(10, 10 + MAX_CONSECUTIVE_FAILURES):
        assert it.switched == 0
        it.queue.join(Ticket(number, Person(Role.USER, "9"), 9))  # the rank succeeds
        it.queue.pool.set(ANN, available=True, capacity=1)
        assert [each.ticket.number for each in it.queue.match()] == [number]
        it.queue.pool.release(ANN, number)
        it.queue.pool.set(ANN, available=False, capacity=1)
    assert it.switched == 1
    assert it.line == [3, 2, 1]
    it.sort_again()
    assert it.line == [1, 2, 3]
    it.clock.now = 61.0
    policy._choice = None
    it.queue.join(Ticket(20, Person(Role.USER, "9"), 9))
    assert it.switched == 2
    it.sort_again()
    assert it.line == [20, 3, 2, 1]


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        (object(), "object has no method rank(ticket)"),
        (type("Half", (), {"rank": lambda self, ticket: ()})(), "Half has no method choose(ticket, pool)"),
        (
            type("Slow", (), {"rank": wait, "choose": lambda self, ticket, pool: None})(),
            "Slow.rank is `async def`",
        ),
    ],
)
def test_a_policy_without_its_methods_is_refused(policy: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=problem.replace("(", r"\(").replace(")", r"\)")):
        check_methods(policy)


def test_answers_that_are_wrong_again_and_again_suspend_the_policy(guarded: Callable[[Any], Guarded]) -> None:
    it = guarded(Answers(rank=lambda ticket: 7))
    it.join(*"abcdefgh")
    assert it.switched == 1
    assert it.failures == MAX_CONSECUTIVE_FAILURES
    assert it.take()[0] == (
        1,
        "next in line; least loaded waiter, 0 of 5; the queue policy of plugin languages is suspended",
    )


def test_a_failing_policy_is_a_problem_that_ends(guarded: Callable[[Any], Guarded]) -> None:
    it = guarded(ByLanguage())
    it.join("zh", None)
    assert it.health.problem("allow").startswith(
        "queue policy rank failed once (last: AttributeError): the default policy decides for these users; "
    )
    it.queue.join(Ticket(3, Person(Role.USER, "3"), 3, claims={"language": "en"}))
    it.clock.now += 61
    assert it.health.problem("allow") == ""


def test_a_policy_that_is_checked_may_fail_for_some_users(guarded: Callable[[Any], Guarded]) -> None:
    it = guarded(FifoLeastLoaded())
    it.join("zh", None, "en")
    check_policy([it.queue], guarded(ByLanguage()).queue._policy)
    assert it.line == [1, 2, 3]
    with pytest.raises(PolicyFailed):  # it ranks nobody
        check_policy([it.queue], guarded(Answers(rank=raise_error)).queue._policy)


class Meddles(FifoLeastLoaded):
    """Takes the waiters away."""

    def choose(self, ticket: Ticket, pool: WaiterPool) -> Choice | None:
        assert len(pool) == len(list(pool)) == 2
        waiter = pool.least_loaded()
        assert waiter is not None
        assert pool.get(waiter.person) == next(pool.in_order()) == waiter
        pool.remove(waiter.person)
        return None


def test_a_policy_cannot_change_the_pool(guarded: Callable[[Any], Guarded]) -> None:
    it = guarded(Meddles())
    it.join("a")
    assert [number for number, _ in it.take()] == [1]
    assert it.failures == 1
