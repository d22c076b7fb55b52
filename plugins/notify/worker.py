"""Emptying the outbox.

Strategy: the database says what is due, this process only what is under way, so a crash loses
nothing. What was confirmed is not tried again, however often it takes to write that down; only a crash
in between repeats it, with the same event id.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from tornado_chat.plugin_api import ChatError, Context, described

from . import outbox
from .outbox import DEAD, DELIVERED, WAITING, NotifyDelivery
from .rules import Target
from .sending import AT_ONCE, Outcome, Sender

log = logging.getLogger(__name__)

SECOND = 1_000_000
LONGEST_DELAY = 3600.0
POLL = 5.0  # seconds until the database is looked at again: `notify retry` writes to it from outside
AFTER_ERROR = 5.0  # seconds until a database that did not answer is asked again
STOPPING = 1.0  # seconds for what is under way when the server stops
PER_TARGET = AT_ONCE // 2  # so that one that lets everybody wait does not hold up all others
KEPT = 7 * 86400 * SECOND
HOUSEKEEPING = 3600.0
REMOVED_AT_ONCE = 1000  # in one commit, which everybody waits for

NO_RULE = "no rule names this target any more"


@dataclass(frozen=True)
class Setup:
    """What the settings and the files they name say."""

    targets: Mapping[str, Target]
    secret: bytes = field(repr=False)
    timeout: float
    retry_after: float
    give_up_after: float


def next_try(setup: Setup, since: int, attempts: int, wait: float, now: int, chance: float) -> int | None:
    """When to try again after a failure; None if it is time to give up.

    The delay doubles with each attempt. Chance takes up to half of it away, so that what failed
    together does not come back together. The last attempt is when the time is over.

    :arg attempts: those that failed, at least 1.
    :arg wait: seconds that the other side asked for.
    :arg chance: from 0 to 1.
    """
    over = since + round(setup.give_up_after * SECOND)
    if now >= over:
        return None
    delay = min(setup.retry_after * 2.0 ** min(attempts - 1, 60), LONGEST_DELAY)
    return min(now + round(max(delay * (1 - chance / 2), wait) * SECOND), over)


class Worker:
    """Sends what is due, until its task is cancelled. ``setup`` may be exchanged at any time.

    :arg chance: gives numbers from 0 to 1.
    """

    def __init__(
        self,
        context: Context,
        sender: Sender,
        setup: Setup,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._context = context
        self._sender = sender
        self._chance = chance
        self._more = asyncio.Event()
        self._under_way: dict[int, str] = {}  # delivery, target
        self._tasks: set[asyncio.Task[None]] = set()
        self.use(setup)

    def use(self, setup: Setup) -> None:
        """From now on, these rules count."""
        self._setup = setup
        self._look_for_orphans = True
        self.wake()

    def wake(self) -> None:
        """There may be something due."""
        self._more.set()

    async def run(self) -> None:
        try:
            while True:
                self._more.clear()
                try:
                    pause = await self._round()
                except Exception as error:  # the database: it will come back
                    log.warning("the outbox cannot be read, again in %g s: %s", AFTER_ERROR, _named(error))
                    await asyncio.sleep(AFTER_ERROR)
                    continue
                try:
                    async with asyncio.timeout(pause):
                        await self._more.wait()
                except TimeoutError:
                    pass
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=STOPPING)
            for task in self._tasks:
                task.cancel()

    async def keep_house(self) -> None:
        """Remove what was delivered long ago, now and every hour."""
        while True:
            before = self._context.now() - KEPT
            try:
                while await self._remove(before) == REMOVED_AT_ONCE:
                    pass
            except Exception as error:
                log.warning("old deliveries are not removed before the next hour: %s", _named(error))
            await asyncio.sleep(HOUSEKEEPING)

    def _remove(self, before: int) -> Awaitable[int]:
        return self._context.write(lambda tx: outbox.remove_delivered(tx.database, before, REMOVED_AT_ONCE))

    async def _round(self) -> float:
        """Begin what is due; returns for how many seconds there is nothing else to do."""
        if self._look_for_orphans:
            await self._bury_orphans()
        while (free := AT_ONCE - len(self._under_way)) > 0:
            to = list(self._under_way.values())
            busy = {target for target in to if to.count(target) >= PER_TARGET}
            waiting = await self._context.read(
                partial(outbox.upcoming, without=list(self._under_way), not_to=busy, limit=free)
            )
            now = self._context.now()
            due = [each for each in waiting if each.next_at <= now]
            for delivery in due:
                if list(self._under_way.values()).count(delivery.target) < PER_TARGET:
                    self._begin(delivery)
            if not due:
                return min(POLL, (waiting[0].next_at - now) / SECOND) if waiting else POLL
        return POLL

    def _begin(self, delivery: NotifyDelivery) -> None:
        self._under_way[delivery.id] = delivery.target
        task = asyncio.create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bury_orphans(self) -> None:
        self._look_for_orphans = False
        try:
            keys = list(self._setup.targets)
            while found := await self._context.read(
                partial(outbox.orphans, targets=keys, limit=REMOVED_AT_ONCE)
            ):
                left = [each for each in found if each.id not in self._under_way]
                if not left:
                    return  # what is under way is looked at again when it is due
                for each in left:
                    await self._settle(each, Outcome(False, NO_RULE, final=True), each.attempts)
        except BaseException:
            self._look_for_orphans = True
            raise

    async def _deliver(self, delivery: NotifyDelivery) -> None:
        try:
            setup = self._setup
            target = setup.targets.get(delivery.target)
            if target is None:
                await self._settle(delivery, Outcome(False, NO_RULE, final=True), delivery.attempts)
                return
            outcome = await self._sender.send(delivery, target, secret=setup.secret, timeout=setup.timeout)
            await self._settle(delivery, outcome, delivery.attempts + 1)
        finally:
            del self._under_way[delivery.id]
            self.wake()

    async def _settle(self, delivery: NotifyDelivery, outcome: Outcome, attempts: int) -> None:
        """Write down how an attempt ended, and say what people should know."""
        now = self._context.now()
        state, at = DELIVERED, now
        if not outcome.delivered:
            again = None
            if not outcome.final:
                setup, chance = self._setup, self._chance()
                again = next_try(setup, delivery.since, attempts, outcome.wait, now, chance)
            state, at = (DEAD, now) if again is None else (WAITING, again)
        await self._write(delivery.id, state, at, attempts, outcome.detail or outcome.error or None)
        what = f"notification {delivery.notification} for {delivery.recipient}"
        if state == DEAD:
            log.warning(
                "%s was not delivered to %s, given up after %d attempts: %s (`tornado-chat notify list`)",
                what,
                delivery.shown,
                attempts,
                outcome.error,
            )
        elif state == WAITING and attempts == 1:
            log.info("%s was not delivered to %s, it is tried again: %s", what, delivery.shown, outcome.error)

    async def _write(self, id: int, state: str, at: int, attempts: int, error: str | None) -> None:
        while True:
            try:
                await self._context.write(
                    lambda tx: outbox.settle(tx.database, id, state, at, attempts, error)
                )
                return
            except Exception as failure:
                log.warning(
                    "delivery %d cannot be noted as %s, again in %g s: %s",
                    id,
                    state,
                    AFTER_ERROR,
                    _named(failure),
                )
                await asyncio.sleep(AFTER_ERROR)


def _named(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, ChatError) else None
    return described(error) if cause is None else f"{described(error)}: {described(cause)}"
