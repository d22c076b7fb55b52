"""Who coordinates, and the way to it, for processes that share a Redis.

Strategy: all try to take one lease, again and again, and who holds it coordinates. Each process keeps its
own facts and tells the holder their changes (``ledger`` says how it notices what it has missed); the holder
tells its own by a call. Who coordinates says so to all again and again: from a new one, everybody knows that it
has to be told everything.

While Redis is away nothing changes: the holder goes on for its own people, declares nobody dead, and the others
wait.
"""

import asyncio
import contextlib
import enum
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tornado_chat.cluster.facts import Coordinator, Fact, Question
from tornado_chat.cluster.lease import Lease
from tornado_chat.cluster.messages import (
    Answered,
    Asked,
    Beat,
    Coordinating,
    Everything,
    Gone,
    Goodbye,
    Here,
    TellAll,
    Vacant,
)
from tornado_chat.cluster.own_facts import OwnFacts
from tornado_chat.cluster.redis_bus import COORDINATOR
from tornado_chat.cluster.redis_link import EVERYBODY, Handler, Link
from tornado_chat.cluster.remote_facts import Ledger
from tornado_chat.cluster.rpc import Questions, answer
from tornado_chat.core.errors import ChatError, Unavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rhythm:
    """Seconds.

    :ivar beat: between attempts at the lease, and signs of life.
    :ivar ttl: of the lease.
    :ivar dead: of silence, until a process counts as dead.
    :ivar patience: for an answer; a new coordinator, found meanwhile, is asked again.
    """

    beat: float = 1.0
    ttl: float = 3.0
    dead: float = 5.0
    patience: float = 5.0


class Part(enum.Enum):
    """What this process does."""

    FOLLOWS = "process"
    BEGINS = "beginning"
    COORDINATES = "coordinator"


class _Moved(Exception):
    """Another process coordinates now."""


def _own_channel(process: str) -> str:
    return f"process:{process}"


