"""What is decided in one place: the line, the graces, the starts. See ``attendance.py``."""

from typing import Any

import msgspec

from tornado_chat.cluster.facts import (
    Fact,
    HandOver,
    HowIsSupport,
    InLine,
    InRoom,
    OnDuty,
    Question,
    WhatGoesOn,
    WhoIsThere,
)
from tornado_chat.core.types import Person
from tornado_chat.services.coordinator.snapshot import Standing
from tornado_chat.services.counselling.room_lifecycle import RoomLife
from tornado_chat.services.support.dispatcher import Dispatcher


class Coordinator:
    """Gives facts and questions to the parts that they concern."""

    def __init__(self, dispatcher: Dispatcher, rooms: RoomLife, standing: Standing) -> None:
        self._dispatcher = dispatcher
        self._rooms = rooms
        self._standing = standing

    async def begin(self) -> None:
        """:raises Unavailable: the database is away."""
        await self._rooms.begin()
        await self._dispatcher.begin()

    def end(self) -> None:
        self._rooms.end()
        self._dispatcher.end()

    async def look_again(self) -> None:
        """Events may have been missed. :raises Unavailable: the database is away."""
        await self._rooms.look_again()
        await self._dispatcher.look_again()

    def tell_again(self) -> None:
        """What only we know, and may not have reached everybody: places in the line, and who is there."""
        self._rooms.tell_again()
        self._dispatcher.tell_again()

    def here(self, process: str, fact: Fact, *, old: bool = False) -> None:
        match fact:
            case InRoom():
                self._rooms.here(process, fact, old=old)
            case InLine():
                self._dispatcher.user_here(process, fact.conversation)
            case OnDuty():
                self._dispatcher.waiter_here(process, fact)

    def gone(self, process: str, key: str) -> None:
        what, _, whose = key.partition(" ")
        if what == "room":
            self._rooms.gone(process, key)
        elif what == "conversation":
            self._dispatcher.user_gone(process, int(whose))
        elif what == "waiter":
            self._dispatcher.waiter_gone(process, Person.from_key(whose))

    async def answer(self, question: Question) -> Any:
        match question:
            case HandOver():
                await self._dispatcher.hand_over(question)
                return None
            case WhoIsThere():
                return [person.key for person in self._rooms.who(question.thread)]
            case HowIsSupport():
                return msgspec.to_builtins(self._standing.support())
            case WhatGoesOn():
                return msgspec.to_builtins(self._standing.desk())
