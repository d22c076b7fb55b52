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

from tornado_chat.aio.event_loop import new_loop, shut_down
from tornado_chat.aio.shared_load import SharedLoads
from tornado_chat.config.sections import Config, ConfigError
from tornado_chat.observability import logs
from tornado_chat.observability.logs import fields
from tornado_chat.server import status_file
from tornado_chat.server.bootstrap import StartError
from tornado_chat.server.listen_sockets import PASSED_SOCKETS_MESSAGE
from tornado_chat.server.server import Server
from tornado_chat.server.systemd import ServiceManager
from tornado_chat.web.pages import Route

log = logging.getLogger(__name__)

STATUS_INTERVAL_SECONDS = 10.0  # seconds between two looks at what the manager is told of us
LIFELINE_FD = 0  # standard input, of which a child reads nothing but its end
STOPPING = 30.0  # seconds that stopping may take, beyond the time for sending people away


def run(
    config: Config,
    on_ready: Callable[[str], object] | None = None,
    read_config: Callable[[], Config] | None = None,
    more_pages: Sequence[Route] = (),
) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code.

    :arg on_ready: called with the server's URL, on its loop, as soon as it listens.
    :arg read_config: reads the configuration again, for SIGHUP.
    :arg more_pages: as ``Server``.
    """
    os.umask(0o077)  # whatever we write is nobody else's business
    # A manager whose watchdog barks sends SIGABRT: then the log says where the loop is stuck.
    faulthandler.enable(file=2)
    manager = ServiceManager.take(os.environ)
    executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
    loop = new_loop(executor)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_ServerProcess(config, manager, on_ready, read_config, more_pages).run())
        code = 0
    except StartError as error:
        lines = str(error).splitlines()
        print(f"tornado-chat: {lines[0]}", *lines[1:], sep="\n", file=sys.stderr)  # noqa: T201 - for a person
        manager.notify(STATUS=lines[0])
        code = error.code
    manager.close()
    shut_down(loop, executor, code)
    return code


class _ServerProcess:
    """What ``run`` does on the loop."""

    def __init__(
        self,
        config: Config,
        manager: ServiceManager,
        on_ready: Callable[[str], object] | None,
        read_config: Callable[[], Config] | None,
        more_pages: Sequence[Route],
    ) -> None:
        self._config = config
        self._manager = manager
        self._on_ready = on_ready
        self._read_config = read_config
        self._more_pages = more_pages
        self._stop_requested = asyncio.Event()
        self._reload_requested = asyncio.Event()
        self._last_status = ""
        self._config_problem = ""  # what is wrong with the configuration that was read last

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_requested.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_requested.set)
        loop.add_signal_handler(signal.SIGUSR2, self._on_sigusr2)
        if self._manager.process:
            loop.add_reader(LIFELINE_FD, self._on_parent_died)
        elif self._manager.sockets:
            log.info(PASSED_SOCKETS_MESSAGE)
        self._manager.notify(STATUS="starting")
        server = Server(
            self._config,
            self._manager.sockets,
            self._more_pages,
            process=self._manager.process,
            loads=SharedLoads.from_environ(os.environ),
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
        if self._on_ready is not None:
            self._on_ready(server.url)
        self._last_status = self._status(server)
        self._manager.notify(READY=1, STATUS=self._last_status, **self._status_fields(server))
        watchdog_task = loop.create_task(self._send_watchdog())
        status_task = loop.create_task(self._report_status(server))
        reload_task = loop.create_task(self._reload_on_request(server))
        await self._stop_requested.wait()
        log.info("stopping")
        status_task.cancel()
        self._manager.notify(
            STOPPING=1,
            STATUS=f"stopping; sockets to be sent away: {server.connected}",
            EXTEND_TIMEOUT_USEC=round((server.drain_seconds + STOPPING) * 1_000_000),
        )
        reload_task.cancel()
        await server.stop()
        watchdog_task.cancel()

    # --- what the manager is told ---

    async def _send_watchdog(self) -> None:
        """As long as the loop turns, twice as often as the manager wants it."""
        while self._manager.watchdog:
            self._manager.notify(WATCHDOG=1)
            await asyncio.sleep(self._manager.watchdog / 2)

    async def _report_status(self, server: Server) -> None:
        while self._manager.is_connected:
            await asyncio.sleep(STATUS_INTERVAL_SECONDS)
            self._send_status_if_changed(server)

    def _send_status_if_changed(self, server: Server) -> None:
        status = self._status(server)
        if status != self._last_status:
            self._manager.notify(STATUS=status, **self._status_fields(server))
            self._last_status = status

    def _status(self, server: Server) -> str:
        status = f"sockets: {server.connected}, users in line: {server.waiting}"
        return f"{status}; {self._config_problem}" if self._config_problem else status

    def _status_fields(self, server: Server) -> dict[str, str | int]:
        """What a parent needs for a status of its own; to systemd they mean nothing."""
        return {
            "X_SOCKETS": server.connected,
            "X_WAITING": server.waiting,
            "X_COMPLAINT": self._config_problem,
        }

    # --- a parent ---

    def _on_parent_died(self) -> None:
        asyncio.get_running_loop().remove_reader(LIFELINE_FD)
        self._manager.stop_notifying()
        log.error("the parent process has died: nobody would start this one again")
        self._stop_requested.set()

    def _on_sigusr2(self) -> None:
        """SIGUSR2 is for parents."""
        if not self._manager.process:
            log.warning(
                "SIGUSR2 restarts one process after the other, but [server] processes = 1: "
                "systemctl restart tornado-chat restarts this one"
            )

    # --- reloading ---

    async def _reload_on_request(self, server: Server) -> None:
        """One reload at a time; those asked for meanwhile are one more."""
        while True:
            await self._reload_requested.wait()
            self._reload_requested.clear()
            self._manager.notify_reloading()
            try:
                await self._reload_now(server)
            except Exception:  # of a plugin's, or a mistake of ours: what runs goes on running
                self._config_problem = "not reloaded, see the log"
                log.exception("not reloaded")
            self._last_status = self._status(server)
            self._manager.notify(READY=1, STATUS=self._last_status, **self._status_fields(server))

    async def _reload_now(self, server: Server) -> None:
        try:
            config = self._read_config() if self._read_config is not None else self._config
            change = await server.reload(config)
        except ConfigError as error:
            self._config_problem = "not reloaded: the configuration has mistakes, see the log"
            log.error("not reloaded, the configuration has mistakes: %s", "; ".join(map(str, error.problems)))
            return
        self._config_problem = "a restart is needed, see the log" if change.needs_restart else ""
        logs.configure(config.logging, process=self._manager.process)
        if not self._manager.process:  # else the parent process has said it
            config.log_warnings()
        said = fields(
            options=",".join(change.options) or "unchanged",
            plugins=",".join(change.plugins) or "unchanged",
            keys="changed" if change.keys else "unchanged",
        )
        log.info("reloaded", extra=said)
        if change.needs_restart:
            log.warning("these options have changed, and need a restart: %s", ", ".join(change.needs_restart))
