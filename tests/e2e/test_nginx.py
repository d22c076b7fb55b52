"""The nginx sample configuration, in a real nginx with TLS in front of the real process."""

import asyncio
import datetime
import ipaddress
import json
import re
import secrets
import shutil
import signal
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec
from tornado import netutil
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.ioloop import IOLoop

from tests.conftest import Harness, token
from tests.e2e.conftest import Process, _Address
from tests.helpers.own_server import free_port
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat import config
from tornado_chat.client import ConnectionClosed, NotifyClient

SAMPLE = Path(__file__).parents[2] / "etc" / "nginx" / "tornado-chat.conf"
MAIN = """
daemon off; user root; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/sample.conf;
}}
"""


def write_certificate(folder: Path) -> Path:
    """Write a self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    # A unique name: of several certificates with the same name only the first one would be tried.
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, secrets.token_hex(8))])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = folder / "fullchain.pem"
    pem.write_bytes(certificate.public_bytes(ser.Encoding.PEM))
    plain = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    (folder / "privkey.pem").write_bytes(plain)
    return pem


@asynccontextmanager
async def nginx(process: Process, folder: Path, **directives: str) -> AsyncIterator[tuple[Harness, int]]:
    """Run nginx, and yield the server as clients see it, and the port without TLS.

    :arg directives: as for ``write_configuration``.
    """
    plain, secure = free_port(), free_port()
    socket = folder / "chat.sock"
    # The clients of this test are on this machine, and would count as trusted proxies.
    await process.start(
        f"server.unix_socket={socket}",
        "server.trusted_proxies=",
        "auth.guests=on",
        "limits.guests_per_minute=1",
    )
    write_configuration(folder, f"unix:{socket}", plain, secure, **directives)
    async with running_nginx(folder, secure):
        yield through_nginx(secure), plain


def through_nginx(port: int) -> Harness:
    """Return the server as clients of nginx see it."""
    return Harness(_Address(f"https://127.0.0.1:{port}"), config.Config(), [])  # type: ignore[arg-type]


@asynccontextmanager
async def running_nginx(folder: Path, secure: int) -> AsyncIterator[None]:
    """Run nginx with the configuration in ``folder``.

    :arg secure: the port on which it listens with TLS.
    """
    trusted: ssl.SSLContext = netutil._client_ssl_defaults()
    trusted.load_verify_locations(write_certificate(folder))
    command = shutil.which("nginx") or "/usr/sbin/nginx"
    running = await asyncio.create_subprocess_exec(command, "-p", folder, "-c", folder / "nginx.conf")
    try:
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while not await listens(secure):  # noqa: ASYNC110 - nginx does not report it
                await asyncio.sleep(0.02)
        yield
    finally:
        running.terminate()
        await running.wait()


SAMPLE_HOST = "proxy_set_header Host $http_host;"


def write_configuration(
    folder: Path, upstream: str, plain: int, secure: int, host: str = SAMPLE_HOST
) -> None:
    """Write the sample with other addresses and paths.

    :arg upstream: the address of the server, or several; each but the last with the rest of its line.
    :arg host: replaces the directive of the header ``Host``.
    """
    text = SAMPLE.read_text()
    changes = {
        "unix:/run/tornado-chat.sock": upstream,
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ssl;": f"listen 127.0.0.1:{secure} ssl;",
        "    listen [::]:80;\n": "",
        "    listen [::]:443 ssl;\n": "",
        "/etc/letsencrypt/live/chat.example.org": str(folder),
        "/var/log/nginx": str(folder),
        "chat.example.org": "127.0.0.1",
        SAMPLE_HOST: host,
    }
    for sample, here in changes.items():
        assert sample in text, sample
        text = text.replace(sample, here)
    (folder / "sample.conf").write_text(text)
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder))


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def get(url: str, **headers: str) -> HTTPResponse:
    return await AsyncHTTPClient().fetch(
        HTTPRequest(url, headers=headers, follow_redirects=False), raise_error=False
    )


@pytest.mark.gen_test
async def test_both_dialects_through_nginx(process: Process, tmp_path: Path) -> None:
    async with nginx(process, tmp_path) as (harness, _):
        assert harness.ws.startswith("wss://")
        session = await harness.session()
        visitor = await harness.chat(token("user", 1), session)
        counsellor = await harness.chat(token("consultant", 2), session)
        await visitor.send_json({"msg": "您好"})
        while (heard := await counsellor.recv_json())["isSystem"]:
            pass
        assert heard["msg"] == "您好"
        waiter, user = await harness.waiter(7), await harness.user(3)
        await user.until("connect_success")
        await user.send_frame("message_text", {"message": "hello"})
        assert (await waiter.until("message_text"))["payload"] == {"message": "hello"}
        await process.stop()
        assert (await visitor.wait_closed()).code == 1006  # plain clients are cut
    log = (tmp_path / "tornado-chat.log").read_text()
    assert '"GET /chat HTTP/1.1" 101' in log
    assert "eyJ" not in log + (tmp_path / "tornado-chat.error.log").read_text()


@pytest.mark.gen_test
async def test_pages_requests_and_non_public_paths(process: Process, tmp_path: Path) -> None:
    async with nginx(process, tmp_path) as (harness, plain):
        moved = await get(f"http://127.0.0.1:{plain}/room?a=b")
        assert (moved.code, moved.headers["Location"]) == (301, "https://127.0.0.1/room?a=b")
        room = await get(harness.http + "/room")
        assert room.code == 200
        assert room.headers["Strict-Transport-Security"] == "max-age=31536000"
        # The page's own origin is the public address.
        client = await harness.connect(f"/notify?token={token('user', 1)}", headers={"Origin": harness.http})
        await client.close()
        for path in ("/metrics", "/healthz", "/readyz"):
            assert (await get(harness.http + path)).code == 404
            assert (await get(process.url + path)).code == 200
        large = {"role": "user", "id": 1, "type": 0, "msg": "x" * 70_000}
        answer = await harness.api("POST", "/api/v1/notifications", token("service", "host"), large)
        assert answer.code == 413


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("directive", "host", "has_hint"),
    [("proxy_set_header Host $host;", "127.0.0.1", True), ("", "tornado_chat", False)],
    ids=["without the port", "the upstream's name"],
)
async def test_the_log_explains_the_403_of_another_host_header(
    process: Process, tmp_path: Path, directive: str, host: str, has_hint: bool
) -> None:
    """The same request is accepted with the sample: see the test of the pages."""
    async with nginx(process, tmp_path, host=directive) as (harness, _):
        path = f"/notify?token={token('user', 1)}"
        with pytest.raises(ConnectionClosed) as refused:
            await harness.connect(path, headers={"Origin": harness.http})
        assert refused.value.code == 403
        (line,) = await process.wait_for_log("refused .*reason=origin")
        assert f"origin={harness.http} host={host} " in line
        assert "origins=none" in line
        hint = 'hint="the proxy must pass on the port: proxy_set_header Host $http_host"'
        assert (hint in line) is has_hint
        # A browser that sends its own comparison is not affected; Chromium sends none for a WebSocket.
        modern = {"Origin": harness.http, "Sec-Fetch-Site": "same-origin"}
        await (await harness.connect(path, headers=modern)).close()


@pytest.mark.gen_test
async def test_clients_cannot_forge_their_address(process: Process, tmp_path: Path) -> None:
    async with nginx(process, tmp_path) as (harness, _):

        async def ask(**headers: Any) -> int:
            return (await harness.api("POST", "/api/v1/guest", **headers)).code

        first = await harness.api("POST", "/api/v1/guest")
        assert json.loads(first.body)["id"].startswith("guest-")
        assert await ask() == 429
        assert await ask(**{"X-Real-Ip": "203.0.113.1"}) == 429
        assert await ask(**{"X-Forwarded-For": "203.0.113.2"}) == 429


# --- two upstreams ---

CLIENTS = 20
OPEN_SOCKETS = r'^tornado_chat_sockets\{endpoint="notify"\} (\S+)$'


@pytest.fixture
def two_processes(io_loop: IOLoop, tmp_path: Path) -> Iterator[list[Process]]:
    processes = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        processes.append(Process(tmp_path / name))
    yield processes
    for process in processes:
        io_loop.run_sync(process.stop, timeout=WAIT_TIMEOUT_SECONDS)


@pytest.mark.slow
@pytest.mark.gen_test(timeout=120)
async def test_all_sockets_come_back_after_two_upstreams_were_killed_at_once(
    two_processes: list[Process], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    for process in two_processes:
        await process.start()
    plain, secure = free_port(), free_port()
    first, second = (process.url.removeprefix("http://") for process in two_processes)
    write_configuration(tmp_path, f"{first} max_fails=0;\n    server {second}", plain, secure)
    async with running_nginx(tmp_path, secure):
        harness = through_nginx(secure)
        clients = [await NotifyClient(harness.ws, token("user", n)).connect() for n in range(CLIENTS)]
        assert await sockets_of(two_processes) == CLIENTS

        # One is away: its sockets go to the other, and no request fails.
        await two_processes[0].stop(signal.SIGKILL)
        await until_open(two_processes[1:], CLIENTS)
        assert not refused(tmp_path)
        await two_processes[0].start()

        for process in two_processes:
            await process.stop(signal.SIGKILL)
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while not refused(tmp_path):  # noqa: ASYNC110 - nginx writes the log
                await asyncio.sleep(0.02)
        for process in two_processes:
            await process.start()
        begun, before = time.monotonic(), refused(tmp_path)
        await until_open(two_processes, CLIENTS)
        record_property("sockets back after", f"{time.monotonic() - begun:.1f} s, 502: {before} before")
        assert refused(tmp_path) == before
        for client in clients:
            await client.close()


def refused(folder: Path) -> int:
    """Return how many requests nginx has answered with 502 or 504."""
    return len(re.findall(r'" 50[24] ', (folder / "tornado-chat.log").read_text()))


async def sockets_of(processes: list[Process]) -> int:
    """Return the number of open sockets of ``/notify``, from the metrics."""
    total = 0
    for process in processes:
        text = (await get(process.url + "/metrics")).body.decode()
        total += sum(int(float(value)) for value in re.findall(OPEN_SOCKETS, text, re.MULTILINE))
    return total


async def until_open(processes: list[Process], count: int) -> None:
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while await sockets_of(processes) != count:  # noqa: ASYNC110 - the metrics have no event
            await asyncio.sleep(0.05)
