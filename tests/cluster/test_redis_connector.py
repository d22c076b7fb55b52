"""Tests of the ways to connect to a Redis, and of the texts of connection errors."""

import asyncio
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from tests.cluster.conftest import THREAD, EventRecorder, LinkObserver, message, process, settings
from tests.helpers.own_server import free_port
from tests.helpers.redis_server import RedisSentinel, RedisServer
from tornado_chat import config
from tornado_chat.cluster.lease import RedisLease
from tornado_chat.config.redis_url import RedisUrl, parse

LOST = "until it is back, the processes receive no events of each other"


async def check_works(cluster: config.Cluster) -> None:
    async with process(cluster) as here, process(cluster) as there:
        assert not here.problem
        recorder = EventRecorder(there)
        await there.subscribe(THREAD)
        here.publish(message(1))
        assert await recorder.until(1) == [1]


async def problem(cluster: config.Cluster) -> str:
    async with process(cluster) as here:
        return here.problem


@pytest.mark.gen_test
async def test_a_unix_socket(redis: RedisServer) -> None:
    await check_works(settings(redis, url=f"unix://{redis.socket}?db=3"))


@pytest.mark.gen_test
async def test_passwords(memory: Path, tmp_path: Path, expected_logs: list[str]) -> None:
    expected_logs.append(LOST)
    (tmp_path / "password").write_text("p@ss/word\n")
    with RedisServer(memory / f"redis-{tmp_path.name}", "--requirepass", "p@ss/word") as server:
        at = f"127.0.0.1:{server.port}"
        await check_works(settings(server, url=f"redis://:p%40ss%2Fword@{at}"))
        await check_works(settings(server, url=f"redis://default:p%40ss%2Fword@{at}/2"))
        await check_works(settings(server, password_file=str(tmp_path / "password")))
        for wrong in (f"redis://:wrong@{at}", f"redis://{at}"):
            text = await problem(settings(server, url=wrong))
            assert text.startswith(f"Redis at {at} refuses the login: ")
            assert "password in [cluster] url or password_file" in text
            assert "wrong@" not in text


@pytest.mark.gen_test
async def test_tls(memory: Path, tmp_path: Path, expected_logs: list[str]) -> None:
    expected_logs.append(LOST)
    _certify(tmp_path)
    files = (*("--tls-cert-file", str(tmp_path / "cert")), *("--tls-key-file", str(tmp_path / "key")))
    options = ("--tls-ca-cert-file", str(tmp_path / "cert"), "--tls-auth-clients", "no")
    port = free_port()
    with RedisServer(memory / f"redis-{tmp_path.name}", "--tls-port", str(port), *files, *options) as server:
        url = f"rediss://127.0.0.1:{port}/0"
        await check_works(settings(server, url=f"{url}?ssl-ca={tmp_path / 'cert'}"))
        text = await problem(settings(server, url=url))
        assert "cannot be reached" in text
        assert "certificate verify failed" in text


def _certify(folder: Path) -> None:
    """Create a key and a self-signed certificate of 127.0.0.1."""
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    command = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    )
    files = ("-keyout", str(folder / "key"), "-out", str(folder / "cert"))
    subprocess.run((*command, *subject, *files), check=True, capture_output=True)


@pytest.mark.gen_test
async def test_a_user_that_may_not_publish(own_redis: RedisServer, expected_logs: list[str]) -> None:
    expected_logs.append(LOST)
    cluster, observer = settings(own_redis), LinkObserver()
    async with process(cluster) as here:
        rules = ("ACL", "SETUSER", "chat", "on", ">secret", "~*", "&*", "+@all", "-publish")
        await here.link.execute(*rules)
    user = replace(cluster, url=own_redis.url.replace("//", "//chat:secret@"))
    async with process(user, observer) as bus:
        bus.publish(message(1))
        await observer.until(lambda: observer.disconnect_count == 1)
        assert "refuses a command" in bus.problem
        assert "publish" in bus.problem


@pytest.mark.gen_test
async def test_the_rights_in_the_manual_are_sufficient(own_redis: RedisServer) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "redis.md").read_text()
    (rules,) = (line.split() for line in manual.splitlines() if line.startswith("ACL SETUSER"))
    async with process(settings(own_redis)) as here:
        await here.link.execute(*rules)
    cluster = settings(
        own_redis, prefix="tornado_chat", url=own_redis.url.replace("//", "//chat:password@")[:-1] + "3"
    )
    await check_works(cluster)
    async with process(cluster) as here:
        assert await here.has_remote_subscriber(THREAD) is False
        lease = RedisLease(here.link, asyncio.get_running_loop(), 1)
        assert await lease.acquire(renew=True) == here.link.process
        await lease.release()


