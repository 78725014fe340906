"""The block log: the chain's recent blocks, durable, in SQLite. Written before it is served.

Two tables: ``block`` is the chain as it is now, one row a number; ``removed`` holds what forks
took away, for clients that still have to undo it. A :class:`~steembot.chain.follower.Change` is
one transaction, so a crash leaves the chain before it or after it.

Bodies are compressed. One thread writes (:meth:`BlockLog.apply`), one other may read; the newest
blocks are also kept in memory, up to ``cache_bytes``, because they are what live clients ask for.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import msgspec
import zstandard

from steembot import events
from steembot.chain.follower import Change
from steembot.errors import DiskError, StateError
from steembot.operation import Block, BlockRef
from steembot.storage.files import Lock

log = logging.getLogger(__name__)

APPLICATION_ID = 0x53424C47  # "SBLG": marks the file as ours (sqlite.org, PRAGMA application_id)
SCHEMA_VERSION = 1
COMPRESSION_LEVEL = 1  # zstd's fastest but one; a block shrinks to a quarter

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID, STRICT;
CREATE TABLE block (
    num INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    previous BLOB NOT NULL,
    timestamp INTEGER NOT NULL,
    operations BLOB NOT NULL
) STRICT;
CREATE TABLE removed (
    id BLOB PRIMARY KEY,
    num INTEGER NOT NULL,
    previous BLOB NOT NULL,
    timestamp INTEGER NOT NULL,
    operations BLOB NOT NULL
) STRICT;
CREATE INDEX removed_num ON removed (num);
""".replace("value)", "value ANY)")

_BLOCK_BYTES = 400
"""What Python's objects around a block weigh."""


def _no_older(num: int) -> Block | None:
    raise LookupError(num)


