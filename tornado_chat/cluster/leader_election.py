"""Election of the coordinator among processes that share a Redis, and the client of the coordinator.

Strategy: all processes try periodically to take one lease, and the holder coordinates. Each process keeps its
own facts and reports their changes to the coordinator (``remote_facts`` detects missed changes); the
coordinator calls itself for its own facts. The coordinator announces itself periodically to all processes;
when the announcement names a new coordinator, each process sends it a full report of its facts.

While Redis is unreachable, the holder keeps coordinating its own participants and declares no process dead,
and the other processes wait. When its lease has expired, it makes no decisions (``holds_lease``); it begins
anew with the next lease, as another process may have coordinated in between.
"""

import asyncio
import contextlib
import enum
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tornado_chat.cluster.facts import Coordinator, CoordinatorRequest, PresenceFact
from tornado_chat.cluster.lease import RedisLease
from tornado_chat.cluster.messages import (
    CoordinatorAnnouncement,
    FactReported,
    FactWithdrawn,
    FullReport,
    FullReportRequest,
    Heartbeat,
    LeaseReleased,
    ProcessStopped,
    RpcRequest,
    RpcResponse,
)
from tornado_chat.cluster.own_facts import OwnFacts
from tornado_chat.cluster.redis_bus import COORDINATOR_CHANNEL
from tornado_chat.cluster.redis_link import ALL_PROCESSES_CHANNEL, Link, MessageHandler
from tornado_chat.cluster.remote_facts import RemoteFacts
from tornado_chat.cluster.rpc import RpcClient, serve_request
from tornado_chat.core.errors import ChatError, Unavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ElectionTimings:
    """Times of the election, in seconds.

    :ivar heartbeat_seconds: the interval of attempts to take the lease, and of heartbeats.
    :ivar ttl_seconds: the time after which the lease expires unless it is renewed.
    :ivar dead_after_seconds: the time without a message after which a process counts as dead.
    :ivar timeout_seconds: for the result of a request, including repetitions to a new coordinator.
    """

    heartbeat_seconds: float = 1.0
    ttl_seconds: float = 3.0
    dead_after_seconds: float = 5.0
    timeout_seconds: float = 5.0


class ElectionState(enum.Enum):
    """The state of this process in the election."""

    FOLLOWER = "process"
    STARTING = "beginning"
    LEADER = "coordinator"


class _CoordinatorChanged(Exception):
    """The coordinator has changed, so a request has to be sent again."""


def _process_channel(process: str) -> str:
    return f"process:{process}"


