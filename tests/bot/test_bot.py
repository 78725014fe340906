"""Registering handlers: types, order, and what is refused at once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from steembot.bot import Bot, operation_types


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
    bot.on("vote")(max)
    assert bot.types == ("*",)
    assert bot.handlers("vote") == [max, print]
    assert bot.handlers("comment") == [print]


def test_types_match_whole():
    """``comment`` is not ``comment_options``."""
    bot = Bot()
    bot.on("comment")(print)
    assert bot.handlers("comment_options") == []


@pytest.mark.parametrize("wrong", ["", "Comment", "comment ", "a.b", "**", 7, None, "@@@"])
def test_what_is_no_type_is_refused(wrong):
    """The error stands where the mistake was made, and quotes it."""
    with pytest.raises(ValueError, match="no operation type") as caught:
        Bot().on(wrong)
    assert repr(wrong) in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("coment", "comment"),
        ("Vote", "vote"),
        ("vote_operation", "vote"),
        ("custom-json", "custom_json"),
        ("tranfer", "transfer"),
        ("curation_rewards", "curation_reward"),
        ("recurent_transfer", "recurrent_transfer"),
    ],
)
def test_the_nearest_type_is_suggested(wrong, meant):
    """A slip of the finger is mended from the message alone."""
    with pytest.raises(ValueError, match=f"did you mean '{meant}'"):
        Bot().on(wrong)


def test_all_types_of_both_chains_are_known():
    """What the devnode can put into a block, and virtual operations of either chain."""
    for kind in operation_types.KNOWN:
        assert Bot().on(kind)(print) is print
    assert {"vote", "curation_reward"} <= operation_types.OF_CHAIN["steem"]
    assert operation_types.OF_CHAIN["steem"] < operation_types.OF_CHAIN["hive"]
    assert operation_types.VIRTUAL < operation_types.KNOWN


@pytest.mark.parametrize("function", [lambda: 0, lambda op: 0, lambda op, ctx, more: 0])
def test_a_function_that_cannot_be_called_is_refused(function):
    """What would make every operation a dead letter is an error at the start."""
    with pytest.raises(ValueError, match="takes op and ctx"):
        Bot().on("vote")(function)
    with pytest.raises(ValueError, match="takes op and ctx"):
        Bot().on("vote", where=function)
    if function.__code__.co_argcount != 1:
        with pytest.raises(ValueError, match="takes ctx"):
            Bot().every(1)(function)


@pytest.mark.parametrize("age", [0, -1, timedelta(0)])
def test_a_greatest_age_must_leave_something(age):
    """``max_age=0`` would let nothing through."""
    with pytest.raises(ValueError, match="max_age"):
        Bot().on("vote", max_age=age)


def test_a_decorator_without_a_type_is_refused():
    """``@bot.on()`` would never run."""
    with pytest.raises(ValueError, match="at least one"):
        Bot().on()


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_timer_needs_a_period(seconds):
    """``every(0)`` would never let an operation through."""
    with pytest.raises(ValueError, match="more than 0"):
        Bot().every(seconds)
