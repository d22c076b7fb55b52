"""The worker of an outbox: it makes the attempts of a plugin's deliveries.

Strategy: the database knows the due deliveries, this process only its running attempts, so a crash loses
no delivery. A confirmed delivery is not tried again: recording it is repeated until it succeeds. Only a crash
in between repeats a delivery, with the same event id. Of several processes, one at a time makes attempts
(``DatabaseLease``); it has the lease only while deliveries are due.

Each target has a place of its own for one attempt, so a target that does not answer delays no other target.
Further attempts of a target share a few places, and only targets whose last attempt succeeded get them. New
deliveries come before those that are tried again, so a target that fails gets a new alert before its backlog.
"""

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import NamedTuple

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.deliveries import (
    MICROSECONDS_PER_SECOND,
    Delivery,
    DeliveryError,
    DeliveryState,
    GiveUp,
    NewDelivery,
    OutboxTimes,
    RetryLater,
)
from tornado_chat.core.errors import ChatError
from tornado_chat.observability.logs import described, fields
from tornado_chat.plugins.outbox import Outbox
from tornado_chat.services.leadership.db_lease import DatabaseLease
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import deliveries
from tornado_chat.storage.deliveries import Box, Outcome
from tornado_chat.storage.writer import Transaction

log = logging.getLogger(__name__)

# The database is polled: `deliveries retry` writes to it from another process, and processes may have died.
POLL_INTERVAL_SECONDS = 5.0
LEASE_RETRY_SECONDS = 1.0  # until the next try for the lease that another process holds
ERROR_RETRY_SECONDS = 5.0  # pause after an error of the database
STOP_TIMEOUT_SECONDS = 1.0  # for the running attempts when the server stops
READ_ROWS = 16  # deliveries that are read at once

UNKNOWN_TARGET = "the plugin's settings do not name this target any more"


class Places(NamedTuple):
    """The numbers of attempts that an outbox makes at the same time.

    :ivar targets: targets that have an attempt; each has a place of its own for it.
    :ivar per_target: attempts of one target.
    :ivar extra: further attempts, of all targets together.
    """

    targets: int = 64
    per_target: int = 4
    extra: int = 8


