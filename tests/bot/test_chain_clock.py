"""Ages go by the chain's time while it is known, and a wrong clock is found out."""

from __future__ import annotations

import pytest

from steembot.bot import Bot
from steembot.bot.chain_clock import PACE_S, ChainClock
from tests.bot.conftest import message
from tests.support.blocks import make_block

BLOCK_TIME = 1_500_000_000


class Times:
    """A monotonic clock, and this machine's, which is wrong by so much."""

    def __init__(self, wrong_by: float) -> None:
        self.at = 0.0
        self._wrong_by = wrong_by
        self.clock = ChainClock(clock=lambda: self.at, wall=self.wall)

    def wall(self) -> float:
        return BLOCK_TIME + self.at + self._wrong_by

    def follow(self, seconds: int, pace: float = 1.0) -> None:
        """Hear of a block each 3 s, on a chain whose time runs so fast."""
        for _ in range(seconds // 3):
            self.clock.heard(int(BLOCK_TIME + self.at * pace))
            self.at += 3


@pytest.mark.parametrize("wrong_by", [3600.0, -3600.0, 10.0**8])
def test_the_time_is_the_chains_while_it_is_at_the_head(wrong_by):
    """Whatever this machine's clock says; and that it is wrong is known after a while."""
    times = Times(wrong_by)
    assert times.clock.now() == times.wall()
    times.follow(int(PACE_S) + 6)
    assert abs(times.clock.now() - (BLOCK_TIME + times.at)) <= 3
    assert times.clock.wall_is_ahead_s() == pytest.approx(wrong_by, abs=4)


def test_a_clock_that_is_right_is_not_called_wrong():
    """Nor one that is off by less than two blocks."""
    for wrong_by in (0.0, 2.0, -2.0):
        times = Times(wrong_by)
        times.follow(120)
        assert times.clock.wall_is_ahead_s() == 0.0


def test_a_chain_that_runs_faster_than_time_says_nothing_of_a_clock():
    """As a made-up one does."""
    times = Times(3600.0)
    times.follow(120, pace=3.0)
    assert times.clock.wall_is_ahead_s() == 0.0


def test_behind_the_head_the_time_is_this_machines():
    """The newest block that a broadcaster has meanwhile may be a day old."""
    times = Times(0.0)
    times.follow(60)
    times.clock.heard(0)
    assert times.clock.now() == times.wall()
    assert times.clock.wall_is_ahead_s() == 0.0


def test_a_clock_that_is_ahead_lets_fresh_operations_through(run):
    """max_age leaves out what is old by the chain's time, and ctx.age is that age."""
    seen = []
    times = Times(7200.0)
    bot = Bot()
    bot.on("vote", max_age=60)(lambda op, ctx: seen.append((op.block_num, round(ctx.age))))
    runner, _ = run(bot, now=times.clock.now)
    times.clock.heard(1_500_000_000 + 3 * 100)
    runner.on_block(message(make_block(99, "0" * 40, types=("vote",))))
    runner.on_block(message(make_block(10, "0" * 40, types=("vote",))))
    assert seen == [(99, 3)]
