"""Which operations a bot handled: its record of the last day, for :mod:`steembot.bot.audit`.

A row is a block: its id, and where in it the operations stood that were handled, in that order. One
that was handled twice stands there twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from steembot.operation import Cursor
from steembot.storage.database import Connection, row_checksum

AUDIT_BLOCKS = 28_800
"""For how many blocks back the operations that were handled are on record: one day of Steem."""

Place = tuple[int, int, int]
"""Where in its block an operation stands: transaction, virtual operation, operation."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Place]).decode


class Record(msgspec.Struct, frozen=True):
    """What a bot handled in one block: the block's id, and how often each place in it."""

    block_id: str
    times: Mapping[Place, int]


class Handled:
    """What was handled waits here to be written with the next commit."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: list[Cursor] = []

    def add(self, cursor: Cursor) -> None:
        """Put an operation on record."""
        self._waiting.append(cursor)

    def write(self) -> None:
        """Write what waits within the transaction that the caller began."""
        if not self._waiting:
            return
        ids: dict[int, str] = {}
        places: dict[int, list[Place]] = {}
        for cursor in self._waiting:
            num = cursor.block_num
            ids[num] = cursor.block_id
            places.setdefault(num, []).append(cursor.within_block)
        for num, block_id in ids.items():
            self._put(num, block_id, [*self._places(num), *places[num]])
        oldest = self._waiting[-1].block_num - AUDIT_BLOCKS
        self._connection.execute("DELETE FROM handled WHERE num < ?", (oldest,))

    def written(self) -> None:
        """Take note that what waited is committed."""
        self._waiting.clear()

    def strike(self, cursor: Cursor) -> None:
        """Take an operation off the record, within a transaction and behind :meth:`write`."""
        places = self._places(cursor.block_num)
        if cursor.within_block in places:
            left = [place for place in places if place != cursor.within_block]
            self._put(cursor.block_num, cursor.block_id, left)

    def _places(self, num: int) -> list[Place]:
        _, places = _row(self._connection, num)
        return places

    def _put(self, num: int, block_id: str, places: list[Place]) -> None:
        packed = _encode(places)
        self._connection.execute(
            "INSERT OR REPLACE INTO handled VALUES (?, ?, ?, ?)",
            (num, block_id, packed, row_checksum(num, block_id, packed)),
        )


def read(connection: Connection, num: int) -> Record:
    """Read what was handled in a block of that number; nothing is no error.

    Raises :class:`~steembot.errors.DamagedError`.
    """
    block_id, places = _row(connection, num)
    return Record(block_id, Counter(places))


def _row(connection: Connection, num: int) -> tuple[str, list[Place]]:
    query = "SELECT id, places, checksum FROM handled WHERE num = ?"
    row = connection.execute(query, (num,)).fetchone()
    if row is None:
        return "", []
    block_id, packed, checksum = row
    if row_checksum(num, block_id, packed) != checksum:
        raise connection.damaged(f"what was handled in block {num} is not what was written")
    return block_id, _decode(packed)
