"""How a handler says that it cannot work now, though neither it nor the operation is wrong. Pure.

::

    try:
        send(op)
    except OSError as error:
        raise Later("the webhook does not answer") from error
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Hashable
from datetime import timedelta

from steembot.bot import sandbox
from steembot.bot.hiding import hidden
from steembot.repeats import Repeats
from steembot.text import one_line

FIRST_PAUSE_S = 1.0
"""The pause before the second try; each one after it is twice as long."""

MAX_PAUSE_S = 60.0
"""The longest pause that a handler did not ask for."""

MAX_ASKED_S = 3600.0
"""The longest pause that a handler may ask for; a longer one counts as this."""

_WORDS_CHARACTERS = 300


class Later(Exception):  # noqa: N818 (a handler raises it as a request, not as an error)
    """Raised by a handler, a condition or a timer: what it needs is away, so try again later.

    What it stored is dropped. The operation waits, and those behind it with it: nothing is parked
    as a dead letter, however long that lasts. ``why`` says to people what is away. ``after_s``, in
    seconds or a ``timedelta``, is the pause before the next try, from 1 s to an hour; without it
    the pauses grow from 1 s to 60 s.
    """

    why = ""
    after_s: float | None = None

    def __init__(self, why: object = "", *, after_s: float | timedelta | None = None) -> None:
        super().__init__(why)
        if isinstance(why, int | float | timedelta):
            raise TypeError(f"Later({why!r}): for a pause write Later(after_s={why!r})")
        self.why = str(why)
        if after_s is None:
            return
        seconds = after_s.total_seconds() if isinstance(after_s, timedelta) else after_s
        if not isinstance(seconds, int | float):
            raise TypeError(f"Later(after_s={after_s!r}): a number of seconds, or a timedelta")
        if not seconds >= 0:
            raise ValueError(f"Later(after_s={after_s!r}): must be 0 seconds or more")
        self.after_s = seconds

    def pause_s(self, paused: int) -> float:
        """Return the pause before the next try, after so many others."""
        if self.after_s is None:
            return min(FIRST_PAUSE_S * 2.0 ** min(paused, 16), MAX_PAUSE_S)
        return min(max(self.after_s, FIRST_PAUSE_S), MAX_ASKED_S)

    @property
    def words(self) -> str:
        """Why, on one line: what the handler said, and the error that it was raised from."""
        cause = self.__cause__ or self.__context__
        told = [self.why] if self.why else []
        if cause is not None:
            text = "".join(traceback.format_exception_only(cause))
            in_unit = "INVOCATION_ID" in os.environ
            told.append(sandbox.explained(text, cause, in_unit=in_unit).strip())
        return one_line(hidden(": ".join(told)) or "its handler asks for it", _WORDS_CHARACTERS)


class Wait:
    """What waits since a :class:`Later`, through as many of them as follow.

    ``what`` names it for people, ``kind`` for what is said at most once a minute. ``since`` and all
    other times are in monotonic seconds.
    """

    def __init__(self, kind: Hashable, what: str, now: float) -> None:
        self.kind = kind
        self.what = what
        self.since = now
        self.is_said = False
        self._why = ""
        self._pauses = 0

    def next_s(self, later: Later) -> float:
        """Take another one; return the pause before the next try."""
        self._why = later.words
        pause_s = later.pause_s(self._pauses)
        self._pauses += 1
        return pause_s

    def is_due(self, repeats: Repeats, now: float) -> bool:
        """Tell whether it is to be said now."""
        due = repeats.is_due(("later", self.kind), now)
        self.is_said |= due
        return due

    def __str__(self) -> str:
        return f"{self.what} waits: {self._why}"
