"""Was each operation of a range handled, exactly once? Pure: records in, findings out.

The bot keeps on record what its handlers finished (dead letters count: they are kept, not lost).
Compared with the chain's own blocks, that proves for a range that nothing is missing and nothing
came twice.

Within a block in which the bot began to want other types, it may have been given either: there an
operation of a type that only one of the two wanted may be on record, and may be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import msgspec

from steembot.bot import handled, schema
from steembot.bot.handled import Place, Record
from steembot.errors import StateError
from steembot.feed import wire
from steembot.operation import Block, Cursor, RawOperation
from steembot.storage import database
from steembot.storage.files import exists


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong. ``what`` is ``missing``, ``double``, ``foreign`` or ``broken``.

    ``foreign`` was handled and is not on the chain, or not of a type that the bot wants; ``broken``
    is a block that does not join the one before it.
    """

    what: str
    block_num: int
    words: str


class Wanted(msgspec.Struct, frozen=True):
    """Which types a bot was given in a block.

    ``before`` differs from ``types`` where they changed within the block.
    """

    types: Sequence[str]
    before: Sequence[str]

    def surely(self, kind: str) -> bool:
        """Whether every operation of that type was given to the bot."""
        return _matches(self.types, kind) and _matches(self.before, kind)

    def perhaps(self, kind: str) -> bool:
        """Whether operations of that type may have been given to the bot."""
        return _matches(self.types, kind) or _matches(self.before, kind)


def _matches(types: Sequence[str], kind: str) -> bool:
    return wire.EVERY_TYPE in types or kind in types


class Books:
    """A bot's own record as it is at this moment, read without disturbing the bot.

    ``after`` is behind which operation or block the bot stands, as text. Raises
    :class:`~steembot.errors.StateError` where there is no state that can be read.
    """

    def __init__(self, path: Path) -> None:
        if not exists(path):
            raise StateError(
                f"there is no bot's state at {path}; name the bot with --bot, and its folder with "
                "STEEMBOT_STATE_DIR"
            )
        self._connection = database.connect(path, remedy=schema.REMEDY, read_only=True)
        try:
            # One snapshot: a running bot goes on, and forgets its oldest blocks as it does.
            self._connection.execute("BEGIN")
            schema.check(self._connection, path)
            self.after: str | None = schema.read_progress(self._connection)[0]
            for table in ("subscription", "handled"):
                schema.verify_rows(self._connection, table)
            rows = self._connection.execute(
                "SELECT after_block, types FROM subscription ORDER BY after_block"
            )
            self._subscriptions: list[tuple[int, list[str]]] = [
                (after, types.split()) for after, types in rows
            ]
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def last(self) -> int:
        """The last block that the bot is done with; 0 before its first one."""
        if self.after is None:
            return 0
        if self.after.isdecimal():
            return int(self.after)
        position = Cursor.parse(self.after)
        return position.block_num if position.is_end else position.block_num - 1

    def first(self, kept_blocks: int) -> int | None:
        """The first block that is on record, or ``None`` before the first subscription."""
        if not self._subscriptions:
            return None
        begun = self._subscriptions[0][0] + 1
        return max(begun, self.last - kept_blocks + 1)

    def wanted(self, block_num: int) -> Wanted:
        """The types that the bot was given in that block."""
        types: list[str] = []
        before: list[str] | None = None
        for after, wanted in self._subscriptions:
            if after < block_num:
                before = types if after == block_num - 1 and types else None
                types = wanted
        return Wanted(types, types if before is None else before)

    def dead_letters(self, first: int, last: int) -> int:
        """How many operations of these blocks are set aside as dead letters."""
        query = (
            "SELECT count(DISTINCT cursor) FROM dead_letter "
            "WHERE block_num BETWEEN ? AND ? AND NOT undo AND NOT dropped"
        )
        (count,) = self._connection.execute(query, (first, last)).fetchone()
        return int(count)

    def handled(self, block_num: int) -> Record:
        """What the bot handled in that block."""
        return handled.read(self._connection, block_num)


def compare(books: Books, chain: Iterable[Block]) -> Iterator[Finding | int]:
    """Compare block by block; yields what is wrong, and after each block how many operations."""
    previous: Block | None = None
    for block in chain:
        if previous is not None and block.previous != previous.id:
            yield Finding(
                "broken", block.num, f"block {block.num} does not join block {previous.num}"
            )
        previous = block
        wanted = books.wanted(block.num)
        operations = {op.within_block: op for op in block.operations}
        must = [place for place, op in operations.items() if wanted.surely(op.type)]
        record = books.handled(block.num)
        if record.times and record.block_id != block.id:
            yield Finding(
                "foreign",
                block.num,
                f"block {block.num} was handled as {record.block_id}, and the chain has {block.id}",
            )
        else:
            yield from _compare_operations(block, operations, wanted, record)
        yield len(must)


def _compare_operations(
    block: Block,
    operations: dict[Place, RawOperation],
    wanted: Wanted,
    record: Record,
) -> Iterator[Finding]:
    for place, operation in operations.items():
        count = record.times.get(place, 0)
        name = _name(block, operation)
        if count > 1:
            yield Finding("double", block.num, f"{name} was handled {count} times")
        elif count == 0 and wanted.surely(operation.type):
            yield Finding("missing", block.num, f"{name} was never handled")
        elif count == 1 and not wanted.perhaps(operation.type):
            yield Finding("foreign", block.num, f"{name} was handled, unasked for")
    for trx, virtual, op in sorted(record.times.keys() - operations.keys()):
        words = (
            f"operation {op} of transaction {trx} (virtual {virtual}) in block {block.num} "
            "was handled, and the chain has none there"
        )
        yield Finding("foreign", block.num, words)


def _name(block: Block, operation: RawOperation) -> str:
    return (
        f"{operation.type} {operation.op_in_trx} of transaction {operation.trx_in_block} "
        f"({operation.trx_id}) in block {block.num}"
    )
