"""The queue policy of a plugin, isolated from the server: named, counted, timed, and its answers checked.

Strategy: the queue must not stop because a plugin fails for one user. So a call that raises, or returns what
is no answer, is recorded as the plugin's failure, and the default policy decides for that ticket. After
repeated failures the plugin is suspended, as for its hooks, and the default policy decides for all tickets.
"""

import inspect
import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NoReturn, cast

from msgspec.structs import replace

from tornado_chat.core.plain_text import is_well_formed
from tornado_chat.core.types import Person
from tornado_chat.domain.queue import (
    Choice,
    FifoLeastLoaded,
    PolicyFailed,
    QueuePolicy,
    Ticket,
    Waiter,
    WaiterPool,
)
from tornado_chat.domain.throttle import BoundedTable
from tornado_chat.plugins.answers import WrongAnswer
from tornado_chat.plugins.faults import CHOOSE, RANK
from tornado_chat.plugins.runner import HookCall, HookCallFailed, PluginRunner

MAX_UNRANKED = 10_000
"""The number of tickets that are remembered as without a rank of the plugin."""

MAX_REASON_CHARS = 500
"""The length of a reason, which is logged, stored and shown."""


def check_methods(policy: Any) -> None:
    """Check that an object has the methods of a ``QueuePolicy``.

    :raises TypeError: a method is missing, or is ``async def``. The text names it.
    """
    for name, arguments in (("rank", "ticket"), ("choose", "ticket, pool")):
        method = getattr(policy, name, None)
        if not callable(method):
            raise TypeError(f"{type(policy).__name__} has no method {name}({arguments})")
        if inspect.iscoroutinefunction(method):
            raise TypeError(f"{type(policy).__name__}.{name} is `async def`, and has to be `def`")


class GuardedPolicy:
    """Calls the ``QueuePolicy`` of a plugin, and never fails for another reason than ``PolicyFailed``.

    :arg runner: runs the plugin.
    :arg on_switched: called when the plugin was suspended or is called again, so that the queue has to be
        sorted again.
    """

    def __init__(self, policy: QueuePolicy, runner: PluginRunner, on_switched: Callable[[], None]) -> None:
        check_methods(policy)
        self._runner = runner
        self._default = FifoLeastLoaded()
        self._rank = HookCall(RANK, policy.rank, ("ticket",), False, RANK)
        self._choose = HookCall(CHOOSE, policy.choose, ("ticket", "pool"), False, CHOOSE)
        self._columns: list[str] = []  # the kinds of the values of a rank, by position
        self._unranked: BoundedTable[bool] = BoundedTable(MAX_UNRANKED)  # by the number of the ticket
        self._was_suspended = False
        self._on_switched = on_switched

    def rank(self, ticket: Ticket) -> tuple[Any, ...]:
        """:raises PolicyFailed: the plugin has no valid rank for the ticket, or is suspended."""
        if self._is_suspended():
            raise PolicyFailed
        try:
            rank: tuple[Any, ...] = self._call(self._rank, {"ticket": ticket}, self._checked_rank)
        except PolicyFailed:
            self._unranked.store(ticket.number, True)
            raise
        self._unranked.drop(ticket.number)
        return rank

    def choose(self, ticket: Ticket, pool: WaiterPool) -> Choice | None:
        """Return the plugin's choice, or the default policy's if the plugin fails.

        The reason says so. It is stored, so that `queue explain` shows it.
        """
        if self._is_suspended():
            return self._remark(self._default.choose(ticket, pool), "is suspended")
        try:
            choice: Choice | None = self._call(
                self._choose, {"ticket": ticket, "pool": _PoolView(pool)}, partial(_checked_choice, pool=pool)
            )
        except PolicyFailed:
            return self._remark(self._default.choose(ticket, pool), "failed")
        if self._unranked.get(ticket.number):
            return self._remark(choice, "failed to rank this user")
        return choice

    def _remark(self, choice: Choice | None, state: str) -> Choice | None:
        if choice is None:
            return None
        name = self._runner.loaded.name
        return replace(choice, reason=f"{choice.reason}; the queue policy of plugin {name} {state}")

    def _call(self, call: HookCall, values: Mapping[str, Any], check: Callable[[Any], Any]) -> Any:
        started = time.perf_counter()
        try:
            answer = self._runner.call_sync(call, values, check=check)
        except HookCallFailed as error:
            self._is_suspended()
            raise PolicyFailed from error
        if time.perf_counter() - started > self._runner.settings.timeout:
            self._runner.health.record_failure(
                call.hook,
                "timeout",
                None,
                suspend=True,
                group=call.group,
                reason=f"longer than `timeout` in [plugin:{self._runner.loaded.name}]",
            )
            self._is_suspended()
        return answer

    def _is_suspended(self) -> bool:
        is_suspended = self._runner.health.suspended_for > 0
        if is_suspended is not self._was_suspended:
            self._was_suspended = is_suspended
            self._on_switched()
        return is_suspended

    def _checked_rank(self, rank: Any) -> tuple[Any, ...]:
        """Return a rank that can be compared with all ranks before.

        :raises WrongAnswer: it is no tuple, or has a value that is neither a number nor a text, or is of
            another kind than those of the ranks before.
        """
        if not isinstance(rank, tuple):
            raise WrongAnswer(f"rank returned {type(rank).__name__}, not a tuple")
        kinds = [_kind(value) for value in rank]
        for kind, before in zip(kinds, self._columns, strict=False):
            if kind != before:
                raise WrongAnswer(
                    f"rank returned a {kind} where the ranks before have a {before}: they cannot be compared"
                )
        self._columns += kinds[len(self._columns) :]
        return tuple(rank)


