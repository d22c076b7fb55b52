"""The parent's life: starting children, starting them again, reloading and replacing them, stopping."""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count

from tornado_chat.aio.shared_load import ENVIRONMENT_VARIABLE, SharedLoads
from tornado_chat.config.reload import merge_reloadable
from tornado_chat.config.sections import Config, ConfigError
from tornado_chat.observability import logs
from tornado_chat.observability.logs import fields
from tornado_chat.server import status_file
from tornado_chat.server.listen_sockets import PASSED_SOCKETS_MESSAGE, open_listen_sockets
from tornado_chat.server.systemd import PROCESS_VARIABLE, ServiceManager
from tornado_chat.server.workers.notify_socket import NotifySocket
from tornado_chat.server.workers.spawn import own_command, shared_memory_fd, spawn
from tornado_chat.server.workers.worker import WorkerProcess, WorkerState
from tornado_chat.server.workers.worker_slots import WorkerSlot

log = logging.getLogger(__name__)

WATCHDOG = 30.0  # seconds, if no manager says how many
STATUS_INTERVAL_SECONDS = 10.0  # seconds between two looks at what the manager is told of us
STOPPING = 30.0  # seconds that stopping may take, beyond the time for sending people away

SHARED_OPTIONS = ("server.state_dir", "server.processes", "storage.url", "cluster.url", "cluster.prefix")
"""Options that all processes have to have the same of: they cannot be changed one after the other."""

PARENT_OPTIONS = ("server.host", "server.port", "server.unix_socket")
"""Options that count when the parent starts."""


