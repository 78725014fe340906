"""When to ask for the next block at the head. Pure: the clock is passed in.

Witnesses make a block in each 3-second slot, and it reaches a node a little later. A fixed timer
would find it half an interval late on average or ask all the time. This learns from each answer
when the next block will be there, asks then, and if it was too early asks again soon.
"""

from __future__ import annotations

_EARLIER = 0.02
"""Share of a slot by which the next question comes earlier after one that found a block at once."""

_RETRY = (0.03, 0.06, 0.12, 0.25, 0.25)
"""Shares of a slot between one question that came too early and the next."""

_LEAST_WAIT_S = 0.01


class SlotClock:
    """Learns when blocks arrive. ``slot_s`` is the chain's block interval in seconds.

    The interval is learned too, but never grows above ``slot_s``: a missed slot is not a slower
    chain.
    """

    def __init__(self, slot_s: float = 3.0) -> None:
        self._longest_s = slot_s
        self._interval_s = slot_s
        self._last_found: float | None = None
        self._misses = 0
        self._next = 0.0

    @property
    def next_question(self) -> float:
        """When to ask for the next block (monotonic seconds)."""
        return self._next

    @property
    def misses(self) -> int:
        """How many questions in a row found nothing new."""
        return self._misses

    def arrived(self, now: float, blocks: int) -> None:
        """Come to the head from behind, ``blocks`` after the last time there.

        Nobody knows when the head's block came, so the next question comes soon.
        """
        self._learn(now, blocks)
        self._misses = 2
        self._next = now + max(_LEAST_WAIT_S, self._interval_s * _RETRY[1])

    def found(self, now: float, blocks: int) -> None:
        """Learn from a question that found ``blocks`` new blocks (1 or more)."""
        self._learn(now, blocks)
        wait_s = self._interval_s
        if self._misses == 0:
            wait_s -= self._longest_s * _EARLIER
        else:
            # It arrived somewhere between the last question and this one.
            wait_s -= self._interval_s * _RETRY[min(self._misses, len(_RETRY)) - 1] / 2
        self._misses = 0
        self._next = now + max(_LEAST_WAIT_S, wait_s)

    def missed(self, now: float) -> None:
        """Learn from a question that found nothing new."""
        if self._misses >= len(_RETRY):
            # So long without a block: perhaps the interval was learned from something else.
            self._interval_s = min(self._longest_s, self._interval_s * 2)
        share = _RETRY[min(self._misses, len(_RETRY) - 1)]
        self._misses += 1
        self._next = now + max(_LEAST_WAIT_S, self._interval_s * share)

    def _learn(self, now: float, blocks: int) -> None:
        if self._last_found is not None:
            seen_s = (now - self._last_found) / blocks
            self._interval_s = min(self._longest_s, (self._interval_s + seen_s) / 2)
        self._last_found = now
