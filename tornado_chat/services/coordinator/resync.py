"""Looking for what the bus did not bring: after it was away, and meanwhile.

The bus carries hints, the database is the truth. While the bus is away every process asks the database each
second what is new for the people that it holds; so its loss costs time and no message. If one process has lost it
alone, that one says so in the database, and the others ask too. When it is back, one look finds what was missed.
Of what nobody heard of at all, as the process that was to tell died at that moment, the coordinator takes care,
now and then.
"""

import asyncio
import logging

from tornado_chat.cluster.leader_election import RedisCoordination
from tornado_chat.core.errors import ChatError
from tornado_chat.delivery.hub import Hub
from tornado_chat.services.coordinator.coordinator import Coordinator
from tornado_chat.services.counselling.service import Counselling
from tornado_chat.services.leadership.partition_flag import CutOff
from tornado_chat.services.messaging.store import Store, read_in_portions
from tornado_chat.services.support.local_conversations import Floor
from tornado_chat.storage import threads

log = logging.getLogger(__name__)

WHILE_AWAY = 1.0  # seconds between two looks
GLANCE = 2.0  # seconds between two looks for a process that is cut off
NOW_AND_THEN = 30.0


class LookingAgain:
    """One task, for as long as the process serves."""

    def __init__(
        self,
        hub: Hub,
        store: Store,
        counselling: Counselling,
        floor: Floor,
        coordinator: Coordinator,
        coordination: RedisCoordination,
        cut_off: CutOff,
    ) -> None:
        self._hub = hub
        self._store = store
        self._counselling = counselling
        self._floor = floor
        self._coordinator = coordinator
        self._coordination = coordination
        self._cut_off = cut_off
        self._away = False
        self._missed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._task = loop.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def away(self) -> None:
        """The bus is lost."""
        self._away = True
        self._missed.set()

    def back(self) -> None:
        """Something may have been missed, and nothing is from now on."""
        self._away = False
        self._missed.set()

    def look(self) -> None:
        """Something may have been missed that another process had to tell. The bus may be away all the same."""
        self._missed.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        adopted, others = loop.time(), False
        while True:
            try:
                async with asyncio.timeout(WHILE_AWAY if self._away or others else GLANCE):
                    await self._missed.wait()
            except TimeoutError:
                others = not self._away and await self._cut_off.anybody()
                if self._away or others:
                    await self._look(everywhere=True)
                elif loop.time() >= adopted + NOW_AND_THEN:
                    adopted = loop.time()
                    await self._look(everywhere=False)
            else:
                self._missed.clear()
                if not self._away:  # else: what has come so far has come
                    await self._look(everywhere=True, tell=True)

    async def _look(self, *, everywhere: bool, tell: bool = False) -> None:
        try:
            if self._away:
                await self._cut_off.say()
            if everywhere:
                await self._look_for_messages()
                await self._counselling.look_again()
                await self._floor.look_again()
            if self._coordination.coordinates:
                await self._coordinator.look_again()
                if tell and not self._away:
                    self._coordinator.tell_again()
        except Exception as error:
            if isinstance(error, ChatError):
                log.warning("what may have been missed could not be looked for, trying again: %s", error)
            else:
                log.exception("what may have been missed could not be looked for, trying again")
            await asyncio.sleep(WHILE_AWAY)
            if everywhere:
                self._missed.set()

    async def _look_for_messages(self) -> None:
        async for thread, seq in read_in_portions(self._store, threads.last, self._hub.threads):
            self._hub.reached(thread, seq)
