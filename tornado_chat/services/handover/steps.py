"""The steps of an offer that need no decision of the coordinator: to the next candidate, or to its end."""

from tornado_chat.core.types import Kind, Offer, OfferState, Person, Role, Thread
from tornado_chat.services.messaging.notifications import Notifications
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import handovers
from tornado_chat.storage.writer import Transaction


class OfferSteps:
    """Moves offers on, and notifies consultants of sessions that are offered to them."""

    def __init__(self, store: Store, notifications: Notifications) -> None:
        self._store = store
        self._notifications = notifications

    async def announcement(self, thread: Thread, candidate: Person | None) -> str | None:
        """Return the text of the notification for a candidate; None: it gets none.

        The number in a notification of a supervisor would be that of a record, and waiters take users on
        their own socket.
        """
        if candidate is None or thread.kind is not Kind.SESSION or candidate.role is not Role.CONSULTANT:
            return None
        return await self._notifications.announcement(candidate)

    def announce(self, tx: Transaction, offer: Offer, msg: str | None) -> None:
        """Notify the present candidate, in the transaction that offers the session to it."""
        if msg is not None and offer.is_open and offer.target is not None:
            self._notifications.announce_offer(tx, offer.target, msg, offer.thread)

    async def advance(self, offer: Offer, answer: OfferState) -> Offer:
        """Offer the conversation to the next candidate; see ``handovers.advance``."""
        following = offer.candidates[offer.place + 1 :]
        msg = await self.announcement(offer.thread, following[0].person if following else None)

        def work(tx: Transaction) -> Offer:
            moved = handovers.advance(tx, offer, answer)
            if moved.place == offer.place + 1:
                self.announce(tx, moved, msg)
            return moved

        return await self._store.write(work, offer.thread)
