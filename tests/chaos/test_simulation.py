"""Seeded runs of a whole swarm in memory: nothing lost, doubled or out of order."""

from __future__ import annotations

import random

import pytest

from tests.chaos.simulation import run

RUNS, PART = 2000, 100


@pytest.mark.parametrize("first", range(0, RUNS, PART))
def test_nothing_is_lost_whatever_happens(first):
    """After forks, holes, lies and crashes each bot's state is one clean run's."""
    for seed in range(first, first + PART):
        run(seed, steps=random.Random(seed).choice((5, 10, 20, 60)))
