"""What many rounds say together."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.stats import Spread, pairs, percentile, turns


def test_a_spread_is_the_median_and_the_ends():
    """The order of the figures does not matter; without figures there is none."""
    assert Spread.of([5, 1, 2]) == Spread(2, 1, 5, 3)
    assert Spread.of([4, 2]) == Spread(3, 2, 4, 2)
    assert Spread.of([]) is None


def test_ratios_are_taken_within_a_round():
    """A round that one of the two has no figure of gives no ratio."""
    assert pairs({0: 10, 1: 30, 2: 8}, {0: 5, 1: 10, 3: 1}) == [2, 3]


@pytest.mark.parametrize(
    ("share", "wanted"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.001, 1), (0.501, 51)]
)
def test_a_percentile_is_a_figure_that_was_measured(share, wanted):
    """The nearest rank, so that nothing is made up between two figures."""
    assert percentile(list(range(100, 0, -1)), share) == wanted


def test_there_is_no_percentile_of_nothing():
    """An empty list is a mistake of the caller's."""
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_each_round_has_everyone_once_and_begins_with_another():
    """Nobody is always first."""
    plan = turns(["a", "b", "c"], 4)
    assert Counter(name for _, name in plan) == {"a": 4, "b": 4, "c": 4}
    assert [number for number, _ in plan] == sorted([0, 1, 2, 3] * 3)
    assert [plan[place][1] for place in range(0, 12, 3)] == ["a", "b", "c", "a"]
