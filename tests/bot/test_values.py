"""The key/value state: a dict with commits."""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steembot.bot.state import BotState
from steembot.operation import Cursor

HERE = Cursor(7, f"{7:08x}" + "a" * 32, 0, 1)


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("set"), st.sampled_from("abc"), st.integers() | st.text()),
            st.tuples(st.just("del"), st.sampled_from("abc"), st.none()),
            st.tuples(
                st.sampled_from(["commit", "finish", "drop", "reopen"]), st.none(), st.none()
            ),
        ),
        max_size=30,
    )
)
def test_values_behave_as_a_dict_with_commits(tmp_path_factory, steps):
    """Against a plain dict as the model, over commits, drops and restarts."""
    path = tmp_path_factory.mktemp("state") / "s"
    state = BotState(path, chain="steem")
    committed: dict[str, object] = {}
    model: dict[str, object] = {}
    for what, key, value in steps:
        if what == "set":
            state.values[key] = value
            model[key] = value
        elif what == "del":
            if key in model:
                del state.values[key]
                del model[key]
            else:
                with pytest.raises(KeyError):
                    del state.values[key]
        elif what == "commit":
            state.commit_values()
            committed = dict(model)
        elif what == "finish":
            state.finish(HERE)
            committed = dict(model)
        elif what == "drop":
            state.values.drop()
            model = dict(committed)
        else:
            state.close()
            state = BotState(path, chain="steem")
            model = dict(committed)
        assert dict(state.values) == model
        assert len(state.values) == len(model)
        for name in "abc":
            assert (name in state.values) == (name in model)
    state.close()


def test_values_take_text_keys_and_json_only(open_state):
    """A mistake is told where it is made, not at the commit."""
    values = open_state().values
    with pytest.raises(TypeError, match="text keys"):
        values[1] = "x"
    with pytest.raises(TypeError):
        values["x"] = object()
    assert len(values) == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
) | st.tuples(st.integers())


@settings(max_examples=200, deadline=None)
@given(key=st.text(st.characters(exclude_categories=())), value=JSON)
def test_what_is_read_back_equals_what_was_stored_or_is_refused(tmp_path_factory, key, value):
    """Whatever a handler stores: nothing is changed in silence, and nothing else is raised."""
    path = tmp_path_factory.mktemp("state") / "s"
    with BotState(path, chain="steem") as state:
        try:
            state.values[key] = value
            stored = {key: value}
        except (TypeError, ValueError):
            stored = {}
        state.commit_values()
    with BotState(path, chain="steem") as state:
        assert dict(state.values) == stored
        assert repr(dict(state.values)) == repr(stored)


class Colour(enum.Enum):
    """What JSON does not have."""

    RED = 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Decimal("1.5"), "a Decimal would come back as something else"),
        (float("nan"), "JSON has no such number"),
        (float("-inf"), "JSON has no such number"),
        ((1, 2), "a tuple would come back"),
        ({1}, "a set would"),
        (b"x", "a bytes would"),
        (datetime(2020, 1, 1, tzinfo=UTC), "a datetime would"),
        (Colour.RED, "a Colour would"),
        ("cut \ud83d", "lone surrogate"),
        ({7: 1}, "JSON has text keys"),
        ({"\ud83d": 1}, "lone surrogate"),
    ],
)
def test_a_value_that_would_change_is_refused_with_its_place(open_state, value, words):
    """At the top, within a list and within a dict; what was there before stays."""
    values = open_state().values
    values["k"] = 1
    for made, place in (
        (value, "ctx.state['k']"),
        ([0, value], "ctx.state['k'][1]"),
        ({"a": {"b": value}}, "ctx.state['k']['a']['b']"),
    ):
        with pytest.raises((TypeError, ValueError)) as caught:
            values["k"] = made
        assert words in str(caught.value)
        assert str(caught.value).startswith(place)
    assert values["k"] == 1


def test_a_list_that_holds_itself_is_refused(open_state):
    """It has no end."""
    values = open_state().values
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="holds itself"):
        values["k"] = endless


def test_a_key_that_cannot_be_stored_is_not_there(open_state):
    """To ask for it is no error; to store it is one."""
    values = open_state().values
    assert values.get("\ud83d") is None
    assert "\ud83d" not in values
    with pytest.raises(ValueError, match="lone surrogate"):
        values["\ud83d"] = 1
    with pytest.raises(KeyError):
        del values["\ud83d"]


def test_the_usual_ways_of_changing_a_value_in_place_last(open_state):
    """setdefault, append, nested dicts, and what was stored before it was filled."""
    state = open_state()
    values = state.values
    values.setdefault("list", []).append(1)
    values.setdefault("list", []).append(2)
    values["dict"] = {}
    values["dict"]["a"] = {"b": 1}
    values["dict"]["a"]["b"] += 1
    mine = [1]
    values["mine"] = mine
    mine.append(2)
    values.take_changes()
    state.finish(HERE)
    state.close()
    state = open_state()
    expected = {"list": [1, 2], "dict": {"a": {"b": 2}}, "mine": [1, 2]}
    assert dict(state.values) == expected
    # Read, changed and dropped: as it was.
    state.values["list"].append(3)
    state.drop_changes()
    assert state.values["list"] == [1, 2]
    # Replaced or deleted after it was read: the last word counts.
    state.values["list"].append(3)
    state.values["list"] = [9]
    state.values["dict"]["c"] = 1
    del state.values["dict"]
    state.values.take_changes()
    assert dict(state.values) == {"list": [9], "mine": [1, 2]}


def test_a_change_in_place_that_cannot_be_stored_is_refused(open_state):
    """The place is named, as at an assignment."""
    values = open_state().values
    values["k"] = [1]
    values["k"].append(Decimal(1))
    with pytest.raises(TypeError, match=r"ctx.state\['k'\]\[1\] is Decimal"):
        values.take_changes()
