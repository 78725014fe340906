"""The benchmark's steady part: ratios within one run, so that a regression is noticed.

No time is asked for, since machines differ and are shared. Each ratio is that of two figures taken
one after the other, its bound lies far below what is measured, and one of five pairs has to hold:
what fails all five is not the machine. ``make bench`` has the real figures.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench import catchup, feed
from bench.processes import PEERS, python

PAIRS = 5


def best(ours: Callable[[], float], theirs: Callable[[], float], wanted: float) -> list[float]:
    """Take pairs until one holds; returns all ratios."""
    ratios: list[float] = []
    while len(ratios) < PAIRS and max(ratios, default=0) < wanted:
        ratios.append(ours() / theirs())
    return ratios


@pytest.mark.parametrize("case", ["1 client", "10 clients"])
def test_the_feed_is_faster_than_a_message_for_each_operation(case):
    """Three to four times as fast as PUB/SUB, which drops what does not fit."""

    def rate(program: str) -> float:
        figures = feed.measure_feed(python(PEERS / program), feed.no_server, case, 0.5)
        return figures[feed.RATE]

    ratios = best(lambda: rate("feed_steembot.py"), lambda: rate("feed_zeromq.py"), 1.0)
    assert max(ratios) >= 1.0, ratios


def test_catching_up_keeps_pace_with_a_distant_node():
    """Half of what plain parallel HTTP gets out of a node 200 ms away, into the bot's handler."""
    with catchup.answers((200,), "--kinds", 50) as urls:
        everyone = catchup.contestants(urls, 1.0)

        def rate(name: str) -> float:
            return everyone[name]("200 ms")["blocks/s"]

        ratios = best(lambda: rate("steembot"), lambda: rate(catchup.CEILING), 0.2)
    assert max(ratios) >= 0.2, ratios
