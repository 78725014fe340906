"""How often one node may be asked: a token bucket, and what the node itself demands.

Pure but for its lock: the clock is passed in. One per node, shared by all who ask that node.
"""

from __future__ import annotations

import threading
from email.utils import parsedate_to_datetime

BURST = 10
"""Requests that may follow each other at once after a pause."""

LONGEST_PAUSE_S = 600.0
"""The longest pause that a node is granted; a larger Retry-After is a mistake or malice."""

DEFAULT_PAUSE_S = 2.0
"""The pause after a refusal that does not say how long."""


class RateLimit:
    """Lets ``per_second`` requests through, on average; times are monotonic seconds."""

    def __init__(self, per_second: float, burst: int = BURST) -> None:
        self._burst = burst
        self._lock = threading.Lock()
        self._next = float("-inf")
        self._paused_until = float("-inf")
        self.change(per_second)

    def change(self, per_second: float) -> None:
        """Let so many through from now on. Places that were taken and pauses stay."""
        with self._lock:
            self._interval_s = 1 / per_second
            self._ahead_s = (self._burst - 1) * self._interval_s

    def reserve(self, now: float) -> float:
        """Take the next place; returns the seconds to wait for it."""
        with self._lock:
            place = max(self._next, now - self._ahead_s)
            self._next = place + self._interval_s
            return max(0.0, place - now)

    def pause(self, now: float, seconds: float) -> None:
        """Obey a node that wants no request for so long."""
        with self._lock:
            self._paused_until = max(self._paused_until, now + min(seconds, LONGEST_PAUSE_S))

    def paused_s(self, now: float) -> float:
        """For how much longer the node wants no request."""
        return max(0.0, self._paused_until - now)


def retry_after_s(text: str | None, wall_time: float) -> float | None:
    """Read a Retry-After: seconds, or a date (RFC 9110, 10.2.3). ``None`` if it is neither.

    ``wall_time`` is in seconds since 1970, what a date is compared with.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_PAUSE_S)
    try:
        date = parsedate_to_datetime(text)
        seconds = date.timestamp() - wall_time
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), LONGEST_PAUSE_S)
