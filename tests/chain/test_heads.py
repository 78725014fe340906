"""A head that time does not allow is believed of nobody."""

from __future__ import annotations

import pytest

from steembot.chain.answers import Head
from steembot.chain.heads import AHEAD_S, GENESIS, impossible

NOW = 1_800_000_000


def head(num: int, timestamp: int) -> Head:
    return Head(num, f"{num:08x}" + "a" * 32, timestamp, max(0, num - 15))


@pytest.mark.parametrize(
    ("num", "timestamp", "words"),
    [
        (2**32 - 1, NOW, "no chain can have more than"),
        ((NOW + AHEAD_S - GENESIS) // 3 + 2, NOW, "no chain can have more than"),
        (100, NOW + AHEAD_S + 1, "in the future by this machine's clock"),
        (2**32 - 1, 2**32 - 1, "in the future"),
    ],
)
def test_what_time_does_not_allow_is_named(num, timestamp, words):
    """The number of slots since the chain began, and this machine's clock with room for error."""
    assert words in impossible(head(num, timestamp), 0, NOW)


@pytest.mark.parametrize(
    ("num", "timestamp", "newest", "now"),
    [
        ((NOW - GENESIS) // 3 + 1, NOW, 0, NOW),
        (100, NOW - 10**8, 0, NOW),  # a node that is years behind, or a made-up chain
        (30_000_000, GENESIS + 9, 0, NOW),  # a recorded chain that was numbered anew
        (100, NOW + 3600, 0, NOW),
        (100, NOW + 3, NOW, 0),  # a clock that says 1970, and a chain that was followed before
    ],
)
def test_a_slow_clock_or_chain_is_no_reason(num, timestamp, newest, now):
    """Only what cannot be is refused."""
    assert impossible(head(num, timestamp), newest, now) == ""
