"""A short run of ``scripts/soak --processes 3``."""

from pathlib import Path

import pytest

from tests.helpers.chaos import Chaos, Cluster
from tests.helpers.mariadb import MariaDB
from tests.helpers.redis_server import RedisServer


@pytest.mark.slow
@pytest.mark.gen_test(timeout=240)
@pytest.mark.parametrize("children", [False, True], ids=["servers", "children"])
async def test_nothing_is_lost_while_each_part_fails_in_turn(
    tmp_path: Path, own_mariadb: MariaDB, own_redis: RedisServer, children: bool
) -> None:
    cluster = Cluster(tmp_path, own_mariadb, own_redis, 3, children=children)
    totals = await Chaos(cluster, seed=7, report=print, pause=0.5, redis_outage=6.0).run(
        sessions=20, users=20
    )
    assert totals.wrong == []
    assert (totals.lost, totals.stored, totals.received) == (0, totals.sent, totals.sent)
