"""What msgspec refuses in a text is read all the same, and handed on as it was."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot.chain import lenient

ODD = [
    rb'"\ud83d"',
    rb'"\uD83D \udC00\ud83d"',
    rb'"\ud83d\ud83d\ude00"',
    rb'"\\\ud83d"',
    rb'"\\ud83d \udc00"',
    b'"\x01 \x1f"',
    rb'"\x \'"',
]
decode = msgspec.json.Decoder(list[msgspec.Raw]).decode


@pytest.mark.parametrize("text", ODD)
def test_an_odd_text_is_read_and_handed_on(text):
    """Msgspec refuses it, reads it masked, and the bytes come out as they went in."""
    body = b'["a", ' + text + b"]"
    with pytest.raises(msgspec.DecodeError):
        decode(body)
    masked = lenient.masked(body)
    assert lenient.is_masked(masked)
    assert lenient.unmasked(bytes(decode(masked)[1])) == text


@pytest.mark.parametrize(
    "body", [b'["\\ud83d\\ude00", "\\\\ud83d", "\\n\\u00e9"]', b"[1,\n\t2]", b""]
)
def test_what_is_in_order_is_the_same_object(body):
    """Nothing is copied where there is nothing to mask."""
    assert lenient.masked(body) is body


@given(st.binary(max_size=60))
def test_any_bytes_come_back(content):
    """To mask and to unmask changes nothing, whatever it is."""
    assert lenient.unmasked(lenient.masked(content)) == content


@given(st.lists(st.text(st.characters(exclude_categories=())), max_size=5))
def test_whatever_pythons_writer_writes_can_be_read(texts):
    """All texts, lone surrogates among them, in either form."""
    body = json.dumps(texts).encode()
    bodies = [lenient.unmasked(bytes(raw)) for raw in decode(lenient.masked(body))]
    assert [json.loads(each) for each in bodies] == texts
