"""A trouble that lasts is said at once, then once a minute."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from steembot.repeats import REPEAT_S, Repeats


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 50)), max_size=60))
def test_each_is_said_at_once_and_never_twice_in_a_minute(steps):
    repeats, now, said = Repeats(), 0.0, {}
    for what, pause in steps:
        now += pause
        due = what not in said or now - said[what] >= REPEAT_S
        assert repeats.is_due(what, now) is due
        if due:
            said[what] = now


def test_what_is_forgotten_is_said_at_once_again():
    repeats = Repeats()
    repeats.said("a", 0.0)
    assert not repeats.is_due("a", 1.0)
    repeats.forget()
    assert repeats.is_due("a", 1.0)


def test_old_ones_are_let_go():
    repeats = Repeats()
    repeats.said("old", 0.0)
    repeats.said("new", REPEAT_S)
    assert repeats.said_s("old", REPEAT_S) == REPEAT_S
    assert repeats.forget_old(REPEAT_S) == 1
    assert repeats.said_s("never", 0.0) == float("inf")
