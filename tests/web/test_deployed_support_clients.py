"""Support clients as they are deployed: other addresses, ``Bearer`` before the token, answers to ``from``.

The frames are those of the pages that the author of the published protocol wrote in its second generation.
"""

from typing import Any

import pytest

from tests.conftest import Harness, changed, on_both, token
from tornado_chat import config
from tornado_chat.client import RawClient

pytestmark = on_both


async def frame_of_type(client: RawClient, type: str) -> dict[str, Any]:
    """Return the next frame of ``type``; the frames before are ignored, as the pages do."""
    while True:
        frame = await client.recv_json()
        if frame["type"] == type:
            return dict(frame)


async def sign_in(harness: Harness, role: str, id: int, scheme: str = "Bearer ") -> RawClient:
    client = await harness.connect(f"/v1/ws/connect/{role}")
    await client.send_json({"type": "auth", "payload": {"token": scheme + token(role, id)}})
    return client


async def talking(harness: Harness) -> tuple[RawClient, RawClient, str]:
    """Return the clients of a user and a waiter, and the address of the user for the waiter."""
    waiter = await sign_in(harness, "waiter", 7)
    await waiter.send_json({"type": "ready", "payload": {}})
    user = await sign_in(harness, "user", 1)
    await user.send_json({"type": "connect", "payload": {}})
    connection = await frame_of_type(waiter, "new_connection")
    connected = await frame_of_type(user, "connect_success")
    assert connection["from"] == connection["payload"]["uuid"]
    assert connected["from"] == connected["payload"]["uuid"]
    return user, waiter, connection["from"]


@pytest.mark.gen_test
async def test_a_conversation_at_the_other_addresses(harness: Harness) -> None:
    user, waiter, address = await talking(harness)
    await waiter.send_json({"type": "message_text", "to": address, "payload": {"message": "how can I help?"}})
    assert (await frame_of_type(user, "message_text"))["payload"] == {"message": "how can I help?"}
    await user.send_json({"type": "message_text", "payload": {"message": "my parcel is late"}})
    heard = await frame_of_type(waiter, "message_text")
    assert (heard["from"], heard["payload"]) == (address, {"message": "my parcel is late"})


@pytest.mark.gen_test
async def test_the_waiter_ends_the_conversation_with_the_user_in_the_payload(harness: Harness) -> None:
    user, waiter, address = await talking(harness)
    await waiter.send_json({"type": "disconnect", "payload": {"uuid": "another"}})
    assert "another" in (await frame_of_type(waiter, "error"))["payload"]["message"]
    await waiter.send_json({"type": "disconnect", "payload": {"uuid": address}})
    assert (await frame_of_type(user, "disconnected"))["from"]
    assert (await frame_of_type(waiter, "disconnected"))["from"] == address


@pytest.mark.gen_test
async def test_to_names_the_user_before_the_payload(harness: Harness) -> None:
    _, waiter, address = await talking(harness)
    await waiter.send_json({"type": "disconnect", "to": "another", "payload": {"uuid": address}})
    assert "another" in (await frame_of_type(waiter, "error"))["payload"]["message"]
    await waiter.send_json({"type": "disconnect", "to": address, "payload": {"uuid": "another"}})
    assert (await frame_of_type(waiter, "disconnected"))["from"] == address


@pytest.mark.gen_test
async def test_the_user_ends_the_conversation(harness: Harness) -> None:
    user, waiter, address = await talking(harness)
    await user.send_json({"type": "disconnect", "payload": {"uuid": "the address of the waiter"}})
    assert (await frame_of_type(waiter, "disconnected"))["from"] == address
    assert (await frame_of_type(user, "disconnected"))["payload"] is None


@pytest.mark.gen_test
@pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer "])
async def test_each_token_of_an_open_socket_may_have_its_scheme(harness: Harness, scheme: str) -> None:
    user = await sign_in(harness, "user", 1, scheme)
    newer = {"type": "auth", "payload": {"token": scheme + token("user", 1)}}
    await user.send_json(newer)
    await user.send_json({"type": "connect"})
    assert (await user.recv_json())["type"] == "initialize"
    assert (await user.recv_json())["type"] == "connect_queue"  # and no frame for the newer token


@pytest.mark.gen_test
async def test_a_counselling_token_may_have_its_scheme(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(f"Bearer%20{token('user', 1, 'Lin')}", session)
    assert "Lin" in (await visitor.recv_json())["msg"]


@pytest.mark.gen_test
async def test_a_scheme_does_not_make_a_token_valid(harness: Harness) -> None:
    for wrong in ("Bearer ", "Bearer", "Bearer x.y.z", f"Basic {token('user', 1)}"):
        client = await harness.connect("/v1/ws/connect/user")
        await client.send_json({"type": "auth", "payload": {"token": wrong}})
        assert (await client.wait_closed()).code == 4401


class TestLegacyAuthSuccess:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", legacy_auth_success=True)

    @pytest.mark.gen_test
    async def test_auth_is_answered_without_a_feature(self, harness: Harness) -> None:
        """Clients of this generation send ``ready`` and ``connect`` as the answer to ``auth_success``."""
        waiter, user = await sign_in(harness, "waiter", 7), await sign_in(harness, "user", 1)
        address = (await waiter.recv_json())["to"]
        answer = await waiter.recv_json()
        assert answer == {
            "id": answer["id"],
            "to": address,
            "type": "auth_success",
            "payload": {"id": "7", "type": "waiter", "name": None},
        }
        await waiter.send_json({"type": "ready", "payload": {}})
        await frame_of_type(user, "auth_success")
        await user.send_json({"type": "connect", "payload": {}})
        await frame_of_type(waiter, "new_connection")
        await user.send_json({"type": "message_text", "payload": {"message": "hello"}})
        assert (await frame_of_type(waiter, "message_text"))["payload"] == {"message": "hello"}


@pytest.mark.gen_test
async def test_auth_has_no_answer_by_default(harness: Harness) -> None:
    waiter = await sign_in(harness, "waiter", 7)
    await waiter.send_json({"type": "nonsense"})
    assert [(await waiter.recv_json())["type"] for _ in range(2)] == ["initialize", "error"]
