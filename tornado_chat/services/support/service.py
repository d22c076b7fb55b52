"""Support: what users and waiters can do.

Thin: ``floor.py`` holds the sockets and their conversations; this is the list of what the frames of
the dialect ask of them.
"""

from collections.abc import Callable
from typing import Any

from tornado_chat.aio.deferred import Pending
from tornado_chat.cluster.facts import Coordination, HandOver, HowIsSupport
from tornado_chat.core.errors import Conflict
from tornado_chat.core.events import Event, Typing
from tornado_chat.core.types import Conversation, ConversationState, Message, Person, Role, Stored
from tornado_chat.services.messaging.filtering import Filtering
from tornado_chat.services.messaging.store import Store, forgive
from tornado_chat.services.support.local_conversations import Floor
from tornado_chat.services.support.sockets import Seat
from tornado_chat.storage import conversations, messages, read_marks
from tornado_chat.storage.messages import Append


class Support:
    """The use cases of the support dialect.

    :arg publish: the bus, for what is told without being stored.
    """

    def __init__(
        self,
        floor: Floor,
        coordination: Coordination,
        store: Store,
        publish: Callable[[Event], None],
        filtering: Filtering,
    ) -> None:
        self._floor = floor
        self._coordination = coordination
        self._store = store
        self._publish = publish
        self._filtering = filtering

    # --- coming and going ---

    def sign_in(self, seat: Seat) -> None:
        """A new socket of a waiter replaces the others, where both know of that (feature ``kickout``)."""
        self._floor.sign_in(seat)

    async def connect(self, seat: Seat, *, resume: bool = False) -> bool:
        """A user joins the line, or comes back to its place or conversation.

        :arg resume: only come back. False is returned if there is nothing to come back to.
        :raises Unavailable: the line could not be joined; nothing was done.
        """
        return await self._floor.seat_user(seat, resume=resume)

    async def ready(self, seat: Seat, *, ready: bool = True) -> None:
        """``ready`` and ``unready``: take new users, or only go on with those one has.

        Either way the waiter's conversations come back to a socket that has not got them yet.
        """
        await self._floor.seat_waiter(seat, ready=ready)

    def leave(self, seat: Seat) -> None:
        """The seat's socket is closed."""
        self._floor.unseat(seat)

    async def disconnect(self, seat: Seat, address: str | None) -> None:
        """Leave a conversation, or the line, for good.

        :raises Conflict: there is nothing to leave.
        """
        await seat.lane.empty()  # the last words come before the parting
        await self._floor.end(self._floor.conversation_of(seat, address), seat.person)

    async def transfer(self, seat: Seat, address: str | None, waiter_id: str) -> None:
        """Hand a user over to another waiter, who must be ready and have room.

        :raises NotFound: there is no such waiter now.
        :raises Conflict: the user is not the waiter's.
        """
        await seat.lane.empty()
        conversation = self._floor.conversation_of(seat, address)
        target = Person(Role.WAITER, waiter_id)
        await self._coordination.ask(HandOver(conversation.id, seat.person, target))

    # --- talking ---

    def say(
        self, seat: Seat, address: str | None, text: str, media: str, client_id: str | None
    ) -> tuple[Conversation, Pending[Stored]]:
        """Filter and store a message; its commit shows it to the other side.

        :arg address: of a waiter: the user's; of a user: whatever it says is ignored.
        :raises Conflict: there is no conversation (yet) to say it in.
        :raises Unavailable: the server is overloaded; nothing was taken.
        :raises Refused: a filter does not let it pass. Like the one before, this may also come with the result.
        """
        conversation = self._floor.conversation_of(seat, address)
        if conversation.state is ConversationState.WAITING and not conversation.returned:
            raise Conflict("still_waiting")
        same_text_only = "ack" not in seat.frames.features
        message = Append(conversation.thread, seat.person, text, client_id, media, same_text_only)
        return conversation, self._filtering.submit(seat.lane, seat.identity, message, seat.outbox.heard_at)

    def typing(self, seat: Seat, address: str | None, typing: bool) -> None:
        """Show the other side that one is typing; never stored."""
        conversation = self._floor.conversation_of(seat, address)
        self._publish(Typing(conversation.thread, seat.person, typing))

    def read(self, seat: Seat, address: str | None, seq: int) -> None:
        """Remember and show how far one has read. Nobody waits for it; a lost one is said again."""
        conversation = self._floor.conversation_of(seat, address)
        done = self._store.write(lambda tx: read_marks.mark(tx, conversation.thread, seat.person, seq))
        done.add_done_callback(forgive)

    async def history(
        self, seat: Seat, address: str | None, before: int | None, limit: int
    ) -> tuple[Conversation, list[Message], bool]:
        """A page of a conversation, oldest first, and whether there is more before it.

        A user without one gets its last one: what was said at its end may not have been seen.

        :raises Conflict: there never was one, or it is not the waiter's.
        """
        conversation = await self._conversation_of(seat, address)
        found = await self._store.read(messages.before, conversation.thread, before, limit + 1)
        return conversation, found[-limit:], len(found) > limit

    async def rate(self, seat: Seat, stars: int, feedback: str | None) -> None:
        """Rate one's conversation, or the last one when it is over.

        :raises Conflict: there never was one.
        """
        conversation = await self._store.read(conversations.latest, seat.person)
        if conversation is None:
            raise Conflict("no_conversation")
        conversation_id = conversation.id
        await self._store.write(lambda tx: conversations.rate(tx, conversation_id, stars, feedback))

    # --- looking ---

    async def status(self) -> dict[str, Any]:
        """Waiters, line and conversations, for ``GET /api/v1/support/status``.

        :raises Unavailable: who knows it cannot be asked at the moment.
        """
        status: dict[str, Any] = await self._coordination.ask(HowIsSupport())
        return status

    async def serves(self, waiter: Person, user: Person) -> bool:
        """Whether the user is with the waiter at this moment."""
        return await self._store.read(conversations.serves, waiter, user)

    # --- inside ---

    async def _conversation_of(self, seat: Seat, address: str | None) -> Conversation:
        if seat.person.role is Role.USER and seat.talk is None:
            last = await self._store.read(conversations.latest, seat.person)
            if last is not None:
                return last
        return self._floor.conversation_of(seat, address)
