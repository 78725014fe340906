"""The key/value state: a dict with commits."""

from __future__ import annotations

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