class RedisCoordination:
    """The way to the coordinator, which is one of all processes' ``coordinator``.

    Events of ``events.COORDINATED`` reach the one that coordinates by its bus, from just before ``begin`` on.
    """

    def __init__(
        self,
        link: Link,
        coordinator: Coordinator,
        loop: asyncio.AbstractEventLoop,
        rhythm: Rhythm | None = None,
    ) -> None:
        self._link = link
        self._coordinator = coordinator
        self._rhythm = rhythm = rhythm or Rhythm()
        self._loop = loop
        self._lease = Lease(link, loop, rhythm.ttl)
        self._ledger = Ledger(
            coordinator, self._tell_all, self._loop.time, dead=rhythm.dead, again=rhythm.beat
        )
        self._own = OwnFacts()
        self._part = Part.FOLLOWS
        self._left = False
        self._term = 0
        self._beginning: asyncio.Task[None] | None = None
        # Who coordinates, as far as we know: the process, its term, those that it knows.
        self._known: tuple[str, int] | None = None
        self._processes: tuple[str, ...] = ()
        self._known_at = 0.0
        self._last_step = 0.0
        self._heard_since = 0.0  # without a break
        self._questions = Questions(lambda asked: link.say(asked, COORDINATOR))
        self._news: asyncio.Future[None] = self._loop.create_future()
        self._answering: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._listen()

    def _listen(self) -> None:
        handle, ledger = self._link.handle, self._ledger
        handle(Coordinating, self._on_coordinating)
        handle(Vacant, self._on_vacant)
        handle(TellAll, lambda process, request: self._say_everything())
        handle(Answered, self._questions.answered)
        handle(Asked, self._on_asked)

        def keep(kind: type[Any], note: Handler) -> None:
            def noted(process: str, said: Any) -> None:
                # Who is still beginning is told everything later.
                if self._part is Part.COORDINATES:
                    note(process, said)

            handle(kind, noted)

        keep(Beat, lambda process, said: ledger.beat(process, said.number))
        keep(Here, lambda process, said: ledger.here(process, said.number, said.fact))
        keep(Gone, lambda process, said: ledger.gone(process, said.number, said.key))
        keep(
            Everything,
            lambda process, said: ledger.everything(process, said.number, said.part, said.parts, said.facts),
        )
        keep(Goodbye, lambda process, said: ledger.goodbye(process))
        self._link.watch(away=self._on_away, back=self._on_back)

    # --- being there ---

    async def start(self) -> None:
        """Returns after the first attempt to coordinate, or to find who does."""
        await self._link.tune_in(_own_channel(self._link.process))
        self._last_step = self._loop.time()
        await self._step()
        if self._beginning is not None:
            await asyncio.wait((self._beginning,))
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Leave, so that another one coordinates at once if it was us."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._beginning is not None:
            self._beginning.cancel()
            await asyncio.gather(self._beginning, return_exceptions=True)
        coordinated = self._part is not Part.FOLLOWS
        if coordinated:
            self._end()
        # Also for one who has only just taken it.
        await self._lease.release()
        if coordinated:
            self._link.say(Vacant(), EVERYBODY)
        else:
            self._link.say(Goodbye(), COORDINATOR)
        self._left = True
        await asyncio.gather(*self._answering, return_exceptions=True)
        await self._link.flushed()

    def status(self) -> Mapping[str, Any]:
        """For monitoring: what this process does, who coordinates, and which processes it knows of."""
        if self._part is Part.COORDINATES:
            me = self._link.process
            return {
                "part": self._part.value,
                "coordinator": me,
                "processes": sorted((me, *self._ledger.processes)),
            }
        known = self._known if self._loop.time() < self._known_at + self._rhythm.dead else None
        return {
            "part": self._part.value,
            "coordinator": known[0] if known else None,
            "processes": sorted(self._processes) if known else [],
        }

    @property
    def coordinates(self) -> bool:
        """Whether it is this process."""
        return self._part is Part.COORDINATES

    @property
    def sure(self) -> bool:
        """Whether this process, and no other, coordinates, and has had the time to hear of everybody since it
        could hear."""
        heard_all = self._loop.time() > self._heard_since + self._rhythm.dead + self._rhythm.beat
        return self._part is Part.COORDINATES and self._link.connected and self._lease.certain and heard_all

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._rhythm.beat):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._step()
            except Exception:
                log.exception("coordinating failed")

    async def _step(self) -> None:
        """See who holds the lease, and show that we live."""
        now = self._loop.time()
        if now > self._last_step + 2 * self._rhythm.beat:
            # We were held up ourselves, and have not read yet what the others said meanwhile.
            self._ledger.pardon()
            self._heard_since = now
        self._last_step = now
        followed = self._part is Part.FOLLOWS
        holder = await self._lease.take(renew=not followed)
        if holder == self._link.process:
            if followed:  # and has not just given the lease back, unable to begin
                self._begin()
        elif holder is not None and self._part is not Part.FOLLOWS:
            log.info("%s coordinates now, and this process no more", holder)
            self._end()
        if self._part is not Part.COORDINATES:
            self._say(self._own.beat())
            return
        if self._link.connected and self._ledger.sweep():
            # The last that the dead have stored, nobody may have been told of.
            self._link.let_all_look()
        self._say_coordinating()

    # --- coordinating ---

    def _begin(self) -> None:
        self._part = Part.BEGINS
        self._term += 1
        self._beginning = asyncio.create_task(self._begin_coordinator())

    async def _begin_coordinator(self) -> None:
        before = dict(self._own.facts)
        # First, so that nothing falls between what begin() reads and what is heard.
        await self._link.tune_in(COORDINATOR)
        try:
            await self._coordinator.begin()
        except Exception as error:
            if isinstance(error, ChatError):
                log.warning("this process cannot coordinate now: %s", error.code_for_log)
            else:
                log.exception("this process cannot coordinate")
            await self._leave_it_to_others()
            return
        self._part = Part.COORDINATES
        self._beginning = None
        self._ledger.begin()
        self._heard_since = self._loop.time()
        log.info("this process coordinates now")
        for key, fact in self._own.facts.items():
            self._ledger.pass_on(self._link.process, fact, old=before.get(key) is fact)
        self._say_coordinating()
        self._link.let_all_look()  # whoever coordinated before may have died
        self._tell_news()

    async def _leave_it_to_others(self) -> None:
        self._part = Part.FOLLOWS
        self._lease.leave_it(2 * self._rhythm.beat)
        self._link.tune_out(COORDINATOR)
        await self._lease.release()
        self._beginning = None
        self._tell_news()

    def _end(self) -> None:
        self._part = Part.FOLLOWS
        if self._beginning is not None:
            self._beginning.cancel()
            self._beginning = None
        for task in self._answering:
            task.cancel()
        self._link.tune_out(COORDINATOR)
        self._ledger.clear()
        self._known = None
        self._coordinator.end()
        self._tell_news()

    def _say_coordinating(self) -> None:
        self._link.say(Coordinating(self._term, (self._link.process, *self._ledger.processes)), EVERYBODY)

    def _tell_all(self, process: str) -> None:
        self._link.say(TellAll(), _own_channel(process))

    def _on_asked(self, process: str, asked: Asked) -> None:
        if self._part is Part.COORDINATES:
            task = asyncio.create_task(self._answer(process, asked))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, process: str, asked: Asked) -> None:
        self._link.say(await answer(self._coordinator, asked), _own_channel(process))

    # --- following ---

    def _on_coordinating(self, process: str, said: Coordinating) -> None:
        if self._part is not Part.FOLLOWS:
            # Two of us: the lease says which.
            self._wake.set()
            return
        self._known_at = self._loop.time()
        self._processes = said.processes
        if self._known != (process, said.term):
            self._known = process, said.term
            self._say_everything()
            self._tell_news()

    def _on_vacant(self, process: str, said: Vacant) -> None:
        if self._known is not None and self._known[0] == process:
            self._known = None
        self._wake.set()

    def _on_away(self) -> None:
        self._questions.give_up(lambda: Unavailable("no_coordinator"))

    def _on_back(self) -> None:
        self._ledger.pardon()
        self._heard_since = self._loop.time()
        if self._part is Part.FOLLOWS:
            # A Redis that has lost the lease is to give it to its holder again.
            self._lease.leave_it(self._rhythm.ttl)
        self._wake.set()

    def _say_everything(self) -> None:
        for said in self._own.everything():
            self._say(said)

    def _say(self, said: Beat | Here | Gone | Everything) -> None:
        """To the coordinator. Who has left says nothing: a new one would wait for more, and count it as dead."""
        if not self._left:
            self._link.say(said, COORDINATOR)

    # --- the way to the coordinator ---

    def here(self, fact: Fact) -> None:
        change = self._own.here(fact)
        if self._part is Part.COORDINATES:
            self._coordinator.here(self._link.process, fact)
        else:
            self._say(change)

    def gone(self, key: str) -> None:
        change = self._own.gone(key)
        if change is None:
            return
        if self._part is Part.COORDINATES:
            self._coordinator.gone(self._link.process, key)
        else:
            self._say(change)

    async def ask(self, question: Question) -> Any:
        try:
            async with asyncio.timeout(self._rhythm.patience):
                while True:
                    with contextlib.suppress(_Moved):
                        return await self._ask_once(question)
        except TimeoutError:
            raise Unavailable("no_coordinator") from None

    async def _ask_once(self, question: Question) -> Any:
        """:raises _Moved: another one is to be asked."""
        if self._part is Part.COORDINATES:
            return await self._coordinator.answer(question)
        if not self._link.connected:
            raise Unavailable("no_coordinator")
        if self._known is None or self._part is Part.BEGINS:
            await asyncio.shield(self._news)
            raise _Moved
        return await self._questions.ask(question)

    def _tell_news(self) -> None:
        """Who coordinates has changed: what was asked of the one before is asked again."""
        self._news.set_result(None)
        self._news = self._loop.create_future()
        self._questions.give_up(_Moved)
