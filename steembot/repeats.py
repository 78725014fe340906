"""Troubles that last: said at once, then once a minute. Pure: the clock is passed in."""

from __future__ import annotations

from collections.abc import Hashable

REPEAT_S = 60.0
"""How often a trouble that lasts is said again."""


class Repeats:
    """When what was said last; ``now`` is in monotonic seconds."""

    def __init__(self) -> None:
        self._said: dict[Hashable, float] = {}

    def is_due(self, what: Hashable, now: float) -> bool:
        """Tell whether it is to be said now, and take it as said if so."""
        if self.said_s(what, now) < REPEAT_S:
            return False
        self._said[what] = now
        return True

    def said_s(self, what: Hashable, now: float) -> float:
        """Seconds since it was said last; infinite if it never was."""
        return now - self._said.get(what, float("-inf"))

    def said(self, what: Hashable, now: float) -> None:
        """Take it as said."""
        self._said[what] = now

    def forget(self, what: Hashable = None) -> None:
        """Be ready to say it at once again, or everything."""
        if what is None:
            self._said.clear()
        else:
            self._said.pop(what, None)

    def forget_old(self, now: float) -> int:
        """Let go of what may be said again anyway; return how much is left."""
        self._said = {what: when for what, when in self._said.items() if now - when < REPEAT_S}
        return len(self._said)
