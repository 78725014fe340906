"""Which faults of a node strike now. Pure: clock and chance are passed in.

A share of the requests is drawn from the fault's own seeded generator. One fault of a name is on at
a time: setting it again replaces it and begins its draws and bounds anew. Where several would
answer one request, the one set first does. What there is stands in fault_kinds, how it is written
in fault_notation.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from steembot.devnode.fault_kinds import Scope, kind_named
from steembot.devnode.fault_notation import Fault, parse

RATE_SECONDS = 1.0  # `rate:N` counts the requests of the last second


@dataclass(slots=True)
class Active:
    """A fault that is on.

    until: the clock's time of its end. drawn: how often it might have struck. struck: how often it
    did.
    """

    fault: Fault
    until: float | None
    random: Random
    drawn: int = 0
    struck: int = 0
    _recent: deque[float] = field(default_factory=deque)

    def over(self, now: float) -> bool:
        """Tell whether its bounds are reached."""
        times = 1 if self._once else self.fault.times
        return (self.until is not None and now >= self.until) or (
            times is not None and self.struck >= times
        )

    @property
    def _once(self) -> bool:
        return self.fault.name == "head-back" and self.fault.text(1) == "once"

    def draw(self, now: float) -> bool:
        """Tell whether it would strike one more request (or call); moves its generator on."""
        self.drawn += 1
        strikes = self.fault.share == 1 or self.random.random() < self.fault.share
        if self.fault.name == "rate":
            strikes = self._exceeded(now) and strikes
        elif self.fault.name == "head-back" and not self._once:
            strikes = self.drawn % 2 == 1 and strikes
        return strikes and not self.over(now)

    def _exceeded(self, now: float) -> bool:
        """Tell whether a request is one too many in its second; counts those that are not."""
        recent = self._recent
        while recent and recent[0] <= now - RATE_SECONDS:
            recent.popleft()
        if len(recent) >= self.fault.number():
            return True
        recent.append(now)  # at most N of them
        return False


@dataclass(frozen=True, slots=True)
class Plan:
    """What strikes one request.

    delay_s: before it is answered. answer: the fault that answers it. view: the faults in how it
    is dealt with otherwise (BATCH, VIEW, HEAD). calls: the faults to be drawn for each of its
    calls.
    """

    delay_s: float = 0.0
    answer: Fault | None = None
    view: tuple[Fault, ...] = ()
    calls: tuple[Active, ...] = ()


NOTHING = Plan()


def _concerns(scope: Scope, body: bytes) -> bool:
    """Tell whether a fault of this scope can strike a request with this body."""
    match scope:
        case Scope.CONNECTION:
            return False
        case Scope.BATCH:
            return body.lstrip().startswith(b"[")
        case Scope.HEAD:
            return b"get_dynamic_global_properties" in body
        case _:
            return True


T = TypeVar("T")


def _here(function: Callable[[], T]) -> T:
    return function()


def _no_begin(fault: Fault) -> None:
    """Let every fault be set."""


def _no_change() -> None:
    """Do nothing about it."""


class Faults:
    """The faults of one node, to be switched while it runs.

    clock: seconds, never going back. seed: of the draws. run: runs a function where nobody else
    changes or asks this object (a node's own thread) and returns what it returns; `set`, `clear`,
    `active` and `struck` go through it, which makes them safe in every thread. begin: told each
    fault before it is on; what it raises keeps all of that `set` off. changed: told afterwards.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        seed: int = 0,
        run: Callable[[Callable[[], object]], object] = _here,
        begin: Callable[[Fault], None] = _no_begin,
        changed: Callable[[], None] = _no_change,
    ) -> None:
        self._clock = clock
        self._seed = seed
        self._run = run
        self._begin = begin
        self._changed = changed
        self._active: dict[str, Active] = {}
        self._struck: dict[str, int] = {}

    def set(self, *faults: str | Fault) -> None:
        """Switch faults on, all or none; one that is on already begins anew.

        When it returns they are in force. Raises FaultError, or ChainError for what this node's
        chain cannot do.
        """
        wanted = [parse(str(fault)) for fault in faults]  # also checks one that was put together
        self._run(lambda: self._set(wanted))

    def _set(self, wanted: Sequence[Fault]) -> None:
        for fault in wanted:
            self._begin(fault)
        now = self._clock()
        for fault in wanted:
            until = None if fault.for_s is None else now + fault.for_s
            random = Random(f"{self._seed} {fault.name}")  # noqa: S311 - meant to be repeatable
            self._active.pop(fault.name, None)  # so that it stands last, as the newest
            self._active[fault.name] = Active(fault, until, random)
        self._changed()

    def clear(self, *names: str) -> None:
        """Switch faults off by name, or all of them; what is off already stays so.

        When it returns, new requests are answered as if they had never been on. Raises FaultError
        for a name that is none.
        """
        for name in names:
            kind_named(name, name)
        self._run(lambda: self._clear(names))

    def _clear(self, names: Sequence[str]) -> None:
        for name in names or list(self._active):
            self._active.pop(name, None)
        self._changed()

    @property
    def active(self) -> tuple[Fault, ...]:
        """The faults that are on, in the order in which they were set."""
        found: list[Fault] = []
        self._run(lambda: found.extend(each.fault for each in self.now_active()))
        return tuple(found)

    def struck(self, name: str) -> int:
        """Return how many requests (or calls) a fault struck, counted over all its settings."""
        found: list[int] = []
        self._run(lambda: found.append(self._struck.get(name, 0)))
        return found[0]

    # For the node itself, in its own thread.

    def now_active(self) -> tuple[Active, ...]:
        """Return what is on; forgets what is over."""
        now = self._clock()
        for name in [name for name, each in self._active.items() if each.over(now)]:
            del self._active[name]
        return tuple(self._active.values())

    def now(self, name: str) -> Active | None:
        """Return a fault that is on."""
        return next((each for each in self.now_active() if each.fault.name == name), None)

    def plan(self, body: bytes) -> Plan:
        """Draw what strikes a request with this body."""
        if not self._active:
            return NOTHING
        delay_s = 0.0
        answer: Fault | None = None
        view: list[Fault] = []
        calls: list[Active] = []
        for each in self.now_active():
            fault = each.fault
            scope = fault.kind.scope
            if scope is Scope.CALL:
                calls.append(each)
                continue
            # Drawn in any case, so that one fault's draws don't depend on the others that are on.
            if not _concerns(scope, body) or not each.draw(self._clock()):
                continue
            if scope is Scope.DELAY:
                delay_s += fault.number() / 1000
            elif scope is not Scope.ANSWER:
                view.append(fault)
            elif answer is None:
                answer = fault
            else:
                continue
            self._count(each)
        return Plan(delay_s, answer, tuple(view), tuple(calls))

    def strike(self, calls: Iterable[Active]) -> Fault | None:
        """Draw which of a plan's `calls` strikes one call."""
        found: Fault | None = None
        for each in calls:
            if each.draw(self._clock()) and found is None:
                found = each.fault
                self._count(each)
        return found

    def _count(self, each: Active) -> None:
        each.struck += 1
        name = each.fault.name
        self._struck[name] = self._struck.get(name, 0) + 1
