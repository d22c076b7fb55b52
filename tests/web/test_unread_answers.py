"""Clients that ask for large answers and do not read them: they cost little, and not for long."""

import asyncio
import json
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from tests.conftest import Harness, changed, token
from tests.helpers.raw_http import RawConnection
from tornado_chat import config
from tornado_chat.core.errors import Unavailable
from tornado_chat.core.types import Kind, Person, Role, Thread
from tornado_chat.services.messaging import transcripts
from tornado_chat.storage import messages
from tornado_chat.storage.messages import AppendRequest

VISITOR = Person(Role.USER, "1")
MESSAGES, MESSAGE_CHARS = 200, 57_000  # together 11 MB
LIMIT = 4  # large answers of a person


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return changed(settings, "limits", answers_per_person=LIMIT)


@pytest.fixture(autouse=True)
def connections(harness: Harness) -> Iterator[list[RawConnection]]:
    connections: list[RawConnection] = []
    yield connections
    for each in connections:
        each.close()


async def long_session(harness: Harness, count: int = MESSAGES, chars: int = MESSAGE_CHARS) -> int:
    """Return the number of a session with ``count`` messages."""
    number = await harness.session()
    thread = Thread(Kind.SESSION, number)
    for n in range(count):
        text = f"{n} ".ljust(chars, "x")
        await harness.server._store.append(AppendRequest(thread, VISITOR, text, str(n)), 0.0)
    return number


async def ask(harness: Harness, path: str, who: str) -> RawConnection:
    connection = await RawConnection.open(harness.http)
    await connection.request(path, f"Authorization: Bearer {who}")
    return connection


def unsent(harness: Harness) -> int:
    return harness.server._http.unsent_bytes


async def wait_until_written(harness: Harness) -> int:
    """Wait until there are answers that do not grow any more, and return the bytes that they take."""
    before, steps = -1, 0
    while steps < 20 or not before:  # the parts come with pauses
        await asyncio.sleep(0.01)
        steps = steps + 1 if unsent(harness) == before else 0
        before = unsent(harness)
    return before


async def shorten_timeout(harness: Harness) -> None:
    await harness.server.reload(
        changed(harness.config, "limits", answers_per_person=LIMIT, answer_timeout=0.2)
    )


@pytest.mark.parametrize("format", ["txt", "json", "html"])
@pytest.mark.gen_test
async def test_exports_that_are_not_read_take_little_and_are_aborted(
    harness: Harness, connections: list[RawConnection], format: str
) -> None:
    number = await long_session(harness)
    path = f"/api/v1/sessions/{number}/export?format={format}"
    connections += [await ask(harness, path, token("user", 1)) for _ in range(15)]
    await wait_until_written(harness)
    heads = await asyncio.gather(*(each.receive_head() for each in connections))
    assert sum(head.startswith("HTTP/1.1 200") for head in heads) == LIMIT
    refused = [head for head in heads if not head.startswith("HTTP/1.1 200")]
    assert all(head.startswith("HTTP/1.1 429") and "\r\nRetry-After: " in head for head in refused)
    assert len(harness.server._connection_limits.large_answers) == LIMIT
    chunk = transcripts.CHUNK_BYTES + MESSAGE_CHARS + 10_000
    assert 0 < await wait_until_written(harness) <= LIMIT * chunk
    await shorten_timeout(harness)
    while unsent(harness):  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.01)
    await asyncio.gather(
        *(each.wait_closed() for each, head in zip(connections, heads, strict=True) if " 200 " in head)
    )
    while len(harness.server._connection_limits.large_answers):  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.01)
    assert harness.server.metrics.connections_aborted.counts["answer",] == LIMIT
    # Then there is room again.
    assert (await harness.api("GET", path, token("user", 1))).code == 200


@pytest.mark.gen_test
async def test_an_export_that_is_read_is_complete(harness: Harness) -> None:
    number = await long_session(harness, 70, 9_000)
    service = token("service", "host")
    path = f"/api/v1/sessions/{number}/export?format="
    document = json.loads((await harness.api("GET", f"{path}json", service)).body)
    assert [line["seq"] for line in document["messages"]] == list(range(1, 71))
    assert document["session"]["session_id"] == number
    text = (await harness.api("GET", f"{path}txt", service)).body.decode()
    assert text.count("\n") == 72
    html = (await harness.api("GET", f"{path}html", service)).body.decode()
    assert (html.count("<dt>"), html.endswith("</dl>\n</html>\n")) == (70, True)
    answer = await harness.api("GET", f"{path}json", service)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="session-{number}.json"'


