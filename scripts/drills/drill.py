"""What a drill is: a rehearsal with a name, and its outcome."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.drills.pager import Pager
from scripts.drills.server import CommandResult, DrillServer
from scripts.drills.traffic import Traffic

PASSED, FAILED, NOT_RUN = "passed", "FAILED", "not run"


class DrillFailed(Exception):
    """The server or a command did not do what it has to. The argument is a sentence."""


class NotRun(Exception):
    """The drill is impossible on this machine. The argument is the reason."""


@dataclass
class Rehearsal:
    """What the drills of one run share.

    :ivar has_audit: the plugin ``audit`` is enabled.
    :ivar backup: the backup that was made under traffic, as soon as there is one.
    :ivar expected: the acknowledged messages that the backup has to contain, by session.
    """

    directory: Path
    server: DrillServer
    traffic: Traffic
    pager: Pager
    has_audit: bool
    backup: Path | None = None
    expected: dict[int, set[int]] = field(default_factory=dict)

    def require_backup(self) -> Path:
        if self.backup is None:
            raise DrillFailed("there is no backup, as that drill failed or was left out")
        return self.backup


@dataclass(frozen=True)
class Drill:
    """One drill. ``run`` returns a sentence about its result, with its numbers.

    :raises DrillFailed: by ``run``: the drill failed.
    :raises NotRun: by ``run``: the drill is impossible here.
    """

    name: str
    text: str
    run: Callable[[Rehearsal], Awaitable[str]]


@dataclass(frozen=True)
class Outcome:
    drill: Drill
    state: str
    seconds: float
    text: str


def require(condition: Any, sentence: str) -> None:
    """Check a condition. :raises DrillFailed: it does not hold."""
    if not condition:
        raise DrillFailed(sentence)


def require_no_faults(faults: Sequence[str]) -> None:
    """:raises DrillFailed: there are faults."""
    require(not faults, "; ".join(faults))


def require_success(result: CommandResult, name: str) -> CommandResult:
    """:raises DrillFailed: the command has failed."""
    require(result.code == 0, f"`tornado-chat {name}` ended with {result.code}: {result.last_line}")
    return result
