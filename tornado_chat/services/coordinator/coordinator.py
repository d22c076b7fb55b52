"""The coordinator: passes presence facts and requests to the dispatcher and the room life cycle.

``cluster/facts.py`` describes facts, requests and the interface.
"""

from typing import Any

import msgspec

from tornado_chat.cluster.facts import (
    CoordinatorRequest,
    DeskStatusRequest,
    GroupStatusRequest,
    PresenceFact,
    QueuePresence,
    ReturnRequest,
    RoomPresence,
    RoomPresenceRequest,
    SupportStatusRequest,
    TransferRequest,
    WaiterPresence,
    WaitRequest,
)
from tornado_chat.core.types import Kind, Person
from tornado_chat.services.coordinator.snapshot import CoordinatorSnapshot
from tornado_chat.services.counselling.room_lifecycle import RoomLifecycle
from tornado_chat.services.handover.offer_timers import OfferTimers
from tornado_chat.services.supervision.approval_timers import ApprovalTimers
from tornado_chat.services.support.dispatcher import Dispatcher


class Coordinator:
    """Routes presence facts and requests to the dispatcher, the room life cycle and the snapshot."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        room_lifecycle: RoomLifecycle,
        snapshot: CoordinatorSnapshot,
        offer_timers: OfferTimers,
        approval_timers: ApprovalTimers,
    ) -> None:
        self._approval_timers = approval_timers
        self._dispatcher = dispatcher
        self._room_lifecycle = room_lifecycle
        self._snapshot = snapshot
        self._offer_timers = offer_timers

    async def begin(self) -> None:
        """Start a term: read the unfinished rooms and conversations.

        :raises Unavailable: the database is away.
        """
        await self._room_lifecycle.begin()
        await self._dispatcher.begin()
        await self._offer_timers.begin()
        await self._approval_timers.begin()

    def end(self) -> None:
        self._room_lifecycle.end()
        self._dispatcher.end()
        self._offer_timers.end()
        self._approval_timers.end()

    async def resync(self) -> None:
        """Read from the database the changes whose events may have been missed.

        :raises Unavailable: the database is away.
        """
        await self._room_lifecycle.resync()
        await self._dispatcher.resync()
        await self._offer_timers.resync()
        await self._approval_timers.resync()

    def republish(self) -> None:
        """Publish queue positions and room presence again; they are not in the database."""
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

    def on_withdraw(self, process: str, key: str, *, has_left: bool = False) -> None:
        kind, _, identifier = key.partition(" ")
        if kind == "room":
            self._room_lifecycle.on_withdraw(process, key, has_left=has_left)
        elif kind == "conversation":
            self._dispatcher.on_user_absent(process, int(identifier), has_left=has_left)
        elif kind == "waiter":
            self._dispatcher.on_waiter_absent(process, Person.from_key(identifier), has_left=has_left)

    async def answer(self, request: CoordinatorRequest) -> Any:
        match request:
            case TransferRequest():
                return await self._dispatcher.transfer(request)
            case ReturnRequest():
                await self._dispatcher.return_to_line(request)
                return None
            case RoomPresenceRequest(with_graces=True):
                thread = request.thread
                presence = (
                    self._dispatcher.presence(thread.id)
                    if thread.kind is Kind.SUPPORT
                    else self._room_lifecycle.presence(thread)
                )
                return msgspec.to_builtins(presence, str_keys=True)
            case RoomPresenceRequest():
                return [person.key for person in self._room_lifecycle.present_people(request.thread)]
            case WaitRequest():
                self._room_lifecycle.wait_longer(request)
                return None
            case SupportStatusRequest():
                return msgspec.to_builtins(self._snapshot.support_status())
            case GroupStatusRequest():
                return msgspec.to_builtins(self._snapshot.recent_group_states())
            case DeskStatusRequest():
                return msgspec.to_builtins(self._snapshot.desk_status())
