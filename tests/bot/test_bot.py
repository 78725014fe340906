"""Registering handlers: types, order, and what is refused at once."""

from __future__ import annotations

import pytest

from steembot.bot import Bot


def test_only_wanted_types_are_asked_for():
    """The feed carries the types that a handler or an undo handler wants, each once."""
    bot = Bot()
    bot.on("vote", "comment")(print)
    bot.on("comment")(print)
    bot.undo("transfer")(print)
    assert bot.types == ("comment", "transfer", "vote")


def test_a_star_wants_everything():
    """With ``*`` all types are asked for, and other registrations still run."""
    bot = Bot()
    bot.on("*")(print)
    bot.on("vote")(repr)
    assert bot.types == ("*",)
    assert bot.handlers("vote") == [repr, print]
    assert bot.handlers("comment") == [print]


def test_types_match_whole():
    """``comment`` is not ``comment_options``."""
    bot = Bot()
    bot.on("comment")(print)
    assert bot.handlers("comment_options") == []


@pytest.mark.parametrize("wrong", ["", "Comment", "comment ", "a.b", "**", 7, None])
def test_what_is_no_type_is_refused(wrong):
    """The error stands where the mistake was made, and quotes it."""
    with pytest.raises(ValueError, match="no operation type") as caught:
        Bot().on(wrong)
    assert repr(wrong) in str(caught.value)


def test_a_decorator_without_a_type_is_refused():
    """``@bot.on()`` would never run."""
    with pytest.raises(ValueError, match="at least one"):
        Bot().on()


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_timer_needs_a_period(seconds):
    """``every(0)`` would never let an operation through."""
    with pytest.raises(ValueError, match="more than 0"):
        Bot().every(seconds)
