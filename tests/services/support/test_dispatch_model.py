"""Random orders of the events around decisions: no conversation returns, no place is lost or taken twice.

Hypothesis chooses the order of the steps of ``dispatch_world.py``, and lets commits fail, or fail in doubt,
and events get lost.
"""

import sys
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.services.support.dispatch_world import (
    ACTIVE,
    CAPACITY,
    ENDED,
    GRACE_SECONDS,
    QUIET_SECONDS,
    USERS,
    WAITERS,
    WAITING,
    Process,
    World,
)
from tornado_chat.cluster.facts import TransferRequest
from tornado_chat.core.types import Person

EXPECTED_LOGS = ("could not be stored", "could not be read", "could not be requeued")


class DispatchMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = world = World()
        world.take_lease(world.processes[0])
        world.on_duty[WAITERS[0]] = True
        world.run()
        world.flush()  # the coordinator reads
        world.flush()  # and receives the reports
        world.run(2.0)
        for user in USERS[:2]:
            world.join(user)
        world.flush(world.processes[1])
        for report in world.processes[0].reports:
            report()
        world.processes[0].reports.clear()

    def _choose(self, data: st.DataObject, items: Iterable[Any]) -> Any:
        return data.draw(st.sampled_from(list(items)))

    # --- the participants ---

    @rule(user=st.sampled_from(USERS))
    def user_joins_or_asks_its_position(self, user: Person) -> None:
        self.world.join(user)
        self.world.run()

    @precondition(lambda self: self.world.present)
    @rule(data=st.data(), leaves=st.booleans())
    def user_goes(self, data: st.DataObject, leaves: bool) -> None:
        user = self._choose(data, self.world.present)
        if leaves:
            self.world.leave(self.world.present[user].id, user)
        else:
            self.world.drop(user)
        self.world.run()

    @rule(waiter=st.sampled_from(WAITERS), ready=st.booleans())
    def waiter_is_on_duty(self, waiter: Person, ready: bool) -> None:
        self.world.on_duty[waiter] = ready
        self.world.report_waiter(waiter)
        self.world.run()

    @precondition(lambda self: self.world.on_duty)
    @rule(data=st.data())
    def waiter_is_lost(self, data: st.DataObject) -> None:
        waiter = self._choose(data, self.world.on_duty)
        del self.world.on_duty[waiter]
        self.world.report(lambda dispatcher: dispatcher.on_waiter_absent("b", waiter))
        self.world.run()

    @precondition(lambda self: any(row.state is ACTIVE for row in self.world.stored.values()))
    @rule(data=st.data())
    def waiter_ends_a_conversation(self, data: st.DataObject) -> None:
        row = self._choose(data, [row for row in self.world.stored.values() if row.state is ACTIVE])
        assert row.waiter is not None
        self.world.leave(row.id, row.waiter)
        self.world.run()

    @precondition(lambda self: any(row.state is ACTIVE for row in self.world.stored.values()))
    @rule(data=st.data())
    def waiter_transfers_a_conversation(self, data: st.DataObject) -> None:
        row = self._choose(data, [row for row in self.world.stored.values() if row.state is ACTIVE])
        assert row.waiter is not None
        target = WAITERS[row.waiter == WAITERS[0]]
        for process in self.world.processes:
            if process.leads:
                process.spawn(process.dispatcher.transfer(TransferRequest(row.id, row.waiter, target)))
        self.world.run()

    # --- the lease ---

    @rule(index=st.sampled_from((0, 1)), is_smooth=st.booleans())
    def lease_moves(self, index: int, is_smooth: bool) -> None:
        """Let the lease expire, unnoticed by its holder, and let a process take it.

        :arg is_smooth: let the new holder read everything, get all reports and make its first decisions.
        """
        process = self.world.processes[index]
        self._move_lease(process)
        if is_smooth:
            self._let_decide(process)

    def _move_lease(self, process: Process) -> None:
        for each in self.world.processes:
            each.has_lease = False
        self.world.take_lease(process)
        self.world.run()

    def _let_decide(self, process: Process) -> None:
        for seconds in (0.0, 2.0, 0.0):
            self.world.flush(process)
            self.world.run(seconds)

    @rule()
    def lease_is_lost_unnoticed(self) -> None:
        for process in self.world.processes:
            process.has_lease = False

    @rule()
    def coordinator_without_lease_steps_down(self) -> None:
        self.world.step_down()
        self.world.run()

    # --- decisions that are held up between decision and commit ---

    @rule(data=st.data(), count=st.integers(1, 3), leads_again=st.booleans())
    def coordinator_stores_after_another_has_decided(
        self, data: st.DataObject, count: int, leads_again: bool
    ) -> None:
        """Suspend a coordinator while it stores; another decides for the users and waiters that are left.

        :arg leads_again: let the first begin another term before its writes are executed.
        """
        world = self.world
        suspended = self._deciding_process()
        (other,) = (each for each in world.processes if each is not suspended)
        self._change_the_queue(data, suspended)
        self._move_lease(other)
        self._let_decide(other)
        if leads_again:
            self._move_lease(suspended)
            while suspended.store.reads or suspended.store.found:
                suspended.take_query_step(0)
            world.run()
        for _ in range(min(count, len(suspended.store.writes))):
            suspended.execute_write("stored")
        world.run()

    @rule(data=st.data(), is_stored=st.booleans())
    def commit_is_in_doubt_and_others_are_decided_on(self, data: st.DataObject, is_stored: bool) -> None:
        """Answer a commit with an error, and let its coordinator decide for the users that are left."""
        process = self._deciding_process()
        while process.store.written:
            process.answer_write()
        if process.store.writes:
            process.execute_write("in doubt" if is_stored else "refused")
        self._change_the_queue(data, process)
        while process.reports:
            process.reports.popleft()()
        while process.store.written:
            process.answer_write()
        self.world.run()
        while process.store.writes:
            process.execute_write("stored")
        self.world.run()

    def _deciding_process(self) -> Process:
        """Return the process with the lease, which has writes that are not executed yet.

        If there are none, two users come and the first waiter gets ready, so that the process decides.
        """
        world, (waiter, _) = self.world, WAITERS
        if not any(each.has_lease for each in world.processes):
            self._move_lease(world.processes[0])
        process = next(each for each in world.processes if each.has_lease)
        if process.store.writes:
            return process
        self._let_decide(process)
        for row in [row for row in world.stored.values() if row.state is ACTIVE and row.waiter == waiter]:
            world.leave(row.id, waiter)
        world.on_duty[waiter] = True
        world.report_waiter(waiter)
        for user in USERS[:2]:
            world.join(user)
        while process.inbox:
            process.dispatcher.on_event(process.inbox.popleft())
        while process.reports:
            process.reports.popleft()()
        world.run()
        return process

    def _change_the_queue(self, data: st.DataObject, process: Process) -> None:
        """Let a user that ``process`` has decided on lose its connection, and another user come.

        So the next decision is on another user, and the version of the row does not refuse the first.
        """
        world = self.world
        decided = [case.row.user for case in process.dispatcher.cases.values() if case.decision is not None]
        lost = self._choose(data, (None, *(user for user in decided if user in world.present)))
        come = self._choose(data, (None, *(user for user in USERS if user not in world.present)))
        if lost is not None:
            world.drop(lost)
        if come is not None:
            world.join(come)

    # --- the database ---

    @precondition(lambda self: any(each.store.writes for each in self.world.processes))
    @rule(data=st.data(), outcome=st.sampled_from(("stored", "stored", "stored", "refused", "in doubt")))
    def write_is_executed(self, data: st.DataObject, outcome: str) -> None:
        process = self._choose(data, [each for each in self.world.processes if each.store.writes])
        process.execute_write(outcome)
        self.world.run()

    @precondition(lambda self: any(each.store.written for each in self.world.processes))
    @rule(data=st.data())
    def write_is_answered(self, data: st.DataObject) -> None:
        self._choose(data, [each for each in self.world.processes if each.store.written]).answer_write()
        self.world.run()

    @precondition(lambda self: any(each.store.reads or each.store.found for each in self.world.processes))
    @rule(data=st.data(), index=st.integers(0, 3), fails=st.sampled_from((False, False, False, True)))
    def query_takes_a_step(self, data: st.DataObject, index: int, fails: bool) -> None:
        processes = [each for each in self.world.processes if each.store.reads or each.store.found]
        self._choose(data, processes).take_query_step(index, fails=fails)
        self.world.run()

    @rule(index=st.sampled_from((0, 1)))
    def resync_starts(self, index: int) -> None:
        process = self.world.processes[index]
        if process.leads:
            process.spawn(process.dispatcher.resync())
            self.world.run()

    # --- messages and time ---

    @precondition(lambda self: any(each.inbox for each in self.world.processes))
    @rule(data=st.data(), is_lost=st.sampled_from((False, False, False, True)))
    def event_arrives(self, data: st.DataObject, is_lost: bool) -> None:
        process = self._choose(data, [each for each in self.world.processes if each.inbox])
        event = process.inbox.popleft()
        if not is_lost:
            process.dispatcher.on_event(event)
        self.world.run()

    @precondition(lambda self: self.world.inbox)
    @rule(is_lost=st.sampled_from((False, False, False, True)))
    def event_arrives_at_the_participants(self, is_lost: bool) -> None:
        event = self.world.inbox.popleft()
        if not is_lost:
            self.world.show(event)
        self.world.run()

    @precondition(lambda self: any(each.reports for each in self.world.processes))
    @rule(data=st.data())
    def report_arrives(self, data: st.DataObject) -> None:
        self._choose(data, [each for each in self.world.processes if each.reports]).reports.popleft()()
        self.world.run()

    @rule(seconds=st.sampled_from((0.5, 2.0, 6.0, GRACE_SECONDS)))
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(index=st.sampled_from((None, 0, 1)))
    def everything_arrives(self, index: int | None) -> None:
        self.world.flush(None if index is None else self.world.processes[index])

    # --- checks ---

    @invariant()
    def places_are_kept(self) -> None:
        self.world.check_places()

    def teardown(self) -> None:
        try:
            if sys.exception() is None:  # else the end would hide the step that failed
                self._become_quiet()
                self._check_the_end()
        finally:
            self.world.close()

    def _become_quiet(self) -> None:
        """Let everything arrive and be stored, and let the coordinator resync, until all graces are over."""
        world = self.world
        if not any(each.has_lease for each in world.processes):
            world.take_lease(world.processes[0])
        world.step_down()
        leader = next(each for each in world.processes if each.has_lease)
        for _ in range(20):
            world.flush()
            world.resync_participants()
            if not leader.leads:
                leader.begin()
            else:
                leader.spawn(leader.dispatcher.resync())
            world.run()
            world.flush()
            world.run(QUIET_SECONDS / 20)

    def _check_the_end(self) -> None:
        world, check = self.world, self.world.check
        dispatcher = next(each for each in world.processes if each.leads).dispatcher
        unfinished = {row.id: row for row in world.stored.values() if row.state is not ENDED}
        versions = {id: row.changes for id, row in unfinished.items()}
        known = {id: case.row.changes for id, case in dispatcher.cases.items()}
        check(known == versions, "the coordinator knows other versions than the database", known)
        users = {row.user for row in unfinished.values()}
        check(users == world.present.keys(), "a conversation has no user, or a present user has none")
        undecided = all(case.decision is None for case in dispatcher.cases.values())
        check(undecided, "a decision is pending for ever")
        for pooled in dispatcher.queue.pool:
            check(pooled.load == world.load(pooled.person), "a place is lost, or taken twice", pooled)
        waiting = {row.id for row in unfinished.values() if row.state is WAITING}
        queued = {ticket.number for ticket in dispatcher.queue.in_order()}
        check(queued == waiting, "the queue differs from the waiting users", queued)
        free = [person for person, ready in world.on_duty.items() if ready and world.load(person) < CAPACITY]
        check(not waiting or not free, "a user waits although a place is free", free)
        served = all(row.waiter in world.on_duty for row in unfinished.values() if row.state is ACTIVE)
        check(served, "the waiter of an active conversation is lost for good")
        ready = {person for person, is_ready in world.on_duty.items() if is_ready}
        check(dispatcher.serving == ready, "other waiters serve than those on duty", dispatcher.serving)
        published = {
            dispatcher.cases[ticket.number].published_serving for ticket in dispatcher.queue.in_order()
        }
        check(published <= {len(ready)}, "a waiting user knows another number of waiters", published)


@pytest.mark.slow
def test_no_order_of_events_breaks_a_promise(pytestconfig: pytest.Config, expected_logs: list[str]) -> None:
    """Try the same orders each time, or, with ``--hypothesis-seed=NUMBER``, others."""
    expected_logs += EXPECTED_LOGS
    options = settings(
        max_examples=200,
        stateful_step_count=50,
        deadline=None,
        derandomize=pytestconfig.getoption("--hypothesis-seed") is None,
    )
    run_state_machine_as_test(DispatchMachine, settings=options)


def test_a_user_that_returns_while_its_end_is_being_stored_is_shown_the_end() -> None:
    machine = DispatchMachine()
    world, coordinator, user = machine.world, machine.world.processes[0], USERS[0]
    world.run()
    world.drop(user)
    world.flush()
    world.run(GRACE_SECONDS)
    (id,) = (row.id for row in world.stored.values() if row.user == user)
    world.join(user)
    world.run()
    coordinator.execute_write("stored")
    assert world.stored[id].state is ENDED
    assert user in world.present  # the event of the end is on its way
    machine.teardown()
    assert user not in world.present
