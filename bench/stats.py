"""What many rounds say together: medians, spread, ratios pair by pair. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some figures, the smallest and the largest of them, and how many there are."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, figures: Iterable[float]) -> Spread | None:
        """Return the spread of the figures, or ``None`` where there are none."""
        known = sorted(figures)
        if not known:
            return None
        return cls(statistics.median(known), known[0], known[-1], len(known))


def pairs(ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    """Return ours / theirs for each round in which both have a figure.

    Two figures of one round were taken within seconds of each other, so that what else the machine
    did weighs on both; a ratio of two medians would compare different times.
    """
    return [ours[each] / theirs[each] for each in sorted(ours.keys() & theirs.keys())]


def percentile(figures: Sequence[float], share: float) -> float:
    """Return the figure that ``share`` of all figures do not exceed (the nearest rank).

    Raises ``ValueError`` when there are none.
    """
    if not figures:
        raise ValueError("a percentile of nothing")
    ordered = sorted(figures)
    return ordered[min(len(ordered), max(1, math.ceil(share * len(ordered)))) - 1]


def turns(contestants: Sequence[str], rounds: int) -> list[tuple[int, str]]:
    """Return who is measured when: all of them in each round, and each round begun by another one.

    So nobody is always the first after a pause, or the last before the machine grows warm.
    """
    return [
        (number, contestants[(place + number) % len(contestants)])
        for number in range(rounds)
        for place in range(len(contestants))
    ]
