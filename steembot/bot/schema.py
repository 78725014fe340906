"""What a bot's file looks like, and how an older one becomes it.

The version stands in SQLite's ``user_version``. A bot brings its file up to date when it starts, in
one transaction: either all of it was done or nothing.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from steembot.errors import StateError
from steembot.storage.database import Connection

log = logging.getLogger(__name__)

REMEDY = (
    "restore it from a backup, or move it away with what lies beside it (-wal, -shm, .redo) to "
    "begin anew"
)
"""What a person has to do when a bot's file is damaged: it can't be fetched from anywhere."""

APPLICATION_ID = 0x53424254  # "SBBT": marks a bot's file (sqlite.org, PRAGMA application_id)

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE progress (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    position TEXT,
    attempt TEXT,
    deaths INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO progress (only_row) VALUES (1);
CREATE TABLE subscription (after_block INTEGER PRIMARY KEY, types TEXT NOT NULL) STRICT;
CREATE TABLE handled (num INTEGER PRIMARY KEY, id TEXT NOT NULL, places BLOB NOT NULL) STRICT;
CREATE TABLE post (
    key INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    last_block INTEGER NOT NULL
) STRICT;
CREATE INDEX post_age ON post (last_block);
CREATE TABLE dead_letter (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cursor TEXT NOT NULL,
    block_num INTEGER NOT NULL,
    undo INTEGER NOT NULL,
    type TEXT NOT NULL,
    operation TEXT NOT NULL,
    error TEXT NOT NULL,
    parked_at INTEGER NOT NULL,
    redriven INTEGER NOT NULL DEFAULT 0,
    wanted INTEGER NOT NULL DEFAULT 0,
    deaths INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX dead_letter_place ON dead_letter (cursor, undo);
CREATE INDEX dead_letter_held ON dead_letter (id) WHERE NOT dropped;
CREATE INDEX dead_letter_wanted ON dead_letter (id) WHERE wanted;
"""


def _one_row_for_a_block(connection: sqlite3.Connection) -> None:
    """1 to 2: the operations handled in a block, until now a row each, become one row."""
    connection.execute(
        "CREATE TABLE block_handled (num INTEGER PRIMARY KEY, id TEXT NOT NULL, "
        "places BLOB NOT NULL) STRICT"
    )
    for num, block_id in connection.execute("SELECT num, id FROM handled_block").fetchall():
        rows = connection.execute(
            "SELECT trx_in_block, virtual_op, op_in_trx, times FROM handled WHERE num = ?", (num,)
        )
        places = [place for *place, times in rows for _ in range(times)]
        connection.execute(
            "INSERT INTO block_handled VALUES (?, ?, ?)",
            (num, block_id, msgspec.msgpack.encode(places)),
        )
    connection.execute("DROP TABLE handled")
    connection.execute("DROP TABLE handled_block")
    connection.execute("ALTER TABLE block_handled RENAME TO handled")


_MIGRATIONS: Sequence[Callable[[sqlite3.Connection], None]] = (_one_row_for_a_block,)
"""The first brings version 1 to 2, and so on. What was released is never changed here."""

VERSION = 1 + len(_MIGRATIONS)


def prepare(connection: Connection, path: Path, chain: str) -> None:
    """Make the tables of a new file, or bring those of an older one up to date.

    Raises :class:`~steembot.errors.StateError` for a file that is newer, or another program's.
    """
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    version = _version(connection, path) if tables else 0
    if version == VERSION:
        return
    if version > VERSION:
        raise StateError(
            f"{path} has schema version {version}, and this program knows {VERSION}; "
            "install the steembot that wrote it, or a newer one"
        )
    with connection.transaction():
        if tables:
            for migrate in _MIGRATIONS[version - 1 :]:
                migrate(connection)
        else:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("INSERT INTO meta VALUES ('chain', ?)", (chain,))
        connection.execute(f"PRAGMA user_version = {VERSION}")
    if tables:
        log.info("brought %s from schema version %d to %d", path, version, VERSION)


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise :class:`~steembot.errors.StateError` for a file that is not of this very version.

    For programs that look into the file of a bot, which may run.
    """
    version = _version(connection, path)
    if version != VERSION:
        raise StateError(
            f"{path} has schema version {version}, and this program knows {VERSION}; "
            + (
                "restart the bot, which brings it up to date"
                if version < VERSION
                else "use the steembot that wrote it, or a newer one"
            )
        )


def _version(connection: sqlite3.Connection, path: Path) -> int:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID:
        raise StateError(
            f"{path} is no bot's state, but a database of another program; move it away"
        )
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