@pytest.mark.gen_test
async def test_sentinels_name_the_master_and_the_new_master_after_a_failover(
    memory: Path, tmp_path: Path, expected_logs: list[str]
) -> None:
    expected_logs.append(LOST)
    folder = memory / f"redis-{tmp_path.name}"
    with (
        RedisServer(folder / "a", "--repl-diskless-sync-delay", "0") as first,
        RedisServer(folder / "b", "--replicaof", "127.0.0.1", str(first.port)) as second,
        # A Sentinel looks for replicas at once, and then every ten seconds.
        _replicated(first),
        RedisSentinel(folder / "c", first) as sentinel,
    ):
        url = f"sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/mymaster/1"
        cluster, observer, others = settings(first, url=url), LinkObserver(), LinkObserver()
        async with process(cluster, observer) as here, process(cluster, others) as there:
            assert here.link.is_connected
            first.stop()
            await observer.until(lambda: observer.reconnect_count > 0)
            await others.until(lambda: others.reconnect_count > 0)
            assert await here.link.execute("CONFIG", "GET", "port") == [b"port", str(second.port).encode()]
            recorder = EventRecorder(there)
            await there.subscribe(THREAD)
            here.publish(message(1))
            assert await recorder.until(1) == [1]


@contextmanager
def _replicated(master: RedisServer) -> Iterator[None]:
    with Redis(port=master.port) as client:
        while "slave0" not in (text := client.info("replication")) or text["slave0"]["state"] != "online":
            time.sleep(0.02)
    yield


@pytest.mark.gen_test
@pytest.mark.parametrize("own", [(), ("requirepass secret",)])
async def test_sentinels_with_and_without_a_password(
    memory: Path, tmp_path: Path, own: tuple[str, ...], expected_logs: list[str]
) -> None:
    expected_logs.append(LOST)
    folder = memory / f"redis-{tmp_path.name}"
    with (
        RedisServer(folder / "a", "--requirepass", "secret") as server,
        RedisSentinel(folder / "b", server, "sentinel auth-pass mymaster secret", *own) as sentinel,
    ):
        at = f"127.0.0.1:{sentinel.port}/mymaster"
        await check_works(settings(server, url=f"sentinel://:secret@{at}"))
        if own:
            assert "know no master for the service" in await problem(
                settings(server, url=f"sentinel://:wrong@{at}")
            )
        else:
            assert "refuses the login" in await problem(settings(server, url=f"sentinel://:wrong@{at}"))


@pytest.mark.gen_test
async def test_a_service_that_no_sentinel_knows(
    redis: RedisServer, memory: Path, tmp_path: Path, expected_logs: list[str]
) -> None:
    expected_logs.append(LOST)
    with RedisSentinel(memory / f"redis-{tmp_path.name}", redis) as sentinel:
        text = await problem(settings(redis, url=f"sentinel://127.0.0.1:{sentinel.port}/other"))
        assert text.startswith(
            f"the Sentinels 127.0.0.1:{sentinel.port} know no master for the service other"
        )


# --- urls ---


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("redis://host", RedisUrl(hosts=(("host", 6379),))),
        ("redis://host:1/2", RedisUrl(hosts=(("host", 1),), db=2)),
        ("redis://[::1]:1/", RedisUrl(hosts=(("::1", 1),))),
        ("rediss://u:p%40@host", RedisUrl(hosts=(("host", 6379),), user="u", password="p@", tls=True)),
        ("unix:///run/r.sock", RedisUrl(path="/run/r.sock")),
        ("unix://:p@/run/r.sock?db=1", RedisUrl(path="/run/r.sock", password="p", db=1)),
        (
            "sentinel://:p@a,b:2/main/3",
            RedisUrl(hosts=(("a", 26379), ("b", 2)), service="main", db=3, password="p"),
        ),
        ("rediss+sentinel://a/main", RedisUrl(hosts=(("a", 26379),), service="main", tls=True)),
    ],
)
def test_urls(url: str, parsed: RedisUrl) -> None:
    assert parse(url) == parsed
    assert "password" not in repr(parse(url))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("localhost:6379", "it has to look like redis://host:6379/0"),
        ("http://host", "it has to look like redis://host:6379/0"),
        ("redis://", "it has no host"),
        ("redis://host:x", 'its port "x" is no number'),
        ("redis://host:0", 'its port "0" is no number'),
        ("redis://host/x", '"x" is no number of a database'),
        ("redis://a,b", "it has several hosts; a URL of Sentinels looks like sentinel://"),
        ("redis://user@host", "a user without a password"),
        ("redis://:pa/ss@host", "a / in a password has to be written as %2F"),
        ("redis://:pa?ss@host", "has to be written as %40, %2F, %3F or %23"),
        ("redis://host#1", "the part after its # is ignored"),
        ("redis://host?ssl-ca=/x", '"/x" cannot be read'),
        ("rediss://host?ssl-cas=/x", 'did you mean "ssl-ca"?'),
        ("rediss://host?ssl-cert=/etc/hostname", "belong together"),
        ("redis://host?ssl-ca=/etc/hostname", "begin the URL with rediss://"),
        ("sentinel://host", "the service of the Sentinels"),
        ("sentinel://host?ssl-ca=/etc/hostname", "begin the URL with sentinels://"),
        ("unix://", "it has no path"),
        ("unix://run/r.sock", "it has no path"),
    ],
)
def test_invalid_urls(url: str, expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)) as caught:
        parse(url)
    assert "pa/ss" not in str(caught.value)
