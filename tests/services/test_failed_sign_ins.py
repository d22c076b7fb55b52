"""The failed sign-ins that plugins get: the first of an account at once, further ones together."""

import pytest

from tests.helpers.clock import Clock
from tornado_chat.core.types import Person, Role, StaffAccount
from tornado_chat.services.auth.failed_sign_ins import WINDOW_SECONDS, FailedSignIns


def account(name: str) -> StaffAccount:
    return StaffAccount(name, None, Person(Role.CONSULTANT, f"staff-{name}"), 0)


CHEN, LI = account("chen"), account("li")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reports() -> list[tuple[str, int]]:
    return []


@pytest.fixture
def failed(clock: Clock, reports: list[tuple[str, int]]) -> FailedSignIns:
    return FailedSignIns(lambda account, failures: reports.append((account.name, failures)), clock)


def test_the_first_failure_is_reported_at_once_and_the_others_when_the_window_ends(
    failed: FailedSignIns, clock: Clock, reports: list[tuple[str, int]]
) -> None:
    for _ in range(5000):
        failed.add(CHEN)
    failed.add(LI)
    assert reports == [("chen", 1), ("li", 1)]
    clock.now += WINDOW_SECONDS
    failed.report_due()
    assert reports[2:] == [("chen", 4999)]
    clock.now += WINDOW_SECONDS
    failed.report_due()
    assert len(reports) == 3
    failed.add(CHEN)
    assert reports[3:] == [("chen", 1)]


def test_an_attacker_causes_one_report_in_each_window(
    failed: FailedSignIns, clock: Clock, reports: list[tuple[str, int]]
) -> None:
    for _ in range(40):
        for _ in range(100):
            failed.add(CHEN)
        clock.now += WINDOW_SECONDS / 4
        failed.report_due()
    assert sum(count for _, count in reports) == 4000
    assert len(reports) == 11


def test_the_failures_before_a_sign_in_and_before_the_end_are_reported(
    failed: FailedSignIns, reports: list[tuple[str, int]]
) -> None:
    for _ in range(3):
        failed.add(CHEN)
        failed.add(LI)
    failed.report_rest(CHEN)
    assert reports[2:] == [("chen", 2)]
    failed.report_all()
    assert reports[3:] == [("li", 2)]
    failed.report_all()
    assert len(reports) == 4
