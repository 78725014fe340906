"""When a bot's timers run next. Lasting for long periods, so that no restart puts a run off.

A timer of a minute or more has its next run on disk, in the chain's time, in the same commit as
what it stored. What was missed while the bot was down is made up for by one run, at once. A run
that kills the process is tried three times, and then it is the next period's turn.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

LASTING_S = 60.0
"""From this period on a timer's next run outlasts the process; a shorter one soon comes anyway."""

DEATHS = 3
"""How often a run may kill or hang the process before it counts as done."""


class Lasting(msgspec.Struct, frozen=True):
    """What is kept of a timer: its period, its next run in the chain's time, deaths of that run."""

    period_s: float
    next_run: float
    deaths: int = 0

    def __str__(self) -> str:
        words = f"{self.period_s!r} {self.next_run!r} {self.deaths}"
        return f"{words} {zlib.crc32(words.encode())}"

    @classmethod
    def parse(cls, text: str) -> Lasting | None:
        """Read what ``str()`` wrote; ``None`` for anything else, which counts as a new timer."""
        words, _, checksum = text.rpartition(" ")
        if not checksum.isdecimal() or int(checksum) != zlib.crc32(words.encode()):
            return None
        period, next_run, deaths = words.split()
        return cls(float(period), float(next_run), int(deaths))


class Timers:
    """The due times of a bot's timers, in the seconds of ``clock``.

    ``timers`` are periods and functions. ``kept`` has what an earlier process kept, by name;
    ``keep(name, text)`` makes it part of the next commit, ``None`` removes it, and ``commit()``
    commits alone. ``now`` gives the chain's time in seconds since 1970.
    """

    def __init__(
        self,
        timers: Sequence[tuple[float, Callable[..., object]]],
        kept: dict[str, str],
        keep: Callable[[str, str | None], None],
        commit: Callable[[], None],
        *,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._keep, self._commit = keep, commit
        self._clock, self._now = clock, now
        self._periods = [period for period, _ in timers]
        self._names = _names([function for _, function in timers])
        self._lasting: dict[int, Lasting] = {}
        for name in kept.keys() - {*self._names}:
            keep(name, None)
        self.due = [self._first(index, kept) for index in range(len(timers))]

    def _first(self, index: int, kept: dict[str, str]) -> float:
        period = self._periods[index]
        if period < LASTING_S:
            return self._clock() + period
        name = self._names[index]
        before = Lasting.parse(kept[name]) if name in kept else None
        if before is None or before.period_s != period or before.deaths >= DEATHS:
            self._set(index, Lasting(period, self._now() + period))
            return self._clock() + period
        self._lasting[index] = before
        # A clock that was ahead when it was kept puts off no more than a period.
        return self._clock() + min(period, max(0.0, before.next_run - self._now()))

    def begin(self, index: int) -> None:
        """Note that a run is about to begin, before anything that it does can end the process."""
        lasting = self._lasting.get(index)
        if lasting is not None:
            self._set(index, msgspec.structs.replace(lasting, deaths=lasting.deaths + 1))
            self._commit()

    def put(self, index: int, due: float) -> None:
        """Set the next run, in seconds of ``clock``, as part of the next commit."""
        if self._periods[index] >= LASTING_S:
            next_run = self._now() + due - self._clock()
            self._set(index, Lasting(self._periods[index], next_run))
        self.due[index] = due

    def _set(self, index: int, lasting: Lasting) -> None:
        self._lasting[index] = lasting
        self._keep(self._names[index], str(lasting))


def _names(functions: Sequence[Callable[..., object]]) -> list[str]:
    """Name each function over restarts: by its own name, and by order where two share one."""
    seen: Counter[str] = Counter()
    names = []
    for function in functions:
        name = getattr(function, "__qualname__", None) or type(function).__qualname__
        seen[name] += 1
        names.append(f"{name} {seen[name]}")
    return names
