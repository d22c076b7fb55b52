"""The format of times on the wire: in the server's zone, with its offset, with six digits."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.wire.times import LocalTimes

FORMAT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")
OFFSET = re.compile(r"[+-]\d\d:\d\d")
CENTURY_MICROSECONDS = 100 * 366 * 86_400 * 1_000_000


def to_microseconds(*utc: int) -> int:
    return int(datetime(*utc, tzinfo=UTC).timestamp()) * 1_000_000


def test_a_time_has_an_offset() -> None:
    times = LocalTimes("Asia/Shanghai")
    time = to_microseconds(2025, 3, 20, 0, 26, 45) + 391_706
    assert times.format(time) == times.format(time) == "2025-03-20T08:26:45.391706+08:00"


def test_a_time_without_offset_has_the_format_of_the_seed() -> None:
    times = LocalTimes("Asia/Shanghai").without_offset()
    time = to_microseconds(2025, 3, 20, 0, 26, 45) + 391_706
    assert times.format(time) == times.format(time) == "2025-03-20T08:26:45.391706"


def test_a_full_second_has_six_digits() -> None:
    time = to_microseconds(2025, 3, 20, 8, 26, 45)
    assert LocalTimes("UTC").format(time) == "2025-03-20T08:26:45.000000+00:00"


@pytest.mark.parametrize(
    ("utc", "local"),
    [
        ((2025, 3, 30, 0, 59, 59), "2025-03-30T01:59:59.000000+01:00"),
        ((2025, 3, 30, 1, 0, 0), "2025-03-30T03:00:00.000000+02:00"),
        ((2025, 10, 26, 0, 30, 0), "2025-10-26T02:30:00.000000+02:00"),
        ((2025, 10, 26, 1, 30, 0), "2025-10-26T02:30:00.000000+01:00"),
    ],
)
def test_summer_time_begins_and_ends(utc: tuple[int, ...], local: str) -> None:
    times = LocalTimes("Europe/Berlin")
    assert times.format(to_microseconds(*utc)) == local
    assert times.without_offset().format(to_microseconds(*utc)) == local[:-6]


def test_the_default_zone_is_the_machines() -> None:
    now = to_microseconds(2025, 7, 1, 12, 0, 0)
    expected = datetime.fromtimestamp(now // 1_000_000, UTC).astimezone()
    assert LocalTimes().format(now) == expected.isoformat(timespec="microseconds")


def test_an_unknown_zone_raises() -> None:
    with pytest.raises(ZoneInfoNotFoundError):
        LocalTimes("Mars/Olympus")


@given(
    time=st.integers(0, CENTURY_MICROSECONDS),
    zone=st.sampled_from(["UTC", "Asia/Shanghai", "America/St_Johns"]),
)
def test_every_time_is_read_back_as_the_same_moment(time: int, zone: str) -> None:
    times = LocalTimes(zone)
    text, plain = times.format(time), times.without_offset().format(time)
    assert text.startswith(plain)
    assert FORMAT.fullmatch(plain)
    assert OFFSET.fullmatch(text[len(plain) :])
    assert datetime.fromisoformat(text) == datetime.fromtimestamp(0, UTC) + timedelta(microseconds=time)
