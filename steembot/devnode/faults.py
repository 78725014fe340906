"""The ways in which a devnode fails: their names, how they are written, which of them strike now.

Pure: time comes from a clock that is passed in, chance from seeded generators. What a fault does
to an answer is done elsewhere: view (what is shown of the chain), rpc (what is answered), server
(what is sent), ports (who may connect).

A fault is written

    NAME[:ARGUMENT...][@SHARE][,for:SECONDS][,times:N]

`@SHARE` strikes that share of the requests, above 0 and up to 1, drawn from the fault's own seeded
generator: `http-502@0.2`. `for:` ends it after that long, `times:` after it has struck that often.
Faults of connections (refuse, tls) take `for:` only. One fault of a name is on at a time: setting
it again replaces it and begins its draws and bounds anew. Where several would answer one request,
the one set first does.
"""

import difflib
import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import TypeVar

from steembot.devnode.errors import FaultError

RATE_SECONDS = 1.0  # `rate:N` counts the requests of the last second

MAX_NUMBER = 0xFFFF_FFFF
MAX_SECONDS = 1e9
_HIVE_CHAIN_ID = "beeab0de" + "0" * 56

Argument = int | str


class Scope(Enum):
    """Where a fault strikes."""

    CONNECTION = "connections, before any request"
    DELAY = "a request, before it is answered"
    ANSWER = "what is answered to a request; only one does"
    BATCH = "a batch of calls"
    CALL = "each JSON-RPC call by itself, also within a batch"
    VIEW = "what a request is shown of the chain"
    HEAD = "a request that asks for the head"


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument of a fault.

    name: as it stands in the table; a number where `choices` and `pattern` are empty.
    default: what it is when left out; None: it must be given, unless `optional`.
    """

    name: str
    default: Argument | None = None
    optional: bool = False
    least: int = 1
    most: int = MAX_NUMBER
    choices: tuple[str, ...] = ()
    pattern: str = ""

    @property
    def required(self) -> bool:
        """Tell whether it must be given."""
        return self.default is None and not self.optional

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        if self.choices:
            return " or ".join(self.choices)
        if self.pattern:
            return f"text like {self.pattern}"
        return f"a whole number from {self.least} to {self.most}"

    def parse(self, text: str) -> Argument | None:
        """Return the argument that a text means, or None when it is not allowed."""
        if self.choices:
            return text if text in self.choices else None
        if self.pattern:
            return text if re.fullmatch(self.pattern, text) else None
        # int() would take signs, blanks and digits of other scripts.
        number = int(text) if re.fullmatch(r"[0-9]{1,10}", text) else -1
        return number if self.least <= number <= self.most else None


@dataclass(frozen=True, slots=True)
class Kind:
    """A named fault. what: what the node does. seen: how often it was seen, or where it is from."""

    name: str
    scope: Scope
    what: str
    seen: str
    parameters: tuple[Parameter, ...] = ()

    @property
    def usage(self) -> str:
        """The name with its arguments, as in `http-503[:SECONDS]`."""
        text, closing = self.name, ""
        for parameter in self.parameters:
            text += f":{parameter.name}" if parameter.required else f"[:{parameter.name}"
            closing += "" if parameter.required else "]"
        return text + closing


_LATER = Parameter("SECONDS", default=1, least=0, most=86_400)
_BLOCKS = Parameter("BLOCKS", default=1)
_MS = Parameter("MS", most=3_600_000)
_NUM = Parameter("NUM", optional=True)
_PAGES = ("nginx", "cloudflare")
_JUSSI = "jussi's source"

KINDS: tuple[Kind, ...] = (
    # Connections.
    Kind(
        "refuse",
        Scope.CONNECTION,
        "refuses connections and cuts those that are open; then listens on the same port again",
        "a node that restarts",
    ),
    Kind(
        "tls",
        Scope.CONNECTION,
        "fails TLS handshakes on the --https port: answers no TLS (garbage), hangs up (close), "
        "says nothing (silent); plain HTTP gets nginx's 400 for having come to an HTTPS port",
        "the 400 is recorded; a certificate that nobody vouches for is what --https always has",
        (Parameter("HOW", default="garbage", choices=("garbage", "close", "silent")),),
    ),
    # Delays.
    Kind("latency", Scope.DELAY, "answers MS milliseconds late", "overloaded nodes", (_MS,)),
    # HTTP.
    Kind(
        "http-403",
        Scope.ANSWER,
        "403 Forbidden, a page of HTML",
        "27 recorded",
        (Parameter("PAGE", default="cloudflare", choices=_PAGES),),
    ),
    Kind(
        "http-413",
        Scope.ANSWER,
        "413 Request Entity Too Large, HTML, whatever the request's size (above 256 KiB: always)",
        "nginx's configuration",
    ),
    Kind(
        "http-429",
        Scope.ANSWER,
        "429 Too Many Requests, HTML, Retry-After: SECONDS (0: without it)",
        "nginx's configuration",
        (_LATER,),
    ),
    Kind("http-500", Scope.ANSWER, "500 Internal Server Error, HTML", "nginx"),
    Kind(
        "http-502",
        Scope.ANSWER,
        "502 Bad Gateway, a page of HTML",
        "268 recorded",
        (Parameter("PAGE", default="nginx", choices=_PAGES),),
    ),
    Kind(
        "http-503",
        Scope.ANSWER,
        "503 Service Temporarily Unavailable, HTML, Retry-After: SECONDS (0: without it)",
        "nginx's configuration",
        (_LATER,),
    ),
    Kind("http-504", Scope.ANSWER, "504 Gateway Time-out, HTML", "recorded"),
    Kind(
        "rate",
        Scope.ANSWER,
        "429 with Retry-After: 1 to what exceeds N requests within a second",
        "nginx's configuration: 50 a second for an address",
        (Parameter("N"),),
    ),
    Kind(
        "plain-text", Scope.ANSWER, "200 with the text of a steemd exception, no JSON", "recorded"
    ),
    # The body.
    Kind("empty-body", Scope.ANSWER, "200 with no body at all", "proxies that gave up"),
    Kind(
        "truncated",
        Scope.ANSWER,
        "200 with the first half of the right JSON, whose length the header gives as all",
        "proxies that gave up",
    ),
    Kind(
        "reset",
        Scope.ANSWER,
        "sends half of the body that the header announced, then resets the connection",
        "a front that restarts",
    ),
    Kind("hang", Scope.ANSWER, "takes the request and never answers", "overloaded nodes"),
    Kind(
        "drip",
        Scope.ANSWER,
        "sends the right body one byte each MS milliseconds, without end in practice",
        "overloaded nodes",
        (Parameter("MS", default=1000, most=3_600_000),),
    ),
    # JSON-RPC errors, all with HTTP status 200.
    Kind(
        "internal-error",
        Scope.ANSWER,
        "error -32603 Internal Error with error_id and jussi_request_id; one for a whole batch",
        "270 recorded",
    ),
    Kind(
        "request-timeout",
        Scope.ANSWER,
        "error 1000 Request Timeout; one for a whole batch",
        "recorded",
    ),
    Kind(
        "upstream-error",
        Scope.ANSWER,
        "error 1100 Upstream response error; one for a whole batch",
        _JUSSI,
    ),
    Kind(
        "bad-batch",
        Scope.BATCH,
        "a batch is answered by a single error object with id null; single calls are well",
        f"{_JUSSI}: one failed call does it",
    ),
    Kind(
        "batch-limit",
        Scope.BATCH,
        "error 1600 to batches of more than N calls (without it: 50)",
        f"{_JUSSI}; 50 on api.steemit.com",
        (Parameter("N"),),
    ),
    Kind(
        "database-lock",
        Scope.CALL,
        "error -32003 Unable to acquire database lock, to each call drawn",
        "recorded",
    ),
    Kind("server-error", Scope.CALL, "error -32000 Server error, to each call drawn", "recorded"),
    # The chain.
    Kind(
        "missing-block",
        Scope.VIEW,
        "the newest BLOCKS are announced, but get_block has null (condenser_api) or {} (block_api)",
        "reported, for up to 48 s: 16 blocks",
        (_BLOCKS,),
    ),
    Kind(
        "hole",
        Scope.VIEW,
        "block NUM, up to block LAST, is never there",
        "pruned and half-replayed nodes",
        (Parameter("NUM"), Parameter("LAST", optional=True)),
    ),
    Kind(
        "missing-virtual",
        Scope.VIEW,
        "get_ops_in_block has no operations of the newest BLOCKS",
        "reported",
        (_BLOCKS,),
    ),
    Kind(
        "stale-head",
        Scope.VIEW,
        "is BLOCKS behind: head, irreversible block, and no block above the head",
        "recorded: hours behind",
        (Parameter("BLOCKS", default=1200),),
    ),
    Kind(
        "frozen-head",
        Scope.VIEW,
        "stays at the head that it had when the fault was set",
        "reported: a node that lost its peers",
    ),
    Kind(
        "head-back",
        Scope.HEAD,
        "announces a head BLOCKS lower, in the next answer (once) or in every second one (flap); "
        "all blocks are there",
        "recorded: by one within a second, behind a load balancer",
        (_BLOCKS, Parameter("HOW", default="once", choices=("once", "flap"))),
    ),
    Kind(
        "fork-from",
        Scope.VIEW,
        "is on another branch after block NUM, with correct ids and signatures; nothing above NUM "
        "is irreversible. The same seed, NUM and SALT give the same branch",
        "a node cut off from the others",
        (Parameter("NUM"), Parameter("SALT", default="fork", pattern="[a-z0-9-]{1,32}")),
    ),
    Kind(
        "wrong-chain",
        Scope.VIEW,
        "get_config and get_version name another chain id (default: Hive's)",
        "a node of another chain under a wrong name",
        (Parameter("ID", default=_HIVE_CHAIN_ID, pattern="[0-9a-f]{64}"),),
    ),
    Kind(
        "altered-block",
        Scope.VIEW,
        "block NUM (default: every one) has its own id but another first operation",
        "made up: a node that lies",
        (_NUM,),
    ),
    Kind(
        "other-block",
        Scope.VIEW,
        "block NUM (default: always the newest) is another one, with an id, merkle root and "
        "signature that fit it; no other block follows it",
        "made up: a node that lies",
        (_NUM,),
    ),
)

KIND_OF_NAME = {kind.name: kind for kind in KINDS}


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
    kind = KIND_OF_NAME.get(name)
    if kind is None:
        raise FaultError(text, f"there is no fault {name!r}{_near(name)}")
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


def _near(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), KIND_OF_NAME, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else "; `--fault list` shows them all"


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
            if name not in KIND_OF_NAME:
                raise FaultError(name, f"there is no fault {name!r}{_near(name)}")
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


def table() -> str:
    """Return the faults as lines of text for a terminal."""
    width = max(len(kind.usage) for kind in KINDS) + 2
    return "\n".join(f"{kind.usage:<{width}}{kind.what}" for kind in KINDS)
