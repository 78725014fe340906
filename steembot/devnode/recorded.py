"""Recorded blocks from a file: JSON lines, a block a line, as a node answered them.

A line is a block of either shape (shapes.py), or an object that holds one as `block`, perhaps with
its `block_num`. The blocks must follow one another: each one's `previous` is the id of the one
before. What else a node could check (signatures, merkle root) is taken on trust: blocks that were
relinked for a test have wrong ones. Virtual operations are not in such files; get_ops_in_block
has none for these blocks.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from steembot.devnode import serialize, shapes
from steembot.devnode.chain import Block
from steembot.devnode.errors import BlockError, BlocksError, ChainError


class RecordedBlocks:
    """A file's blocks, in order; a `chain.Source` with an end. hive: as Hive's nodes tell them.

    Raises BlocksError, which names file and line, when it cannot be read or is not one chain.
    """

    def __init__(self, path: Path, *, hive: bool = False) -> None:
        self.hive = hive
        self._blocks = list(_load(path, hive=hive))
        if not self._blocks:
            raise BlocksError(path, None, "no block in it; a line must hold a block")
        self.first_num = self._blocks[0].num
        self._next = 0

    def __len__(self) -> int:
        return len(self._blocks)

    def slots_to_next(self) -> int | None:
        """Return 1 until the end: recorded gaps in time are not waited for."""
        return 1 if self._next < len(self._blocks) else None

    def next(self, slots: int) -> Block:  # noqa: ARG002 - the recorded time stands
        """Return the next recorded block."""
        block = self._blocks[self._next]
        self._next += 1
        return block

    def rewind(self, common: Block) -> None:  # noqa: ARG002 - part of the protocol
        """Refuse: a recording has no second branch. Raises ChainError."""
        raise ChainError(
            "recorded blocks cannot fork: there is no other branch; use a generated one"
        )


def _lines(path: Path, file: BinaryIO) -> Iterator[bytes]:
    try:
        yield from file
    except OSError as error:
        raise BlocksError(path, None, f"cannot be read: {error.strerror}") from error


def _load(path: Path, *, hive: bool) -> Iterator[Block]:
    try:
        lines = path.open("rb")
    except OSError as error:
        raise BlocksError(path, None, f"cannot be read: {error.strerror}") from error
    previous: Block | None = None
    with lines:
        for number, line in enumerate(_lines(path, lines), 1):
            if not line.strip():
                continue
            try:
                block = _block(line, hive=hive)
                _check_link(previous, block)
            except BlockError as error:
                raise BlocksError(path, number, str(error)) from error
            yield block
            previous = block


def _block(line: bytes, *, hive: bool) -> Block:
    """Return the block of one line. Raises BlockError."""
    try:
        record: Any = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise BlockError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise BlockError("not an object; a line must be a block, or an object that holds one")
    block = record.get("block", record)
    if not isinstance(block, dict):
        raise BlockError("`block` is not an object")
    try:
        block = shapes.appbase_block(block)
        num = serialize.block_num(block["block_id"])
        timestamp = serialize.timestamp_seconds(block["timestamp"])
        packed = Block.of(num, timestamp, block, (), hive=hive)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise BlockError(f"not as a node answers it: {error}") from error
    if record.get("block_num", num) != num:
        raise BlockError(f"block_num is {record['block_num']}, but the block's id says {num}")
    return packed


def _check_link(previous: Block | None, block: Block) -> None:
    if previous is not None and block.previous != previous.id:
        raise BlockError(
            f"block {block.num} does not follow block {previous.num} of the line before: its "
            f"`previous` is {block.previous}, not {previous.id}; the file must be one chain"
        )
