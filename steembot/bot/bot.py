"""A bot as its author writes it: which function handles which type. Holds no state."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import msgspec

from steembot.bot import operation_types
from steembot.bot.filters import Filter
from steembot.bot.functions import check_function
from steembot.feed import wire
from steembot.operation import Operation

if TYPE_CHECKING:
    from steembot.bot.context import Context

Handler = Callable[[Operation, "Context"], object]
Timer = Callable[["Context"], object]
Where = Callable[[Operation, "Context"], object]

_H = TypeVar("_H", bound=Handler)
_T = TypeVar("_T", bound=Timer)

COMMENT = "comment"
DELETION = "delete_comment"


class Rule(msgspec.Struct, frozen=True):
    """One registered function, and which of its types' operations it is called for.

    ``max_age_s`` is in seconds; ``None`` for both conditions means all operations.
    """

    handler: Handler
    where: Where | None = None
    max_age_s: float | None = None

    def is_too_old(self, age_s: float) -> bool:
        """Tell whether an operation of that age is none for this function any more."""
        return self.max_age_s is not None and age_s > self.max_age_s


class Bot:
    """Register functions with ``@bot.on``, ``@bot.undo`` and ``@bot.every``.

    Several functions for one type run in the order of their registration, all in one commit.
    """

    def __init__(self) -> None:
        self._rules: dict[str, list[Rule]] = {}
        self._undo_rules: dict[str, list[Rule]] = {}
        self.timers: list[tuple[float, Timer]] = []

    def on(
        self,
        *types: str,
        where: Where | None = None,
        max_age: float | timedelta | None = None,
    ) -> Callable[[_H], _H]:
        """Call the function for each operation of these types; ``"*"`` means every type.

        ``where`` is a condition, a function of the operation and ``ctx``: one of
        :mod:`steembot.bot.filters` or the author's own. What it raises counts as the handler's
        failure. ``max_age``, in seconds or a ``timedelta``, leaves out operations whose block is
        older. Raises ``ValueError`` for what is no type of Steem or Hive.
        """
        max_age_s = None if max_age is None else _seconds(max_age, f"max_age={max_age!r}")
        return self._register(self._rules, types, where, max_age_s)

    def undo(self, *types: str, where: Where | None = None) -> Callable[[_H], _H]:
        """Call the function for each operation that was delivered and then undone by a fork."""
        return self._register(self._undo_rules, types, where, None)

    def every(self, period: float | timedelta) -> Callable[[_T], _T]:
        """Call the function every so many seconds, or ``timedelta``, between two operations."""
        period_s = _seconds(period, f"every({period!r})")

        def register(timer: _T) -> _T:
            check_function(timer, ("ctx",), "a timer")
            self.timers.append((period_s, timer))
            return timer

        return register

    @property
    def named(self) -> tuple[str, ...]:
        """The types as the author named them; ``"*"`` may be among them."""
        return tuple(sorted(self._rules.keys() | self._undo_rules.keys()))

    @property
    def types(self) -> tuple[str, ...]:
        """The types that the feed has to carry for this bot."""
        named = self.named
        if wire.EVERY_TYPE in named:
            return (wire.EVERY_TYPE,)
        # What was deleted is new when it is posted again.
        return tuple(sorted({*named, DELETION})) if self.remembers_posts else named

    @property
    def remembers_posts(self) -> bool:
        """Whether a condition asks if a post is new, so that each one has to be noted."""
        rules = [*self._rules.values(), *self._undo_rules.values()]
        return any(
            isinstance(rule.where, Filter) and rule.where.remembers
            for registered in rules
            for rule in registered
        )

    def rules(self, kind: str, *, undo: bool = False) -> list[Rule]:
        """What is registered for an operation of that type, or for its undo."""
        table = self._undo_rules if undo else self._rules
        return [*table.get(kind, ()), *table.get(wire.EVERY_TYPE, ())]

    def handlers(self, kind: str) -> list[Handler]:
        """The functions for an operation of that type."""
        return [rule.handler for rule in self.rules(kind)]

    def undo_handlers(self, kind: str) -> list[Handler]:
        """The functions for the undo of an operation of that type."""
        return [rule.handler for rule in self.rules(kind, undo=True)]

    @staticmethod
    def _register(
        table: dict[str, list[Rule]],
        types: tuple[str, ...],
        where: Where | None,
        max_age_s: float | None,
    ) -> Callable[[_H], _H]:
        if not types:
            raise ValueError("name at least one operation type, or '*' for all")
        for kind in types:
            _check_type(kind)
        if where is not None:
            check_function(where, ("op", "ctx"), "a condition")

        def register(handler: _H) -> _H:
            check_function(handler, ("op", "ctx"), "a handler")
            for kind in dict.fromkeys(types):
                table.setdefault(kind, []).append(Rule(handler, where, max_age_s))
            return handler

        return register


def _seconds(given: float | timedelta, words: str) -> float:
    """Return a duration in seconds, which must be finite and more than 0."""
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ValueError(  # noqa: TRY004 (one kind of error for whatever is registered wrongly)
            f"{words}: allowed are seconds as a number, or a timedelta"
        )
    if not 0 < seconds < math.inf:
        raise ValueError(f"{words}: must be more than 0 seconds, and finite")
    return float(seconds)


def _check_type(kind: object) -> None:
    if isinstance(kind, str) and (kind == wire.EVERY_TYPE or kind in operation_types.KNOWN):
        return
    near = operation_types.nearest(kind) if isinstance(kind, str) else None
    raise ValueError(
        f"{kind!r} is no operation type of Steem or Hive; "
        + (
            f"did you mean {near!r}?"
            if near
            else "write each as the chain does: @bot.on('comment')"
        )
    )
