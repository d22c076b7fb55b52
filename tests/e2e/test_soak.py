"""A few seconds of ``scripts/soak``."""

from pathlib import Path

import pytest

from tests.conftest import on_both
from tests.helpers.soaking import Soak


@pytest.mark.slow
@pytest.mark.gen_test(timeout=150)
@on_both
async def test_no_acknowledged_message_is_lost_under_faults(
    tmp_path: Path, database_kind: str, request: pytest.FixtureRequest
) -> None:
    mariadb = request.getfixturevalue("own_mariadb") if database_kind == "mariadb" else None
    soak = Soak(tmp_path, seconds=12, seed=7, report=lambda text: None, mariadb=mariadb)
    totals = await soak.run(sessions=4, users=4)
    assert totals.wrong == []
    assert (totals.lost, totals.stored, totals.received) == (0, totals.sent, totals.sent)
    assert totals.kills + totals.stops > 0
    assert totals.cuts > 0
