"""Each benchmark job runs to its end and prints its table. The speed is not checked."""

import pytest
from click.testing import CliRunner

from tornado_chat.bench import connections, fanout, queue, relay
from tornado_chat.bench.jobs import JOBS
from tornado_chat.cli import main


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_a_job_prints_its_table(job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (connections, fanout, relay):
        monkeypatch.setattr(module, "MEASURE_SECONDS", 0.1)
    monkeypatch.setattr(relay, "PAIRS", 2)
    monkeypatch.setattr(relay, "SOCKET_COUNTS", (4, 10))
    monkeypatch.setattr(relay, "SENDING_SOCKETS", 5)
    monkeypatch.setattr(fanout, "OBSERVERS", 3)
    monkeypatch.setattr(fanout, "RECIPIENTS", 2)
    monkeypatch.setattr(connections, "SESSION_COUNT", 60)
    monkeypatch.setattr(connections, "CONCURRENT_CONNECTS", 3)
    monkeypatch.setattr(connections, "IDLE_SOCKETS", 20)
    monkeypatch.setattr(connections, "HISTORY_MESSAGES", 300)
    monkeypatch.setattr(queue, "QUEUE_LENGTHS", (10, 100))
    monkeypatch.setattr(queue, "ITERATIONS", 20)
    done = CliRunner().invoke(main, ["bench", job, "--rounds", "1"])
    assert done.exit_code == 0, done.output
    title, *rows = done.output.splitlines()
    assert title.replace("-", "").startswith(job)
    assert len([row for row in rows if row.strip()]) >= 3
