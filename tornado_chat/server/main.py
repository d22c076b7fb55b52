"""The server's process: signals, the service manager, the exit code."""

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tornado_chat.aio import descriptors
from tornado_chat.aio.event_loop import new_loop, shut_down
from tornado_chat.aio.periodic import run_forever
from tornado_chat.aio.shared_load import SharedLoads
from tornado_chat.config.sections import Config, ConfigError
from tornado_chat.core.handed_over import SocketState
from tornado_chat.observability import logs
from tornado_chat.observability.logs import fields
from tornado_chat.server import handover, reload_signal, status_file
from tornado_chat.server.bootstrap import StartError
from tornado_chat.server.listen_sockets import PASSED_SOCKETS_MESSAGE
from tornado_chat.server.server import Server
from tornado_chat.server.stray_errors import handle_loop_errors, handle_thread_errors, run_to_end
from tornado_chat.server.systemd import ServiceManager
from tornado_chat.server.workers.spawn import own_command
from tornado_chat.web.pages import Route

log = logging.getLogger(__name__)

STATUS_INTERVAL_SECONDS = 10.0  # seconds between two checks whether the status for the manager has changed
NO_DESCRIPTORS = "too few file descriptors: new connections wait"
LIFELINE_FD = 0  # standard input; a worker reads only its end, which means that the parent has died
STOP_TIMEOUT_SECONDS = 30.0  # seconds that stopping may take, beyond the time for closing the sockets