class ClusterMember:
    """The part of this process in the cluster: it takes part in the election and calls the coordinator.

    The coordinator is the object ``coordinator`` of one of the processes. Its process receives the events of
    ``events.COORDINATOR_EVENTS`` on its bus, from just before ``begin`` on.
    """

    def __init__(
        self,
        link: Link,
        coordinator: Coordinator,
        loop: asyncio.AbstractEventLoop,
        election_timings: ElectionTimings | None = None,
    ) -> None:
        self._link = link
        self._coordinator = coordinator
        self._election_timings = election_timings = election_timings or ElectionTimings()
        self._loop = loop
        self._lease = RedisLease(link, loop, election_timings.ttl_seconds)
        self._remote_facts = RemoteFacts(
            coordinator,
            self._request_full_report,
            self._loop.time,
            dead_after_seconds=election_timings.dead_after_seconds,
            rerequest_seconds=election_timings.heartbeat_seconds,
        )
        self._own_facts = OwnFacts()
        self._state = ElectionState.FOLLOWER
        self._has_left = False
        self._term = 0
        self._starting_task: asyncio.Task[None] | None = None
        # The last announced coordinator and its term, and the processes that it knows.
        self._known_coordinator: tuple[str, int] | None = None
        self._processes: tuple[str, ...] = ()
        self._coordinator_seen_at = 0.0
        self._last_tick = 0.0
        self._receiving_since = 0.0  # start of the present time without an interruption
        self._rpc_client = RpcClient(lambda request: link.publish(request, COORDINATOR_CHANNEL))
        self._coordinator_changed: asyncio.Future[None] = self._loop.create_future()
        self._request_tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._register_handlers()

    def _register_handlers(self) -> None:
        add_handler, remote_facts = self._link.add_handler, self._remote_facts
        add_handler(CoordinatorAnnouncement, self._on_announcement)
        add_handler(LeaseReleased, self._on_lease_released)
        add_handler(FullReportRequest, lambda process, request: self._send_full_report())
        add_handler(RpcResponse, self._rpc_client.on_response)
        add_handler(RpcRequest, self._on_request)

        def handle_if_coordinator(kind: type[Any], handler: MessageHandler) -> None:
            def guarded(process: str, message: Any) -> None:
                # A process in state STARTING gets full reports later; one that was suspended first tries to
                # renew its lease, and after a gap requests full reports.
                if self._state is ElectionState.LEADER and not self._was_suspended():
                    handler(process, message)

            add_handler(kind, guarded)

        handle_if_coordinator(
            Heartbeat, lambda process, message: remote_facts.on_heartbeat(process, message.number)
        )
        handle_if_coordinator(
            FactReported,
            lambda process, message: remote_facts.on_report(process, message.number, message.fact),
        )
        handle_if_coordinator(
            FactWithdrawn,
            lambda process, message: remote_facts.on_withdraw(
                process, message.number, message.key, has_left=message.has_left
            ),
        )
        handle_if_coordinator(
            FullReport,
            lambda process, message: remote_facts.on_full_report(
                process, message.number, message.part, message.parts, message.facts
            ),
        )
        handle_if_coordinator(ProcessStopped, lambda process, message: remote_facts.remove_process(process))
        self._link.add_callbacks(on_disconnect=self._on_disconnect, on_reconnect=self._on_reconnect)

    # --- election ---

    async def start(self) -> None:
        """Start to take part; returns after the first attempt to coordinate or to find the coordinator."""
        await self._link.subscribe(_process_channel(self._link.process))
        self._last_tick = self._loop.time()
        await self._tick()
        if self._starting_task is not None:
            await asyncio.wait((self._starting_task,))
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Leave the cluster; if this process coordinates, another process takes over immediately."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._starting_task is not None:
            self._starting_task.cancel()
            await asyncio.gather(self._starting_task, return_exceptions=True)
        coordinated = self._state is not ElectionState.FOLLOWER
        if coordinated:
            self._stop_coordinating()
        # Always, because the lease may have been taken just now.
        await self._lease.release()
        if coordinated:
            self._link.publish(LeaseReleased(), ALL_PROCESSES_CHANNEL)
        else:
            self._link.publish(ProcessStopped(), COORDINATOR_CHANNEL)
        self._has_left = True
        await asyncio.gather(*self._request_tasks, return_exceptions=True)
        await self._link.flush()

    async def step_down(self) -> None:
        """Stop coordinating for good, as the memory of this process is wrong; remain in the cluster."""
        self._lease.back_off(float("inf"))
        if self._state is not ElectionState.FOLLOWER:
            self._stop_coordinating()
            await self._lease.release()
            self._link.publish(LeaseReleased(), ALL_PROCESSES_CHANNEL)

    def status(self) -> Mapping[str, Any]:
        """Return the state of this process, the coordinator and the known processes, for monitoring."""
        if self._state is ElectionState.LEADER:
            own_name = self._link.process
            return {
                "part": self._state.value,
                "coordinator": own_name,
                "processes": sorted((own_name, *self._remote_facts.processes)),
            }
        known = (
            self._known_coordinator
            if self._loop.time() < self._coordinator_seen_at + self._election_timings.dead_after_seconds
            else None
        )
        return {
            "part": self._state.value,
            "coordinator": known[0] if known else None,
            "processes": sorted(self._processes) if known else [],
        }

    @property
    def is_coordinator(self) -> bool:
        """True if this process coordinates."""
        return self._state is ElectionState.LEADER

    @property
    def holds_lease(self) -> bool:
        """True while this process alone coordinates, by its own monotonic clock.

        False as soon as the lease has expired, also if this process was suspended and has not noticed that.
        """
        return self._state is ElectionState.LEADER and self._lease.is_held

    @property
    def is_certain(self) -> bool:
        """True if this process alone coordinates and has received the facts of all processes.

        The facts are complete when this process has received messages without an interruption for longer than
        a process may be silent.
        """
        has_all_facts = (
            self._loop.time()
            > self._receiving_since
            + self._election_timings.dead_after_seconds
            + self._election_timings.heartbeat_seconds
        )
        return self.holds_lease and self._link.is_connected and has_all_facts

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._election_timings.heartbeat_seconds):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._tick()
            except Exception:
                log.exception("a step of the leader election failed, it is repeated")

    async def _tick(self) -> None:
        """Take or renew the lease, and send a heartbeat or an announcement."""
        now = self._loop.time()
        if now > self._last_tick + 2 * self._election_timings.heartbeat_seconds:
            # This process was suspended and has not read yet what the others sent in the meantime.
            self._remote_facts.reset_silence()
            self._receiving_since = now
        self._last_tick = now
        was_follower = self._state is ElectionState.FOLLOWER
        holder = await self._lease.acquire(renew=not was_follower)
        if holder == self._link.process:
            if was_follower:  # otherwise it coordinates already, or has just failed to begin
                self._start_coordinating()
            elif self._state is not ElectionState.FOLLOWER and not self._lease.is_unbroken:
                log.info("the lease of this coordinator had expired: it begins anew")
                self._stop_coordinating()
                self._start_coordinating()
        elif holder is not None and self._state is not ElectionState.FOLLOWER:
            log.info("%s coordinates now, and this process no more", holder)
            self._stop_coordinating()
        if self._state is not ElectionState.LEADER:
            self._send_to_coordinator(self._own_facts.heartbeat())
            return
        if self._link.is_connected and self._remote_facts.remove_dead():
            # A dead process may have stored messages that it did not publish.
            self._link.request_resync()
        self._announce()

    def _was_suspended(self) -> bool:
        """Return True if this process has not tried to renew its lease for as long as a lease lasts."""
        return self._loop.time() > self._last_tick + self._election_timings.ttl_seconds

    # --- coordinating ---

    def _start_coordinating(self) -> None:
        self._state = ElectionState.STARTING
        self._term += 1
        self._starting_task = asyncio.create_task(self._begin_coordinator())

    async def _begin_coordinator(self) -> None:
        before = dict(self._own_facts.facts)
        # Subscribed first, so that no event is lost between the reading in begin() and the subscription.
        await self._link.subscribe(COORDINATOR_CHANNEL)
        try:
            await self._coordinator.begin()
        except Exception as error:
            if isinstance(error, ChatError):
                log.warning("this process cannot coordinate now: %s", error.code_for_log)
            else:
                log.exception("this process cannot coordinate")
            await self._yield_lease()
            return
        if not self._lease.is_held:
            # The database or this process stood still meanwhile, and another process may coordinate.
            log.warning("this process cannot coordinate now: its lease has expired while it began")
            self._coordinator.end()
            await self._yield_lease()
            return
        self._state = ElectionState.LEADER
        self._starting_task = None
        self._remote_facts.begin()
        self._receiving_since = self._loop.time()
        log.info("this process coordinates now")
        for key, fact in self._own_facts.facts.items():
            self._remote_facts.deliver(self._link.process, fact, already_known=before.get(key) is fact)
        self._announce()
        self._link.request_resync()  # the previous coordinator may have died with unpublished messages
        self._notify_coordinator_changed()

    async def _yield_lease(self) -> None:
        self._state = ElectionState.FOLLOWER
        self._lease.back_off(2 * self._election_timings.heartbeat_seconds)
        self._link.unsubscribe(COORDINATOR_CHANNEL)
        await self._lease.release()
        self._starting_task = None
        self._notify_coordinator_changed()

    def _stop_coordinating(self) -> None:
        self._state = ElectionState.FOLLOWER
        if self._starting_task is not None:
            self._starting_task.cancel()
            self._starting_task = None
        for task in self._request_tasks:
            task.cancel()
        self._link.unsubscribe(COORDINATOR_CHANNEL)
        self._remote_facts.clear()
        self._known_coordinator = None
        self._coordinator.end()
        self._notify_coordinator_changed()

    def _announce(self) -> None:
        self._link.publish(
            CoordinatorAnnouncement(self._term, (self._link.process, *self._remote_facts.processes)),
            ALL_PROCESSES_CHANNEL,
        )

    def _request_full_report(self, process: str) -> None:
        self._link.publish(FullReportRequest(), _process_channel(process))

    def _on_request(self, process: str, request: RpcRequest) -> None:
        if self._state is ElectionState.LEADER and not self._was_suspended():
            task = asyncio.create_task(self._answer(process, request))
            self._request_tasks.add(task)
            task.add_done_callback(self._request_tasks.discard)

    async def _answer(self, process: str, request: RpcRequest) -> None:
        self._link.publish(await serve_request(self._coordinator, request), _process_channel(process))

    # --- following ---

    def _on_announcement(self, process: str, message: CoordinatorAnnouncement) -> None:
        if self._state is not ElectionState.FOLLOWER:
            # Two processes coordinate: the next attempt at the lease decides between them.
            self._wake.set()
            return
        self._coordinator_seen_at = self._loop.time()
        self._processes = message.processes
        if self._known_coordinator != (process, message.term):
            self._known_coordinator = process, message.term
            self._send_full_report()
            self._notify_coordinator_changed()

    def _on_lease_released(self, process: str, message: LeaseReleased) -> None:
        if self._known_coordinator is not None and self._known_coordinator[0] == process:
            self._known_coordinator = None
        self._wake.set()

    def _on_disconnect(self) -> None:
        self._rpc_client.fail_all(lambda: Unavailable("no_coordinator"))

    def _on_reconnect(self) -> None:
        self._remote_facts.reset_silence()
        self._receiving_since = self._loop.time()
        if self._state is ElectionState.FOLLOWER:
            # If Redis has lost the lease, its holder has to get it again.
            self._lease.back_off(self._election_timings.ttl_seconds)
        self._wake.set()

    def _send_full_report(self) -> None:
        for message in self._own_facts.full_report():
            self._send_to_coordinator(message)

    def _send_to_coordinator(self, message: Heartbeat | FactReported | FactWithdrawn | FullReport) -> None:
        """Send ``message`` to the coordinator, unless this process has left.

        After a message of a process that has left, a new coordinator would expect heartbeats of it and count
        it as dead later.
        """
        if not self._has_left:
            self._link.publish(message, COORDINATOR_CHANNEL)

    # --- client of the coordinator ---

    def report(self, fact: PresenceFact) -> None:
        change = self._own_facts.add(fact)
        if self._state is ElectionState.LEADER:
            self._coordinator.on_report(self._link.process, fact)
        else:
            self._send_to_coordinator(change)

    def withdraw(self, key: str, *, has_left: bool = False) -> None:
        change = self._own_facts.remove(key, has_left=has_left)
        if change is None:
            return
        if self._state is ElectionState.LEADER:
            self._coordinator.on_withdraw(self._link.process, key, has_left=has_left)
        else:
            self._send_to_coordinator(change)

    async def call(self, request: CoordinatorRequest) -> Any:
        try:
            async with asyncio.timeout(self._election_timings.timeout_seconds):
                while True:
                    with contextlib.suppress(_CoordinatorChanged):
                        return await self._call_once(request)
        except TimeoutError:
            raise Unavailable("no_coordinator") from None

    async def _call_once(self, request: CoordinatorRequest) -> Any:
        """Send the request once.

        :raises _CoordinatorChanged: the request has to be sent again, to the new coordinator.
        """
        if self._state is ElectionState.LEADER:
            return await self._coordinator.answer(request)
        if not self._link.is_connected:
            raise Unavailable("no_coordinator")
        if self._known_coordinator is None or self._state is ElectionState.STARTING:
            await asyncio.shield(self._coordinator_changed)
            raise _CoordinatorChanged
        return await self._rpc_client.call(request)

    def _notify_coordinator_changed(self) -> None:
        """Wake the callers, so that requests to the previous coordinator are sent again."""
        self._coordinator_changed.set_result(None)
        self._coordinator_changed = self._loop.create_future()
        self._rpc_client.fail_all(_CoordinatorChanged)
