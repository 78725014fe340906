"""Everything that steembot raises on purpose.

::

    SteembotError
    ├── StartError                a process cannot start; it ends with status 78
    │   ├── SettingsError         a setting has a value that is not allowed
    │   ├── HandlersError         the module with a bot's handlers cannot be used
    │   └── SocketError           the broadcaster's socket cannot be served or reached
    ├── NodeError                 a node did not give a usable answer
    │   ├── NodeUnreachableError  no connection, or it broke
    │   ├── NodeTimeoutError      no whole answer in time
    │   ├── NodeStatusError       an HTTP status other than 200
    │   ├── NodeAnswerError       an answer that is not what was asked for
    │   ├── NodeRpcError          a JSON-RPC error object
    │   ├── NodeLimitError        more was asked for at once than the node gives
    │   ├── NodeBusyError         not asked, since the node wants no request for a while
    │   ├── NodeDisagreesError    the node has another block than the others, or none
    │   └── WrongChainError       the node is one of another chain
    ├── ForkTooDeepError          the node's chain leaves ours below what can be undone
    ├── WireError                 bytes on the feed that are no message of ours
    ├── FeedError                 the broadcaster refused what a client asked for
    ├── StateError                a state file cannot be used: another's, newer, in use
    │   ├── DamagedError          a state file holds something else than was written
    │   └── ForeignFileError      a state file is another program's, another chain's, or newer
    ├── UnknownShapeError         an operation in a shape that is not known for sure
    ├── OutputError               what a command says cannot be written
    ├── RecordingError            a file with recorded blocks cannot be read
    └── DiskError                 a state file cannot be written now: no room, or the disk fails

An error carries its data in attributes and its words in ``str()``: which thing, what was
wrong, what is allowed, what to do.
"""

from __future__ import annotations

import re

from steembot.text import one_line

_SECRET = re.compile(r"KEY|WIF|SECRET|TOKEN|PASS", re.IGNORECASE)
_PASSWORD = re.compile(r"(?<=://)([^/:\s,]*):[^/\s,]*@")

EXIT_CONFIG = 78
"""Exit status of a process that cannot start as it is set up (``EX_CONFIG``, sysexits.h)."""


def without_passwords(text: str) -> str:
    """Return the text with ``***`` in the place of the passwords that URLs in it hold."""
    return _PASSWORD.sub(r"\1:***@", text)


class SteembotError(Exception):
    """Base of all errors that steembot raises on purpose."""


class StartError(SteembotError):
    """A process cannot start as it is set up. It ends with :data:`EXIT_CONFIG`."""


class SettingsError(StartError):
    """A setting has a value that is not allowed, or is not known at all.

    ``name`` is the variable, ``value`` what it held, ``allowed`` what it may hold. Of a whole file
    ``name`` is the path, ``value`` is ``None``, and ``allowed`` says what is wrong with it.
    """

    def __init__(self, name: str, value: str | None, allowed: str) -> None:
        super().__init__(name, value, allowed)
        self.name = name
        self.value = value
        self.allowed = allowed

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.name}: {self.allowed}"
        # A key that somebody put into the wrong variable must not end up in a journal.
        value = "(not shown)" if _SECRET.search(self.name) else without_passwords(repr(self.value))
        return f"{self.name}={value}: {self.allowed}"


class HandlersError(StartError):
    """The module with a bot's handlers cannot be imported or holds no bot."""


class SocketError(StartError):
    """The broadcaster's socket is missing, taken by another process, or not ours to open."""


class NodeError(SteembotError):
    """A node did not give a usable answer.

    ``node`` is its URL without a password, ``detail`` what was wrong, ``kind`` the sort of failure
    in one word, as metrics count it.
    """

    kind = "other"

    def __init__(self, node: str, detail: str) -> None:
        # Much of it is the node's own words, and those may be anything, of any length.
        self.detail = one_line(detail)
        super().__init__(node, self.detail)
        self.node = node

    def __str__(self) -> str:
        return f"node {self.node}: {self.detail}"


class NodeUnreachableError(NodeError):
    """No connection to the node, or the connection broke in the middle."""

    kind = "unreachable"


class NodeTimeoutError(NodeError):
    """The node gave no whole answer before the deadline."""

    kind = "timeout"


class NodeStatusError(NodeError):
    """The node (or what stands before it) answered with an HTTP status other than 200.

    ``retry_after_s`` is how long it wants no request (429 and 503), 0 otherwise.
    """

    kind = "status"

    def __init__(self, node: str, status: int, reason: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(node, f"HTTP {status} {reason}".rstrip())
        self.status = status
        self.retry_after_s = retry_after_s


class NodeAnswerError(NodeError):
    """The node's answer is not what was asked for: not JSON, another shape, another block."""

    kind = "answer"


class NodeRpcError(NodeError):
    """The node answered with a JSON-RPC error object. ``code`` is its code."""

    kind = "rpc"

    def __init__(self, node: str, code: int, message: str) -> None:
        super().__init__(node, f"JSON-RPC error {code}: {message}")
        self.code = code


class NodeLimitError(NodeError):
    """More was asked for at once than the node gives: a batch, a request or an answer too large."""

    kind = "limit"


class NodeBusyError(NodeError):
    """The node was not asked, since it wants no request for ``retry_after_s`` more."""

    kind = "busy"

    def __init__(self, node: str, detail: str, retry_after_s: float) -> None:
        super().__init__(node, detail)
        self.retry_after_s = retry_after_s


class NodeDisagreesError(NodeError):
    """The node has another block than the others have, or is behind them."""

    kind = "disagrees"


class WrongChainError(NodeError):
    """The node is one of another chain."""

    kind = "wrong_chain"


class ForkTooDeepError(SteembotError):
    """The node's chain leaves ours at a block that cannot be undone any more."""


class WireError(SteembotError):
    """Bytes on the feed that are no message of this protocol."""


class FeedError(SteembotError):
    """The broadcaster refused what a client asked for. ``code`` is one of ``wire.ErrorCode``."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        return self.text


class DiskError(SteembotError):
    """A state file cannot be written now, most often because the disk is full."""


class StateError(SteembotError):
    """A state file cannot be used: it is another program's, newer than this one, or in use."""


class DamagedError(StateError):
    """A state file does not hold what was written to it.

    ``path`` is the file, ``reason`` what is wrong, ``remedy`` what a person has to do.
    """

    def __init__(self, path: str, reason: str, remedy: str) -> None:
        super().__init__(path, reason, remedy)
        self.path = path
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.path} is damaged: {self.reason}; {self.remedy}"


class ForeignFileError(StateError):
    """A state file is another program's, of another chain, or of a newer version."""


class UnknownShapeError(SteembotError):
    """An operation is told in a shape that is not known for sure; ``str()`` says which."""


class OutputError(SteembotError):
    """What a command says cannot be written. ``stream`` is where to, ``reason`` why not."""

    def __init__(self, stream: str, reason: str) -> None:
        super().__init__(stream, reason)
        self.stream = stream
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.stream} cannot be written: {self.reason}; make room, or write elsewhere"


class RecordingError(SteembotError):
    """A file with recorded blocks cannot be used. ``line`` is its number, from 1."""

    def __init__(self, path: str, line: int, reason: str) -> None:
        super().__init__(path, line, reason)
        self.path = path
        self.line = line
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.reason}"
