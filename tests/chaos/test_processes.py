"""Real processes under kill -9, SIGSTOP, forks and failing nodes."""

from __future__ import annotations

import pytest

from tests.chaos.processes import run


@pytest.mark.parametrize("seed", [3, 5])
def test_what_was_committed_is_what_the_chain_has(seed):
    """After thirty disasters each bot's state is one clean run's, and the audit finds nothing."""
    happened = run(seed, events=30)
    print(f"seed {seed}:", dict(sorted(happened.items())))  # noqa: T201
    assert happened["undone in head"] > 0, "no fork removed what was delivered: a tame seed"
