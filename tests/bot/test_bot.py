"""Registering handlers: types, order, and what is refused at once."""

from __future__ import annotations

import functools
from datetime import timedelta

import pytest

from steembot.bot import Bot, operation_types
from steembot.bot.filters import new_post


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


async def coroutine(op, ctx):
    pass


async def async_generator(op, ctx):
    yield


def generator(op, ctx):
    yield


class Callable:
    """Called, it is async."""

    async def __call__(self, op, ctx):
        pass

    async def method(self, op, ctx):
        pass


class Takes:
    """A class whose making takes what a handler takes."""

    def __init__(self, op, ctx):
        pass


NEVER_RUN = [
    (coroutine, "is async"),
    (async_generator, "is async"),
    (generator, "has a yield"),
    (functools.partial(coroutine), "is async"),
    (functools.partial(generator), "has a yield"),
    (Callable(), "is async"),
    (Callable().method, "is async"),
    (Takes, "is no function"),
    ("print", "is no function"),
    (None, "is no function"),
]


@pytest.mark.parametrize(("function", "words"), NEVER_RUN)
def test_a_function_that_never_runs_is_refused(function, words):
    """A coroutine or generator returns at once and has done nothing; the words say why."""
    for register in (Bot().on("vote"), Bot().undo("vote")):
        with pytest.raises(ValueError, match=words):
            register(function)
    with pytest.raises(ValueError, match=words.replace("has a yield", "takes ctx|yield")):
        Bot().every(1)(function)
    if function is not None:
        with pytest.raises(ValueError, match=words):
            Bot().on("vote", where=function)
        with pytest.raises(ValueError, match=words):
            new_post & function
        with pytest.raises(ValueError, match=words):
            function | new_post
    with pytest.raises(ValueError, match="is async"):

        @Bot().every(1)
        async def tick(ctx):
            pass


def test_a_decorator_without_its_call_is_refused():
    """``@bot.on`` and ``@bot.every`` without parentheses, and types in a list."""
    with pytest.raises(ValueError, match=r"write each as the chain does: @bot.on\('comment'\)"):
        Bot().on(generator)
    with pytest.raises(ValueError, match="seconds as a number"):
        Bot().every(generator)
    with pytest.raises(ValueError, match="write each"):
        Bot().on(["vote", "comment"])


@pytest.mark.parametrize("period", ["60", None, True, float("inf"), timedelta(0)])
def test_a_period_that_is_no_duration_is_refused(period):
    """In seconds or as a timedelta; an endless one never ends."""
    with pytest.raises(ValueError, match="every"):
        Bot().every(period)
    if period is not None:
        with pytest.raises(ValueError, match="max_age"):
            Bot().on("vote", max_age=period)


def test_a_period_may_be_a_timedelta():
    """Like ``max_age``."""
    bot = Bot()
    bot.every(timedelta(days=1))(lambda ctx: None)
    assert bot.timers[0][0] == 86400


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
