"""A few seconds of what ``scripts/soak`` does for minutes."""

from pathlib import Path

import pytest

from tests.conftest import on_both
from tests.helpers.soaking import Soak


@pytest.mark.slow
@pytest.mark.gen_test(timeout=150)
@on_both
async def test_nothing_acknowledged_is_lost_while_all_is_cut_and_killed(
    tmp_path: Path, database_kind: str, request: pytest.FixtureRequest
) -> None:
    mariadb = request.getfixturevalue("own_mariadb") if database_kind == "mariadb" else None
    soak = Soak(tmp_path, seconds=12, seed=7, say=lambda text: None, mariadb=mariadb)
    count = await soak.run(sessions=4, users=4)
    assert count.wrong == []
    assert (count.lost, count.stored, count.received) == (0, count.sent, count.sent)
    assert count.kills + count.stops > 0
    assert count.cuts > 0
