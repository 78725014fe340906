"""Change a bot's record of what it handled behind the bot's back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from steembot.storage.database import Connection

Places = list[tuple[int, int, int]]


def change_record(
    path: Path,
    num: int,
    edit: Callable[[Places], Places] = lambda places: places,
    *,
    block_id: str | None = None,
) -> None:
    """Edit the places of a block that is on record, and what the block is called."""
    with closing(sqlite3.connect(path, factory=Connection)) as connection, connection:
        query = "SELECT id, places FROM handled WHERE num = ?"
        old_id, packed = connection.execute(query, (num,)).fetchone()
        places = msgspec.msgpack.decode(packed, type=Places)
        edited = msgspec.msgpack.encode(edit(places))
        assert (edited, block_id) != (packed, None), "nothing was changed"
        connection.execute(
            "INSERT OR REPLACE INTO handled VALUES (:num, :id, :places, "
            "row_checksum(:num, :id, :places))",
            {"num": num, "id": block_id or old_id, "places": edited},
        )


def remove_records(path: Path, first: int, last: int) -> int:
    """Remove all records of these blocks; return how many operations were on record."""
    with closing(sqlite3.connect(path)) as connection, connection:
        rows = connection.execute(
            "DELETE FROM handled WHERE num BETWEEN ? AND ? RETURNING places", (first, last)
        ).fetchall()
    assert rows, "nothing was removed"
    return sum(len(msgspec.msgpack.decode(packed)) for (packed,) in rows)


def without(*gone: tuple[int, int, int]) -> Callable[[Places], Places]:
    """Return the edit that takes places away."""
    return lambda places: [place for place in places if place not in gone]
