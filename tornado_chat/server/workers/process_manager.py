"""The parent process: it starts, restarts, reloads, replaces and stops the workers."""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count

from tornado_chat.aio.periodic import run_forever
from tornado_chat.aio.shared_load import ENVIRONMENT_VARIABLE, SharedLoads
from tornado_chat.config.reload import merge_reloadable
from tornado_chat.config.sections import Config, ConfigError
from tornado_chat.observability import logs
from tornado_chat.observability.logs import fields
from tornado_chat.server import handover, reload_signal, status_file
from tornado_chat.server.listen_sockets import PASSED_SOCKETS_MESSAGE, open_listen_sockets
from tornado_chat.server.systemd import PROCESS_VARIABLE, ServiceManager
from tornado_chat.server.workers.notify_socket import NotifySocket
from tornado_chat.server.workers.spawn import own_command, shared_memory_fd, spawn
from tornado_chat.server.workers.worker import WorkerProcess, WorkerState
from tornado_chat.server.workers.worker_slots import WorkerSlot

log = logging.getLogger(__name__)

WATCHDOG_SECONDS = 30.0  # the interval for the workers, if the service manager sets none
STATUS_INTERVAL_SECONDS = 10.0  # seconds between two checks whether the status for the manager has changed
STOP_TIMEOUT_SECONDS = 35.0
"""The time that stopping may take, beyond the time for closing the sockets.

Within it, a worker that is stuck gets SIGABRT and then SIGKILL (``worker.py``). ``TimeoutStopSec=`` is longer
with the default of ``[server] drain_seconds``, and is extended if that is set to more.
"""

SPARE_SECONDS = 5.0  # seconds for the end of this process itself

SHARED_OPTIONS = ("server.state_dir", "server.processes", "storage.url", "cluster.url", "cluster.prefix")
"""Options that must be equal in all processes, so they cannot be changed in one process after the other."""

PARENT_OPTIONS = ("server.host", "server.port", "server.unix_socket")
"""Options that are only used when the parent starts."""