class _PoolView(WaiterPool):
    """The pool of waiters as a policy sees it, which must not change it."""

    def __init__(self, pool: WaiterPool) -> None:
        self._pool = pool

    def _refuse(self, *arguments: object, **values: object) -> NoReturn:
        raise TypeError("a queue policy must not change the pool")

    set = remove = hold = release = _refuse

    def get(self, person: Person) -> Waiter | None:
        return self._pool.get(person)

    def least_loaded(self) -> Waiter | None:
        return self._pool.least_loaded()

    def in_order(self) -> Iterator[Waiter]:
        return self._pool.in_order()

    def __iter__(self) -> Iterator[Waiter]:
        return iter(self._pool)

    def __len__(self) -> int:
        return len(self._pool)


def _kind(value: object) -> str:
    if isinstance(value, float) and math.isnan(value):
        raise WrongAnswer("rank returned NaN, which has no order")
    for kind, types in (("number", int | float), ("text", str), ("bytes", bytes)):
        if isinstance(value, types):
            return kind
    raise WrongAnswer(f"rank returned a tuple with {type(value).__name__}: use numbers or texts")


def _checked_choice(choice: Any, pool: WaiterPool) -> Choice | None:
    """Return a choice. :raises WrongAnswer: it is neither None nor the choice of a waiter who is free."""
    if choice is None:
        return None
    if not isinstance(choice, Choice):
        raise WrongAnswer(f"choose returned {type(choice).__name__}, not Choice or None")
    person, reason = cast(tuple[object, object], (choice.waiter, choice.reason))
    waiter = pool.get(person) if isinstance(person, Person) else None
    if waiter is None or not waiter.free:
        raise WrongAnswer("choose returned a waiter that is not free")
    if not isinstance(reason, str) or not is_well_formed(reason):
        raise WrongAnswer("choose returned a reason that is no text")
    if len(reason) > MAX_REASON_CHARS:
        raise WrongAnswer(
            f"choose returned a reason of {len(reason)} characters: use at most {MAX_REASON_CHARS}"
        )
    return choice
