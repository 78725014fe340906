"""Soak: memory through ten million operations. Takes minutes, and is run when it is named."""

from __future__ import annotations

from bench.cost import OURS, RUN, flat_out, run_budgets, run_table
from bench.frame import Effort, Tick, load, section
from bench.plots import Bars
from bench.report import Budget, page
from bench.sample import Section

NAME = "soak"
TITLE = "Soak"
LIMIT_S = 3600.0
SHOWN = 100


def steps(_effort: Effort) -> int:
    """Return how often :func:`measure` ticks: by hundredths of the way."""
    return SHOWN


def measure(effort: Effort, tick: Tick) -> Section:
    """Catch up with all of them."""
    before = load()
    ticked = 0

    def tick_by_share(words: str) -> None:
        nonlocal ticked
        done = float(words.split(maxsplit=1)[0].replace(",", "")) / effort.soak_operations
        while ticked < min(SHOWN - 1, int(SHOWN * done)):
            ticked += 1
            tick(words)

    sample = flat_out(effort.soak_operations, LIMIT_S, tick_by_share)
    return section(NAME, [sample], before, ("steembot",))


def report(found: Section) -> str:
    """Return what is to be read about it."""
    operations = next(found.of(OURS, RUN)).figures["operations"]
    return page(
        f"{operations:,.0f} operations, in blocks of 50, caught up with at full speed by one "
        "broadcaster and one bot with a handler for `comment`. Resident memory:",
        run_table(found),
    )


def budgets(found: Section) -> list[Budget]:
    """Return what was to be reached, and what was."""
    return run_budgets(found)


def plots(_found: Section) -> list[Bars]:
    """Two figures a process need no picture."""
    return []
