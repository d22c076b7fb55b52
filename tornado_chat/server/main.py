"""The process around the server: signals, the service manager, the exit code."""

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tornado_chat.aio.event_loop import end, new_loop
from tornado_chat.aio.shared_load import Loads
from tornado_chat.config.sections import Config, ConfigError
from tornado_chat.observability import logs
from tornado_chat.observability.logs import fields
from tornado_chat.server import status_file
from tornado_chat.server.bootstrap import StartError
from tornado_chat.server.listen_sockets import SOCKETS_ARE_PASSED
from tornado_chat.server.server import Server
from tornado_chat.server.systemd import Manager
from tornado_chat.web.pages import Route

log = logging.getLogger(__name__)

REFRESH = 10.0  # seconds between two looks at what the manager is told of us
LIFELINE = 0  # standard input, of which a child reads nothing but its end
STOPPING = 30.0  # seconds that stopping may take, beyond the time for sending people away


def run(
    config: Config,
    welcome: Callable[[str], object] | None = None,
    reread: Callable[[], Config] | None = None,
    more_pages: Sequence[Route] = (),
) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code.

    :arg welcome: called with the server's URL, on its loop, as soon as it listens.
    :arg reread: reads the configuration again, for SIGHUP.
    :arg more_pages: as ``Server``.
    """
    os.umask(0o077)  # whatever we write is nobody else's business
    # A manager whose watchdog barks sends SIGABRT: then the log says where the loop is stuck.
    faulthandler.enable(file=2)
    manager = Manager.take(os.environ)
    executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
    loop = new_loop(executor)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_Life(config, manager, welcome, reread, more_pages).live())
        code = 0
    except StartError as error:
        lines = str(error).splitlines()
        print(f"tornado-chat: {lines[0]}", *lines[1:], sep="\n", file=sys.stderr)  # noqa: T201 - for a person
        manager.tell(STATUS=lines[0])
        code = error.code
    manager.close()
    end(loop, executor, code)
    return code


class _Life:
    """What ``run`` does on the loop."""

    def __init__(
        self,
        config: Config,
        manager: Manager,
        welcome: Callable[[str], object] | None,
        reread: Callable[[], Config] | None,
        more_pages: Sequence[Route],
    ) -> None:
        self._config = config
        self._manager = manager
        self._welcome = welcome
        self._reread = reread
        self._more_pages = more_pages
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._told = ""
        self._complaint = ""  # what is wrong with the configuration that was read last

    async def live(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        loop.add_signal_handler(signal.SIGUSR2, self._stay)
        if self._manager.process:
            loop.add_reader(LIFELINE, self._parent_has_died)
        elif self._manager.sockets:
            log.info(SOCKETS_ARE_PASSED)
        self._manager.tell(STATUS="starting")
        server = Server(
            self._config,
            self._manager.sockets,
            self._more_pages,
            process=self._manager.process,
            loads=Loads.take(os.environ),
        )
        try:
            await server.start()
        except StartError:
            status_file.remove(self._config.state_dir)
            raise
        # Nearly everything that lives long is there now, and what a message makes is gone at once:
        # looking through all of it for cycles every 700 objects would only be a pause for everybody.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        if self._welcome is not None:
            self._welcome(server.url)
        self._told = self._status(server)
        self._manager.tell(READY=1, STATUS=self._told, **self._numbers(server))
        beating = loop.create_task(self._beat())
        telling = loop.create_task(self._refresh(server))
        reloading = loop.create_task(self._reload_when_asked(server))
        await self._stop.wait()
        log.info("stopping")
        telling.cancel()
        self._manager.tell(
            STOPPING=1,
            STATUS=f"stopping; sockets to be sent away: {server.connected}",
            EXTEND_TIMEOUT_USEC=round((server.drain_seconds + STOPPING) * 1_000_000),
        )
        reloading.cancel()
        await server.stop()
        beating.cancel()

    # --- what the manager is told ---

    async def _beat(self) -> None:
        """As long as the loop turns, twice as often as the manager wants it."""
        while self._manager.watchdog:
            self._manager.tell(WATCHDOG=1)
            await asyncio.sleep(self._manager.watchdog / 2)

    async def _refresh(self, server: Server) -> None:
        while self._manager.listens:
            await asyncio.sleep(REFRESH)
            self._say(server)

    def _say(self, server: Server) -> None:
        status = self._status(server)
        if status != self._told:
            self._manager.tell(STATUS=status, **self._numbers(server))
            self._told = status

    def _status(self, server: Server) -> str:
        status = f"sockets: {server.connected}, users in line: {server.waiting}"
        return f"{status}; {self._complaint}" if self._complaint else status

    def _numbers(self, server: Server) -> dict[str, str | int]:
        """What a parent needs for a status of its own; to systemd they mean nothing."""
        return {
            "X_SOCKETS": server.connected,
            "X_WAITING": server.waiting,
            "X_COMPLAINT": self._complaint,
        }

    # --- a parent ---

    def _parent_has_died(self) -> None:
        asyncio.get_running_loop().remove_reader(LIFELINE)
        self._manager.hush()
        log.error("the parent process has died: nobody would start this one again")
        self._stop.set()

    def _stay(self) -> None:
        """SIGUSR2 is for parents."""
        if not self._manager.process:
            log.warning(
                "SIGUSR2 restarts one process after the other, but [server] processes = 1: "
                "systemctl restart tornado-chat restarts this one"
            )

    # --- reloading ---

    async def _reload_when_asked(self, server: Server) -> None:
        """One reload at a time; those asked for meanwhile are one more."""
        while True:
            await self._reload.wait()
            self._reload.clear()
            self._manager.tell_reloading()
            try:
                await self._reload_now(server)
            except Exception:  # of a plugin's, or a mistake of ours: what runs goes on running
                self._complaint = "not reloaded, see the log"
                log.exception("not reloaded")
            self._told = self._status(server)
            self._manager.tell(READY=1, STATUS=self._told, **self._numbers(server))

    async def _reload_now(self, server: Server) -> None:
        try:
            config = self._reread() if self._reread is not None else self._config
            change = await server.reload(config)
        except ConfigError as error:
            self._complaint = "not reloaded: the configuration has mistakes, see the log"
            log.error("not reloaded, the configuration has mistakes: %s", "; ".join(map(str, error.problems)))
            return
        self._complaint = "a restart is needed, see the log" if change.waiting else ""
        logs.configure(config.logging, process=self._manager.process)
        if not self._manager.process:  # else the parent process has said it
            config.log_warnings()
        said = fields(
            options=",".join(change.options) or "unchanged",
            plugins=",".join(change.plugins) or "unchanged",
            keys="changed" if change.keys else "unchanged",
        )
        log.info("reloaded", extra=said)
        if change.waiting:
            log.warning("these options have changed, and need a restart: %s", ", ".join(change.waiting))
