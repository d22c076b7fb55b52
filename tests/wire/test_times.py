"""The format of times on the wire: local, without zone, with six digits."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.wire.times import LocalTimes

FORMAT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")
CENTURY_MICROSECONDS = 100 * 366 * 86_400 * 1_000_000


def to_microseconds(*utc: int) -> int:
    return int(datetime(*utc, tzinfo=UTC).timestamp()) * 1_000_000


def test_a_time_has_the_format_of_the_seed() -> None:
    assert LocalTimes("Asia/Shanghai").format(to_microseconds(2025, 3, 20, 0, 26, 45) + 391_706) == (
        "2025-03-20T08:26:45.391706"
    )


def test_a_full_second_has_six_digits() -> None:
    assert LocalTimes("UTC").format(to_microseconds(2025, 3, 20, 8, 26, 45)) == "2025-03-20T08:26:45.000000"


@pytest.mark.parametrize(
    ("utc", "local"),
    [
        ((2025, 3, 30, 0, 59, 59), "2025-03-30T01:59:59.000000"),
        ((2025, 3, 30, 1, 0, 0), "2025-03-30T03:00:00.000000"),
        ((2025, 10, 26, 0, 59, 59), "2025-10-26T02:59:59.000000"),
        ((2025, 10, 26, 1, 0, 0), "2025-10-26T02:00:00.000000"),
    ],
)
def test_summer_time_begins_and_ends(utc: tuple[int, ...], local: str) -> None:
    assert LocalTimes("Europe/Berlin").format(to_microseconds(*utc)) == local


def test_the_default_zone_is_the_machines() -> None:
    now = to_microseconds(2025, 7, 1, 12, 0, 0)
    expected = datetime.fromtimestamp(now // 1_000_000).astimezone().replace(tzinfo=None)
    assert LocalTimes().format(now) == expected.isoformat(timespec="microseconds")


def test_an_unknown_zone_raises() -> None:
    with pytest.raises(ZoneInfoNotFoundError):
        LocalTimes("Mars/Olympus")


@given(
    time=st.integers(0, CENTURY_MICROSECONDS),
    zone=st.sampled_from(["UTC", "Asia/Shanghai", "America/St_Johns"]),
)
def test_every_time_has_the_format_and_keeps_its_microseconds(time: int, zone: str) -> None:
    text = LocalTimes(zone).format(time)
    assert FORMAT.fullmatch(text)
    assert int(text[-6:]) == time % 1_000_000
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    assert time // 1_000_000 in {int(local.replace(fold=fold).timestamp()) for fold in (0, 1)}
