"""The parent's life: starting children, starting them again, reloading and replacing them, stopping."""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count

from tornado_chat.aio.shared_load import VARIABLE, Loads
from tornado_chat.config.reload import compare
from tornado_chat.config.sections import Config, ConfigError
from tornado_chat.observability import logs
from tornado_chat.observability.logs import fields
from tornado_chat.server import status_file
from tornado_chat.server.listen_sockets import SOCKETS_ARE_PASSED, listen
from tornado_chat.server.systemd import PROCESS, Manager
from tornado_chat.server.workers.notify_socket import Listener
from tornado_chat.server.workers.spawn import behind, own_command, spawn
from tornado_chat.server.workers.worker import Child, State
from tornado_chat.server.workers.worker_slots import Place

log = logging.getLogger(__name__)

WATCHDOG = 30.0  # seconds, if no manager says how many
REFRESH = 10.0  # seconds between two looks at what the manager is told of us
STOPPING = 30.0  # seconds that stopping may take, beyond the time for sending people away

WHOLE = ("server.state_dir", "server.processes", "storage.url", "cluster.url", "cluster.prefix")
"""Options that all processes have to have the same of: they cannot be changed one after the other."""

OURS = ("server.host", "server.port", "server.unix_socket")
"""Options that count when the parent starts."""


