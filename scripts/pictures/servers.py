"""The servers for the screenshots: a temporary tornado_chat, and a web site that contains the widget."""

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path

from scene import SECRET
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler, StaticFileHandler

STATIC = Path(str(resources.files("tornado_chat.web") / "static"))


@contextlib.asynccontextmanager
async def served(state: Path) -> AsyncIterator[tuple[str, str]]:
    """Run both servers, and yield the URLs of tornado_chat and of the web site."""
    [socket] = bind_sockets(0, "127.0.0.1")
    shop = f"http://127.0.0.1:{socket.getsockname()[1]}"
    async with _chat(state, shop) as url:
        page = (STATIC / "demo" / "index.html").read_text("utf-8")
        page = page.replace("{{static}}", "/static").replace('src="/widget.js"', f'src="{url}/widget.js"')
        site = HTTPServer(
            Application(
                [(r"/static/(.+)", StaticFileHandler, {"path": STATIC}), (r"/", Shop, {"page": page})]
            )
        )
        site.add_socket(socket)
        try:
            yield url, shop
        finally:
            site.stop()


class Shop(RequestHandler):
    def initialize(self, page: str) -> None:
        self._page = page

    def get(self) -> None:
        self.write(self._page)


@contextlib.asynccontextmanager
async def _chat(state: Path, shop: str) -> AsyncIterator[str]:
    (state / "secret").write_text(SECRET)
    options = [
        "server.port=0",
        f"server.state_dir={state / 'state'}",
        f"auth.secret_file={state / 'secret'}",
        "auth.guests=on",
        "limits.guests_per_minute=1000",
        f"web.origins={shop}",
        "support.capacity=30",
        "plugins.enabled=",
    ]
    arguments = [word for option in options for word in ("--set", option)]
    account = ("staff", "add", "grace", "--role", "admin", "--generate")  # so that /signin shows its form
    for command in (("db", "upgrade"), account):
        _, errors = await (await _run(*command, *arguments)).communicate()
        if errors:
            raise SystemExit(errors.decode())
    process = await _run("serve", *arguments)
    assert process.stderr is not None
    log, found = b"", None
    while found is None:
        line = await process.stderr.readline()
        if not line:
            raise SystemExit(f"the server did not start:\n{log.decode()}")
        log += line
        found = re.search(r"url=(http://\S+)", line.decode())
    reading = asyncio.create_task(process.stderr.read())
    try:
        yield found[1]
    finally:
        process.terminate()
        await process.wait()
        reading.cancel()


async def _run(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tornado_chat", *arguments), stdout=asyncio.subprocess.DEVNULL, stderr=pipe
    )
