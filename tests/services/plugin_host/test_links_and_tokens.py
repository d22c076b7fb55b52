"""The tokens that plugins mint, and the addresses that they make."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tornado_chat import config
from tornado_chat.core.errors import TooFast
from tornado_chat.core.types import Operation, Person, Role
from tornado_chat.plugins.data_keepers import DataKeepers
from tornado_chat.services.auth import plugin_tokens
from tornado_chat.services.auth.keys import load_keys
from tornado_chat.services.auth.plugin_tokens import PluginTokens
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.plugin_host.page_urls import page_url
from tornado_chat.storage import operations
from tornado_chat.storage.writer import Transaction

WU = Person(Role.SUPERVISOR, "3")


class Keepers(DataKeepers):
    """Refuses to record, if there is a reason."""

    refusal: str = ""

    def record(self, tx: Transaction, operation: Operation) -> None:
        if self.refusal:
            raise ValueError(self.refusal)


async def recorded(store: Store) -> Sequence[Operation]:
    return await store.read(operations.latest, 100)


@pytest.mark.gen_test
async def test_a_token_is_valid_and_recorded(store: Store, tmp_path: Path) -> None:
    auth = config.Auth()
    tokens = PluginTokens(auth, tmp_path, store, DataKeepers(), asyncio.get_running_loop())
    text = await tokens.mint("mail", WU, 60, "吴督导", {"from": "mail", "exp": 1, "role": "admin"})
    identity = await load_keys(auth, config.Staff(), tmp_path).authenticator.verify(text)
    assert (identity.person, identity.name, identity.claims["from"]) == (WU, "吴督导", "mail")
    [operation] = await recorded(store)
    assert (operation.operator, operation.action, operation.state) == ("plugin mail", "token", "done")
    assert operation.person == "supervisor:3"


@pytest.mark.gen_test
async def test_what_cannot_be_recorded_or_made_is_refused(store: Store, tmp_path: Path) -> None:
    keepers = Keepers()
    keepers.refusal = "the audit log has no key"
    tokens = PluginTokens(config.Auth(), tmp_path, store, keepers, asyncio.get_running_loop())
    with pytest.raises(ValueError, match="audit log has no key"):
        await tokens.mint("mail", WU, 60, None, {})
    with pytest.raises(ValueError, match="valid for some seconds"):
        await tokens.mint("mail", WU, 0, None, {})
    tokens.reconfigure(config.Auth(algorithms=("RS256",)))
    with pytest.raises(ValueError, match="shared secret"):
        await tokens.mint("mail", WU, 60, None, {})
    assert await recorded(store) == []


@pytest.mark.gen_test
async def test_a_plugin_mints_no_flood(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_tokens, "BURST_TOKENS", 2.0)
    tokens = PluginTokens(config.Auth(), tmp_path, store, DataKeepers(), asyncio.get_running_loop())
    for _ in range(2):
        await tokens.mint("mail", WU, 60, None, {})
    with pytest.raises(TooFast):
        await tokens.mint("mail", WU, 60, None, {})
    await tokens.mint("other", WU, 60, None, {})


@pytest.mark.parametrize(
    ("page", "web", "address"),
    [
        ("room", config.Web(), "/room?sessionId=4"),
        ("/shop/orders", config.Web(base_path="/help/chat"), "/help/chat/shop/orders?sessionId=4"),
        (
            "/订单",
            config.Web(public_url="https://chat.example.org"),
            "https://chat.example.org/%E8%AE%A2%E5%8D%95?sessionId=4",
        ),
    ],
)
def test_addresses(page: str, web: config.Web, address: str) -> None:
    assert page_url(web, page, {"sessionId": 4, "type": None}) == address


@pytest.mark.parametrize("page", ["", "rooms", "//evil.example", "/\\evil.example", "https://evil.example"])
def test_an_address_is_on_this_server(page: str) -> None:
    with pytest.raises(ValueError, match="no path"):
        page_url(config.Web(), page, {})