class ProcessManager:
    """The life of the workers. Create and use it on one running loop.

    :arg read_config: reads the configuration again.
    """

    def __init__(self, config: Config, manager: ServiceManager, read_config: Callable[[], Config]) -> None:
        self._config = config
        self._manager = manager
        self._read_config = read_config
        self._loop = asyncio.get_running_loop()
        self._slots = [WorkerSlot(n + 1) for n in range(config.server.process_count)]
        self._workers: dict[int, WorkerProcess] = {}
        self._has_started = self._stopping = False
        self._exit_codes: list[int] = []
        self._current_command = self._config_problem = self._last_status = ""
        self._state_changed = asyncio.Event()
        self._finished: asyncio.Future[int] = self._loop.create_future()
        self._commands: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._queued_commands: set[Callable[[], Awaitable[None]]] = set()

    async def run(self) -> int:
        """Run the workers until SIGTERM or SIGINT. Returns the worst exit code of the last workers.

        :raises ValueError: there are no listening sockets; the message says what to do.
        """
        self._manager.notify(STATUS="starting")
        if self._manager.sockets:
            log.info(PASSED_SOCKETS_MESSAGE)
        self._sockets, self._url = open_listen_sockets(self._config.server, self._manager.sockets)
        self._lifeline, self._lifeline_write_end = os.pipe()
        self._notify_socket = NotifySocket()
        self._loads = SharedLoads.create(2 * len(self._slots))  # each worker may have a successor
        self._environ = {**os.environ, "NOTIFY_SOCKET": self._notify_socket.address}
        self._watchdog_seconds = self._manager.watchdog_seconds or WATCHDOG_SECONDS
        self._environ["WATCHDOG_USEC"] = str(round(self._watchdog_seconds * 1_000_000))
        self._loop.add_reader(self._notify_socket, self._on_notify)
        handlers: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGCHLD: self._reap_workers,
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGHUP: partial(self._enqueue, self._reload),
            signal.SIGUSR2: partial(self._enqueue, self._restart),
        }
        for number, handle in handlers.items():
            self._loop.add_signal_handler(number, handle)
        reload_signal.release()
        status_file.write(self._config.state_dir, status_file.STARTING)
        self._enqueue(self._start_all)
        tasks = [
            self._loop.create_task(each)
            for each in (
                self._run_commands(),
                run_forever(self._report_status, "the report of the status", STATUS_INTERVAL_SECONDS),
            )
        ]
        if self._manager.watchdog_seconds:
            watchdog = run_forever(self._send_watchdog, "the watchdog", self._manager.watchdog_seconds / 4)
            tasks.append(self._loop.create_task(watchdog))
        try:
            return await self._finished
        finally:
            for task in tasks:
                task.cancel()
            self._loop.remove_reader(self._notify_socket)
            self._notify_socket.close()
            status_file.remove(self._config.state_dir)

    # --- commands, one after the other ---

    def _enqueue(self, command: Callable[[], Awaitable[None]]) -> None:
        """Queue a command. One that is waiting already is not queued again."""
        if command not in self._queued_commands:
            self._queued_commands.add(command)
            self._commands.put_nowait(command)

    async def _run_commands(self) -> None:
        while True:
            command = await self._commands.get()
            self._queued_commands.discard(command)
            try:
                await command()
            except OSError as error:  # out of memory, or too many processes
                log.error("the last command could not be carried out: %s", error.strerror)
                self._config_problem = "the last command could not be carried out, see the log"
            except Exception:  # an error of the program: later commands must still be carried out
                log.exception("the last command could not be carried out")
                self._config_problem = "the last command could not be carried out, see the log"
            self._current_command = ""
            self._send_status_if_changed()

    async def _wait_until(self, met: Callable[[], bool]) -> None:
        while not met():
            self._state_changed.clear()
            await self._state_changed.wait()

    async def _start_all(self) -> None:
        """Start the first worker alone, then the others.

        So work like changing the schema is done by one process, and a problem that keeps all workers from
        starting is reported once.
        """
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
            self._config = merge_reloadable(self._config, config).config
            for slot in self._slots:
                # One after the other: if the first rejects the configuration, the others would, too.
                await self._reload_slot(slot)
                if self._config_problem.startswith("not "):
                    break
        self._last_status = self._status()
        self._manager.notify(READY=1, STATUS=self._last_status)

    async def _reload_slot(self, slot: WorkerSlot) -> None:
        """Reload the worker of ``slot``. One that is starting may have read the earlier configuration."""
        worker = slot.worker
        if worker is None:
            return
        await self._wait_until(lambda: worker.state is not WorkerState.STARTING)
        if worker.state is WorkerState.SERVING:
            worker.reload()
            await self._wait_until(lambda: not worker.reloading)
            self._config_problem = self._config_problem or worker.problem

    async def _restart(self) -> None:
        """Restart one worker after the other, in place or by a successor that serves before it stops."""
        config = self._read_config_or_log("restarted")
        if config is None or self._needs_full_restart(config):
            return
        if config.server.handover and (problem := await handover.find_problem(own_command())):
            log.error("not restarted, as the installed program would not start: %s", problem)
            self._config_problem = "not restarted: the installed program would not start, see the log"
            return
        self._config, self._config_problem = config, ""
        logs.configure(config.logging)
        for slot in self._slots:
            self._current_command = f"restarting process {slot.number} of {len(self._slots)}"
            self._send_status_if_changed()
            is_in_place = config.server.handover and slot.is_serving
            if not await (self._restart_in_place(slot) if is_in_place else self._replace_worker(slot)):
                self._config_problem = "not restarted: the new process did not start, see the log"
                return
        log.info("all processes have been restarted", extra=fields(processes=len(self._slots)))

    async def _restart_in_place(self, slot: WorkerSlot) -> bool:
        """Let the worker of ``slot`` replace its program. Returns True if it serves again."""
        worker = slot.worker
        assert worker is not None
        worker.restart_in_place()
        await self._wait_until(lambda: worker.state is not WorkerState.STARTING)
        return worker.state is WorkerState.SERVING

    async def _replace_worker(self, slot: WorkerSlot) -> bool:
        """Replace the worker of ``slot``. Returns True if the successor serves and the old one has ended."""
        slot.cancel_restart()
        new = slot.successor = self._spawn(slot.number)
        await self._wait_until(lambda: new.state is not WorkerState.STARTING)
        slot.successor = None
        if new.state is not WorkerState.SERVING:
            log.error(
                "not restarted: the new process did not start; the old processes keep running",
                extra=_exit_fields(new),
            )
            if not any(slot.workers):
                self._start_later(slot)
            return False
        old, slot.worker = slot.worker, new
        if old is not None:
            old.stop(self._config.server.drain_seconds)
            await self._wait_until(lambda: old.state is WorkerState.ENDED)
        return True

    def _read_config_or_log(self, done: str) -> Config | None:
        """Return the configuration as it is now; None if it has mistakes, which are logged.

        :arg done: the participle of the command, "reloaded" or "restarted".
        """
        try:
            config = self._read_config()
            config.log_warnings()
            return config
        except ConfigError as error:
            self._config_problem = f"not {done}: the configuration has mistakes, see the log"
            log.error("not %s, the configuration has mistakes: %s", done, "; ".join(map(str, error.problems)))
            return None

    def _needs_full_restart(self, config: Config) -> bool:
        """Return True if an option of ``SHARED_OPTIONS`` has changed."""
        changed = merge_reloadable(self._config, config).needs_restart
        changed_shared = [each for each in changed if each in SHARED_OPTIONS]
        if changed_shared:
            log.error(
                "not restarted: %s cannot be changed in one process after the other; stop and start the "
                "whole server (systemctl restart tornado-chat)",
                ", ".join(changed_shared),
            )
            self._config_problem = "not restarted: the whole server has to be restarted, see the log"
        elif any(each in PARENT_OPTIONS for each in changed):
            log.warning(
                "[server] host, port and unix_socket stay as they are until the whole server is restarted"
            )
        return bool(changed_shared)

    # --- workers ---

    def _spawn(self, number: int) -> WorkerProcess:
        used_load_slots = {worker.load_slot for worker in self._workers.values()}
        load_slot = next(slot for slot in count() if slot not in used_load_slots)
        environ = {
            **self._environ,
            PROCESS_VARIABLE: f"{number}",
            ENVIRONMENT_VARIABLE: f"{shared_memory_fd(self._sockets)}:{load_slot}",
        }
        pid = spawn(own_command(), environ, self._sockets, self._lifeline, self._loads.descriptor)
        worker = self._workers[pid] = WorkerProcess(
            number, pid, load_slot, self._watchdog_seconds, self._loop
        )
        return worker

    def _start(self, slot: WorkerSlot) -> None:
        slot.restart_timer = None
        try:
            slot.worker = self._spawn(slot.number)
        except OSError as error:
            slot.worker = None
            log.error("a process cannot be started: %s", error.strerror, extra=fields(process=slot.number))
            self._start_later(slot)

    def _on_notify(self) -> None:
        for pid, assignments in self._notify_socket.receive():
            worker = self._workers.get(pid)
            if worker is None:  # another process sent it, for example a child process of a plugin
                continue
            worker.on_notify(assignments)
        self._state_changed.set()

    def _reap_workers(self) -> None:
        if self._finished.done():  # SIGCHLD may arrive once more together with the end of the last worker
            return
        self._on_notify()  # handle the last notifications before the exit codes
        for pid in list(self._workers):
            waited, status = os.waitpid(pid, os.WNOHANG)
            if waited:
                worker = self._workers.pop(pid)
                self._loads.clear(worker.load_slot)
                worker.on_exit(os.waitstatus_to_exitcode(status))
                self._on_worker_exit(worker)
        self._state_changed.set()
        if self._stopping and not self._workers and not self._finished.done():
            self._finished.set_result(max(self._exit_codes, default=0))

    def _on_worker_exit(self, worker: WorkerProcess) -> None:
        slot = self._slots[worker.number - 1]
        # As a shell does: 128 plus the number of the signal.
        code = worker.exit_code if worker.exit_code >= 0 else 128 - worker.exit_code
        if self._stopping:
            self._exit_codes.append(code)
        if worker.stop_requested or worker is slot.successor or (self._stopping and worker.exit_code == 0):
            if worker.stop_requested and worker.is_stuck:
                log.error("a process did not stop, and has been ended", extra=_exit_fields(worker))
            return
        if not self._has_started and worker.exit_code > 0:
            # The worker has written the reason to standard error, and the others would write the same.
            self._manager.notify(STATUS=worker.status)
            self._exit_codes.append(code)
            self._stop_all()
            return
        log.error(
            "a process was stuck, and has been ended" if worker.is_stuck else "a process has ended",
            extra=_exit_fields(worker),
        )
        if worker is slot.worker and slot.successor is None and not self._stopping:
            self._start_later(slot)

    def _start_later(self, slot: WorkerSlot) -> None:
        delay = slot.next_restart_delay()
        log.info("starting the process again", extra=fields(process=slot.number, seconds=delay))
        slot.restart_timer = self._loop.call_later(delay, self._start, slot)

    # --- stopping ---

    def _stop(self) -> None:
        if self._stopping:
            return
        log.info("stopping")
        status_file.write(self._config.state_dir, status_file.STOPPING, self._url)
        self._manager.notify(
            STOPPING=1,
            STATUS=f"stopping; sockets to close: {self._sum('sockets')}",
            EXTEND_TIMEOUT_USEC=round(
                (self._config.server.drain_seconds + STOP_TIMEOUT_SECONDS + SPARE_SECONDS) * 1_000_000
            ),
        )
        self._stop_all()

    def _stop_all(self) -> None:
        self._stopping = True
        for each in self._sockets:
            each.close()
        for slot in self._slots:
            slot.cancel_restart()
        for worker in self._workers.values():
            worker.stop(self._config.server.drain_seconds)
        self._loop.call_later(self._config.server.drain_seconds + STOP_TIMEOUT_SECONDS, self._give_up_workers)
        if not self._workers and not self._finished.done():
            self._finished.set_result(max(self._exit_codes, default=0))

    def _give_up_workers(self) -> None:
        """End this process although workers remain: not even SIGKILL ends one that waits for a dead disk."""
        if not self._finished.done():
            log.error(
                "processes that do not end are left behind",
                extra=fields(pids=",".join(map(str, self._workers))),
            )
            self._finished.set_result(128 + signal.SIGKILL)

    # --- notifications to the service manager ---

    async def _send_watchdog(self) -> None:
        """Notify the watchdog as long as this loop runs.

        A stuck worker is no reason to stop notifying: the parent replaces it, and the others go on.
        """
        self._manager.notify(WATCHDOG=1)
        await asyncio.sleep(self._manager.watchdog_seconds / 2)

    async def _report_status(self) -> None:
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
            f"processes: {processes}, sockets: {self._sum('sockets')}, users in queue: {self._sum('waiting')}"
        )
        full = self._sum("is_full")
        descriptors = f"too few file descriptors in {full}: new connections wait" if full else ""
        return "; ".join(filter(None, (status, descriptors, self._current_command, self._config_problem)))

    def _sum(self, name: str) -> int:
        return sum(getattr(each, name) for each in self._workers.values())


def _exit_fields(worker: WorkerProcess) -> dict[str, object]:
    """Return the log fields of a worker that has ended: number, process id, and signal or exit code."""
    end = (
        {"signal": signal.Signals(-worker.exit_code).name}
        if worker.exit_code < 0
        else {"code": worker.exit_code}
    )
    return fields(process=worker.number, pid=worker.pid, **end)