class OutboxWorker(Outbox):
    """Makes the attempts of one outbox, while ``run`` runs.

    :arg send: as of ``Context.outbox``.
    :arg on_failure: called with an exception of ``send`` that is no ``DeliveryError``.
    :arg paused_for: returns the seconds for which no attempt may begin.
    :arg random_fraction: returns numbers from 0 to 1.
    """

    def __init__(
        self,
        box: Box,
        send: Callable[[Delivery], Awaitable[None]],
        times: OutboxTimes,
        store: Store,
        lease: DatabaseLease,
        *,
        places: Places = Places(),
        on_failure: Callable[[BaseException], object] = lambda error: None,
        paused_for: Callable[[], float] = lambda: 0.0,
        random_fraction: Callable[[], float] = random.random,
    ) -> None:
        self._box = box
        self._send = send
        self._times = times
        self._store = store
        self._lease = lease
        self._places = places
        self._on_failure = on_failure
        self._paused_for = paused_for
        self._random_fraction = random_fraction
        self._only_targets: Collection[str] | None = None  # for the next turn of ``run``
        self._wakeup = asyncio.Event()
        self._in_progress: dict[int, str] = {}  # targets by delivery id
        self._ailing: set[str] = set()  # targets whose last attempt failed
        self._tasks: set[asyncio.Task[None]] = set()

    # --- the interface of the plugin ---

    def insert(self, tx: Transaction, deliveries_: Sequence[NewDelivery]) -> None:
        deliveries.insert(tx.database, self._box, deliveries_, tx.now)

    def wake(self) -> None:
        self._wakeup.set()

    def reconfigure(self, times: OutboxTimes, targets: Collection[str] | None = None) -> None:
        self._times = times
        self._only_targets = targets
        if targets is not None:
            self._ailing.intersection_update(targets)
        self.wake()

    # --- attempts that were made elsewhere ---

    def outcome(self, error: DeliveryError | None, attempts: int, since: int) -> Outcome:
        """Return the outcome of an attempt that ended now.

        :arg error: None: the delivery has succeeded.
        :arg attempts: the number of attempts, with this one.
        :arg since: as of ``Delivery``.
        """
        now = now_microseconds()
        if error is None:
            return Outcome(DeliveryState.DELIVERED, now, attempts)
        next_at = None
        if not isinstance(error, GiveUp):
            next_at = self._times.next_attempt_at(
                since,
                attempts,
                now,
                wait_seconds=error.seconds if isinstance(error, RetryLater) else 0.0,
                random_fraction=self._random_fraction(),
            )
        reason = error.detail or error.reason
        if next_at is None:
            return Outcome(DeliveryState.DEAD, now, attempts, reason)
        return Outcome(DeliveryState.WAITING, next_at, attempts, reason)

    def log_outcome(
        self, item: str, recipient: str, shown: str, outcome: Outcome, error: DeliveryError | None
    ) -> None:
        """Log the first failure of a delivery, and its end if it is given up."""
        about = f"{item} for {recipient}" if recipient else item
        extra = fields(plugin=self._box.plugin)
        if outcome.state is DeliveryState.DEAD and error is not None:
            log.warning(
                "plugin %s: %s was not delivered%s, given up after %d attempts: %s "
                "(`tornado-chat deliveries list`)",
                self._box.plugin,
                about,
                f" to {shown}" if shown else "",
                outcome.attempts,
                error.reason,
                extra=extra,
            )
        elif outcome.state is DeliveryState.WAITING and outcome.attempts == 1 and error is not None:
            log.info(
                "plugin %s: %s was not delivered%s, it is tried again: %s",
                self._box.plugin,
                about,
                f" to {shown}" if shown else "",
                error.reason,
                extra=extra,
            )

    # --- running ---

    async def run(self) -> None:
        """Make attempts until this is cancelled; then the running ones get a moment to end."""
        try:
            while True:
                self._wakeup.clear()
                try:
                    await self._give_up_other_targets()
                    pause = await self._start_due()
                except Exception as error:  # the database is unavailable: try again later
                    log.warning(
                        "the outbox of plugin %s cannot be read, trying again in %g s: %s",
                        self._box.plugin,
                        ERROR_RETRY_SECONDS,
                        _describe_error(error),
                    )
                    await asyncio.sleep(ERROR_RETRY_SECONDS)
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wakeup.wait()
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT_SECONDS)
            for task in self._tasks:
                task.cancel()
            await self._lease.release()

    async def _start_due(self) -> float:
        """Start the attempts that are due. Returns the seconds until the outbox has to be read again."""
        while len(set(self._in_progress.values())) < self._places.targets:
            running = set(self._in_progress.values())
            waiting = await self._store.read(
                partial(
                    deliveries.upcoming,
                    box=self._box,
                    excluded_ids=list(self._in_progress),
                    excluded_targets=[target for target in running if not self._has_place(target)],
                    limit=READ_ROWS,
                )
            )
            now = now_microseconds()
            due = [each for each in waiting if each.next_at <= now]
            pause = self._paused_for()
            if not due or pause:
                if not self._in_progress:
                    await self._lease.release()
                next_at = min((each.next_at for each in waiting), default=None)
                until_next = (
                    POLL_INTERVAL_SECONDS if next_at is None else (next_at - now) / MICROSECONDS_PER_SECOND
                )
                return min(POLL_INTERVAL_SECONDS, max(until_next, pause))
            if not self._lease.is_held:
                if not await self._lease.acquire():
                    return LEASE_RETRY_SECONDS
                continue  # the former holder may have delivered what was read before
            for delivery in due:
                if self._has_place(delivery.target):
                    self._begin(delivery)
        return POLL_INTERVAL_SECONDS

    def _has_place(self, target: str) -> bool:
        """Return True if an attempt of the target can begin: its first one, or one of the shared places."""
        running = Counter(self._in_progress.values())
        if target not in running:
            return len(running) < self._places.targets
        return (
            target not in self._ailing
            and running[target] < self._places.per_target
            and running.total() - len(running) < self._places.extra
        )

    def _begin(self, delivery: Delivery) -> None:
        self._in_progress[delivery.id] = delivery.target
        task = asyncio.create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _give_up_other_targets(self) -> None:
        targets = self._only_targets
        if targets is None:
            return
        in_progress = list(self._in_progress)
        count = await self._store.write(
            lambda tx: deliveries.give_up_others(
                tx.database, self._box, targets, in_progress, UNKNOWN_TARGET, tx.now
            )
        )
        if self._only_targets is targets:
            self._only_targets = None
        if count:
            log.warning(
                "plugin %s: %s given up: %s (`tornado-chat deliveries list`)",
                self._box.plugin,
                "1 delivery is" if count == 1 else f"{count} deliveries are",
                UNKNOWN_TARGET,
            )

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            error = await self._attempt(delivery)
            if error is None:
                self._ailing.discard(delivery.target)
            else:
                self._ailing.add(delivery.target)
            outcome = self.outcome(error, delivery.attempts + 1, delivery.since)
            await self._record(delivery, outcome)
            self.log_outcome(delivery.item, delivery.recipient, delivery.shown, outcome, error)
        finally:
            del self._in_progress[delivery.id]
            self.wake()

    async def _attempt(self, delivery: Delivery) -> DeliveryError | None:
        """Make one attempt, which may neither end nor hold up this process. Returns its failure."""
        timeout = self._times.timeout
        attempt = asyncio.ensure_future(_call(self._send, delivery))
        try:
            done, _ = await asyncio.wait({attempt}, timeout=timeout)
        except asyncio.CancelledError:
            attempt.cancel()
            raise
        if not done:  # it may ignore the cancellation, so it is not awaited
            attempt.cancel()
            attempt.add_done_callback(_retrieve_exception)
            return DeliveryError(f"no answer within {timeout:g} s")
        error = asyncio.CancelledError() if attempt.cancelled() else attempt.exception()
        if error is None or isinstance(error, DeliveryError):
            return error
        self._on_failure(error)
        return DeliveryError(described(error))

    async def _record(self, delivery: Delivery, outcome: Outcome) -> None:
        while True:
            try:
                await self._store.write(lambda tx: deliveries.record(tx.database, delivery, outcome))
                return
            except Exception as failure:
                log.warning(
                    "delivery %d of plugin %s cannot be recorded as %s, trying again in %g s: %s",
                    delivery.id,
                    self._box.plugin,
                    outcome.state,
                    ERROR_RETRY_SECONDS,
                    _describe_error(failure),
                )
                await asyncio.sleep(ERROR_RETRY_SECONDS)


async def _call(send: Callable[[Delivery], Awaitable[None]], delivery: Delivery) -> None:
    """Call ``send``, and convert ``SystemExit``: a plugin must not end the server by ``sys.exit()``."""
    try:
        await send(delivery)
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(repr(error)) from error


def _retrieve_exception(attempt: asyncio.Future[None]) -> None:
    if not attempt.cancelled():
        attempt.exception()


def _describe_error(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, ChatError) else None
    return described(error) if cause is None else f"{described(error)}: {described(cause)}"
