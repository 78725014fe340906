"""Figures to words and tables: Markdown. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.sample import Section
from bench.stats import Spread

NONE = "-"


@dataclass(frozen=True, slots=True)
class Budget:
    """What was to be reached, and what was. ``held`` is ``None`` where nothing was measured."""

    what: str
    wanted: str
    measured: str
    held: bool | None


def number(value: float) -> str:
    """Write a figure with three digits that count, thousands apart; a small count as it is."""
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    places = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):,.{max(0, places)}f}"


def shown(spread: Spread | None, suffix: str = "") -> str:
    """Write a median, with the smallest and the largest where there were several."""
    if spread is None:
        return NONE
    text = number(spread.median) + suffix
    if spread.count > 1:
        text += f" ({number(spread.low)} to {number(spread.high)})"
    return text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table: the first column to the left, figures to the right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(*parts: str) -> str:
    """Put paragraphs and tables below each other."""
    return "\n\n".join(part for part in parts if part)


def spreads(found: Section, figure: str, contestants: Sequence[str] = ()) -> str:
    """Write a figure of everyone in every case."""
    rows = []
    for name in contestants or found.contestants:
        cells = []
        for case in found.cases:
            failures = found.failures(name, case)
            cell = shown(found.spread(name, case, figure))
            if failures:
                cell = f"failed: {failures[0]}" if cell == NONE else f"{cell}, not always"
            cells.append(cell)
        rows.append([name, *cells])
    return table([figure, *found.cases], rows)


def ratios(found: Section, ours: str, figure: str) -> str:
    """Write ours / theirs in every case, pair by pair."""
    rows = [
        [
            f"{ours} / {name}",
            *(shown(found.ratio(ours, name, case, figure)) for case in found.cases),
        ]
        for name in found.contestants
        if name != ours
    ]
    return table([figure, *found.cases], rows)


def budget(
    what: str,
    measured: Spread | None,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    unit: str = "",
) -> Budget:
    """Compare a median with its bound."""
    wanted = f"at least {at_least:g}" if at_least is not None else f"at most {at_most:g}"
    wanted += unit
    if measured is None:
        return Budget(what, wanted, NONE, None)
    held = (at_least is None or measured.median >= at_least) and (
        at_most is None or measured.median <= at_most
    )
    return Budget(what, wanted, shown(measured, unit), held)


def budget_table(budgets: Sequence[Budget]) -> str:
    """Write what was to be reached, and whether it was."""
    words = {True: "held", False: "**missed**", None: "not measured"}
    return table(
        ["budget", "wanted", "measured", ""],
        [[each.what, each.wanted, each.measured, words[each.held]] for each in budgets],
    )