@pytest.mark.parametrize("kept", ["close", "keep-alive"])
@pytest.mark.gen_test
async def test_an_export_over_http_1_0_ends_with_the_connection(
    harness: Harness, connections: list[RawConnection], kept: str
) -> None:
    number = await long_session(harness, 70, 9_000)
    connections.append(connection := await RawConnection.open(harness.http))
    connection.read_fast()
    await connection.send(
        f"GET /api/v1/sessions/{number}/export?format=json HTTP/1.0\r\n"
        f"Authorization: Bearer {token('user', 1)}\r\nConnection: {kept}\r\n\r\n"
    )
    head, _, body = (await connection.receive_all()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert len(json.loads(body)["messages"]) == 70


@pytest.mark.gen_test
async def test_an_empty_export_is_complete(harness: Harness) -> None:
    path = f"/api/v1/sessions/{await harness.session()}/export?format="
    service = token("service", "host")
    assert json.loads((await harness.api("GET", f"{path}json", service)).body)["messages"] == []
    assert (await harness.api("GET", f"{path}txt", service)).body.decode().count("\n") == 2
    assert b"<dl>\n\n</dl>" in (await harness.api("GET", f"{path}html", service)).body


@pytest.mark.gen_test
async def test_an_export_ends_with_what_was_stored_at_its_start(
    harness: Harness, connections: list[RawConnection]
) -> None:
    number = await long_session(harness)
    export = await ask(harness, f"/api/v1/sessions/{number}/export?format=txt", token("user", 1))
    connections.append(export)
    await wait_until_written(harness)
    later = AppendRequest(Thread(Kind.SESSION, number), VISITOR, "too late", "later")
    await harness.server._store.append(later, 0.0)
    export.read_fast()
    body = b""
    while not body.endswith(b"0\r\n\r\n"):
        body += await export.receive(1 << 20)
    assert f"{MESSAGES - 1} ".encode() in body
    assert b"too late" not in body


@pytest.mark.gen_test
async def test_an_export_that_fails_is_cut_off_and_not_ended(
    harness: Harness, connections: list[RawConnection], expected_logs: list[str]
) -> None:
    number = await long_session(harness, 20)
    expected_logs.append("an answer was cut off: Unavailable: database_away")
    page, calls = messages.page_after, 0

    def fail_later(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise Unavailable("database_away")
        return page(*arguments)  # type: ignore[arg-type]

    with patch.object(messages, "page_after", fail_later):
        export = await ask(harness, f"/api/v1/sessions/{number}/export", token("user", 1))
        connections.append(export)
        received = await export.receive_all()
    assert received.startswith(b"HTTP/1.1 200")
    assert not received.endswith(b"0\r\n\r\n")


@pytest.mark.gen_test
async def test_pages_that_are_not_read_are_aborted(
    harness: Harness, connections: list[RawConnection]
) -> None:
    connection = await RawConnection.open(harness.http)
    connections.append(connection)
    path = "/api/v1/openapi.json"
    for _ in range(200):  # one after the other on the same connection; none is read
        await connection.request(path)
    await wait_until_written(harness)
    await shorten_timeout(harness)
    while not harness.server.metrics.connections_aborted.counts["answer",]:  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.01)
    size = len((await harness.api("GET", path)).body)
    assert unsent(harness) <= 2 * size
    await connection.wait_closed()


@pytest.mark.gen_test
async def test_large_lists_are_answered_in_several_pages(harness: Harness) -> None:
    number = await long_session(harness, 30, 50_000)
    path = f"/api/v1/sessions/{number}/messages?limit=500&after="
    sizes, after, found = list[int](), 0, list[int]()
    while after is not None:
        answer = await harness.api("GET", f"{path}{after}", token("user", 1))
        page = json.loads(answer.body)
        sizes.append(len(answer.body))
        found += [line["seq"] for line in page["items"]]
        after = page["next"]
    assert found == list(range(1, 31))
    assert len(sizes) == 3
    assert max(sizes) < 700_000


@pytest.mark.gen_test
async def test_the_limit_of_large_answers_can_be_reloaded(
    harness: Harness, connections: list[RawConnection]
) -> None:
    number = await long_session(harness)
    await harness.server.reload(changed(harness.config, "limits", answers_per_person=1))
    path = f"/api/v1/sessions/{number}/export"
    connections.append(await ask(harness, path, token("user", 1)))
    await wait_until_written(harness)
    assert (await harness.api("GET", path, token("user", 1))).code == 429
    assert (await harness.api("GET", path, token("service", "host"))).code == 200
