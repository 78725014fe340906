"""Strangers' text is safe to show and to store, whatever it holds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot import text
from tests.support.hostile import anything, controls


@given(anything, st.integers(1, 80))
def test_one_line_holds_no_control_character_and_keeps_its_limit(written: str, limit: int) -> None:
    """Whatever comes in, one short line comes out, which UTF-8 can hold."""
    shown = text.one_line(written, limit)
    assert len(shown) <= limit
    assert len(shown.splitlines()) <= 1
    assert controls(shown, ends="") == set()
    shown.encode()


@given(anything)
def test_lines_keep_their_ends_and_nothing_else_that_controls(written: str) -> None:
    """A traceback stays readable, and a terminal obeys nothing in it."""
    shown = text.lines(written)
    assert shown.count("\n") == written.count("\n")
    assert controls(shown) == set()
    shown.encode()


@given(anything)
def test_json_means_the_same_with_its_controls_escaped(written: str) -> None:
    """JSON allows C1 controls and what changes a text's direction; a terminal would obey."""
    shown = text.json_escaped(json.dumps({"a": written}, ensure_ascii=False))
    assert controls(shown, ends="") == set()
    assert json.loads(shown) == {"a": written}


@given(anything)
def test_storable_text_is_unchanged_where_it_can_be(written: str) -> None:
    """Only what UTF-8 cannot hold is replaced, character by character."""
    kept = text.storable(written)
    kept.encode()
    assert len(kept) == len(written)
    assert all(a == b or b == "\ufffd" for a, b in zip(written, kept, strict=True))


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\r\nb\0c", "a\\r\\nb\\x00c"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("cut \ud83d", "cut \\ud83d"),
        ("안녕 👩‍🚀 é", "안녕 👩‍🚀 é"),
    ],
)
def test_what_a_person_sees(written: str, shown: str) -> None:
    """Escapes name the character; letters and emoji stay what they are."""
    assert text.one_line(written) == shown
