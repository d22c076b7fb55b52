"""What is decided in one place: the line, the graces, the starts. See ``attendance.py``."""

from typing import Any

import msgspec

from tornado_chat.cluster.facts import (
    CoordinatorRequest,
    DeskStatusRequest,
    PresenceFact,
    QueuePresence,
    RoomPresence,
    RoomPresenceRequest,
    SupportStatusRequest,
    TransferRequest,
    WaiterPresence,
)
from tornado_chat.core.types import Person
from tornado_chat.services.coordinator.snapshot import CoordinatorSnapshot
from tornado_chat.services.counselling.room_lifecycle import RoomLifecycle
from tornado_chat.services.support.dispatcher import Dispatcher


class Coordinator:
    """Gives facts and questions to the parts that they concern."""

    def __init__(
        self, dispatcher: Dispatcher, room_lifecycle: RoomLifecycle, snapshot: CoordinatorSnapshot
    ) -> None:
        self._dispatcher = dispatcher
        self._room_lifecycle = room_lifecycle
        self._snapshot = snapshot

    async def begin(self) -> None:
        """:raises Unavailable: the database is away."""
        await self._room_lifecycle.begin()
        await self._dispatcher.begin()

    def end(self) -> None:
        self._room_lifecycle.end()
        self._dispatcher.end()

    async def resync(self) -> None:
        """Events may have been missed. :raises Unavailable: the database is away."""
        await self._room_lifecycle.resync()
        await self._dispatcher.resync()

    def republish(self) -> None:
        """What only we know, and may not have reached everybody: places in the line, and who is there."""
        self._room_lifecycle.republish()
        self._dispatcher.republish()

    def on_report(self, process: str, fact: PresenceFact, *, already_known: bool = False) -> None:
        match fact:
            case RoomPresence():
                self._room_lifecycle.on_report(process, fact, already_known=already_known)
            case QueuePresence():
                self._dispatcher.on_user_present(process, fact.conversation)
            case WaiterPresence():
                self._dispatcher.on_waiter_present(process, fact)

    def on_withdraw(self, process: str, key: str) -> None:
        kind, _, identifier = key.partition(" ")
        if kind == "room":
            self._room_lifecycle.on_withdraw(process, key)
        elif kind == "conversation":
            self._dispatcher.on_user_absent(process, int(identifier))
        elif kind == "waiter":
            self._dispatcher.on_waiter_absent(process, Person.from_key(identifier))

    async def answer(self, question: CoordinatorRequest) -> Any:
        match question:
            case TransferRequest():
                await self._dispatcher.hand_over(question)
                return None
            case RoomPresenceRequest():
                return [person.key for person in self._room_lifecycle.present_people(question.thread)]
            case SupportStatusRequest():
                return msgspec.to_builtins(self._snapshot.support_status())
            case DeskStatusRequest():
                return msgspec.to_builtins(self._snapshot.desk_status())
