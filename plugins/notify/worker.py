"""The worker that sends the deliveries of the outbox.

Strategy: the database knows the due deliveries, this process only its running attempts, so a crash loses
no delivery. A confirmed delivery is not tried again: recording it is repeated until it succeeds. Only a crash
in between repeats a delivery, with the same event id.

Each target has a place of its own for one attempt, so a target that does not answer delays no other target.
Further attempts of a target share a few places, and only targets whose last attempt succeeded get them. New
deliveries come before those that are tried again, so a target that fails gets a new alert before its backlog.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from tornado_chat.plugin_api import ChatError, Context, described

from . import outbox
from .outbox import DEAD, DELIVERED, WAITING, NotifyDelivery
from .rules import Target
from .sending import MAX_CONCURRENT_TARGETS, MAX_EXTRA_ATTEMPTS, Outcome, Sender

log = logging.getLogger(__name__)

MICROSECONDS_PER_SECOND = 1_000_000
MAX_DELAY_SECONDS = 3600.0
# The database is polled, because the command `notify retry` writes to it from another process.
POLL_INTERVAL_SECONDS = 5.0
ERROR_RETRY_SECONDS = 5.0  # pause after an error of the database
STOP_TIMEOUT_SECONDS = 1.0  # for the running attempts when the server stops
MAX_ATTEMPTS_PER_TARGET = 4
READ_ROWS = 16  # deliveries that are read at once
RETENTION_MICROSECONDS = 7 * 86400 * MICROSECONDS_PER_SECOND  # of delivered rows
HOUSEKEEPING_INTERVAL_SECONDS = 3600.0
CHUNK_ROWS = 1000  # rows in one transaction, for which all other writes wait

NO_RULE = "no rule names this target any more"


@dataclass(frozen=True)
class DeliverySettings:
    """The contents of the settings and of the files that they name."""

    targets: Mapping[str, Target]
    secret: bytes = field(repr=False)
    timeout: float
    retry_after: float
    give_up_after: float


def next_attempt_at(
    setup: DeliverySettings,
    since: int,
    attempts: int,
    retry_after_seconds: float,
    now: int,
    random_fraction: float,
) -> int | None:
    """Return the time of the next attempt after a failure; None if the delivery has to be given up.

    The delay doubles with each attempt. Up to half of it is subtracted at random, so that deliveries that
    failed together are not repeated together. The last attempt is at the end of ``give_up_after``.

    :arg since: begin of ``give_up_after``; all times are microseconds since 1970.
    :arg attempts: number of failed attempts, at least 1.
    :arg retry_after_seconds: pause that the receiver asked for.
    :arg random_fraction: from 0 to 1.
    """
    deadline = since + round(setup.give_up_after * MICROSECONDS_PER_SECOND)
    if now >= deadline:
        return None
    delay = min(setup.retry_after * 2.0 ** min(attempts - 1, 60), MAX_DELAY_SECONDS)
    pause = max(delay * (1 - random_fraction / 2), retry_after_seconds)
    return min(now + round(pause * MICROSECONDS_PER_SECOND), deadline)


class Worker:
    """Sends due deliveries until its task is cancelled.

    :arg setup: can be replaced at any time by ``apply_settings``.
    :arg random_fraction: returns numbers from 0 to 1.
    """

    def __init__(
        self,
        context: Context,
        sender: Sender,
        setup: DeliverySettings,
        random_fraction: Callable[[], float] = random.random,
    ) -> None:
        self._context = context
        self._sender = sender
        self._random_fraction = random_fraction
        self._wakeup = asyncio.Event()
        self._in_progress: dict[int, str] = {}  # target keys by delivery id
        self._ailing: set[str] = set()  # keys of targets whose last attempt failed
        self._tasks: set[asyncio.Task[None]] = set()
        self.apply_settings(setup)

    def apply_settings(self, setup: DeliverySettings) -> None:
        """Use these settings for all following attempts."""
        self._setup = setup
        self._ailing.intersection_update(setup.targets)
        self._must_fail_orphans = True
        self.wake()

    def wake(self) -> None:
        """Wake the worker: a delivery may be due."""
        self._wakeup.set()

    async def run(self) -> None:
        try:
            while True:
                self._wakeup.clear()
                try:
                    pause = await self._start_due()
                except Exception as error:  # the database is unavailable: try again later
                    log.warning(
                        "the outbox cannot be read, trying again in %g s: %s",
                        ERROR_RETRY_SECONDS,
                        _describe_error(error),
                    )
                    await asyncio.sleep(ERROR_RETRY_SECONDS)
                    continue
                try:
                    async with asyncio.timeout(pause):
                        await self._wakeup.wait()
                except TimeoutError:
                    pass
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT_SECONDS)
            for task in self._tasks:
                task.cancel()

    async def run_housekeeping(self) -> None:
        """Remove old delivered rows, now and every hour."""
        while True:
            before = self._context.now() - RETENTION_MICROSECONDS
            try:
                while await self._remove(before) == CHUNK_ROWS:
                    pass
            except Exception as error:
                log.warning(
                    "old deliveries cannot be removed, trying again in an hour: %s", _describe_error(error)
                )
            await asyncio.sleep(HOUSEKEEPING_INTERVAL_SECONDS)

    def _remove(self, before: int) -> Awaitable[int]:
        return self._context.write(lambda tx: outbox.remove_delivered(tx.database, before, CHUNK_ROWS))

    async def _start_due(self) -> float:
        """Start the attempts that are due. Returns the seconds until the outbox has to be read again."""
        if self._must_fail_orphans:
            await self._fail_orphans()
        while len(set(self._in_progress.values())) < MAX_CONCURRENT_TARGETS:
            running = set(self._in_progress.values())
            waiting = await self._context.read(
                partial(
                    outbox.upcoming,
                    excluded_ids=list(self._in_progress),
                    excluded_targets=[target for target in running if not self._has_place(target)],
                    limit=READ_ROWS,
                )
            )
            now = self._context.now()
            due = [each for each in waiting if each.next_at <= now]
            for delivery in due:
                if self._has_place(delivery.target):
                    self._begin(delivery)
            if not due:
                next_at = min((each.next_at for each in waiting), default=None)
                return (
                    POLL_INTERVAL_SECONDS
                    if next_at is None
                    else min(POLL_INTERVAL_SECONDS, (next_at - now) / MICROSECONDS_PER_SECOND)
                )
        return POLL_INTERVAL_SECONDS

    def _has_place(self, target: str) -> bool:
        """Return True if an attempt of the target can begin: its first one, or one of the shared places."""
        running = Counter(self._in_progress.values())
        if target not in running:
            return len(running) < MAX_CONCURRENT_TARGETS
        return (
            target not in self._ailing
            and running[target] < MAX_ATTEMPTS_PER_TARGET
            and running.total() - len(running) < MAX_EXTRA_ATTEMPTS
        )

    def _begin(self, delivery: NotifyDelivery) -> None:
        self._in_progress[delivery.id] = delivery.target
        task = asyncio.create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fail_orphans(self) -> None:
        """Give up the waiting deliveries whose target no rule names any more."""
        self._must_fail_orphans = False
        try:
            keys = list(self._setup.targets)
            while found := await self._context.read(partial(outbox.orphans, targets=keys, limit=CHUNK_ROWS)):
                idle = [each for each in found if each.id not in self._in_progress]
                if not idle:
                    return  # running attempts are checked when they are due again
                for each in idle:
                    await self._record_outcome(each, Outcome(False, NO_RULE, final=True), each.attempts)
        except BaseException:
            self._must_fail_orphans = True
            raise

    async def _deliver(self, delivery: NotifyDelivery) -> None:
        try:
            setup = self._setup
            target = setup.targets.get(delivery.target)
            if target is None:
                await self._record_outcome(delivery, Outcome(False, NO_RULE, final=True), delivery.attempts)
                return
            outcome = await self._sender.send(delivery, target, secret=setup.secret, timeout=setup.timeout)
            if outcome.delivered:
                self._ailing.discard(delivery.target)
            else:
                self._ailing.add(delivery.target)
            await self._record_outcome(delivery, outcome, delivery.attempts + 1)
        finally:
            del self._in_progress[delivery.id]
            self.wake()

    async def _record_outcome(self, delivery: NotifyDelivery, outcome: Outcome, attempts: int) -> None:
        """Store the result of an attempt, and log a failure."""
        now = self._context.now()
        state, at = DELIVERED, now
        if not outcome.delivered:
            next_at = None
            if not outcome.final:
                next_at = next_attempt_at(
                    self._setup,
                    delivery.since,
                    attempts,
                    outcome.retry_after_seconds,
                    now,
                    self._random_fraction(),
                )
            state, at = (DEAD, now) if next_at is None else (WAITING, next_at)
        await self._write(delivery.id, state, at, attempts, outcome.detail or outcome.error or None)
        label = f"notification {delivery.notification} for {delivery.recipient}"
        if state == DEAD:
            log.warning(
                "%s was not delivered to %s, given up after %d attempts: %s (`tornado-chat notify list`)",
                label,
                delivery.shown,
                attempts,
                outcome.error,
            )
        elif state == WAITING and attempts == 1:
            log.info(
                "%s was not delivered to %s, it is tried again: %s", label, delivery.shown, outcome.error
            )

    async def _write(self, id: int, state: str, at: int, attempts: int, error: str | None) -> None:
        while True:
            try:
                await self._context.write(
                    lambda tx: outbox.record_outcome(tx.database, id, state, at, attempts, error)
                )
                return
            except Exception as failure:
                log.warning(
                    "delivery %d cannot be recorded as %s, trying again in %g s: %s",
                    id,
                    state,
                    ERROR_RETRY_SECONDS,
                    _describe_error(failure),
                )
                await asyncio.sleep(ERROR_RETRY_SECONDS)


def _describe_error(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, ChatError) else None
    return described(error) if cause is None else f"{described(error)}: {described(cause)}"
