"""Was each operation of a range handled, exactly once? Pure: records in, findings out.

The bot keeps on record what its handlers finished (dead letters count: they are kept, not lost).
Compared with the chain's own blocks, that proves for a range that nothing is missing and nothing
came twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import msgspec

from steembot.errors import StateError
from steembot.feed import wire
from steembot.operation import Block, Cursor, RawOperation


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong. ``what`` is ``missing``, ``double``, ``foreign`` or ``broken``.

    ``foreign`` was handled and is not on the chain; ``broken`` is a block that does not join.
    """

    what: str
    block_num: int
    words: str


class Record(msgspec.Struct, frozen=True):
    """What a bot handled in one block: the block's id, and how often each place in it."""

    block_id: str
    times: dict[tuple[int, int, int], int]


class Books:
    """A bot's own record, read from its state file without disturbing it.

    Raises :class:`~steembot.errors.StateError` where there is none that can be read.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise StateError(
                f"there is no bot's state at {path}; name the bot with --bot, and its folder with "
                "STEEMBOT_STATE_DIR"
            )
        self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        try:
            (position,) = self._connection.execute("SELECT position FROM progress").fetchone()
            rows = self._connection.execute(
                "SELECT after_block, types FROM subscription ORDER BY after_block"
            )
            self._subscriptions: list[tuple[int, list[str]]] = [
                (after, types.split()) for after, types in rows
            ]
        except (sqlite3.DatabaseError, TypeError) as error:
            self._connection.close()
            raise StateError(f"{path} is no bot's state that can be read: {error}") from error
        self._position = None if position is None else Cursor.parse(position)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def last(self) -> int:
        """The last block that the bot is done with; 0 before its first one."""
        position = self._position
        if position is None:
            return 0
        return position.block_num if position.is_end else position.block_num - 1

    def first(self, kept_blocks: int) -> int | None:
        """The first block that is on record, or ``None`` before the first subscription."""
        if not self._subscriptions:
            return None
        begun = self._subscriptions[0][0] + 1
        return max(begun, self.last - kept_blocks + 1)

    def wanted(self, block_num: int) -> frozenset[str] | None:
        """The types that the bot was given in that block; ``None`` means all."""
        types: list[str] = []
        for after, wanted in self._subscriptions:
            if after < block_num:
                types = wanted
        return None if wire.EVERY_TYPE in types else frozenset(types)

    def handled(self, block_num: int) -> Record:
        """What the bot handled in that block."""
        query = "SELECT id FROM handled_block WHERE num = ?"
        row = self._connection.execute(query, (block_num,)).fetchone()
        places = self._connection.execute(
            "SELECT trx_in_block, virtual_op, op_in_trx, times FROM handled WHERE num = ?",
            (block_num,),
        )
        times = {(trx, virtual, op): count for trx, virtual, op, count in places}
        return Record("" if row is None else row[0], times)


def compare(books: Books, chain: Iterable[Block]) -> Iterator[Finding | int]:
    """Compare block by block; yields what is wrong, and after each block how many operations."""
    previous: Block | None = None
    for block in chain:
        if previous is not None and block.previous != previous.id:
            yield Finding(
                "broken", block.num, f"block {block.num} does not join block {previous.num}"
            )
        previous = block
        types = books.wanted(block.num)
        expected = {
            op.within_block: op for op in block.operations if types is None or op.type in types
        }
        record = books.handled(block.num)
        if record.times and record.block_id != block.id:
            yield Finding(
                "foreign",
                block.num,
                f"block {block.num} was handled as {record.block_id}, and the chain has {block.id}",
            )
        for place, operation in expected.items():
            count = record.times.get(place, 0)
            if count == 0:
                yield Finding("missing", block.num, f"{_name(block, operation)} was never handled")
            elif count > 1:
                yield Finding(
                    "double", block.num, f"{_name(block, operation)} was handled {count} times"
                )
        for place in record.times.keys() - expected.keys():
            yield Finding(
                "foreign", block.num, f"an operation at {place} of block {block.num} is not there"
            )
        yield len(expected)


def _name(block: Block, operation: RawOperation) -> str:
    return (
        f"{operation.type} {operation.op_in_trx} of transaction {operation.trx_in_block} "
        f"({operation.trx_id}) in block {block.num}"
    )
