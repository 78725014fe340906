"""Which node to ask now. Pure: the clock is passed in.

The first node of the user's order that is not resting is asked. A node that fails rests, longer
each time, and is then tried again; one good answer makes it well.
"""

from __future__ import annotations

from collections.abc import Sequence

FIRST_REST_S = 0.5
LONGEST_REST_S = 10.0


class _Health:
    def __init__(self) -> None:
        self.failures = 0
        self.rests_until = 0.0


class Pool:
    """The nodes' health. ``urls`` are in order of preference; times are monotonic seconds."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._nodes = {url: _Health() for url in urls}

    def pick(self, now: float) -> str | None:
        """Return the node to ask, or ``None`` while all of them rest."""
        for url, health in self._nodes.items():
            if health.rests_until <= now:
                return url
        return None

    def rests_until(self) -> float:
        """When the first of the resting nodes may be asked again."""
        return min(health.rests_until for health in self._nodes.values())

    def failed(self, url: str, now: float) -> bool:
        """Let a node rest. Returns whether it was well before, so that it is said once."""
        health = self._nodes[url]
        if health.rests_until > now:
            return False  # one of several requests that were under way when it fell ill
        health.failures += 1
        rest_s = min(LONGEST_REST_S, FIRST_REST_S * 2 ** min(10, health.failures - 1))
        health.rests_until = now + rest_s
        return health.failures == 1

    def succeeded(self, url: str) -> bool:
        """Note a good answer. Returns whether the node was ill before, so that it is said."""
        health = self._nodes[url]
        was_ill = health.failures > 0
        health.failures = 0
        health.rests_until = 0.0
        return was_ill

    @property
    def all_failing(self) -> bool:
        """Whether no node gave a good answer to what it was asked last."""
        return all(health.failures for health in self._nodes.values())
