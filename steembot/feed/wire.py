"""The feed's messages: all names, limits and the version of the protocol, in one place. Pure.

One message is one ZeroMQ frame: a MessagePack map whose ``kind`` names the message. ``encode``
and ``decode_*`` are all that touches bytes; bytes that are no message raise ``WireError``.

A type is matched whole: ``comment`` is not ``comment_options``; ``*`` stands for all.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr

from steembot.errors import WireError
from steembot.operation import BlockRef, Cursor, RawOperation
from steembot.text import one_line

VERSION: Final = 1
"""Raised when an old client or server would misread a new one."""

MAX_REQUEST_BYTES: Final = 64 * 1024
"""Of a message from a client. All that is longer is refused."""

MAX_FRAME_BYTES: Final = 1024 * 1024
"""Of a frame that libzmq takes from a client at all; above it, libzmq closes the connection."""

MAX_REPLY_BYTES: Final = 64 * 1024 * 1024
"""Of a message from the server. A Steem block is at most 2 MiB of binary; JSON is longer."""

MAX_CREDIT: Final = 1000
"""Blocks that a client may have asked for and not yet received."""

EVERY_TYPE: Final = "*"

U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Credit = Annotated[int, Meta(ge=1, le=MAX_CREDIT)]
# \Z, since $ would let a line end through, and with it a forged line into the log.
Name = Annotated[str, Meta(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]*\Z")]
TypeName = Annotated[str, Meta(pattern=r"^(\*|[a-z][a-z0-9_]{0,63})\Z")]


class ErrorCode(StrEnum):
    """Why the server refused a client. ``code`` of the ``error`` message."""

    BAD_MESSAGE = "bad_message"
    VERSION = "version"
    NOT_SUBSCRIBED = "not_subscribed"
    TOO_MUCH_CREDIT = "too_much_credit"
    ABOVE_HEAD = "above_head"
    TOO_OLD = "too_old"
    UNKNOWN_BLOCK = "unknown_block"
    TOO_MANY_CLIENTS = "too_many_clients"


# ---- client -> server


class Subscribe(msgspec.Struct, frozen=True, tag_field="kind", tag="subscribe"):
    """Ask for operations. A second one on the same connection replaces the first.

    ``after`` is ``head``, a block number (as decimal text; what follows that block is sent), or
    a cursor's token. ``credit`` is how many ``block`` messages the server may send.
    """

    version: int
    name: Name
    types: Annotated[list[TypeName], Meta(min_length=1, max_length=256)]
    mode: Literal["head", "irreversible"]
    after: Annotated[str, Meta(max_length=128)]
    credit: Credit


class Grant(msgspec.Struct, frozen=True, tag_field="kind", tag="credit"):
    """Allow ``blocks`` more ``block`` messages."""

    blocks: Credit


class Unsubscribe(msgspec.Struct, frozen=True, tag_field="kind", tag="unsubscribe"):
    """Goodbye: nothing more is wanted."""


class AskStatus(msgspec.Struct, frozen=True, tag_field="kind", tag="status"):
    """Ask for one ``status`` message."""


Request = Subscribe | Grant | Unsubscribe | AskStatus


# ---- server -> client


class Subscribed(
    msgspec.Struct, frozen=True, tag_field="kind", tag="subscribed", omit_defaults=True
):
    """The subscription stands.

    ``session`` is new at each start of the server. ``after`` is the position that the client
    was given; a client that asked for ``head`` keeps it, so that its next subscription misses
    nothing. ``head`` and ``after`` are null while the broadcaster has no block yet. ``chain_time``
    is as in :class:`Heartbeat`.
    """

    version: int
    session: str
    chain: str
    head: BlockRef | None
    irreversible: U32
    oldest: U32 | None
    after: Cursor | None
    chain_time: U32 = 0


class BlockMessage(msgspec.Struct, frozen=True, tag_field="kind", tag="block"):
    """The operations of one block that the client asked for, in chain order.

    ``irreversible`` is the number of the last irreversible block when this was sent.
    """

    num: U32
    id: str
    previous: str
    timestamp: U32
    irreversible: U32
    operations: tuple[RawOperation, ...]


class Undo(msgspec.Struct, frozen=True, tag_field="kind", tag="undo"):
    """A block that is no longer part of the chain; newest first where there are several.

    Carries the operations that the client asked for once more, newest first, so that nobody has
    to remember what may be undone.
    """

    num: U32
    id: str
    previous: str
    timestamp: U32
    operations: tuple[RawOperation, ...]


class Progress(msgspec.Struct, frozen=True, tag_field="kind", tag="progress"):
    """Nothing matched up to here: a position worth remembering."""

    cursor: Cursor
    irreversible: U32
    timestamp: U32


class Heartbeat(msgspec.Struct, frozen=True, tag_field="kind", tag="heartbeat", omit_defaults=True):
    """The server lives. ``head`` is null while it has no block yet.

    ``chain_time`` is when the newest block was made, while the broadcaster is at the head of the
    chain, and 0, left out on the wire, while it is behind.
    """

    head: BlockRef | None
    irreversible: U32
    chain_time: U32 = 0


class ClientStatus(msgspec.Struct, frozen=True):
    """One subscribed client. ``lag`` counts blocks from what it has finished with to the head."""

    name: str
    pid: int
    uid: int
    types: list[str]
    mode: str
    lag: int
    credit: int


class NodeStatus(msgspec.Struct, frozen=True):
    """One node. ``state`` is ``well``, ``resting`` (for ``rests_s`` more) or ``probation``.

    ``errors`` counts its failures by their kind since the broadcaster's start, ``trouble`` is the
    last of them in words. ``head`` is 0 and ``latency_ms`` null while they are not known.
    """

    url: str
    state: str
    head: U32
    rests_s: float
    latency_ms: float | None
    errors: dict[str, int]
    trouble: str

    def __post_init__(self) -> None:
        force_setattr(self, "trouble", one_line(self.trouble))


class Status(msgspec.Struct, frozen=True, tag_field="kind", tag="status"):
    """How the broadcaster is, for people: ``steembot status``."""

    version: int
    session: str
    chain: str
    head: BlockRef | None
    head_timestamp: U32
    irreversible: U32
    oldest: U32 | None
    words: str
    clients: list[ClientStatus]
    nodes: list[NodeStatus] = []

    def __post_init__(self) -> None:
        force_setattr(self, "words", one_line(self.words))


class Error(msgspec.Struct, frozen=True, tag_field="kind", tag="error"):
    """The server refused; the session, if there was one, is over."""

    code: str
    text: str

    def __post_init__(self) -> None:
        force_setattr(self, "text", one_line(self.text))


Reply = Subscribed | BlockMessage | Undo | Progress | Heartbeat | Status | Error
Message = Request | Reply

encode = msgspec.msgpack.Encoder().encode
"""One message to the bytes of one frame."""

_T = TypeVar("_T")

_request: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_reply: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def decode_request(frame: bytes | memoryview) -> Request:
    """Read what a client sent. Raises :class:`WireError` for anything that is no request."""
    return _decoded(_request, frame, MAX_REQUEST_BYTES)


def decode_reply(frame: bytes | memoryview) -> Reply:
    """Read what the server sent. Raises :class:`WireError` for anything that is no reply."""
    return _decoded(_reply, frame, MAX_REPLY_BYTES)


def _decoded(
    decoder: msgspec.msgpack.Decoder[_T], frame: bytes | memoryview, most_bytes: int
) -> _T:
    if len(frame) > most_bytes:
        raise WireError(f"a message of {len(frame)} bytes; at most {most_bytes} are allowed")
    try:
        return decoder.decode(frame)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise WireError(f"not a message of this protocol: {error}") from error
