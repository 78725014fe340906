"""The words that everything else speaks: operation, block, cursor.

Standard library, msgspec and :mod:`.text` only: a bot imports this, and a bot starts in 0.2 s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Self

import msgspec

from steembot.text import storable

BLOCK_LEVEL = 0xFFFF_FFFF
"""``trx_in_block`` of virtual operations that belong to no transaction (steemd: ``uint32(-1)``)."""

_NUMBER = "(0|[1-9][0-9]{0,9})"  # \d would take digits of other scripts too
_CURSOR = re.compile(f"{_NUMBER}-([0-9a-f]{{40}})-{_NUMBER}-{_NUMBER}-{_NUMBER}")


class Cursor(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The position of one operation on the chain.

    ``block_id`` tells which block of that number, so a cursor survives a fork: it says what was
    seen, and a reader who finds another block there knows what to undo. ``virtual_op`` is 0 for
    operations of transactions and counts virtual ones, since several share a transaction and an
    operation (steemd numbers them anew in each block).
    """

    block_num: int
    block_id: str
    trx_in_block: int
    op_in_trx: int
    virtual_op: int = 0

    @classmethod
    def end_of(cls, block_num: int, block_id: str) -> Self:
        """Return the position behind every operation of a block."""
        return cls(block_num, block_id, BLOCK_LEVEL, BLOCK_LEVEL, BLOCK_LEVEL)

    @classmethod
    def parse(cls, token: str) -> Self:
        """Read what ``str()`` wrote. Raises ``ValueError`` for anything else."""
        match = _CURSOR.fullmatch(token)
        if match is None:
            raise ValueError(f"{token[:80]!r} is not a cursor")
        num, block_id, trx, op, virtual = match.groups()
        numbers = int(num), int(trx), int(op), int(virtual)
        if max(numbers) > BLOCK_LEVEL:
            raise ValueError(f"{token[:80]!r} is not a cursor: a number in it exceeds 32 bits")
        return cls(numbers[0], block_id, *numbers[1:])

    def __str__(self) -> str:
        return (
            f"{self.block_num}-{self.block_id}"
            f"-{self.trx_in_block}-{self.op_in_trx}-{self.virtual_op}"
        )

    @property
    def is_end(self) -> bool:
        """Whether this is the position behind every operation of its block."""
        return self.trx_in_block == self.op_in_trx == self.virtual_op == BLOCK_LEVEL

    @property
    def within_block(self) -> tuple[int, int, int]:
        """The part that orders the operations of one block, as steemd's own index does.

        A transaction's own operations come first, then the virtual ones that they caused.
        """
        return self.trx_in_block, self.virtual_op, self.op_in_trx


class RawOperation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One operation whose body nobody has looked into yet.

    ``value`` is the body as JSON bytes, exactly as the node wrote it. ``op_in_trx`` is counted
    from the block itself: two equal operations in one transaction are two operations.
    """

    type: str
    trx_in_block: int
    op_in_trx: int
    virtual_op: int
    trx_id: str
    value: bytes

    @property
    def within_block(self) -> tuple[int, int, int]:
        """The part that orders the operations of one block, as steemd's own index does.

        A transaction's own operations come first, then the virtual ones that they caused.
        """
        return self.trx_in_block, self.virtual_op, self.op_in_trx


class BlockRef(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Which block: its number and its id."""

    num: int
    id: str

    def __str__(self) -> str:
        return f"{self.num} ({self.id[:16]})"


pack = msgspec.msgpack.Encoder().encode
"""Operations to the bytes that a block holds, in MessagePack."""

_unpack_operations = msgspec.msgpack.Decoder(tuple[RawOperation, ...]).decode


class Block(msgspec.Struct, frozen=True, gc=False):
    """One block. ``timestamp`` is in seconds since 1970, UTC, a multiple of 3.

    ``packed`` holds its operations as :data:`pack` wrote them: one object instead of hundreds, for
    blocks that wait in memory, and just what the block log stores.
    """

    num: int
    id: str
    previous: str
    timestamp: int
    packed: bytes

    @classmethod
    def of(
        cls,
        num: int,
        block_id: str,
        previous: str,
        timestamp: int,
        operations: Sequence[RawOperation],
    ) -> Self:
        """Return the block with these operations, which are in chain order."""
        return cls(num, block_id, previous, timestamp, pack(operations))

    @property
    def operations(self) -> tuple[RawOperation, ...]:
        """The operations, in chain order; unpacked anew each time.

        Raises ``msgspec.MsgspecError`` if ``packed`` is damaged.
        """
        return _unpack_operations(self.packed)

    @property
    def ref(self) -> BlockRef:
        """Number and id."""
        return BlockRef(self.num, self.id)


class Operation(msgspec.Struct, frozen=True):
    """One operation, as a handler gets it.

    ``value`` is the body as the chain has it, assets as the node gave them. ``timestamp`` is the
    block's, aware, UTC. ``virtual_op`` is 0 unless the operation is virtual. ``exact`` is false
    where the body holds bytes or escapes that are no text (a stranger may write any): U+FFFD stands
    in their place.
    """

    type: str
    value: dict[str, Any]
    block_num: int
    block_id: str
    timestamp: datetime
    trx_id: str
    trx_in_block: int
    op_in_trx: int
    virtual_op: int
    exact: bool = True

    @property
    def cursor(self) -> Cursor:
        """The operation's position on the chain."""
        return Cursor(
            self.block_num, self.block_id, self.trx_in_block, self.op_in_trx, self.virtual_op
        )


_decode_value = msgspec.json.Decoder(dict[str, Any]).decode


def unpack(raw: RawOperation, block: BlockRef, timestamp: int) -> Operation:
    """Parse a raw operation's body.

    Raises ``msgspec.MsgspecError`` if it is no JSON object, even when read as other readers do:
    see :func:`decode_leniently`.
    """
    exact = True
    try:
        value = _decode_value(raw.value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        exact = False
        value = decode_leniently(raw.value)
        if not isinstance(value, dict):
            raise msgspec.DecodeError(f"a JSON {type(value).__name__}, not an object") from None
    return Operation(
        type=raw.type,
        value=value,
        block_num=block.num,
        block_id=block.id,
        timestamp=datetime.fromtimestamp(timestamp, UTC),
        trx_id=raw.trx_id,
        trx_in_block=raw.trx_in_block,
        op_in_trx=raw.op_in_trx,
        virtual_op=raw.virtual_op,
        exact=exact,
    )


def decode_leniently(text: bytes | str) -> Any:
    r"""Read JSON as Python's own reader does, with U+FFFD for what is no text.

    msgspec refuses lone surrogates (``"\ud83d"``), bytes that are no UTF-8, ``NaN`` and numbers
    beyond 64 bits; other readers of the chain take them. Raises ``msgspec.DecodeError`` for what is
    no JSON then either, or too large a number, or nested too deep.
    """
    try:
        written = text if isinstance(text, str) else text.decode("utf-8", "replace")
        return _storable(json.loads(written))
    except (ValueError, RecursionError) as error:
        raise msgspec.DecodeError(f"no JSON that can be read: {error}") from error


def _storable(value: Any) -> Any:
    """Replace lone surrogates, in keys too."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, dict):
        return {storable(key): _storable(each) for key, each in value.items()}
    return value
