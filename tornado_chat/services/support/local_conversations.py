"""The floor: users and waiters with sockets in this process, and their conversations.

Strategy: a conversation's row says everything, and every change of it makes a new version of the row.
``learn`` compares the version that the sockets were told of last with the one it gets, and tells them the
difference; so it does not matter whether a version comes with an event, was read because somebody came,
or because an event was missed. Who waits, for how long and for whom is not decided here: the floor tells
the coordinator who is there (``attendance.py``), and learns what it has decided.
"""

import asyncio
import logging

from tornado_chat import config
from tornado_chat.aio.background import Tasks
from tornado_chat.cluster.bus import Bus
from tornado_chat.cluster.facts import Coordination, InLine, duty_key, line_key
from tornado_chat.core.close_codes import REPLACED
from tornado_chat.core.errors import ChatError, Conflict
from tornado_chat.core.events import Assigned, Departed, Event, Place, Replaced, Returned
from tornado_chat.core.types import Action, Conversation, ConversationState, Person, Role
from tornado_chat.delivery.hub import Hub
from tornado_chat.services.auth.access import Gate
from tornado_chat.services.messaging.event_log import about
from tornado_chat.services.messaging.receipts import ReceiptBook
from tornado_chat.services.messaging.store import Store, read_in_portions
from tornado_chat.services.support.sockets import Post, Seat, Talk, Usher
from tornado_chat.storage import conversations

log = logging.getLogger(__name__)

MOST_SEEN = 10_000
"""Conversations whose last version is remembered: many more than change while a row is on its way to us."""


