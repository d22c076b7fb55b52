"""Tells people of offers: the sockets of this process that asked for the feature ``offer``."""

from tornado_chat.core.events import Event, OfferChanged, OfferShown
from tornado_chat.core.types import OfferState, Person
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import handovers


class OfferNotices:
    """Sends offers and their outcomes to the sockets of the people that they name."""

    def __init__(self, hub: Hub, store: Store) -> None:
        self._hub = hub
        self._store = store
        self._told: set[SocketStream] = set()  # the sockets that have caught up

    events = (OfferChanged,)

    def on_event(self, event: Event) -> None:
        """Tell the people of a changed offer; called for the types in ``events``."""
        if not isinstance(event, OfferChanged):
            return
        for person in event.readers:
            for socket_stream in self._hub.of_person(person):
                socket_stream.send_event(shown_to(event, person), event.offer.thread, {})

    async def catch_up(self, socket_stream: SocketStream) -> None:
        """Tell a new socket of the open offers of its person, and of the notes of its conversations.

        :raises Unavailable: the database is away.
        """
        self._told = {each for each in self._told if not each.closed}
        self._told.add(socket_stream)
        person = socket_stream.person
        for change in await self._store.look_up(handovers.of_person, person):
            socket_stream.send_event(shown_to(change, person), change.offer.thread, {})

    async def resync(self) -> None:
        """Tell the sockets again, as events may have been missed.

        :raises Unavailable: the database is away.
        """
        for socket_stream in tuple(self._told):
            await self.catch_up(socket_stream)


def shown_to(change: OfferChanged, reader: Person) -> OfferShown:
    """Return what ``reader`` is told: a former candidate its own answer, all others the state."""
    offer = change.offer
    is_yours = offer.target == reader and offer.state in (OfferState.OFFERED, OfferState.ACCEPTED)
    may_read = is_yours or reader in (offer.source, offer.offered_by)
    state = offer.state
    if change.former == reader and change.answer is not None and not is_yours:
        state = change.answer
    return OfferShown(change, state, is_yours, offer.note if may_read else None)
