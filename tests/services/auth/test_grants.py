"""The identities that access control passes on."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tornado_chat.core.types import Identity, Person, Role
from tornado_chat.services.auth.grants import make_grant


def test_no_plugin_changes_the_claims_that_all_sockets_of_a_token_share() -> None:
    given = {"exp": 5, "skills": ["billing"]}
    claims: Any = make_grant(Identity(Person(Role.USER, "1"), None, given)).identity.claims
    changes: list[Callable[[], Any]] = [
        lambda: claims.__setitem__("role", "admin"),
        lambda: claims.update(role="admin"),
        lambda: claims.setdefault("role", "admin"),
        lambda: claims.pop("exp"),
        lambda: claims.__ior__({"role": "admin"}),
        lambda: claims.clear(),
    ]
    for change in changes:
        with pytest.raises(TypeError, match="change a copy"):
            change()
    assert claims == given == json.loads(msgspec.json.encode(claims)) == json.loads(json.dumps(claims))
    for copied in (dict(claims), claims | {}, copy.copy(claims), pickle.loads(pickle.dumps(claims))):
        copied["role"] = "admin"
    assert "role" not in claims