def run(
    config: Config,
    on_ready: Callable[[str], object] | None = None,
    read_config: Callable[[], Config] | None = None,
    more_pages: Sequence[Route] = (),
) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code.

    :arg on_ready: called with the server's URL, on its loop, as soon as it listens.
    :arg read_config: reads the configuration again, for SIGHUP. None: SIGHUP stops the server, because its
        terminal was closed.
    :arg more_pages: as in ``Server``.
    """
    descriptors.raise_limit()
    os.umask(0o077)  # other users may not read the files that this process writes
    # A service manager whose watchdog expires sends SIGABRT: then the log says where the loop is stuck.
    faulthandler.enable(file=2)
    manager = ServiceManager.from_environ(os.environ)
    executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
    loop = new_loop(executor)
    asyncio.set_event_loop(loop)
    handed_over = handover.take_over(os.environ)
    process = _ServerProcess(config, manager, on_ready, read_config, more_pages, handed_over)
    handle_loop_errors(loop, process.record_stray_failure)
    handle_thread_errors(loop, process.record_stray_failure)
    try:
        run_to_end(loop, process.run(), process.record_stray_failure)
        code = 0
    except StartError as error:
        lines = str(error).splitlines()
        print(f"tornado-chat: {lines[0]}", *lines[1:], sep="\n", file=sys.stderr)  # noqa: T201 - for a person
        manager.notify(STATUS=lines[0])
        code = error.code
    manager.close()
    shut_down(loop, executor, code)
    if process.memory is not None:
        # Not ``os.environ`` alone: the variables of the service manager were removed from it.
        handover.replace_program(own_command(), {**os.environ, **process.environ}, process.memory)
    return code


class _ServerProcess:
    """The part of ``run`` that runs on the loop.

    :ivar memory: the memory file for the program that replaces this one; None: the process ends.
    :ivar environ: the variables for that program which this one has removed from its environment.
    """

    def __init__(
        self,
        config: Config,
        manager: ServiceManager,
        on_ready: Callable[[str], object] | None,
        read_config: Callable[[], Config] | None,
        more_pages: Sequence[Route],
        handed_over: handover.HandedOver = handover.NOTHING,
    ) -> None:
        self._handed_over = handed_over
        self.memory: int | None = None
        self._handover_requested = asyncio.Event()
        self._trial: asyncio.Task[None] | None = None
        self._config = config
        self._manager = manager
        self._on_ready = on_ready
        self._read_config = read_config
        self._more_pages = more_pages
        self._stop_requested = asyncio.Event()
        self._reload_requested = asyncio.Event()
        self._loads = SharedLoads.from_environ(os.environ)
        self.environ: dict[str, str] = {}
        self._last_status = ""
        self._config_problem = ""  # the problem of the configuration that was read last
        self._server: Server | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_requested.set)
        if self._read_config is not None:
            loop.add_signal_handler(signal.SIGHUP, self._reload_requested.set)
        elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is under nohup(1)
            loop.add_signal_handler(signal.SIGHUP, self._stop_requested.set)
        reload_signal.release()
        loop.add_signal_handler(signal.SIGUSR2, self._on_sigusr2)
        if self._manager.process:
            loop.add_reader(LIFELINE_FD, self._on_parent_died)
        elif self._manager.sockets:
            log.info(PASSED_SOCKETS_MESSAGE)
        self._manager.notify(STATUS="starting")
        sockets, opened = self._handed_over
        server = await self._start(self._config, sockets or self._manager.sockets, handed_over=opened)
        self._handed_over = handover.NOTHING
        if self._on_ready is not None:
            self._on_ready(server.url)
        watchdog_task = None
        if self._manager.watchdog_seconds:
            watchdog_task = loop.create_task(
                run_forever(self._send_watchdog, "the watchdog", self._manager.watchdog_seconds / 4)
            )
        while await self._serve(server):
            server = await self._start_afresh(server)
        if self._handover_requested.is_set() and not self._stop_requested.is_set():
            await self._hand_over(server)
            return
        log.info("stopping")
        self._manager.notify(
            STOPPING=1,
            STATUS=f"stopping; sockets to close: {server.connection_count}",
            EXTEND_TIMEOUT_USEC=round((server.drain_seconds + STOP_TIMEOUT_SECONDS) * 1_000_000),
        )
        await server.stop()
        if watchdog_task is not None:
            watchdog_task.cancel()

    def record_stray_failure(self, what: str, error: BaseException) -> bool:
        """Record an error for the plugin that caused it. Return False if that was no plugin."""
        return self._server is not None and self._server.record_stray_failure(what, error)

    async def _hand_over(self, server: Server) -> None:
        """Stop the server, and keep its sockets for the program that replaces this one."""
        log.info("restarting in place", extra=fields(sockets=server.connection_count))
        self._manager.notify_reloading()
        self.environ |= self._manager.environ
        if self._loads is not None:
            self.environ |= self._loads.environ
        listening = [each.detach() for each in server.copy_listen_sockets()]
        self.memory = handover.write_states(listening, await server.hand_over())

    async def _start(
        self,
        config: Config,
        sockets: Sequence[socket.socket],
        went_back_at: int = 0,
        handed_over: Sequence[tuple[SocketState, int]] = (),
    ) -> Server:
        """Return a started server. :raises StartError: it cannot start."""
        server = Server(
            config,
            sockets,
            self._more_pages,
            process=self._manager.process,
            loads=self._loads,
            went_back_at=went_back_at,
            handed_over=handed_over,
        )
        self._server = server
        try:
            await server.start()
        except StartError:
            status_file.remove(config.state_dir)
            raise
        return server

    async def _serve(self, server: Server) -> bool:
        """Serve until the process has to stop, or until the server has to start afresh: then return True."""
        loop = asyncio.get_running_loop()
        # Nearly all long-lived objects exist now, and the objects of a message are freed at once by their
        # reference counts. A search for cycles every 700 objects would only pause every connection.
        gc.unfreeze()  # a former server, before this one started afresh
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        self._last_status = self._status(server)
        self._manager.notify(READY=1, STATUS=self._last_status, **self._status_fields(server))
        stop = loop.create_task(self._stop_requested.wait())
        afresh = loop.create_task(server.has_to_start_afresh.wait())
        hand_over = loop.create_task(self._handover_requested.wait())
        tasks = [
            stop,
            afresh,
            hand_over,
            loop.create_task(
                run_forever(
                    partial(self._report_status, server), "the report of the status", STATUS_INTERVAL_SECONDS
                )
            ),
        ]
        if self._read_config is not None:
            tasks.append(loop.create_task(self._reload_on_request(server, self._read_config)))
        await asyncio.wait((stop, afresh, hand_over), return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        return not self._stop_requested.is_set() and server.has_to_start_afresh.is_set()

    async def _start_afresh(self, server: Server) -> Server:
        """Replace ``server`` by a new one, as its state in memory may be ahead of the database.

        Connections that arrive meanwhile wait.
        """
        log.warning(
            "the server starts afresh: all sockets are closed, and all caches are dropped",
            extra=fields(sockets=server.connection_count),
        )
        self._manager.notify(STATUS="starting afresh, as the database has gone back to an older copy")
        sockets, config, went_back_at = server.copy_listen_sockets(), server.config, server.went_back_at
        await server.stop()
        return await self._start(config, sockets, went_back_at)

    # --- notifications to the service manager ---

    async def _send_watchdog(self) -> None:
        """Notify the watchdog as long as the loop runs, twice per interval."""
        self._manager.notify(WATCHDOG=1)
        await asyncio.sleep(self._manager.watchdog_seconds / 2)

    async def _report_status(self, server: Server) -> None:
        await asyncio.sleep(STATUS_INTERVAL_SECONDS)
        if self._manager.is_connected:
            self._send_status_if_changed(server)

    def _send_status_if_changed(self, server: Server) -> None:
        status = self._status(server)
        if status != self._last_status:
            self._manager.notify(STATUS=status, **self._status_fields(server))
            self._last_status = status

    def _status(self, server: Server) -> str:
        status = f"sockets: {server.connection_count}, users in queue: {server.queue_length}"
        return "; ".join(
            filter(None, (status, NO_DESCRIPTORS if server.is_full else "", self._config_problem))
        )

    def _status_fields(self, server: Server) -> dict[str, str | int]:
        """Return what the parent needs for its own status; systemd ignores these assignments."""
        return {
            "X_SOCKETS": server.connection_count,
            "X_WAITING": server.queue_length,
            "X_COMPLAINT": self._config_problem,
            "X_FULL": int(server.is_full),
        }

    # --- the parent process ---

    def _on_parent_died(self) -> None:
        asyncio.get_running_loop().remove_reader(LIFELINE_FD)
        self._manager.stop_notifying()
        log.error("the parent process has died and could not restart this process: stopping")
        self._stop_requested.set()

    def _on_sigusr2(self) -> None:
        """Restart in place: the installed version of the program replaces this one, with the open sockets."""
        if self._manager.process:
            self._handover_requested.set()  # the parent process has checked that the program can start
        elif self._server is None or self._read_config is None:
            log.warning("not restarted: this server cannot be restarted in place; stop and start it")
        elif not self._server.config.server.handover:
            log.warning(
                "not restarted: [server] handover = off; use systemctl restart tornado-chat, which closes "
                "all sockets"
            )
        elif self._trial is None or self._trial.done():
            self._trial = asyncio.get_running_loop().create_task(self._restart_if_possible())

    async def _restart_if_possible(self) -> None:
        problem = await handover.find_problem(own_command())
        if problem:
            log.error("not restarted, as the installed program would not start: %s", problem)
            self._config_problem = "not restarted, see the log"
        else:
            self._handover_requested.set()

    # --- reloading ---

    async def _reload_on_request(self, server: Server, read_config: Callable[[], Config]) -> None:
        """Reload once per request, one at a time; the requests during a reload become a single reload."""
        while True:
            await self._reload_requested.wait()
            self._reload_requested.clear()
            self._manager.notify_reloading()
            try:
                await self._reload_now(server, read_config)
            except Exception:  # a queue policy failed, or there is a bug: the server goes on as it is
                self._config_problem = "not reloaded, see the log"
                log.exception("the configuration was not reloaded, all values are the previous ones")
            self._last_status = self._status(server)
            self._manager.notify(READY=1, STATUS=self._last_status, **self._status_fields(server))

    async def _reload_now(self, server: Server, read_config: Callable[[], Config]) -> None:
        try:
            config = read_config()
            change = await server.reload(config)
        except ConfigError as error:
            self._config_problem = "not reloaded: the configuration has mistakes, see the log"
            log.error("not reloaded, the configuration has mistakes: %s", "; ".join(map(str, error.problems)))
            return
        problems = ["a restart is needed, see the log"] if change.needs_restart else []
        if change.failed_plugins:
            names = ", ".join(dict.fromkeys(change.failed_plugins))
            problems.append(f"not reloaded: plugin {names}, see the log")
        self._config_problem = "; ".join(problems)
        logs.configure(config.logging, process=self._manager.process)
        handle_thread_errors(asyncio.get_running_loop(), self.record_stray_failure)
        if not self._manager.process:  # the parent process has logged them for its workers
            config.log_warnings()
        changes = fields(
            options=",".join(change.options) or "unchanged",
            plugins=",".join(change.plugins) or "unchanged",
            keys="changed" if change.keys else "unchanged",
        )
        log.info("reloaded", extra=changes)
        if change.needs_restart:
            log.warning("these options have changed and need a restart: %s", ", ".join(change.needs_restart))
