"""How fast a distance is caught up with, and saying so."""

from __future__ import annotations

import logging
from collections import deque

from steembot import events
from steembot.chain.follower import Follower

log = logging.getLogger(__name__)

SAY_EVERY_S = 10.0
"""How often progress is said while behind."""

FAR = 20
"""Blocks behind from which on that is worth a line."""

_SPEED_OVER_S = 10.0


class Progress:
    """Watches the tip. Times are monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._had: deque[tuple[float, int]] = deque()
        self._said = now
        self._was_far = False

    def had(self, num: int, now: float) -> None:
        """Note that the tip is this block now."""
        self._had.append((now, num))
        while now - self._had[0][0] > _SPEED_OVER_S:
            self._had.popleft()

    @property
    def speed(self) -> float:
        """Blocks a second of late; 0 while unknown. May be read from any thread."""
        had = list(self._had)
        if len(had) < 2 or had[-1][0] <= had[0][0]:
            return 0.0
        return max(0.0, (had[-1][1] - had[0][1]) / (had[-1][0] - had[0][0]))

    def say(self, follower: Follower, now: float) -> None:
        """Log every few seconds how far it is to the head, and the arrival there."""
        if follower.behind >= FAR and now - self._said >= SAY_EVERY_S:
            self._said = now
            self._was_far = True
            speed = self.speed
            log.info(
                "catching up: %s blocks behind, %s blocks/s%s",
                f"{follower.behind:,}",
                f"{speed:,.0f}",
                f", {duration(follower.behind / speed)} left" if speed else "",
                extra=events.CATCHING_UP(STEEM_BLOCK=follower.next_num - 1),
            )
        elif self._was_far and follower.behind <= 1:
            self._was_far = False
            log.info(
                "caught up with the head, block %d",
                follower.head,
                extra=events.CAUGHT_UP(STEEM_BLOCK=follower.head),
            )


def duration(seconds: float) -> str:
    """Write a duration as people say it: the two largest units."""
    whole = int(seconds)
    for unit, name, below in ((86400, "d", "h"), (3600, "h", "min"), (60, "min", "s")):
        if whole >= unit:
            part = whole % unit // {"h": 3600, "min": 60, "s": 1}[below]
            return f"{whole // unit} {name} {part} {below}" if part else f"{whole // unit} {name}"
    return f"{whole} s"
