"""The block log's file: its tables, its rows with their checksums, what of it is still good.

Two tables: ``block`` is the chain as it is now, one row a number; ``removed`` holds what forks
took away. Each row has a checksum over all of its fields, so that what a disk changed is found when
the row is read. Rows of version 1 have none; theirs are unpacked to see whether they are whole.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from steembot.errors import DiskError, ForeignFileError, StateError
from steembot.operation import Block
from steembot.storage import database
from steembot.storage.database import Connection

APPLICATION_ID = 0x53424C47  # "SBLG": marks the file as ours (sqlite.org, PRAGMA application_id)
SCHEMA_VERSION = 2
COMPRESSION_LEVEL = 1  # zstd's fastest but one; a block shrinks to a quarter

SAVED_BLOCKS = 300
"""How many of the newest blocks are saved from a damaged file, which is far more than a fork can
remove. What is older can be fetched again from the chain at any time."""

CHECKED_BLOCKS = 1_000
"""How many of the newest blocks are checked at a start, if a fork could still remove so many."""

CHECK_S = 10.0
"""How long the whole file may be checked for damage; one that takes longer counts as damaged."""

_REMEDY = "it is set aside and a new one begun"

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) WITHOUT ROWID, STRICT;
CREATE TABLE block (
    num INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    previous BLOB NOT NULL,
    timestamp INTEGER NOT NULL,
    operations BLOB NOT NULL,
    checksum INTEGER
) STRICT;
CREATE TABLE removed (
    id BLOB PRIMARY KEY,
    num INTEGER NOT NULL,
    previous BLOB NOT NULL,
    timestamp INTEGER NOT NULL,
    operations BLOB NOT NULL,
    checksum INTEGER
) STRICT;
CREATE INDEX removed_num ON removed (num)
"""

COLUMNS = "num, id, previous, timestamp, operations, checksum"

Row = tuple[int, bytes, bytes, int, bytes, int | None]

_compress = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress


def to_row(block: Block) -> Row:
    """Return the row that holds a block."""
    row = (
        block.num,
        bytes.fromhex(block.id),
        bytes.fromhex(block.previous),
        block.timestamp,
        _compress(block.packed),
    )
    return (*row, _checksum(row))


def to_block(row: Row) -> Block:
    """Return the block that a row holds. Raises ``ValueError`` where the row is damaged."""
    num, block_id, previous, timestamp, operations, checksum = row
    try:
        if checksum is not None and checksum != _checksum(row[:-1]):
            raise ValueError("its checksum is wrong")
        block = Block(
            num=num,
            id=block_id.hex(),
            previous=previous.hex(),
            timestamp=timestamp,
            packed=zstandard.decompress(operations),
        )
        if checksum is None:
            _ = block.operations
    except (
        zstandard.ZstdError,
        msgspec.MsgspecError,
        MemoryError,  # a length that is damaged
        AttributeError,
        TypeError,
    ) as error:
        raise ValueError(f"it cannot be read: {error}") from error
    if checksum is None and int(block.id[:8] or "0", 16) != num:
        raise ValueError("it holds another block")  # an id begins with the block's number
    return block


def _checksum(fields: Iterable[Any]) -> int:
    num, block_id, previous, timestamp, operations = fields
    head = b"%d %d %b %b " % (num, timestamp, block_id, previous)
    return zlib.crc32(operations, zlib.crc32(head))


def open_file(path: Path, chain: str) -> Connection:
    """Open the file, or make it.

    Raises :class:`~steembot.errors.ForeignFileError` and what a connection raises.
    """
    connection = database.connect(path, remedy=_REMEDY, any_thread=True)
    try:
        execute = connection.execute
        (application_id,) = execute("PRAGMA application_id").fetchone()
        (version,) = execute("PRAGMA user_version").fetchone()
        (tables,) = execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables == 0:
            _create(connection, chain)
        elif application_id != APPLICATION_ID:
            raise ForeignFileError("it is a database of another program")
        elif version == 1:
            _add_checksums(connection)
        elif version != SCHEMA_VERSION:
            words = f"it has schema version {version}, and this program knows {SCHEMA_VERSION}"
            raise ForeignFileError(words)
        execute("PRAGMA cache_size = -1024")  # KiB
        execute("PRAGMA journal_mode = WAL")
        # With WAL, NORMAL survives every crash of the process; a power cut may take the last
        # blocks, and they are fetched again.
        execute("PRAGMA synchronous = NORMAL")
        execute("PRAGMA journal_size_limit = 16777216")
        known = meta(connection, "chain")
        if known != chain:
            words = f"it holds blocks of the chain {known!r}, not of {chain!r}"
            raise ForeignFileError(words)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> Connection:
    """Open the file that there is, for reading."""
    connection = database.connect(path, remedy=_REMEDY, any_thread=True)
    connection.execute("PRAGMA cache_size = -1024")  # KiB
    connection.execute("PRAGMA query_only = ON")
    return connection


