"""The dispatcher: the line, the waiters, and who talks to whom.

Strategy: one structure in memory owns all decisions (the ``Desk`` of ``domain/queue.py`` and the
talks of this module); it is only touched on the loop, so no two matches race. Each decision is
then stored, and what people are told of it is published by its commit: ``on_event`` is where a
user learns of its waiter, a waiter of its users, and both of a departure. A decision that the
database did not take is taken back. After a restart everything is built again from the
unfinished conversations.

A waiter's *ready* (what it wants) and *connected* (what its sockets say) are two facts; it gets
users while both hold. A user whose sockets are all gone is not matched meanwhile, and finds its
place again when it comes back in time.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator
from typing import Any

from tornado_chat import config
from tornado_chat.delivery.hub import Hub
from tornado_chat.domain.queue import Assignment, Desk, QueuePolicy
from tornado_chat.errors import ChatError, Conflict
from tornado_chat.events import Assigned, Departed, Event, Returned
from tornado_chat.logs import fields
from tornado_chat.metrics import Buckets
from tornado_chat.services.gate import Gate
from tornado_chat.services.places import PlaceTeller
from tornado_chat.services.receipts import ReceiptBook
from tornado_chat.services.seats import Seat, Talk, Usher, WaiterDesk
from tornado_chat.services.store import Store
from tornado_chat.storage import conversations
from tornado_chat.types import Action, Conversation, ConversationState, Person

log = logging.getLogger(__name__)

SECOND_LOOK = 2.0  # seconds until those whom the policy passed over are looked at again
RETRY = 5.0  # seconds until something that the database did not take is tried again


class Dispatcher:
    """All support conversations of this process; ``Support`` is what people do with it."""

    def __init__(
        self,
        settings: config.Support,
        store: Store,
        hub: Hub,
        receipts: ReceiptBook,
        loop: asyncio.AbstractEventLoop,
        policy: QueuePolicy,
        gate: Gate,
        waited: Buckets,
    ) -> None:
        self._settings = settings
        self._store = store
        self._hub = hub
        self._loop = loop
        self._gate = gate
        self._waited = waited
        self._by_user: dict[Person, Talk] = {}
        self._talks: dict[int, Talk] = {}
        self._usher = Usher(hub, receipts, store)
        self._places = PlaceTeller(loop, settings.queue_interval, self._line, self._usher.show_place)
        self._assigning: set[int] = set()  # matched, and not yet committed
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._second_look: asyncio.TimerHandle | None = None
        self.desk = Desk(policy)
        self.waiters: dict[Person, WaiterDesk] = {}

    # --- life of the service ---

    async def recover(self) -> None:
        """After a start: everybody has the full grace to come back to place and conversation."""
        for conversation in await self._store.read(conversations.unfinished):
            age = max(0.0, time.time() - conversation.created / 1e6)
            talk = Talk(self._loop.time() - age, conversation)
            self._talks[conversation.id] = talk
            self._by_user[conversation.user] = talk
            self._await_user(talk)
            if conversation.state is ConversationState.ACTIVE:
                assert conversation.waiter is not None
                assert conversation.waiter_uuid is not None
                waiter = self.waiter(conversation.waiter, conversation.waiter_uuid, conversation.waiter_name)
                waiter.talks[conversation.id] = talk
                self.desk.pool.took(waiter.person)
                self._await_waiter(waiter)

    def stop(self) -> None:
        """From now on a closing socket is the server's doing, and ends nothing."""
        self._stopping = True
        self._places.stop()
        if self._second_look is not None:
            self._second_look.cancel()
        for talk in self._talks.values():
            talk.stop_grace()
        for waiter in self.waiters.values():
            waiter.stop_grace()

    def reconfigure(self, settings: config.Support, policy: QueuePolicy) -> None:
        """Go by other settings and another policy from now on, those who wait already included.

        A waiter with more users than it may have now keeps them; a grace that is running keeps its time.
        """
        self._settings = settings
        self._places.interval = settings.queue_interval
        for waiter in self.waiters.values():
            self._set_available(waiter)
        self.desk.set_policy(policy)
        self._match()

    @property
    def capacity(self) -> int:
        """How many users a waiter serves at once."""
        return self._settings.capacity

    # --- people come and go ---

    async def seat_user(self, seat: Seat) -> None:
        """Bring a user's socket to its conversation or its place in the line; a new one if needed.

        :raises Unavailable: the line could not be joined; nothing was done.
        :raises Forbidden: a plugin does not let the user in.
        """
        await self._gate.allows(seat.identity, Action.QUEUE)
        while True:
            talk = self._by_user.get(seat.person)
            fresh = talk is None
            if talk is None:
                talk = self._by_user[seat.person] = Talk(self._loop.time())
            async with talk.lock:
                if talk.gone:  # it ended while we waited for the lock: begin another
                    continue
                if fresh:
                    await self._open_talk(talk, seat)
                talk.stop_grace()
                talk.seats[seat] = None
                seat.talk = talk
                if talk.waiting:
                    self._join(talk)
                await self._show_talk(talk, seat)
                break
        if seat.outbox.closed:  # its socket closed while we waited
            self.unseat(seat)

    async def seat_waiter(self, seat: Seat, *, ready: bool) -> None:
        """Bring a waiter's socket to its users, and more of them if it is ready.

        :raises Forbidden: a plugin does not let the waiter serve.
        """
        await self._gate.allows(seat.identity, Action.SERVE)
        waiter = self.waiter(seat.person, seat.frames.address, seat.identity.name)
        waiter.stop_grace()
        waiter.ready = ready
        waiter.claims = seat.identity.claims
        waiter.name = seat.identity.name or waiter.name
        fresh = seat not in waiter.seats
        waiter.seats[seat] = None
        talks = list(waiter.talks.values()) if fresh else []
        for talk in talks:
            self._usher.show_user(talk.row, seat)
        self._set_available(waiter)
        self._match()
        for talk in talks:
            await self._usher.follow(seat, talk.row)
        if seat.outbox.closed:
            self.unseat(seat)

    def unseat(self, seat: Seat) -> None:
        """The seat's socket is closed. That is no departure: the grace begins."""
        if self._stopping:
            return
        talk = seat.talk
        if talk is not None:
            talk.seats.pop(seat, None)
            if not talk.seats and not talk.gone:
                if self.desk.leave(talk.row.id):
                    self._places.changed()
                self._await_user(talk)
                self._log("away", talk.row, seat.person, grace=self._settings.rejoin_grace)
        waiter = self.waiters.get(seat.person)
        if waiter is not None and seat in waiter.seats:
            del waiter.seats[seat]
            if not waiter.seats:
                self._set_available(waiter)
                self._await_waiter(waiter)
                for talk in waiter.talks.values():
                    self._log("away", talk.row, seat.person, grace=self._settings.rejoin_grace)

    async def end(self, talk: Talk, gone: Person) -> None:
        """``gone`` leaves the conversation for good."""
        async with talk.lock:
            if not talk.gone:
                await self._end(talk, gone)

    async def hand_over(self, talk: Talk, source: Person, target: WaiterDesk) -> None:
        """Give ``source``'s user to another waiter.

        :raises Conflict: it is no longer ``source``'s.
        """
        async with talk.lock:
            if talk.gone or talk.row.waiter != source:
                raise Conflict("no_conversation")
            self.desk.pool.took(target.person)
            try:
                await self._assign(talk, target, f"handed over by {source.id}")
            except ChatError:
                self.desk.pool.released(target.person)
                raise

    def expects(self, user: Person) -> bool:
        """Whether the user has a conversation, or a place in the line, to come back to."""
        return user in self._by_user

    def talk(self, conversation_id: int) -> Talk:
        """An unfinished conversation."""
        return self._talks[conversation_id]

    def talks(self) -> Iterator[Talk]:
        """All unfinished conversations."""
        return iter(self._talks.values())

    def waiter(self, person: Person, address: str, name: str | None) -> WaiterDesk:
        """The waiter's desk, made if it has none."""
        waiter = self.waiters.get(person)
        if waiter is None:
            waiter = self.waiters[person] = WaiterDesk(person, address, name)
            self._set_available(waiter)
        return waiter

    # --- what the bus tells ---

    events = (Assigned, Departed, Returned)

    def on_event(self, event: Event) -> None:
        """Take in what was committed, and tell the people; called for ``events``."""
        if isinstance(event, Assigned):
            self._on_assigned(event)
        elif isinstance(event, Departed):
            self._on_departed(event.conversation)
        elif isinstance(event, Returned):
            self._on_returned(event)

    def _on_assigned(self, event: Assigned) -> None:
        conversation = event.conversation
        talk = self._talks[conversation.id]
        talk.conversation = conversation
        assert conversation.waiter is not None
        waiter = self.waiters[conversation.waiter]
        waiter.talks[conversation.id] = talk
        if event.previous is None:
            waited = self._loop.time() - talk.waits_since
            self._waited.observe(waited)
            self._log("matched", conversation, waiter.person, waited=round(waited, 1), why=event.reason)
        else:
            self._log(
                "transferred", conversation, waiter.person, previous=event.previous.id, why=event.reason
            )
            self._release(event.previous, conversation)
            self._loop.call_soon(self._match)  # the place that became free
        for seat in talk.seats:
            self._usher.show_waiter(conversation, seat)
            self._spawn(self._usher.follow(seat, conversation))
        for seat in waiter.seats:
            self._usher.show_user(conversation, seat)
            self._spawn(self._usher.follow(seat, conversation))
        if not waiter.seats and waiter.grace is None:  # lost between the match and its commit
            self._await_waiter(waiter)

    def _on_departed(self, conversation: Conversation) -> None:
        talk = self._talks.pop(conversation.id)
        talk.conversation = conversation
        talk.gone = True
        talk.stop_grace()
        if self._by_user.get(conversation.user) is talk:
            del self._by_user[conversation.user]
        if self.desk.leave(conversation.id):
            self._places.changed()
        for seat in talk.seats:
            seat.talk = None
            self._usher.part(seat, conversation)
        if conversation.waiter is not None:
            self._release(conversation.waiter, conversation)
            self._match()

    def _on_returned(self, event: Returned) -> None:
        talk = self._talks[event.conversation.id]
        talk.conversation = event.conversation
        talk.waits_since = self._loop.time()
        self._release(event.lost, event.conversation)
        if talk.seats:
            self._join(talk)
            if event.conversation.id in self.desk:
                self._places.tell(talk, self.desk.place(event.conversation.id))

    def _release(self, person: Person, conversation: Conversation) -> None:
        """A waiter is rid of a conversation: its sockets are told, its place is free."""
        self.desk.pool.released(person)
        waiter = self.waiters[person]
        waiter.talks.pop(conversation.id, None)
        for seat in waiter.seats:
            self._usher.part(seat, conversation)
        self._forget_if_idle(waiter)

    # --- matching ---

    def _join(self, talk: Talk) -> None:
        """Put a user into the line, at the place that its number and its fate give it."""
        if talk.row.id not in self.desk and talk.row.id not in self._assigning:
            self.desk.join(talk.ticket)
            self._match()

    def _match(self) -> None:
        """Give a waiter to everybody for whom there is one."""
        for assignment in self.desk.match():
            self._assigning.add(assignment.ticket.number)
            talk, waiter = self._talks[assignment.ticket.number], self.waiters[assignment.waiter]
            self._spawn(self._store_match(talk, waiter, assignment))
        self._places.changed()
        if self.desk.passed_over and self._second_look is None and not self._stopping:
            self._second_look = self._loop.call_later(SECOND_LOOK, self._look_again)

    def _look_again(self) -> None:
        """Policies may change their mind as time goes by, without anything else happening."""
        self._second_look = None
        self._match()

    async def _store_match(self, talk: Talk, waiter: WaiterDesk, assignment: Assignment) -> None:
        try:
            await self._assign(talk, waiter, assignment.reason)
        except ChatError as error:
            self.desk.pool.released(waiter.person)
            self._assigning.discard(talk.row.id)
            self._forget_if_idle(waiter)
            if talk.waiting:  # not just ended meanwhile
                log.warning(
                    "a match could not be stored, trying again: %s",
                    error,
                    extra=fields(**talk.row.thread.named),
                )
                await asyncio.sleep(RETRY)
            if talk.seats and talk.waiting:
                self._join(talk)
            self._match()
        self._assigning.discard(talk.row.id)

    async def _assign(self, talk: Talk, waiter: WaiterDesk, reason: str) -> None:
        conversation, person, name, address = talk.row, waiter.person, waiter.name, waiter.address
        await self._store.write(
            lambda tx: conversations.assign(tx, conversation, person, name, address, reason)
        )

    # --- places ---

    def _line(self) -> Iterator[Talk]:
        for ticket in self.desk.in_order():
            yield self._talks[ticket.number]

    # --- grace ---

    def _await_user(self, talk: Talk) -> None:
        talk.stop_grace()
        talk.grace = self._loop.call_later(
            self._settings.rejoin_grace, lambda: self._spawn(self._user_lost(talk))
        )

    async def _user_lost(self, talk: Talk) -> None:
        async with talk.lock:
            if talk.seats or talk.gone or self._stopping:
                return
            try:
                await self._end(talk, talk.row.user)
            except ChatError as error:
                log.warning(
                    "a departure could not be stored, trying again: %s",
                    error,
                    extra=fields(**talk.row.thread.named),
                )
                talk.grace = self._loop.call_later(RETRY, lambda: self._spawn(self._user_lost(talk)))

    async def _end(self, talk: Talk, gone: Person) -> None:
        conversation_id = talk.row.id
        await self._store.write(lambda tx: conversations.end(tx, conversation_id, gone))

    def _await_waiter(self, waiter: WaiterDesk, delay: float | None = None) -> None:
        waiter.stop_grace()
        delay = self._settings.rejoin_grace if delay is None else delay
        waiter.grace = self._loop.call_later(delay, lambda: self._spawn(self._waiter_lost(waiter)))

    async def _waiter_lost(self, waiter: WaiterDesk) -> None:
        waiter.grace = None
        if waiter.seats or self._stopping:
            return
        waiter.ready = False
        self._set_available(waiter)
        for talk in list(waiter.talks.values()):
            async with talk.lock:
                if waiter.seats:  # back at the last moment: keeps whom it still has
                    return
                if talk.gone or talk.row.waiter != waiter.person:
                    continue
                conversation = talk.row
                try:
                    await self._store.write(
                        lambda tx, conversation=conversation: conversations.give_back(tx, conversation)  # type: ignore[misc]
                    )
                except ChatError as error:
                    log.warning(
                        "users could not go back to the line, trying again: %s",
                        error,
                        extra=fields(role="waiter", id=waiter.person.id),
                    )
                    self._await_waiter(waiter, RETRY)
                    return
        self._forget_if_idle(waiter)

    # --- inside ---

    def _set_available(self, waiter: WaiterDesk) -> None:
        stance = (waiter.ready, bool(waiter.seats))
        if stance != waiter.stance:
            waiter.stance, waiter.since = stance, self._loop.time()
        self.desk.pool.set(
            waiter.person,
            available=waiter.ready and bool(waiter.seats),
            capacity=self._settings.capacity,
            claims=waiter.claims,
        )

    def _forget_if_idle(self, waiter: WaiterDesk) -> None:
        pooled = self.desk.pool.get(waiter.person)
        if not waiter.seats and waiter.grace is None and pooled is not None and pooled.load == 0:
            self.desk.pool.remove(waiter.person)
            del self.waiters[waiter.person]

    async def _open_talk(self, talk: Talk, seat: Seat) -> None:
        name, address = seat.identity.name, seat.frames.address
        claims = {
            name: value for name, value in seat.identity.claims.items() if name in self._settings.queue_claims
        }
        try:
            talk.conversation = await self._store.write(
                lambda tx: conversations.create(tx, seat.person, name, address, claims)
            )
        except ChatError:
            talk.gone = True
            del self._by_user[seat.person]
            raise
        self._talks[talk.conversation.id] = talk

    async def _show_talk(self, talk: Talk, seat: Seat) -> None:
        """Tell a user's socket that has just connected where it stands."""
        conversation = talk.row
        if conversation.state is ConversationState.ACTIVE:
            self._usher.show_waiter(conversation, seat)
        elif conversation.id in self.desk:  # else it is being assigned this very moment
            place = self.desk.place(conversation.id)
            if place != talk.told_place:
                self._places.tell(talk, place)  # also its other sockets: they count as told
            else:
                talk.told_at = self._loop.time()
                seat.outbox.send(seat.frames.connect_queue(place, conversation=conversation))
        if conversation.state is ConversationState.ACTIVE or conversation.returned:
            await self._usher.follow(seat, conversation)

    def _log(self, event: str, conversation: Conversation, person: Person, **more: Any) -> None:
        log.info(
            event, extra=fields(**conversation.thread.named, role=person.role.value, id=person.id, **more)
        )

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