class Parent:
    """Made and used on one running loop.

    :arg reread: reads the configuration again.
    :raises ValueError: by ``live``: nobody could connect.
    """

    def __init__(self, config: Config, manager: Manager, reread: Callable[[], Config]) -> None:
        self._config = config
        self._manager = manager
        self._reread = reread
        self._loop = asyncio.get_running_loop()
        self._places = [Place(n + 1) for n in range(config.server.process_count)]
        self._children: dict[int, Child] = {}
        self._begun = self._stopping = False
        self._codes: list[int] = []
        self._doing = self._complaint = self._told = ""
        self._news = asyncio.Event()
        self._over: asyncio.Future[int] = self._loop.create_future()
        self._orders: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()

    async def live(self) -> int:
        """Returns the worst exit code of the children that were there in the end."""
        self._manager.tell(STATUS="starting")
        if self._manager.sockets:
            log.info(SOCKETS_ARE_PASSED)
        self._sockets, self._url = listen(self._config.server, self._manager.sockets)
        self._lifeline, self._our_end = os.pipe()
        self._listener = Listener()
        self._loads = Loads.create(2 * len(self._places))  # each child may have a successor beside it
        self._environ = {**os.environ, "NOTIFY_SOCKET": self._listener.address}
        self._watchdog = self._manager.watchdog or WATCHDOG
        self._environ["WATCHDOG_USEC"] = str(round(self._watchdog * 1_000_000))
        self._loop.add_reader(self._listener, self._hear)
        handlers: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGCHLD: self._reap,
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGHUP: partial(self._order, self._reload),
            signal.SIGUSR2: partial(self._order, self._restart),
        }
        for number, handle in handlers.items():
            self._loop.add_signal_handler(number, handle)
        status_file.write(self._config.state_dir, status_file.STARTING)
        self._order(self._begin)
        tasks = [self._loop.create_task(each) for each in (self._work(), self._beat(), self._refresh())]
        try:
            return await self._over
        finally:
            for task in tasks:
                task.cancel()
            self._loop.remove_reader(self._listener)
            self._listener.close()
            status_file.remove(self._config.state_dir)

    # --- orders, one after the other ---

    def _order(self, order: Callable[[], Awaitable[None]]) -> None:
        self._orders.put_nowait(order)

    async def _work(self) -> None:
        while True:
            order = await self._orders.get()
            try:
                await order()
            except OSError as error:  # no memory, no room for one more process
                log.error("it could not be done: %s", error.strerror)
                self._complaint = "the last order could not be carried out, see the log"
            self._doing = ""
            self._say()

    async def _until(self, met: Callable[[], bool]) -> None:
        while not met():
            self._news.clear()
            await self._news.wait()

    async def _begin(self) -> None:
        """The first child alone: what only one may do, and what keeps all from starting, is done and said once."""
        first, *others = self._places
        self._start(first)
        await self._until(lambda: first.serves)
        for each in others:
            self._start(each)
        await self._until(lambda: all(each.serves for each in self._places))
        self._begun = True
        status_file.write(self._config.state_dir, status_file.SERVING, self._url)
        self._told = self._status()
        self._manager.tell(READY=1, STATUS=self._told)
        log.info("all processes are ready", extra=fields(url=self._url, processes=len(self._places)))

    async def _reload(self) -> None:
        self._manager.tell_reloading()
        config = self._read("reloaded")
        if config is not None:
            logs.configure(config.logging)
            self._complaint = ""
            for place in self._places:
                # The first one alone: what it does not take, none of them would.
                await self._reload_in(place)
                if self._complaint.startswith("not "):
                    break
        self._told = self._status()
        self._manager.tell(READY=1, STATUS=self._told)

    async def _reload_in(self, place: Place) -> None:
        """A child that begins just now may have read what was there before."""
        child = place.child
        if child is None:
            return
        await self._until(lambda: child.state is not State.STARTING)
        if child.state is State.SERVING:
            child.reload()
            await self._until(lambda: not child.reloading)
            self._complaint = self._complaint or child.complaint

    async def _restart(self) -> None:
        """Replace one child after the other, each when its successor serves."""
        config = self._read("restarted")
        if config is None or self._needs_all(config):
            return
        self._config, self._complaint = config, ""
        logs.configure(config.logging)
        for place in self._places:
            self._doing = f"restarting process {place.number} of {len(self._places)}"
            self._say()
            if not await self._succeed(place):
                self._complaint = "not restarted: the new process did not start, see the log"
                return
        log.info("all processes have been restarted", extra=fields(processes=len(self._places)))

    async def _succeed(self, place: Place) -> bool:
        """Whether ``place`` has a new child; the old one has ended then."""
        place.give_up_waiting()
        new = place.next = self._spawn(place.number)
        await self._until(lambda: new.state is not State.STARTING)
        place.next = None
        if new.state is not State.SERVING:
            log.error(
                "not restarted: the new process did not start; those that were there go on",
                extra=_about(new),
            )
            if not any(place.children):
                self._start_later(place)
            return False
        old, place.child = place.child, new
        if old is not None:
            old.stop()
            await self._until(lambda: old.state is State.ENDED)
        return True

    def _read(self, done: str) -> Config | None:
        """The configuration as it is now; None if it has mistakes, which have been said."""
        try:
            config = self._reread()
            config.log_warnings()
            return config
        except ConfigError as error:
            self._complaint = f"not {done}: the configuration has mistakes, see the log"
            log.error("not %s, the configuration has mistakes: %s", done, "; ".join(map(str, error.problems)))
            return None

    def _needs_all(self, config: Config) -> bool:
        """Whether something has changed that a child cannot have otherwise than its siblings."""
        waiting = compare(self._config, config).waiting
        whole = [each for each in waiting if each in WHOLE]
        if whole:
            log.error(
                "not restarted: %s cannot be changed in one process after the other; stop and start the whole "
                "server (systemctl restart tornado-chat)",
                ", ".join(whole),
            )
            self._complaint = "not restarted: the whole server has to be, see the log"
        elif any(each in OURS for each in waiting):
            log.warning(
                "[server] host, port and unix_socket stay as they are until the whole server is restarted"
            )
        return bool(whole)

    # --- children ---

    def _spawn(self, number: int) -> Child:
        taken = {child.load for child in self._children.values()}
        load = next(place for place in count() if place not in taken)
        told = {PROCESS: f"{number}", VARIABLE: f"{behind(self._sockets)}:{load}"}
        environ = {**self._environ, **told}
        pid = spawn(own_command(), environ, self._sockets, self._lifeline, self._loads.descriptor)
        child = self._children[pid] = Child(number, pid, load, self._watchdog, self._loop)
        return child

    def _start(self, place: Place) -> None:
        place.again = None
        try:
            place.child = self._spawn(place.number)
        except OSError as error:
            place.child = None
            log.error("no process can be started: %s", error.strerror, extra=fields(process=place.number))
            self._start_later(place)

    def _hear(self) -> None:
        for pid, said in self._listener.heard():
            child = self._children.get(pid)
            if child is None:  # of a plugin's, or of somebody else's
                continue
            child.hear(said)
            if self._stopping and "EXTEND_TIMEOUT_USEC" in said:
                self._manager.tell(EXTEND_TIMEOUT_USEC=said["EXTEND_TIMEOUT_USEC"])
        self._news.set()

    def _reap(self) -> None:
        if self._over.done():  # a signal that came together with the last one's end
            return
        self._hear()  # their last words
        for pid in list(self._children):
            waited, status = os.waitpid(pid, os.WNOHANG)
            if waited:
                child = self._children.pop(pid)
                self._loads.clear(child.load)
                child.has_ended(os.waitstatus_to_exitcode(status))
                self._ended(child)
        self._news.set()
        if self._stopping and not self._children and not self._over.done():
            self._over.set_result(max(self._codes, default=0))

    def _ended(self, child: Child) -> None:
        place = self._places[child.number - 1]
        code = child.code if child.code >= 0 else 128 - child.code  # as a shell says it
        if self._stopping:
            self._codes.append(code)
        if child.asked or child is place.next or (self._stopping and child.code == 0):
            return
        if not self._begun and child.code > 0:
            # It has said why on standard error, and the others would say the same.
            self._manager.tell(STATUS=child.status)
            self._codes.append(code)
            self._stop_all()
            return
        log.error(
            "a process was stuck, and has been ended" if child.stuck else "a process has ended",
            extra=_about(child),
        )
        if child is place.child and place.next is None and not self._stopping:
            self._start_later(place)

    def _start_later(self, place: Place) -> None:
        pause = place.next_pause()
        log.info("starting it again", extra=fields(process=place.number, seconds=pause))
        place.again = self._loop.call_later(pause, self._start, place)

    # --- the end ---

    def _stop(self) -> None:
        if self._stopping:
            return
        log.info("stopping")
        status_file.write(self._config.state_dir, status_file.STOPPING, self._url)
        self._manager.tell(
            STOPPING=1,
            STATUS=f"stopping; sockets to be sent away: {self._sum('sockets')}",
            EXTEND_TIMEOUT_USEC=round((self._config.server.drain_seconds + STOPPING) * 1_000_000),
        )
        self._stop_all()

    def _stop_all(self) -> None:
        self._stopping = True
        for each in self._sockets:
            each.close()
        for place in self._places:
            place.give_up_waiting()
        for child in self._children.values():
            child.stop()
        if not self._children and not self._over.done():
            self._over.set_result(max(self._codes, default=0))

    # --- what the manager is told ---

    async def _beat(self) -> None:
        """Children are the parent's to watch: who is stuck is replaced, and the others go on."""
        while self._manager.watchdog:
            self._manager.tell(WATCHDOG=1)
            await asyncio.sleep(self._manager.watchdog / 2)

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH)
            if self._begun:
                self._say()

    def _say(self) -> None:
        status = self._status()
        if status != self._told and not self._stopping:
            self._manager.tell(STATUS=status)
            self._told = status

    def _status(self) -> str:
        serving, wanted = sum(each.serves for each in self._places), len(self._places)
        processes = f"{wanted}" if serving == wanted else f"{serving} of {wanted}"
        status = (
            f"processes: {processes}, sockets: {self._sum('sockets')}, users in line: {self._sum('waiting')}"
        )
        return "; ".join(filter(None, (status, self._doing, self._complaint)))

    def _sum(self, name: str) -> int:
        return sum(getattr(each, name) for each in self._children.values())


def _about(child: Child) -> dict[str, object]:
    """Which one it was, and how it ended."""
    end = {"signal": signal.Signals(-child.code).name} if child.code < 0 else {"code": child.code}
    return fields(process=child.number, pid=child.pid, **end)
