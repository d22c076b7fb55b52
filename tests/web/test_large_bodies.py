"""Requests with a body above ``[limits] frame_bytes``."""

import json

import pytest

from tests.conftest import Harness, token
from tests.helpers.raw_http import RawConnection
from tornado_chat import config

LIMIT = config.Limits().frame_bytes
LARGE = 3_000_000
PATH = "/api/v1/notifications"


def check_refusal(answer: bytes, text: str = f"Too big: at most {LIMIT} bytes") -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0].startswith("HTTP/1.1 413 ")
    assert {"Content-Type: application/problem+json", "Connection: close"} <= {*lines}
    problem = json.loads(body)
    assert (problem["status"], problem["code"], problem["detail"]) == (413, "too_big", text)


async def post(harness: Harness, *headers: str) -> RawConnection:
    connection = await RawConnection.open(harness.http)
    authorization = f"Authorization: Bearer {token('service', 'host')}"
    await connection.request(PATH, authorization, *headers, method="POST")
    return connection


@pytest.mark.gen_test
async def test_a_client_that_sends_all_before_it_reads_gets_the_reason(harness: Harness) -> None:
    connection = await post(harness, f"Content-Length: {LARGE}")
    await connection.send("x" * LARGE)
    check_refusal(await connection.receive_all())
    connection.close()


@pytest.mark.gen_test
async def test_a_client_that_waits_for_100_gets_the_answer_before_it_sends(harness: Harness) -> None:
    connection = await post(
        harness, f"Content-Length: {LARGE}", "Expect: 100-continue", "Accept-Language: zh-CN"
    )
    received = await connection.receive_until(b"}")
    check_refusal(received, f"消息太大, 上限 {LIMIT} 字节")
    connection.close()


@pytest.mark.gen_test
async def test_chunks_count_together(harness: Harness) -> None:
    connection = await post(harness, "Transfer-Encoding: chunked")
    for _ in range(LARGE // 30_000):
        await connection.send(f"{30_000:x}\r\n{'x' * 30_000}\r\n")
    await connection.send("0\r\n\r\n")
    check_refusal(await connection.receive_all())
    connection.close()


@pytest.mark.gen_test
async def test_a_client_that_does_not_stop_is_cut_off(harness: Harness) -> None:
    connection = await post(harness, f"Content-Length: {10**15}")
    with pytest.raises(ConnectionError):
        await connection.send("x" * 100_000_000)
    connection.close()


@pytest.mark.gen_test
async def test_a_body_of_the_limit_is_read(harness: Harness) -> None:
    connection = await post(harness, f"Content-Length: {LIMIT}", "Connection: close")
    await connection.send("x" * LIMIT)
    assert (await connection.receive_all()).startswith(b"HTTP/1.1 400 ")
    connection.close()