def _create(connection: Connection, chain: str) -> None:
    with connection.transaction():
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        put_meta(connection, "chain", chain)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _add_checksums(connection: Connection) -> None:
    with connection.transaction():
        for table in ("block", "removed"):
            connection.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def meta(connection: Connection, name: str) -> object:
    """Return what is kept under that name, or ``None``."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def irreversible(connection: Connection) -> int:
    """Return the number of the last irreversible block; 0 while it is not known, or damaged."""
    value = meta(connection, "irreversible")
    if isinstance(value, int):  # of version 1
        return max(0, value)
    number, _, checksum = str(value).partition(" ")
    return int(number) if checksum == str(zlib.crc32(number.encode())) else 0


def put_irreversible(connection: Connection, num: int) -> None:
    """Keep the number of the last irreversible block."""
    put_meta(connection, "irreversible", f"{num} {zlib.crc32(str(num).encode())}")


def put_meta(connection: Connection, name: str, value: object) -> None:
    """Keep something under a name."""
    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))


def put(connection: Connection, blocks: Iterable[Block], *, table: str = "block") -> None:
    """Write blocks, in place of what there is of their numbers."""
    connection.executemany(
        f"INSERT OR REPLACE INTO {table} ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
        map(to_row, blocks),
    )


def is_sound(connection: Connection) -> bool:
    """Tell whether the file's structure is whole, so that a row in it can be replaced.

    Where it is not, SQLite could give pages of one row to another one.
    """
    deadline = time.monotonic() + CHECK_S
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        (words,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except (StateError, DiskError):
        return False
    finally:
        connection.set_progress_handler(None, 0)
    return bool(words == "ok")


def newest(connection: Connection) -> tuple[Block | None, int]:
    """Find the newest block up to which all that a fork can still remove is whole, and joins.

    Returns how many blocks the file has above it, too. Of what is irreversible one whole block is
    enough: the rest is checked when it is read.
    """
    final = irreversible(connection)
    head: Block | None = None
    child: Block | None = None
    seen = lost = 0
    query = f"SELECT {COLUMNS} FROM block ORDER BY num DESC LIMIT {CHECKED_BLOCKS}"  # noqa: S608
    for row in connection.execute(query):
        try:
            block = to_block(row)
        except ValueError:
            head = child = None
        else:
            if child is None or child.previous != block.id:
                head, lost = block, seen
            child = block
        seen += 1
        if head is not None and row[0] <= final:
            break
    return head, lost if head is not None else seen


def saved(connection: Connection) -> Sequence[Block]:
    """Read what can still be read of a damaged file: the newest blocks that join each other.

    From the end where that is possible, else from the beginning up to the damage.
    """
    query = f"SELECT {COLUMNS} FROM block ORDER BY num"  # noqa: S608
    run: deque[Block] = deque()
    for block in _whole(connection, f"{query} DESC"):
        if run and run[0].previous != block.id:
            break
        run.appendleft(block)
        if len(run) == SAVED_BLOCKS:
            break
    if not run:
        run = deque(maxlen=SAVED_BLOCKS)
        for block in _whole(connection, query):
            if run and run[-1].id != block.previous:
                run.clear()
            run.append(block)
    return run


def saved_removed(connection: Connection, oldest: int) -> list[Block]:
    """Read what can still be read of the blocks that forks removed."""
    query = f"SELECT {COLUMNS} FROM removed WHERE num >= {oldest}"  # noqa: S608
    return list(_whole(connection, query))


def _whole(connection: Connection, query: str) -> Iterator[Block]:
    """Read blocks up to where the file cannot be read; damaged ones are left out."""
    with contextlib.suppress(StateError, DiskError):
        for row in connection.execute(query):
            with contextlib.suppress(ValueError):
                yield to_block(row)
