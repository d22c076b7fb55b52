"""The example of an outbox in ``docs/plugins.md``, with a host that refuses at first."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from tests.conftest import Harness, changed
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tests.plugins.test_reference_doc import EXAMPLES
from tornado_chat import config

[ENDED] = [example for example in EXAMPLES if "class Ended(" in example]


class Host:
    """A web server that answers 500 once, then 204, and keeps the bodies of all requests."""

    def __init__(self) -> None:
        self.bodies: asyncio.Queue[str] = asyncio.Queue()
        statuses = iter([500, *[204] * 100])
        bodies = self.bodies

        class Handler(RequestHandler):
            def post(self) -> None:
                self.set_status(next(statuses))
                bodies.put_nowait(self.request.body.decode())

        socket, self.port = bind_unused_port()
        self.server = HTTPServer(Application([(".*", Handler)], log_function=lambda handler: None))
        self.server.add_socket(socket)


@pytest.fixture
def host(io_loop: IOLoop) -> Iterator[Host]:
    async def make() -> Host:
        return Host()

    host = io_loop.run_sync(make)
    yield host
    host.server.stop()
    io_loop.run_sync(host.server.close_all_connections)


@pytest.fixture
def settings(settings: config.Config, tmp_path: Path, host: Host) -> config.Config:
    folder = tmp_path / "plugins.d"
    folder.mkdir()
    (folder / "ended.py").write_text(ENDED.replace("127.0.0.1:9000", f"127.0.0.1:{host.port}"))
    return changed(settings, "plugins", paths=(str(folder),))


@pytest.mark.gen_test
@pytest.mark.slow
async def test_the_example_with_an_outbox_repeats_what_failed(
    harness: Harness, host: Host, expected_logs: list[str]
) -> None:
    waiter = await harness.waiter(5)
    user = await harness.user(7)
    await user.until("connect_success")
    await user.send_frame("disconnect")
    await waiter.until("disconnected")
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        assert [await host.bodies.get() for _ in range(2)] == ["conversation 1"] * 2