class BlockLog:
    """A :class:`~steembot.feed.session.BlockSource` over one SQLite file.

    ``chain`` names the blockchain: a file of another one is set aside, as is a damaged one, and
    the log begins anew. ``keep_blocks`` is how many of the newest blocks stay; ``older`` gives
    what is older than those, as :meth:`older` does.
    """

    def __init__(
        self,
        path: Path,
        *,
        chain: str,
        keep_blocks: int,
        cache_bytes: int = 2 * 1024 * 1024,
        older: Callable[[int], Block | None] = _no_older,
    ) -> None:
        self._path = path
        self._chain = chain
        self._keep_blocks = keep_blocks
        self._cache_bytes = cache_bytes
        self._older = older
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, Block] = OrderedDict()
        self._cached_bytes = 0
        self._head: BlockRef | None = None
        self._head_timestamp = 0
        self._oldest: int | None = None
        self._irreversible = 0
        self._forks = 0
        self.first_wanted: int | None = None
        self._readers = threading.local()
        self._compress = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress
        self._lock_file = Lock(
            path.with_suffix(".lock"),
            f"another broadcaster uses the block log {path}; stop that one, or give each a "
            "STEEMBOT_STATE_DIR of its own",
        )
        try:
            self._writer = self._open_or_set_aside()
        except BaseException:
            self._lock_file.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the writer's connection; a reader's closes with its thread."""
        self._writer.close()
        self._lock_file.release()

    # ---- what a session reads

    @property
    def head(self) -> BlockRef | None:
        """The newest block."""
        return self._head

    @property
    def head_timestamp(self) -> int:
        """When the newest block was made, in seconds since 1970; 0 while there is none."""
        return self._head_timestamp

    @property
    def oldest(self) -> int | None:
        """The number of the oldest block held."""
        return self._oldest

    @property
    def irreversible(self) -> int:
        """The number of the last irreversible block."""
        return self._irreversible

    @property
    def forks(self) -> int:
        """How many forks removed blocks since the start."""
        return self._forks

    def id_at(self, num: int) -> str | None:
        """The id of the block of that number on the chain as it is now."""
        with self._lock:
            cached = self._cache.get(num)
        if cached is not None:
            return cached.id
        row = self._read("SELECT id FROM block WHERE num = ?", num)
        return None if row is None else bytes(row[0]).hex()

    def block(self, num: int) -> Block | None:
        """The block of that number on the chain as it is now."""
        with self._lock:
            cached = self._cache.get(num)
        if cached is not None:
            return cached
        row = self._read(
            "SELECT num, id, previous, timestamp, operations FROM block WHERE num = ?", num
        )
        return None if row is None else _block(row)

    def older(self, num: int) -> Block | None:
        """A block from before :attr:`oldest`; ``None`` while it is being fetched.

        Raises :class:`LookupError` when it cannot be had.
        """
        return self._older(num)

    def removed(self, block_id: str) -> Block | None:
        """A block that a fork removed from the chain."""
        row = self._read(
            "SELECT num, id, previous, timestamp, operations FROM removed WHERE id = ?",
            bytes.fromhex(block_id),
        )
        return None if row is None else _block(row)

    # ---- what the chain's thread writes

    def apply(self, change: Change, irreversible: int) -> None:
        """Make a change of the chain durable, then visible to readers.

        Raises :class:`~steembot.errors.DiskError` when there is no room; nothing has changed then,
        and the same change may be applied again later.
        """
        try:
            oldest = self._write(change, irreversible)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                raise
            raise DiskError(f"the block log {self._path} cannot be written: {error}") from error
        self._show(change, oldest, irreversible)

    def _write(self, change: Change, irreversible: int) -> int | None:
        writer = self._writer
        oldest = self._oldest
        with writer:
            writer.execute("BEGIN IMMEDIATE")
            for ref in change.removed:
                writer.execute(
                    "INSERT OR REPLACE INTO removed (id, num, previous, timestamp, operations) "
                    "SELECT id, num, previous, timestamp, operations FROM block WHERE num = ?",
                    (ref.num,),
                )
                writer.execute("DELETE FROM block WHERE num = ?", (ref.num,))
            for block in change.appended:
                writer.execute(
                    "INSERT INTO block (num, id, previous, timestamp, operations) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (
                        block.num,
                        bytes.fromhex(block.id),
                        bytes.fromhex(block.previous),
                        block.timestamp,
                        self._compress(block.packed),
                    ),
                )
            if irreversible != self._irreversible:
                self._put_meta(writer, "irreversible", irreversible)
            if change.appended:
                if oldest is None:
                    oldest = change.appended[0].num
                oldest = self._prune(writer, oldest, change.appended[-1].num)
        return oldest

    def _prune(self, writer: sqlite3.Connection, oldest: int, head: int) -> int:
        least = head - self._keep_blocks + 1
        if oldest >= least:
            return oldest
        writer.execute("DELETE FROM block WHERE num < ?", (least,))
        writer.execute("DELETE FROM removed WHERE num < ?", (least,))
        return least

    def _show(self, change: Change, oldest: int | None, irreversible: int) -> None:
        with self._lock:
            for ref in change.removed:
                self._uncache(ref.num)
            for block in change.appended:
                self._cache[block.num] = block
                self._cached_bytes += len(block.packed) + _BLOCK_BYTES
            while self._cache and (
                self._cached_bytes > self._cache_bytes or next(iter(self._cache)) < (oldest or 0)
            ):
                self._uncache(next(iter(self._cache)))
            self._oldest = oldest
            self._irreversible = irreversible
            if change.appended:
                self._head = change.appended[-1].ref
                self._head_timestamp = change.appended[-1].timestamp
            if change.removed:
                self._forks += 1

    def _uncache(self, num: int) -> None:
        cached = self._cache.pop(num, None)
        if cached is not None:
            self._cached_bytes -= len(cached.packed) + _BLOCK_BYTES

    # ---- the file

    def _read(self, query: str, key: int | bytes) -> tuple[Any, ...] | None:
        reader: sqlite3.Connection | None = getattr(self._readers, "connection", None)
        if reader is None:
            reader = self._connect()
            reader.execute("PRAGMA query_only = ON")
            self._readers.connection = reader
        row: tuple[Any, ...] | None = reader.execute(query, (key,)).fetchone()
        return row

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=10, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA cache_size = -1024")  # KiB
        return connection

    def _open_or_set_aside(self) -> sqlite3.Connection:
        if not self._path.exists():
            self._move_companions(None)  # somebody removed just the file itself
        try:
            return self._open()
        except (
            sqlite3.DatabaseError,
            StateError,
            zstandard.ZstdError,
            msgspec.MsgspecError,
        ) as error:
            if isinstance(error, sqlite3.OperationalError) and not _is_damage(error):
                raise
            aside = self._path.with_name(f"{self._path.name}.set-aside-{time.time_ns() // 10**9}")
            log.error(  # noqa: TRY400 (one line for a person; the reason is in it)
                "the block log %s cannot be used: %s; it is kept as %s and a new one is begun",
                self._path,
                error,
                aside.name,
                extra=events.LOG_SET_ASIDE(),
            )
            self._path.replace(aside)
            self._move_companions(aside)
            return self._open()

    def _move_companions(self, aside: Path | None) -> None:
        """Take SQLite's files beside the log (sqlite.org, "WAL-mode File Format") with it."""
        for suffix in ("-wal", "-shm"):
            companion = self._path.with_name(self._path.name + suffix)
            if aside is None:
                companion.unlink(missing_ok=True)
            elif companion.exists():
                companion.replace(aside.with_name(aside.name + suffix))

    def _open(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            (application_id,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if tables == 0:
                self._create(connection)
            elif application_id != APPLICATION_ID:
                raise StateError("it is a database of another program")
            elif version != SCHEMA_VERSION:
                raise StateError(
                    f"it has schema version {version}, and this program knows {SCHEMA_VERSION}"
                )
            connection.execute("PRAGMA journal_mode = WAL")
            # With WAL, NORMAL survives every crash of the process; a power cut may take the last
            # blocks, and they are fetched again.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA journal_size_limit = 16777216")
            self._load(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self, connection: sqlite3.Connection) -> None:
        connection.executescript(
            f"PRAGMA application_id = {APPLICATION_ID}; BEGIN; {_SCHEMA}"
            f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
        self._put_meta(connection, "chain", self._chain)

    def _load(self, connection: sqlite3.Connection) -> None:
        chain = self._meta(connection, "chain")
        if chain != self._chain:
            raise StateError(f"it holds blocks of the chain {chain!r}, not of {self._chain!r}")
        (oldest,) = connection.execute("SELECT min(num) FROM block").fetchone()
        row = connection.execute(
            "SELECT num, id, previous, timestamp, operations FROM block ORDER BY num DESC LIMIT 1"
        ).fetchone()
        if row is not None:
            head = _block(row)
            _ = head.operations  # raises if it is damaged
            self._head = head.ref
            self._head_timestamp = head.timestamp
        self._oldest = oldest
        self._irreversible = int(str(self._meta(connection, "irreversible") or 0))

    @staticmethod
    def _meta(connection: sqlite3.Connection, name: str) -> object:
        row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    @staticmethod
    def _put_meta(connection: sqlite3.Connection, name: str, value: object) -> None:
        connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))


def _block(row: tuple[Any, ...]) -> Block:
    num, block_id, previous, timestamp, operations = row
    return Block(
        num=num,
        id=block_id.hex(),
        previous=previous.hex(),
        timestamp=timestamp,
        packed=zstandard.decompress(operations),
    )


def _is_damage(error: sqlite3.OperationalError) -> bool:
    """Tell a damaged file from a busy or unreadable one, which setting aside would not mend."""
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
