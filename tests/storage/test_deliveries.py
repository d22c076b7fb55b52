"""Deliveries of plugins: order, outcomes, limits and commands."""

from dataclasses import replace

import peewee as pw
import pytest

from tests.storage.conftest import NOW, VISITOR
from tornado_chat.core.deliveries import Delivery, DeliveryState, NewDelivery
from tornado_chat.storage import deliveries
from tornado_chat.storage.deliveries import Box, Counts, Outcome
from tornado_chat.storage.models import PluginDelivery

BOX, OTHER = Box("mail", "letters"), Box("mail", "parcels")
SECOND = 1_000_000


def add(database: pw.Database, *items: int, box: Box = BOX, target: str = "t", now: int = NOW) -> None:
    new = [NewDelivery(target, str(item), recipient=VISITOR, body=f"body {item}") for item in items]
    deliveries.insert(database, box, new, now)


def upcoming(database: pw.Database, box: Box = BOX) -> list[Delivery]:
    return deliveries.upcoming(database, box, excluded_ids=(), excluded_targets=(), limit=100)


def items(database: pw.Database, box: Box = BOX) -> list[str]:
    return [each.item for each in upcoming(database, box)]


def later(attempts: int = 1, seconds: int = 5) -> Outcome:
    return Outcome(DeliveryState.WAITING, NOW + seconds * SECOND, attempts, "answered 500")


def dead(at: int = NOW) -> Outcome:
    return Outcome(DeliveryState.DEAD, at, 1, "answered 410")


def delivered(at: int = NOW) -> Outcome:
    return Outcome(DeliveryState.DELIVERED, at, 1)


def states(database: pw.Database) -> dict[str, str]:
    return dict(PluginDelivery.select(PluginDelivery.item, PluginDelivery.state).tuples().execute(database))


def test_a_target_gets_an_item_once(database: pw.Database) -> None:
    add(database, 1, 2)
    add(database, 2, 3)
    assert items(database) == ["1", "2", "3"]
    add(database, 2, target="another")
    add(database, 2, box=OTHER)
    assert items(database) == ["1", "2", "3", "2"]
    assert items(database, OTHER) == ["2"]


def test_new_deliveries_come_before_those_that_are_tried_again(database: pw.Database) -> None:
    add(database, 1, 2, 3)
    first, second, _ = upcoming(database)
    deliveries.record(database, first, later(seconds=9))
    deliveries.record(database, second, later(seconds=5))
    add(database, 4, now=NOW + 60 * SECOND)
    assert items(database) == ["3", "4", "2", "1"]
    assert (
        deliveries.upcoming(database, BOX, excluded_ids=[second.id], excluded_targets=(), limit=3)[-1].item
        == "1"
    )
    assert deliveries.upcoming(database, BOX, excluded_ids=(), excluded_targets=["t"], limit=3) == []


def test_deliveries_with_an_order_key_wait_for_the_earlier_ones(database: pw.Database) -> None:
    for item, target, key in (
        ("1", "t", "a"),
        ("2", "t", "a"),
        ("3", "t", "b"),
        ("4", "u", "a"),
        ("5", "t", ""),
    ):
        deliveries.insert(database, BOX, [NewDelivery(target, item, order_key=key)], NOW)
    deliveries.insert(database, OTHER, [NewDelivery("t", "6", order_key="a")], NOW)
    assert items(database) == ["1", "3", "4", "5"]
    assert items(database, OTHER) == ["6"]
    first = upcoming(database)[0]
    deliveries.record(database, first, later())
    assert sorted(items(database)) == ["1", "3", "4", "5"], "it waits for its next attempt"
    [first] = [each for each in upcoming(database) if each.item == "1"]
    deliveries.record(database, first, Outcome(DeliveryState.DEAD, NOW, 2, "answered 410"))
    assert items(database) == ["2", "3", "4", "5"]


def test_an_outcome_of_another_process_is_not_overwritten_by_a_failure(database: pw.Database) -> None:
    add(database, 1)
    [seen] = upcoming(database)
    deliveries.record(database, seen, later(1))
    deliveries.record(database, seen, later(1, seconds=3600))
    [row] = upcoming(database)
    assert (row.attempts, row.next_at, row.last_error) == (1, NOW + 5 * SECOND, "answered 500")
    deliveries.record(database, seen, delivered())  # it has arrived, whatever other attempts say
    deliveries.record(database, row, later(2))
    assert states(database) == {"1": "delivered"}