class Floor:
    """The support sockets of this process."""

    def __init__(
        self,
        settings: config.Support,
        store: Store,
        hub: Hub,
        receipts: ReceiptBook,
        loop: asyncio.AbstractEventLoop,
        bus: Bus,
        gate: Gate,
        coordination: Coordination,
    ) -> None:
        self._settings = settings
        self._store = store
        self._loop = loop
        self._bus = bus
        self._gate = gate
        self._coordination = coordination
        self._tasks = Tasks(loop)
        self._usher = Usher(hub, receipts, store, self.learn, self._tasks)
        self._talks: dict[Person, Talk] = {}
        self._posts: dict[Person, Post] = {}
        self._holders: dict[int, Post] = {}  # the waiter here who has a conversation
        self._seen: dict[int, int] = {}  # the newest version of the conversations that were heard of last
        self._stopping = False

    def stop(self) -> None:
        """From now on a closing socket is the server's doing, and nobody's departure."""
        self._stopping = True

    def reconfigure(self, settings: config.Support) -> None:
        """Go by other settings from now on."""
        self._settings = settings

    # --- people come and go ---

    async def seat_user(self, seat: Seat, *, resume: bool = False) -> bool:
        """Bring a user's socket to its conversation or its place in the line; a new one if needed.

        :arg resume: not a new one. False is returned if there is none to come back to.
        :raises Unavailable: the line could not be joined; nothing was done.
        :raises Forbidden: a plugin does not let the user in.
        """
        await self._gate.allows(seat.identity, Action.QUEUE)
        if resume and seat.person not in self._talks:
            await self._tune_in(seat)
            if await self._store.read(conversations.unfinished_of, seat.person) is None:
                return False
        while True:
            talk = self._talks.setdefault(seat.person, Talk())
            async with talk.lock:
                if self._talks.get(seat.person) is not talk:  # it ended while we waited for the lock
                    continue
                if talk.conversation is None:
                    try:
                        await self._open(talk, seat)
                    except BaseException:
                        del self._talks[seat.person]
                        raise
                talk.seats[seat] = None
                seat.talk = talk
                talk.asking.add(seat)
                # Also when it is known: that is how one asks one's place.
                self._coordination.here(InLine(talk.row, self._loop.time()))
                await self._show_talk(talk, seat)
                break
        if seat.outbox.closed:  # its socket closed while we waited
            self.unseat(seat)
        return True

    async def seat_waiter(self, seat: Seat, *, ready: bool) -> None:
        """Bring a waiter's socket to its users, and more of them if it is ready.

        :raises Forbidden: a plugin does not let the waiter serve.
        :raises Unavailable: its conversations could not be read.
        """
        await self._gate.allows(seat.identity, Action.SERVE)
        post = self._posts.get(seat.person)
        if post is None:
            post = self._posts[seat.person] = Post(seat.person, seat.frames.address)
        fresh = seat not in post.seats
        post.ready = ready
        post.claims = seat.identity.claims
        post.name = seat.identity.name or post.name
        post.seats[seat] = None
        if fresh:
            try:
                await self._tune_in(seat)
                for row in await self._store.look_up(conversations.of_waiter, seat.person):
                    self.learn(row)
            except ChatError:
                self.unseat(seat)
                raise
        for row in post.rows.values():
            if row.id not in seat.shown:
                self._usher.show_user(row, seat)
        if post.seats:
            self._coordination.here(post.fact)
        if seat.outbox.closed:
            self.unseat(seat)

    def unseat(self, seat: Seat) -> None:
        """The seat's socket is closed. That is no departure: the grace begins, if it was the last one."""
        if self._stopping:
            return
        talk = seat.talk
        if talk is not None and seat in talk.seats:
            del talk.seats[seat]
            talk.asking.discard(seat)
            if not talk.seats and not talk.gone:
                self._forget(talk)
                self._coordination.gone(line_key(talk.row.id))
                log.info("away", extra=about(talk.row.thread, seat.person, grace=self._settings.rejoin_grace))
        post = self._posts.get(seat.person)
        if post is not None and seat in post.seats:
            del post.seats[seat]
            if not post.seats:
                del self._posts[seat.person]
                self._coordination.gone(duty_key(seat.person))
                for row in post.rows.values():
                    self._holders.pop(row.id, None)
                    log.info("away", extra=about(row.thread, seat.person, grace=self._settings.rejoin_grace))

    def sign_in(self, seat: Seat) -> None:
        """A new socket of a waiter replaces the others, where both know of that (feature ``kickout``)."""
        if seat.person.role is Role.WAITER and "kickout" in seat.frames.features:
            self._bus.publish(Replaced(seat.person, seat.outbox.conn))

    async def end(self, conversation: Conversation, gone: Person) -> None:
        """``gone`` leaves the conversation for good. One that is over stays so."""
        await self._store.write(lambda tx: conversations.end(tx, conversation.id, gone))

    def conversation_of(self, seat: Seat, address: str | None) -> Conversation:
        """The conversation that a frame is about.

        :arg address: of a waiter: the user's; of a user: whatever it says is ignored.
        :raises Conflict: there is none, or it is not the waiter's.
        """
        if seat.person.role is Role.USER:
            if seat.talk is None:
                raise Conflict("not_connected")
            return seat.talk.row
        if not address:
            raise Conflict("to_missing")
        post = self._posts.get(seat.person)
        for row in post.rows.values() if post else ():
            if row.user_uuid == address:
                return row
        raise Conflict("not_your_user", to=address[:64])

    # --- what the bus tells ---

    events = (Assigned, Departed, Returned, Place, Replaced)

    def on_event(self, event: Event) -> None:
        """Take in what was committed or decided, and tell the people; called for ``events``."""
        if isinstance(event, Replaced):
            self._replace(event)
        elif isinstance(event, Place):
            self._on_place(event)
        elif isinstance(event, Assigned | Departed | Returned):
            self.learn(event.conversation)

    def _on_place(self, event: Place) -> None:
        self.learn(event.conversation)
        talk = self._talks.get(event.conversation.user)
        if talk is not None and talk.conversation is not None and talk.row.id == event.conversation.id:
            moved = talk.place != event.place
            talk.place = event.place
            for seat in talk.seats:
                if moved or seat in talk.asking:
                    self._usher.show_place(talk, seat)
            talk.asking.clear()

    def _replace(self, event: Replaced) -> None:
        post = self._posts.get(event.waiter)
        for other in list(post.seats) if post else ():
            if "kickout" in other.frames.features and other.outbox.conn != event.conn:
                other.outbox.send(other.frames.kickout())
                other.outbox.close(*REPLACED)

    def learn(self, row: Conversation) -> None:
        """Tell the sockets here what is new in a conversation. An old version of it changes nothing."""
        seen = self._seen.pop(row.id, 0)
        self._seen[row.id] = max(seen, row.changes)
        if row.changes < seen:  # read before, and handed to us after, a change that we have heard of
            return
        if len(self._seen) > MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        talk = self._talks.get(row.user)
        if (
            talk is not None
            and talk.conversation is not None
            and talk.row.id == row.id
            and row.changes > talk.row.changes
        ):
            self._show_user_side(talk, row)
        holder = self._holders.get(row.id)
        if holder is not None and holder.person != row.waiter:
            self._show_waiter_side(holder, row)
        post = self._posts.get(row.waiter) if row.waiter is not None else None
        if post is not None:
            self._show_waiter_side(post, row)

    async def look_again(self) -> None:
        """Events may have been missed: see what the database says of everybody here.

        :raises Unavailable: it says nothing.
        """
        ids = [talk.row.id for talk in self._talks.values() if talk.conversation is not None]
        ids += [row_id for post in self._posts.values() for row_id in post.rows]
        async for row in read_in_portions(self._store, conversations.several, ids):
            self.learn(row)
        async for row in read_in_portions(self._store, conversations.of_waiters, list(self._posts)):
            self.learn(row)

    # --- inside ---

    def _show_user_side(self, talk: Talk, row: Conversation) -> None:
        talk.conversation = row
        if not row.open:
            talk.gone = True
            self._forget(talk)
            self._coordination.gone(line_key(row.id))
            for seat in talk.seats:
                seat.talk = None
                self._usher.part(seat, row)
        elif row.state is ConversationState.ACTIVE:
            for seat in talk.seats:
                if seat.shown.get(row.id) != row.waiter_uuid:
                    self._usher.show_waiter(row, seat)
        else:
            talk.place = 0
            for seat in talk.seats:
                seat.shown.pop(row.id, None)

    def _show_waiter_side(self, post: Post, row: Conversation) -> None:
        known = post.rows.get(row.id)
        if known is not None and row.changes <= known.changes:
            return
        if row.waiter == post.person and row.state is ConversationState.ACTIVE:
            post.rows[row.id] = row
            self._holders[row.id] = post
            for seat in post.seats:
                if row.id not in seat.shown:
                    self._usher.show_user(row, seat)
        elif known is not None:
            del post.rows[row.id]
            if self._holders.get(row.id) is post:
                del self._holders[row.id]
            for seat in post.seats:
                if row.id in seat.shown:
                    self._usher.part(seat, row)

    async def _open(self, talk: Talk, seat: Seat) -> None:
        name, address = seat.identity.name, seat.frames.address
        wanted = self._settings.queue_claims
        claims = {name: value for name, value in seat.identity.claims.items() if name in wanted}
        await self._tune_in(seat)
        row: Conversation | None = None
        while row is None or row.changes < self._seen.get(row.id, 0):  # it has changed since it was read
            # Who comes back needs no writing, and does not wait for those who write. Lookups are answered in the
            # order in which they were asked, so those who come at once keep their order.
            row = await self._store.look_up(
                conversations.unfinished_of, seat.person
            ) or await self._store.write(
                lambda tx: conversations.join(tx, seat.person, name, address, claims)
            )
        talk.conversation = row

    async def _tune_in(self, seat: Seat) -> None:
        """Nobody would tune out for a socket that is gone already."""
        if not seat.outbox.closed:
            await self._bus.tune_in(seat.person)

    async def _show_talk(self, talk: Talk, seat: Seat) -> None:
        """Tell a user's socket that has just connected where it stands; its place comes from the coordinator."""
        row = talk.row
        if row.state is ConversationState.ACTIVE:
            self._usher.show_waiter(row, seat)
        elif row.returned:
            await self._usher.follow(seat, row)

    def _forget(self, talk: Talk) -> None:
        if self._talks.get(talk.row.user) is talk:
            del self._talks[talk.row.user]
