"""The chain's time, by which a bot judges ages, since a machine's own clock may be wrong. Pure."""

from __future__ import annotations

from collections.abc import Callable

PACE_S = 30.0
"""For so long the chain's time is watched before this machine's clock is called wrong."""

TOLERANCE_S = 6.0
"""Two slots: a block is a slot old when the next one comes, and takes a moment on its way."""


class ChainClock:
    """Tells the time of the chain while it is known, else this machine's.

    ``clock`` gives monotonic seconds, ``wall`` this machine's seconds since 1970. The broadcaster
    tells the time of its newest block while it is at the head of the chain; while it is behind,
    that time says nothing about how old something is.
    """

    def __init__(self, *, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._clock = clock
        self._wall = wall
        self._first: tuple[float, float] | None = None  # the chain's time, and ours by clock
        self._last: tuple[float, float] | None = None

    def heard(self, timestamp: int) -> None:
        """Take note of the newest block's time; 0 where the broadcaster is not at the head."""
        if not timestamp:
            self._first = self._last = None
        elif self._last is None or timestamp > self._last[0]:
            self._last = (float(timestamp), self._clock())
            self._first = self._first or self._last

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        if self._last is None:
            return self._wall()
        timestamp, at = self._last
        return timestamp + self._clock() - at

    def wall_is_ahead_s(self) -> float:
        """By how much this machine's clock is ahead of the chain's, or behind (below 0).

        0 while that is not known, or within :data:`TOLERANCE_S`: a made-up chain may also run
        faster than time does.
        """
        if self._first is None or self._last is None:
            return 0.0
        chain_s, real_s = (
            last - first for last, first in zip(self._last, self._first, strict=True)
        )
        if real_s < PACE_S or abs(chain_s - real_s) > TOLERANCE_S:
            return 0.0
        ahead_s = self._wall() - self.now()
        return ahead_s if abs(ahead_s) > TOLERANCE_S else 0.0