def test_the_outcome_of_a_removed_delivery_changes_no_other_one(database: pw.Database) -> None:
    add(database, 1)
    [removed] = upcoming(database)
    deliveries.erase_person(database, VISITOR)
    add(database, 2)
    [row] = upcoming(database)
    deliveries.record(database, replace(removed, id=row.id), delivered())
    assert states(database) == {"2": "waiting"}


def test_a_delivery_of_which_an_attempt_was_made(database: pw.Database) -> None:
    deliveries.insert_attempted(database, BOX, NewDelivery("t", "1"), NOW, later(1))
    deliveries.insert_attempted(database, BOX, NewDelivery("t", "2"), NOW, dead())
    deliveries.insert_attempted(database, BOX, NewDelivery("t", "1"), NOW, dead())
    assert states(database) == {"1": "waiting", "2": "dead"}
    [row] = upcoming(database)
    assert (row.attempts, row.recipient, row.since, row.next_at) == (1, "", NOW, NOW + 5 * SECOND)


def test_the_oldest_are_given_up_if_too_many_wait(
    database: pw.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MAX_WAITING_ROWS", 3)
    add(database, 1, 2, 3)
    add(database, 1, box=OTHER)
    add(database, 4, 5)
    assert items(database) == ["3", "4", "5"]
    assert items(database, OTHER) == ["1"]
    assert [each.last_error for each in deliveries.undelivered(database, "mail", True, 9)] == [
        deliveries.TOO_MANY_WAIT
    ] * 2


def test_targets_that_are_left_out_are_given_up(database: pw.Database) -> None:
    add(database, 1, 2, target="a")
    add(database, 3, target="b")
    add(database, 4, box=OTHER, target="a")
    excluded = [each.id for each in upcoming(database) if each.item == "2"]
    assert deliveries.give_up_others(database, BOX, ["b"], excluded, "unknown", NOW) == 1
    assert states(database) == {"1": "dead", "2": "waiting", "3": "waiting", "4": "waiting"}


def test_rows_are_kept_for_some_time(database: pw.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    add(database, 1, 2, 3, 4)
    old, young, given_up, _ = upcoming(database)
    deliveries.record(database, old, delivered(NOW - 2))
    deliveries.record(database, young, delivered(NOW))
    deliveries.record(database, given_up, dead(NOW - 2))

    def expired(delivered_before: int, before: int) -> list[int]:
        return deliveries.expired(database, delivered_before, before, 9)

    assert expired(NOW - 1, NOW - 2) == [old.id]
    assert expired(NOW - 2, NOW - 1) == [given_up.id]
    assert len(expired(NOW - 2, NOW + 1)) == 2  # the waiting one is due since then: its plugin has gone
    assert expired(NOW - 2, NOW - 2) == []
    monkeypatch.setattr(deliveries, "MAX_DEAD_ROWS", 0)
    assert expired(NOW - 2, NOW - 2) == [given_up.id]
    deliveries.remove(database, [given_up.id, old.id])
    assert states(database) == {"2": "delivered", "4": "waiting"}
    deliveries.remove(database, [])


def test_the_queries_of_the_commands(database: pw.Database) -> None:
    add(database, 1, 2, 3)
    add(database, 4, box=Box("sms", "letters"))
    first, second, third = upcoming(database)
    deliveries.record(database, first, dead())
    deliveries.record(database, second, dead())
    deliveries.record(database, third, delivered())
    assert deliveries.counts(database) == {"mail": Counts(0, 2), "sms": Counts(1, 0)}
    assert deliveries.count_states(database, "mail") == {"dead": 2, "delivered": 1}
    assert deliveries.count_states(database, None) == {"dead": 2, "delivered": 1, "waiting": 1}
    assert [each.item for each in deliveries.undelivered(database, None, False, 2)] == ["2", "4"]
    assert [each.item for each in deliveries.undelivered(database, "mail", True, 9)] == ["1", "2"]
    assert deliveries.state_of(database, "mail", third.id) == "delivered"
    assert deliveries.state_of(database, "sms", third.id) is None
    assert deliveries.retry(database, "sms", NOW + 1, first.id) == 0
    assert deliveries.retry(database, None, NOW + 1, first.id) == 1
    [again] = upcoming(database)
    assert (again.attempts, again.since, again.next_at) == (0, NOW + 1, NOW + 1)
    assert deliveries.discard(database, "mail", first.id) == 0, "only dead ones"
    assert deliveries.discard(database, "mail") == 1
    assert states(database) == {"1": "waiting", "3": "delivered", "4": "waiting"}
