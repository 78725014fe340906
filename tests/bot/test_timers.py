"""Timers of a minute and more last over restarts; what was missed is made up for by one run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot.bot import Bot
from steembot.bot.timers import DEATHS, LASTING_S, Lasting

DAY = 86_400


class Killed(BaseException):
    """Stands for kill -9."""


def daily(runs: list[float], now: list[float], period: float = DAY, fail=None) -> Bot:
    bot = Bot()
    bot.on("vote")(lambda _op, _ctx: None)

    @bot.every(period)
    def tick(ctx):
        if fail is not None:
            fail()
        runs.append(now[0])
        ctx.state["runs"] = ctx.state.get("runs", 0) + 1

    return bot


@pytest.fixture
def start(run):
    """Start a process with a bot at a time, of which the clock knows nothing from before."""

    def make(bot: Bot, now: list[float]):
        begun = now[0]
        return run(bot, clock=lambda: now[0] - begun, now=lambda: now[0])

    return make


def test_a_daily_timer_runs_on_a_machine_that_restarts_more_often(start):
    """Restarts each 22 h, and in ten days it ran ten times, each in its own 24 h."""
    now, runs = [1_600_000_000.0], []
    begun = now[0]
    for _ in range(11):
        runner, state = start(daily(runs, now), now)
        for _ in range(22):
            runner.run_timers()
            state.commit()
            now[0] += 3600
    assert len(runs) == 10
    assert [round((at - begun) / DAY) for at in runs] == list(range(1, 11))
    assert state.values["runs"] == 10


def test_what_was_missed_is_made_up_for_once(start):
    """A week away is one run, at once, and the next one a day later."""
    now, runs = [1_600_000_000.0], []
    _, state = start(daily(runs, now), now)
    state.commit_values()
    now[0] += 7 * DAY
    runner, _ = start(daily(runs, now), now)
    assert runner.run_timers() == DAY
    assert runner.run_timers() == DAY
    assert len(runs) == 1


def test_a_changed_period_begins_anew_and_a_removed_timer_is_forgotten(start):
    """What was kept for another period means nothing for this one."""
    now, runs = [1_600_000_000.0], []
    _, state = start(daily(runs, now), now)
    state.commit_values()
    now[0] += 2 * DAY
    runner, state = start(daily(runs, now, period=2 * DAY), now)
    assert runner.run_timers() == 2 * DAY
    state.commit_values()
    assert len(state.timers()) == 1
    bot = Bot()
    bot.on("vote")(lambda _op, _ctx: None)
    _, state = start(bot, now)
    state.commit_values()
    assert state.timers() == {}


def test_a_clock_that_was_ahead_puts_off_no_more_than_a_period(start):
    """Kept by a clock of the year 2100, it runs within a day of the right one."""
    now, runs = [4_100_000_000.0], []
    _, state = start(daily(runs, now), now)
    state.commit_values()
    now[0] = 1_600_000_000.0
    runner, _ = start(daily(runs, now), now)
    assert runner.run_timers() == DAY


def test_a_run_that_kills_the_process_is_tried_three_times(start):
    """Then it is the next period's turn: no crash loop, and nothing of it is in the state."""

    def die() -> None:
        raise Killed

    now, runs = [1_600_000_000.0], []
    _, state = start(daily(runs, now), now)
    state.commit_values()
    now[0] += DAY
    for _ in range(DEATHS):
        runner, state = start(daily(runs, now, fail=die), now)
        with pytest.raises(Killed):
            runner.run_timers()
    runner, state = start(daily(runs, now, fail=die), now)
    assert runner.run_timers() == DAY
    assert (runs, dict(state.values)) == ([], {})


def test_two_timers_of_one_name_are_two(start):
    """They are told apart by their order."""
    now = [1_600_000_000.0]
    bot = Bot()
    bot.on("vote")(lambda _op, _ctx: None)
    bot.every(DAY)(lambda ctx: None)
    bot.every(2 * DAY)(lambda ctx: None)
    _, state = start(bot, now)
    state.commit_values()
    assert len(state.timers()) == 2


@given(st.floats(LASTING_S, 1e9), st.floats(0, 5e9), st.integers(0, 9), st.integers(0, 200))
def test_what_is_kept_is_read_back_or_counts_as_nothing(period, next_run, deaths, at):
    """Exactly, or not at all where a bit of it was changed."""
    kept = Lasting(period, next_run, deaths)
    assert Lasting.parse(str(kept)) == kept
    text = str(kept)
    at %= len(text)
    changed = text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]
    assert Lasting.parse(changed) is None
