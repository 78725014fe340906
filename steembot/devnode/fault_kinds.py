"""The table of faults: each way in which a devnode fails, by its name, and what may be said of it.

What a fault does to an answer is done elsewhere: view (what is shown of the chain), rpc (what is
answered), pages and server (what is sent), ports (who may connect).
"""

import difflib
import re
from dataclasses import dataclass
from enum import Enum

from steembot.devnode.errors import FaultError

MAX_NUMBER = 0xFFFF_FFFF

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
        "the newest BLOCKS are announced, but get_block has null (condenser_api) or {} "
        "(block_api); get_block_range ends before them",
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
        "get_config and get_version name another chain id (default: Hive's; Steem's with --hive)",
        "a node of another chain under a wrong name",
        (Parameter("ID", optional=True, pattern="[0-9a-f]{64}"),),
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


def kind_named(name: str, text: str) -> Kind:
    """Return the kind of that name. Raises FaultError about `text`, which names the closest."""
    kind = KIND_OF_NAME.get(name)
    if kind is None:
        near = difflib.get_close_matches(name.lower(), KIND_OF_NAME, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "`--fault list` shows them all"
        raise FaultError(text, f"there is no fault {name!r}; {hint}")
    return kind


def table() -> str:
    """Return the faults as lines of text for a terminal."""
    width = max(len(kind.usage) for kind in KINDS) + 2
    return "\n".join(f"{kind.usage:<{width}}{kind.what}" for kind in KINDS)
