"""How a fault is written and read.

    NAME[:ARGUMENT...][@SHARE][,for:SECONDS][,times:N]

`@SHARE` strikes that share of the requests, above 0 and up to 1: `http-502@0.2`. `for:` ends it
after that long, `times:` after it has struck that often. Faults of connections (refuse, tls) take
`for:` only.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from steembot.devnode.errors import FaultError
from steembot.devnode.fault_kinds import (
    KIND_OF_NAME,
    MAX_NUMBER,
    Argument,
    Kind,
    Scope,
    kind_named,
)

MAX_SECONDS = 1e9


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault as it was asked for; `str()` is its shortest written form.

    arguments: one for each of the kind's parameters, None where an optional one was left out.
    share: of the requests. for_s: seconds from setting it. times: how often it strikes.
    """

    name: str
    arguments: tuple[Argument | None, ...] = ()
    share: float = 1.0
    for_s: float | None = None
    times: int | None = None

    @property
    def kind(self) -> Kind:
        """What it does."""
        return KIND_OF_NAME[self.name]

    def number(self, index: int = 0) -> int:
        """Return an argument that is a number."""
        value = self.arguments[index]
        assert isinstance(value, int)  # noqa: S101 - `parse` made it one; for mypy
        return value

    def text(self, index: int = 0) -> str:
        """Return an argument that is text."""
        return str(self.arguments[index])

    def __str__(self) -> str:
        given = list(zip(self.arguments, self.kind.parameters, strict=True))
        while given and given[-1][0] == given[-1][1].default:
            given.pop()
        text = ":".join([self.name, *(str(value) for value, _ in given)])
        if self.share != 1:
            text += f"@{_decimal(self.share)}"
        if self.for_s is not None:
            text += f",for:{_decimal(self.for_s)}"
        if self.times is not None:
            text += f",times:{self.times}"
        return text


def _decimal(number: float) -> str:
    """Write a number as `parse` reads it: without exponent, with six decimals at most."""
    return f"{number:.6f}".rstrip("0").rstrip(".")


def parse(text: str) -> Fault:
    """Return the fault that a text means. Raises FaultError, one line that says what is allowed."""
    head, *bounds = text.strip().split(",")
    head, at, share_text = head.partition("@")
    name, *arguments = head.split(":")
    kind = kind_named(name, text)
    share = 1.0
    if at:
        if kind.scope is Scope.CONNECTION:
            raise FaultError(text, f"{name} takes no @SHARE: it strikes connections, not requests")
        number = _number(share_text)
        if number is None or not 0 < number <= 1:
            raise FaultError(
                text, f"share {share_text!r} is not a number above 0 and up to 1, like @0.2"
            )
        share = number
    for_s, times = _bounds(text, kind, bounds)
    return Fault(name, _arguments(text, kind, arguments), share, for_s, times)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,6})?", text) else None


def _arguments(text: str, kind: Kind, given: Sequence[str]) -> tuple[Argument | None, ...]:
    if len(given) > len(kind.parameters):
        raise FaultError(text, f"too many arguments; it is written {kind.usage}")
    found: list[Argument | None] = []
    for index, parameter in enumerate(kind.parameters):
        if index >= len(given):
            if parameter.required:
                raise FaultError(
                    text,
                    f"{parameter.name} is missing, {parameter.allowed}; it is written {kind.usage}",
                )
            found.append(parameter.default)
            continue
        value = parameter.parse(given[index])
        if value is None:
            raise FaultError(text, f"{parameter.name} {given[index]!r} is not {parameter.allowed}")
        found.append(value)
    match kind.name, found:
        case "hole", [int(num), int(last)] if last < num:
            raise FaultError(text, f"LAST {last} is below NUM {num}")
    return tuple(found)


def _bounds(text: str, kind: Kind, bounds: Iterable[str]) -> tuple[float | None, int | None]:
    for_s: float | None = None
    times: int | None = None
    for bound in bounds:
        name, _, value = bound.partition(":")
        if name == "for" and for_s is None:
            for_s = _number(value)
            if not for_s or for_s > MAX_SECONDS:
                raise FaultError(
                    text, f"for {value!r} is not seconds above 0 and up to {MAX_SECONDS:.0f}"
                )
        elif name == "times" and times is None:
            if kind.scope is Scope.CONNECTION:
                raise FaultError(text, f"{kind.name} takes no times: it strikes no requests")
            times = int(value) if re.fullmatch(r"[0-9]{1,10}", value) else 0
            if not 1 <= times <= MAX_NUMBER:
                raise FaultError(
                    text, f"times {value!r} is not a whole number from 1 to {MAX_NUMBER}"
                )
        else:
            raise FaultError(text, f"{bound!r} is not for:SECONDS or times:N, each at most once")
    return for_s, times
