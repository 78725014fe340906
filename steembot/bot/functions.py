"""Which functions a bot can call: checked at the start, and what they return when they are called.

The bot calls a function and goes on when it returns. A coroutine or a generator returns at once and
has done nothing by then, and as a condition it is always true. Both are refused by name.
"""

from __future__ import annotations

import inspect
from typing import Any, NoReturn

_ASYNC = "is async, and nobody would await it: write it with def, and call what it awaits directly"
_GENERATOR = "has a yield, so calling it runs nothing: write it without"


def check_function(function: object, arguments: tuple[str, ...], what: str) -> None:
    """Raise ``ValueError``, whatever is wrong, where a function cannot work with these arguments.

    They are given by position. ``what`` says what it is registered as, such as "a handler".
    """
    takes = f"{what} takes {' and '.join(arguments)}"
    if not callable(function) or isinstance(function, type):
        raise ValueError(f"{function!r} is no function: {takes}")  # noqa: TRY004 (as above)
    name = getattr(function, "__name__", None) or repr(function)
    # An object is called by its class's method; partial objects are looked through by inspect.
    for called in (function, type(function).__call__):
        if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
            raise ValueError(f"{name} {_ASYNC}")
        if inspect.isgeneratorfunction(called):
            raise ValueError(f"{name} {_GENERATOR}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a builtin that does not tell
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise ValueError(f"{name}{signature} cannot be called: {takes}") from error


def check_result(function: object, result: object) -> None:
    """Raise ``TypeError`` where a function returned work that nobody will do.

    A function that wraps an async one is told from others only by that.
    """
    if inspect.isawaitable(result) or inspect.isasyncgen(result):
        _refuse(function, result, _ASYNC)
    if inspect.isgenerator(result):
        _refuse(function, result, _GENERATOR)


def check_answer(condition: object, answer: object) -> None:
    """Do the same for a condition; a function as its answer is one that was not called."""
    check_result(condition, answer)
    if callable(answer) and not isinstance(answer, type):
        raise TypeError(f"the condition {condition!r} returned {answer!r}, which it did not call")


def _refuse(function: object, result: Any, why: str) -> NoReturn:
    if inspect.iscoroutine(result):
        result.close()  # or Python warns that it was never awaited
    raise TypeError(
        f"{getattr(function, '__name__', repr(function))} returned {result!r}: it {why}"
    )
