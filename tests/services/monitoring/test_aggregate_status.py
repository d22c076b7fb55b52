"""Merging the status of several processes."""

from typing import Any

import msgspec

from tornado_chat.core import status as status_types
from tornado_chat.services.monitoring.aggregate_status import merge_status


def status(number: int, sockets: int, **more: Any) -> status_types.Status:
    """Return the status of a process whose ``sockets`` had one message each in each of two steps."""
    history = {
        name: [float(sockets)] * 2 for name in ("received", "delivered", "lag", "longest_wait", "p50", "p99")
    }
    kept = status_types.HistoryStatus(
        10.0,
        time=[10.0, 20.0],
        sockets=[sockets] * 2,
        line=[0, number],
        **{**history, **more.pop("history", {})},
    )
    made = status_types.Status(
        time="2026-11-21T12:00:00",
        problems={},
        sockets={"chat": sockets, "notify": 0},
        line=status_types.QueueOverview(1, 3.0, []),
        waiters=status_types.WaiterSummary({"ready": 1}, []),
        conversations=status_types.ConversationSummary({"active": 1}, []),
        rooms=status_types.ConversationSummary({"active": 1}, []),
        messages=status_types.MessageRates(sockets, sockets, None, sockets / 10),
        history=kept,
        plugins=[status_types.PluginStatus("p", "1", "running", sockets, 0, 0.5, 0.0)],
        database=status_types.DatabaseStatus("mysql", None, f"2026-11-21T12:00:0{number}", 1, 0),
        process=status_types.ProcessStatus(
            100 + number, "0.1.0", "3.11", "", 1.0, None, 0.0, number, sockets
        ),
        processes=[],
    )
    return msgspec.structs.replace(made, **more)


def test_the_coordinators_part_is_taken_once_and_other_numbers_are_added_up() -> None:
    one = merge_status(status(2, 30), {1: status(1, 10), 3: status(3, 2)})
    assert one.sockets == {"chat": 42, "notify": 0}
    assert (one.line.length, one.waiters.states, one.rooms.states) == (1, {"ready": 1}, {"active": 1})
    assert one.messages == status_types.MessageRates(42, 42, None, 3.0)
    assert (one.database.last_commit, one.database.backlog) == ("2026-11-21T12:00:03", 3)
    assert [(each.number, each.sockets) for each in one.processes] == [(1, 10), (2, 30), (3, 2)]
    assert one.process.number == 2
    assert (one.plugins[0].calls, one.plugins[0].seconds) == (42, 1.5)
    assert one.history.sockets == [42, 42]
    assert one.history.received == [42.0, 42.0]
    assert one.history.p99 == [30.0, 30.0]


def test_a_process_that_started_later_adds_to_the_newest_steps() -> None:
    late = status(1, 10)
    late = msgspec.structs.replace(
        late,
        history=msgspec.structs.replace(
            late.history,
            **{
                name: getattr(late.history, name)[1:]
                for name in late.history.__struct_fields__
                if name != "step"
            },
        ),
    )
    one = merge_status(status(2, 30, history={"p50": [None, None]}), {1: late})
    assert one.history.time == [10.0, 20.0]
    assert one.history.sockets == [30, 40]
    assert one.history.p50 == [None, 10.0]


def test_a_problem_of_any_process_is_a_problem() -> None:
    suspended = status_types.PluginStatus("p", "1", "suspended", 3, 3, 0.1, 20.0)
    one = merge_status(
        status(1, 1, problems={"database": "slow"}),
        {2: status(2, 1, problems={"bus": "away"}, plugins=[suspended]), 3: None},
    )
    assert one.problems == {"database": "slow", "bus": "away", "process 3": "does not answer"}
    assert (one.plugins[0].state, one.plugins[0].suspended_for, one.plugins[0].failures) == (
        "suspended",
        20.0,
        3,
    )
