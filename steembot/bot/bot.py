"""A bot as its author writes it: which function handles which type. Holds no state."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from steembot.feed import wire
from steembot.operation import Operation

if TYPE_CHECKING:
    from steembot.bot.context import Context

Handler = Callable[[Operation, "Context"], object]
Timer = Callable[["Context"], object]

_H = TypeVar("_H", bound=Handler)
_T = TypeVar("_T", bound=Timer)

_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Bot:
    """Register functions with ``@bot.on``, ``@bot.undo`` and ``@bot.every``.

    Several functions for one type run in the order of their registration, all in one commit.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, list[Handler]] = {}
        self._undo_handlers: dict[str, list[Handler]] = {}
        self.timers: list[tuple[float, Timer]] = []

    def on(self, *types: str) -> Callable[[_H], _H]:
        """Call the function for each operation of these types; ``"*"`` means every type.

        Raises ``ValueError`` for what is no type's name.
        """
        return self._register(self._handlers, types)

    def undo(self, *types: str) -> Callable[[_H], _H]:
        """Call the function for each operation that was delivered and then undone by a fork."""
        return self._register(self._undo_handlers, types)

    def every(self, seconds: float) -> Callable[[_T], _T]:
        """Call the function every so many seconds, between two operations."""
        if not seconds > 0:
            raise ValueError(f"every({seconds!r}): seconds must be more than 0")

        def register(timer: _T) -> _T:
            self.timers.append((seconds, timer))
            return timer

        return register

    @property
    def types(self) -> tuple[str, ...]:
        """The types that the feed has to carry for this bot."""
        wanted = self._handlers.keys() | self._undo_handlers.keys()
        return (wire.EVERY_TYPE,) if wire.EVERY_TYPE in wanted else tuple(sorted(wanted))

    def handlers(self, kind: str) -> list[Handler]:
        """The functions for an operation of that type."""
        return _matching(self._handlers, kind)

    def undo_handlers(self, kind: str) -> list[Handler]:
        """The functions for the undo of an operation of that type."""
        return _matching(self._undo_handlers, kind)

    @staticmethod
    def _register(table: dict[str, list[Handler]], types: tuple[str, ...]) -> Callable[[_H], _H]:
        if not types:
            raise ValueError("name at least one operation type, or '*' for all")
        for kind in types:
            if kind != wire.EVERY_TYPE and not (isinstance(kind, str) and _TYPE.fullmatch(kind)):
                raise ValueError(
                    f"{kind!r} is no operation type; write it as the chain does, such as 'comment'"
                )

        def register(handler: _H) -> _H:
            for kind in dict.fromkeys(types):
                table.setdefault(kind, []).append(handler)
            return handler

        return register


def _matching(table: Mapping[str, list[Handler]], kind: str) -> list[Handler]:
    return [*table.get(kind, ()), *table.get(wire.EVERY_TYPE, ())]