class ProcessManager:
    """Made and used on one running loop.

    :arg read_config: reads the configuration again.
    :raises ValueError: by ``run``: nobody could connect.
    """

    def __init__(self, config: Config, manager: ServiceManager, read_config: Callable[[], Config]) -> None:
        self._config = config
        self._manager = manager
        self._read_config = read_config
        self._loop = asyncio.get_running_loop()
        self._slots = [WorkerSlot(n + 1) for n in range(config.server.process_count)]
        self._children: dict[int, WorkerProcess] = {}
        self._has_started = self._stopping = False
        self._exit_codes: list[int] = []
        self._current_command = self._config_problem = self._last_status = ""
        self._state_changed = asyncio.Event()
        self._finished: asyncio.Future[int] = self._loop.create_future()
        self._commands: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()

    async def run(self) -> int:
        """Returns the worst exit code of the children that were there in the end."""
        self._manager.notify(STATUS="starting")
        if self._manager.sockets:
            log.info(PASSED_SOCKETS_MESSAGE)
        self._sockets, self._url = open_listen_sockets(self._config.server, self._manager.sockets)
        self._lifeline, self._lifeline_write_end = os.pipe()
        self._notify_socket = NotifySocket()
        self._loads = SharedLoads.create(2 * len(self._slots))  # each child may have a successor beside it
        self._environ = {**os.environ, "NOTIFY_SOCKET": self._notify_socket.address}
        self._watchdog = self._manager.watchdog or WATCHDOG
        self._environ["WATCHDOG_USEC"] = str(round(self._watchdog * 1_000_000))
        self._loop.add_reader(self._notify_socket, self._on_notify)
        handlers: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGCHLD: self._reap_children,
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGHUP: partial(self._enqueue, self._reload),
            signal.SIGUSR2: partial(self._enqueue, self._restart),
        }
        for number, handle in handlers.items():
            self._loop.add_signal_handler(number, handle)
        status_file.write(self._config.state_dir, status_file.STARTING)
        self._enqueue(self._start_all)
        tasks = [
            self._loop.create_task(each)
            for each in (self._run_commands(), self._send_watchdog(), self._report_status())
        ]
        try:
            return await self._finished
        finally:
            for task in tasks:
                task.cancel()
            self._loop.remove_reader(self._notify_socket)
            self._notify_socket.close()
            status_file.remove(self._config.state_dir)

    # --- orders, one after the other ---

    def _enqueue(self, order: Callable[[], Awaitable[None]]) -> None:
        self._commands.put_nowait(order)

    async def _run_commands(self) -> None:
        while True:
            order = await self._commands.get()
            try:
                await order()
            except OSError as error:  # no memory, no room for one more process
                log.error("it could not be done: %s", error.strerror)
                self._config_problem = "the last order could not be carried out, see the log"
            self._current_command = ""
            self._send_status_if_changed()

    async def _wait_until(self, met: Callable[[], bool]) -> None:
        while not met():
            self._state_changed.clear()
            await self._state_changed.wait()

    async def _start_all(self) -> None:
        """The first child alone: what only one may do, and what keeps all from starting, is done and said once."""
        first, *others = self._slots
        self._start(first)
        await self._wait_until(lambda: first.is_serving)
        for each in others:
            self._start(each)
        await self._wait_until(lambda: all(each.is_serving for each in self._slots))
        self._has_started = True
        status_file.write(self._config.state_dir, status_file.SERVING, self._url)
        self._last_status = self._status()
        self._manager.notify(READY=1, STATUS=self._last_status)
        log.info("all processes are ready", extra=fields(url=self._url, processes=len(self._slots)))

    async def _reload(self) -> None:
        self._manager.notify_reloading()
        config = self._read_config_or_log("reloaded")
        if config is not None:
            logs.configure(config.logging)
            self._config_problem = ""
            for slot in self._slots:
                # The first one alone: what it does not take, none of them would.
                await self._reload_slot(slot)
                if self._config_problem.startswith("not "):
                    break
        self._last_status = self._status()
        self._manager.notify(READY=1, STATUS=self._last_status)

    async def _reload_slot(self, slot: WorkerSlot) -> None:
        """A child that begins just now may have read what was there before."""
        child = slot.child
        if child is None:
            return
        await self._wait_until(lambda: child.state is not WorkerState.STARTING)
        if child.state is WorkerState.SERVING:
            child.reload()
            await self._wait_until(lambda: not child.reloading)
            self._config_problem = self._config_problem or child.problem

    async def _restart(self) -> None:
        """Replace one child after the other, each when its successor serves."""
        config = self._read_config_or_log("restarted")
        if config is None or self._needs_full_restart(config):
            return
        self._config, self._config_problem = config, ""
        logs.configure(config.logging)
        for slot in self._slots:
            self._current_command = f"restarting process {slot.number} of {len(self._slots)}"
            self._send_status_if_changed()
            if not await self._replace_worker(slot):
                self._config_problem = "not restarted: the new process did not start, see the log"
                return
        log.info("all processes have been restarted", extra=fields(processes=len(self._slots)))

    async def _replace_worker(self, slot: WorkerSlot) -> bool:
        """Whether ``slot`` has a new child; the old one has ended then."""
        slot.cancel_restart()
        new = slot.successor = self._spawn(slot.number)
        await self._wait_until(lambda: new.state is not WorkerState.STARTING)
        slot.successor = None
        if new.state is not WorkerState.SERVING:
            log.error(
                "not restarted: the new process did not start; those that were there go on",
                extra=_exit_fields(new),
            )
            if not any(slot.children):
                self._start_later(slot)
            return False
        old, slot.child = slot.child, new
        if old is not None:
            old.stop()
            await self._wait_until(lambda: old.state is WorkerState.ENDED)
        return True

    def _read_config_or_log(self, done: str) -> Config | None:
        """The configuration as it is now; None if it has mistakes, which have been said."""
        try:
            config = self._read_config()
            config.log_warnings()
            return config
        except ConfigError as error:
            self._config_problem = f"not {done}: the configuration has mistakes, see the log"
            log.error("not %s, the configuration has mistakes: %s", done, "; ".join(map(str, error.problems)))
            return None

    def _needs_full_restart(self, config: Config) -> bool:
        """Whether something has changed that a child cannot have otherwise than its siblings."""
        waiting = merge_reloadable(self._config, config).needs_restart
        whole = [each for each in waiting if each in SHARED_OPTIONS]
        if whole:
            log.error(
                "not restarted: %s cannot be changed in one process after the other; stop and start the whole "
                "server (systemctl restart tornado-chat)",
                ", ".join(whole),
            )
            self._config_problem = "not restarted: the whole server has to be, see the log"
        elif any(each in PARENT_OPTIONS for each in waiting):
            log.warning(
                "[server] host, port and unix_socket stay as they are until the whole server is restarted"
            )
        return bool(whole)

    # --- children ---

    def _spawn(self, number: int) -> WorkerProcess:
        taken = {child.load_slot for child in self._children.values()}
        load_slot = next(slot for slot in count() if slot not in taken)
        told = {
            PROCESS_VARIABLE: f"{number}",
            ENVIRONMENT_VARIABLE: f"{shared_memory_fd(self._sockets)}:{load_slot}",
        }
        environ = {**self._environ, **told}
        pid = spawn(own_command(), environ, self._sockets, self._lifeline, self._loads.descriptor)
        child = self._children[pid] = WorkerProcess(number, pid, load_slot, self._watchdog, self._loop)
        return child

    def _start(self, slot: WorkerSlot) -> None:
        slot.restart_timer = None
        try:
            slot.child = self._spawn(slot.number)
        except OSError as error:
            slot.child = None
            log.error("no process can be started: %s", error.strerror, extra=fields(process=slot.number))
            self._start_later(slot)

    def _on_notify(self) -> None:
        for pid, said in self._notify_socket.receive():
            child = self._children.get(pid)
            if child is None:  # of a plugin's, or of somebody else's
                continue
            child.on_notify(said)
            if self._stopping and "EXTEND_TIMEOUT_USEC" in said:
                self._manager.notify(EXTEND_TIMEOUT_USEC=said["EXTEND_TIMEOUT_USEC"])
        self._state_changed.set()

    def _reap_children(self) -> None:
        if self._finished.done():  # a signal that came together with the last one's end
            return
        self._on_notify()  # their last words
        for pid in list(self._children):
            waited, status = os.waitpid(pid, os.WNOHANG)
            if waited:
                child = self._children.pop(pid)
                self._loads.clear(child.load_slot)
                child.on_exit(os.waitstatus_to_exitcode(status))
                self._on_worker_exit(child)
        self._state_changed.set()
        if self._stopping and not self._children and not self._finished.done():
            self._finished.set_result(max(self._exit_codes, default=0))

    def _on_worker_exit(self, child: WorkerProcess) -> None:
        slot = self._slots[child.number - 1]
        code = child.exit_code if child.exit_code >= 0 else 128 - child.exit_code  # as a shell says it
        if self._stopping:
            self._exit_codes.append(code)
        if child.stop_requested or child is slot.successor or (self._stopping and child.exit_code == 0):
            return
        if not self._has_started and child.exit_code > 0:
            # It has said why on standard error, and the others would say the same.
            self._manager.notify(STATUS=child.status)
            self._exit_codes.append(code)
            self._stop_all()
            return
        log.error(
            "a process was stuck, and has been ended" if child.is_stuck else "a process has ended",
            extra=_exit_fields(child),
        )
        if child is slot.child and slot.successor is None and not self._stopping:
            self._start_later(slot)

    def _start_later(self, slot: WorkerSlot) -> None:
        pause = slot.next_restart_delay()
        log.info("starting it again", extra=fields(process=slot.number, seconds=pause))
        slot.restart_timer = self._loop.call_later(pause, self._start, slot)

    # --- the end ---

    def _stop(self) -> None:
        if self._stopping:
            return
        log.info("stopping")
        status_file.write(self._config.state_dir, status_file.STOPPING, self._url)
        self._manager.notify(
            STOPPING=1,
            STATUS=f"stopping; sockets to be sent away: {self._sum('sockets')}",
            EXTEND_TIMEOUT_USEC=round((self._config.server.drain_seconds + STOPPING) * 1_000_000),
        )
        self._stop_all()

    def _stop_all(self) -> None:
        self._stopping = True
        for each in self._sockets:
            each.close()
        for slot in self._slots:
            slot.cancel_restart()
        for child in self._children.values():
            child.stop()
        if not self._children and not self._finished.done():
            self._finished.set_result(max(self._exit_codes, default=0))

    # --- what the manager is told ---

    async def _send_watchdog(self) -> None:
        """Children are the parent's to watch: who is stuck is replaced, and the others go on."""
        while self._manager.watchdog:
            self._manager.notify(WATCHDOG=1)
            await asyncio.sleep(self._manager.watchdog / 2)

    async def _report_status(self) -> None:
        while True:
            await asyncio.sleep(STATUS_INTERVAL_SECONDS)
            if self._has_started:
                self._send_status_if_changed()

    def _send_status_if_changed(self) -> None:
        status = self._status()
        if status != self._last_status and not self._stopping:
            self._manager.notify(STATUS=status)
            self._last_status = status

    def _status(self) -> str:
        serving, wanted = sum(each.is_serving for each in self._slots), len(self._slots)
        processes = f"{wanted}" if serving == wanted else f"{serving} of {wanted}"
        status = (
            f"processes: {processes}, sockets: {self._sum('sockets')}, users in line: {self._sum('waiting')}"
        )
        return "; ".join(filter(None, (status, self._current_command, self._config_problem)))

    def _sum(self, name: str) -> int:
        return sum(getattr(each, name) for each in self._children.values())


def _exit_fields(child: WorkerProcess) -> dict[str, object]:
    """Which one it was, and how it ended."""
    end = (
        {"signal": signal.Signals(-child.exit_code).name}
        if child.exit_code < 0
        else {"code": child.exit_code}
    )
    return fields(process=child.number, pid=child.pid, **end)
