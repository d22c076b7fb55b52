"""Messages between pairs on a temporary MariaDB server with its safe defaults, which sync each commit."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.mariadb import MariaDB, make_data
from tornado_chat.bench import relay
from tornado_chat.bench.comparison import compare_rates


def measure(rounds: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="tornado-chat-bench-") as folder:
        data, directory = Path(folder) / "new", Path(folder) / "server"
        data.mkdir()
        directory.mkdir()
        with (
            MariaDB(directory, make_data(data), "--innodb-buffer-pool-size=128M") as server,
            server.database() as name,
        ):
            url = server.url(name)
            yield from compare_rates(
                f"mariadb: {relay.PAIRS} pairs, {relay.IN_FLIGHT} messages of each socket under way",
                {
                    "stock Tornado, in memory": relay.stock_pairs,
                    "counselling, SQLite, full": lambda: relay.counselling("storage.durability=full"),
                    "counselling, MariaDB": lambda: relay.counselling(f"storage.url={url}"),
                },
                rounds,
            )
