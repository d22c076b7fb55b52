"""Texts that clients send before or around a value, half characters, and the id of a refused frame."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.core.errors import Malformed
from tornado_chat.core.plain_text import is_well_formed
from tornado_chat.wire.parsing import bare_token, parse, peek_id

any_text = st.text(st.characters(codec=None, exclude_categories=()))


@pytest.mark.parametrize(
    "data",
    [
        '{"msg": 1, "id": "c1"}',
        b'{"type": "nonsense", "id": "c1"}',
        r'{"msg": "half \ud83d", "id": "c1"}',
        r'{"type": "message_text", "id": "c1", "payload": {"message": "\ude00 other half"}}',
    ],
)
def test_the_id_of_a_refused_frame_is_found(data: str | bytes) -> None:
    assert peek_id(data) == "c1"


@pytest.mark.parametrize(
    "data",
    [
        *("", "[]", '{"id": 5}', '{"msg": "a"}', '{"id": "c1"', r'{"id": "\ud83d"}'),
        *(b"\xff", "[" * 100_000, "1" * 9999),
    ],
)
def test_frames_without_an_id_that_can_be_sent_have_none(data: str | bytes) -> None:
    assert peek_id(data) is None


@given(text=any_text, id=st.text())
def test_any_text_leaves_the_id_readable(text: str, id: str) -> None:
    assert peek_id(json.dumps({"msg": text, "id": id})) == id


@given(text=any_text)
def test_only_half_a_character_is_refused_as_such(text: str) -> None:
    data = json.dumps({"msg": text})
    if is_well_formed(text):
        assert parse(msgspec.json.Decoder(dict[str, str]), data) == {"msg": text}
    else:
        for form in (dict[str, str], dict[str, msgspec.Raw]):
            with pytest.raises(Malformed) as caught:
                msgspec.json.decode(parse(msgspec.json.Decoder(form), data)["msg"])
            assert caught.value.code == "half_character"


@pytest.mark.parametrize("text", ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c ", "a.b.c"])
def test_a_token_may_follow_its_scheme(text: str) -> None:
    assert bare_token(text) == "a.b.c"


@pytest.mark.parametrize("text", ["", "Bearer", "Basic a.b.c", " Bearer a.b.c", "Bearera.b.c", "a.b.c d"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert bare_token(text) == text


def test_only_one_scheme_is_removed() -> None:
    assert bare_token("Bearer Bearer a.b.c") == "Bearer a.b.c"
