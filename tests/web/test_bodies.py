"""Unknown keys of request bodies are errors that name the nearest key."""

import contextlib
import json
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Harness, token
from tornado_chat.core.errors import Malformed, UnknownKey
from tornado_chat.core.texts import error_text
from tornado_chat.web.api import approvals, handovers, participation, revocations, schemas, staff
from tornado_chat.web.api.bodies import find_unknown_key, parse_body

HOST = token("service", "host")


class Part(msgspec.Struct, forbid_unknown_fields=True, rename={"seconds": "for"}):
    seconds: int = 0


class Open(msgspec.Struct):
    part: Part | None = None


class Whole(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(max_length=5)]
    parts: list[Part] = []
    inner: Open | None = None
    data: dict[str, Any] = {}


def refusal(type: Any, body: Any) -> Malformed:
    with pytest.raises(Malformed) as refused:
        parse_body(msgspec.json.Decoder(type), json.dumps(body).encode())
    return refused.value


@pytest.mark.parametrize(
    ("body", "key", "nearest"),
    [
        ({"name": "a", "nmae": "b"}, "`nmae`", "`name`"),
        ({"Name": "a"}, "`Name`", "`name`"),
        ({"name": 5, "part": []}, "`part`", "`parts`"),
        ({"name": "a", "parts": [{}, {"fro": 1}]}, "`parts[1].fro`", "`parts[1].for`"),
        ({"name": "a", "inner": {"part": {"fir": 1}}}, "`inner.part.fir`", "`inner.part.for`"),
        ({"name": "a", "zzz": 1}, "`zzz`", None),
        ({"name": "a", "x\n" * 50: 1}, "`" + "x\\n" * 32 + "`", None),
    ],
)
def test_the_nearest_key_is_named(body: Any, key: str, nearest: str | None) -> None:
    error = refusal(Whole, body)
    assert isinstance(error, UnknownKey)
    assert (error.code, error.detail["key"], error.detail["nearest"]) == ("unknown_key", key, nearest)


def test_the_texts_are_in_both_languages() -> None:
    near, far = refusal(Whole, {"name": "a", "nmae": 1}), refusal(Whole, {"name": "a", "zzz": 1})
    assert error_text("en", near) == "There is no key `nmae`; the nearest one is `name`"
    assert error_text("zh_CN", near) == "没有 `nmae` 这个键; 最接近的键是 `name`"
    assert error_text("en", far) == "There is no key `zzz`; the keys are `name`, `parts`, `inner`, `data`"
    assert error_text("zh_CN", far) == "没有 `zzz` 这个键; 可用的键: `name`, `parts`, `inner`, `data`"


@pytest.mark.parametrize(
    "body",
    [
        {
            "name": "a",
            "inner": {"more": 1},
            "data": {"more": {"even": "more"}},
        },  # structs that forbid no keys
        {"name": "a", "parts": [{"for": 1}], "inner": None},
    ],
)
def test_further_keys_of_open_objects_are_accepted(body: Any) -> None:
    assert parse_body(msgspec.json.Decoder(Whole), json.dumps(body).encode()).name == "a"


def test_other_errors_are_as_before() -> None:
    assert refusal(Whole, {"name": "too long"}).code == "bad_shape"
    assert refusal(Whole, {}).code == "bad_shape"
    assert refusal(Whole, []).code == "bad_shape"
    for body in (b'{"name": 5, ', b'{"name": 5} {', b'{"name": 5, "a": "\\ud83d"}', b"[" * 100_000):
        with pytest.raises(Malformed) as refused:
            parse_body(msgspec.json.Decoder(Whole), body)
        assert type(refused.value) is Malformed


values = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["name", "parts"]), inner),
)


@given(values)
def test_any_body_is_accepted_or_refused(body: Any) -> None:
    data = json.dumps(body).encode()
    with contextlib.suppress(Malformed):
        parse_body(msgspec.json.Decoder(Whole), data)
        assert find_unknown_key(Whole, data) is None
    if (error := find_unknown_key(Whole, data)) is not None:
        assert error_text("en", error)
        assert error_text("zh_CN", error)


BODIES = (
    *(schemas.OpenSession, schemas.CallSupervisor, schemas.Rating, schemas.Notify),
    *(schemas.Prioritise, participation.TakeOver, revocations.Revoke, staff.Credentials),
    *(approvals.Approve, approvals.Refuse, handovers.OfferCreate),
)


@pytest.mark.gen_test
async def test_every_described_body_forbids_unknown_keys(harness: Harness) -> None:
    document = json.loads((await harness.api("GET", "/api/v1/openapi.json")).body)
    bodies = {
        about["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for verbs in document["paths"].values()
        for about in verbs.values()
        if "requestBody" in about
    }
    assert len(bodies) == len(BODIES)
    for name in bodies:
        assert document["components"]["schemas"][name]["additionalProperties"] is False, name
    for struct in BODIES:
        assert struct.__struct_config__.forbid_unknown_fields, struct


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("sessions", {"user_id": 1, "consultant": 2}, "`consultant`; the nearest one is `consultant_id`"),
        (
            "sessions",
            {"user_id": 1, "consultant_id": 2, "appointmentId": 3},
            "`appointmentId`; the nearest one is `appointment_id`",
        ),
        ("revocations", {"role": "user", "id": 1, "duration": "1h"}, "`duration`; the keys are"),
        (
            "notifications",
            {"role": "user", "id": 1, "type": 1, "msg": "m", "data": {"appointmentId": 3}},
            "`data.appointmentId`; the nearest one is `data.apointmentId`",
        ),
    ],
)
async def test_the_server_answers_400(harness: Harness, path: str, body: Any, detail: str) -> None:
    answer = await harness.api("POST", f"/api/v1/{path}", HOST, body)
    problem = json.loads(answer.body)
    assert (answer.code, problem["code"]) == (400, "unknown_key")
    assert detail in problem["detail"]


@pytest.mark.gen_test
async def test_hosts_may_put_keys_of_their_own_into_data(harness: Harness) -> None:
    data = {"apointmentId": 3, "appointmentId": 3, "order": {"id": 5}}
    body = {"role": "user", "id": 1, "type": 1, "msg": "m", "data": data}
    assert (await harness.api("POST", "/api/v1/notifications", HOST, body)).code == 202
