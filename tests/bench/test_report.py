"""Figures to words."""

from __future__ import annotations

import pytest

from bench.report import Budget, budget, budget_table, number, ratios, shown, spreads, table
from bench.sample import Machine, Sample, Section
from bench.stats import Spread

MACHINE = Machine("a processor", 2, 4.0, "a system", 0.1)


def section(*samples: Sample) -> Section:
    return Section("name", "now", MACHINE, {}, {}, list(samples))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (19.0, "19"),
        (0.012345, "0.0123"),
        (1.005, "1.00"),
        (9.999, "10.00"),
        (12.34, "12.3"),
        (999.6, "1,000"),
        (123456, "123,000"),
        (-4.2, "-4.20"),
    ],
)
def test_three_digits_count(value, text):
    """More digits than that are noise."""
    assert number(value) == text


def test_a_median_shows_its_spread():
    """One figure alone has none."""
    assert shown(Spread(2, 1, 3, 3)) == "2 (1 to 3)"
    assert shown(Spread(2, 2, 2, 1), " MiB") == "2 MiB"
    assert shown(None) == "-"


def test_a_table_has_its_figures_at_the_right():
    """As Markdown has it."""
    assert table(["what", "n"], [["a", "1"]]) == "| what | n |\n| --- | --: |\n| a | 1 |"


def test_a_failure_stands_where_the_figure_would():
    """It is neither left out nor a zero."""
    found = section(
        Sample("us", "near", 0, {"x/s": 10}),
        Sample("them", "near", 0, failed="it ended"),
        Sample("us", "far", 0, {"x/s": 4}),
        Sample("them", "far", 0, {"x/s": 2}),
        Sample("them", "far", 1, failed="it ended"),
    )
    assert "| them | failed: it ended | 2, not always |" in spreads(found, "x/s")
    assert "| us / them | - | 2 |" in ratios(found, "us", "x/s")


def test_a_budget_is_held_by_the_median():
    """The bound itself still holds; what was not measured is neither held nor missed."""
    assert budget("b", Spread(6, 1, 9, 3), at_least=6).held is True
    assert budget("b", Spread(5.9, 1, 9, 3), at_least=6).held is False
    assert budget("b", Spread(3.1, 1, 9, 3), at_most=3).held is False
    assert budget("b", None, at_most=3) == Budget("b", "at most 3", "-", None)
    assert "**missed**" in budget_table([budget("b", Spread(4, 4, 4, 1), at_most=3)])
