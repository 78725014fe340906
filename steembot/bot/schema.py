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
from steembot.storage.database import Connection, row_checksum

log = logging.getLogger(__name__)

SMALL_PAGES = 1_000
"""A file of at most so many pages, 4 MB, is checked with its indices: that takes some 20 ms.

Of a larger one the structure is checked, in 2 ms for each MB, and the indices of dead letters.
"""

_LETTERS_CHECK = "integrity_check(dead_letter)"

REMEDY = (
    "restore it from a backup, or move it away with what lies beside it (-wal, -shm, .redo) to "
    "begin anew"
)
"""What a person has to do when a bot's file is damaged: it can't be fetched from anywhere."""

APPLICATION_ID = 0x53424254  # "SBBT": marks a bot's file (sqlite.org, PRAGMA application_id)

# As version 3 made them. A version that changes one of them leaves a copy here for the step to 3.
_XOR = "(({0} | {1}) - ({0} & {1}))"  # SQLite has no other
_FOLD = _XOR.format(_XOR.format("key", "first"), "last_block")

_META = "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT"
_STATE = """
CREATE TABLE state (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    checksum INTEGER NOT NULL
) WITHOUT ROWID, STRICT"""
_PROGRESS = """
CREATE TABLE progress (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    position TEXT,
    attempt TEXT,
    deaths INTEGER NOT NULL,
    redo INTEGER NOT NULL,
    redo_before INTEGER NOT NULL,
    is_clean INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) STRICT"""
_SUBSCRIPTION = """
CREATE TABLE subscription (
    after_block INTEGER PRIMARY KEY,
    types TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT"""
_HANDLED = """
CREATE TABLE handled (
    num INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    places BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT"""
_POST = f"""
CREATE TABLE post (
    key INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    last_block INTEGER NOT NULL,
    fold INTEGER NOT NULL AS ({_FOLD}) STORED
) STRICT;
CREATE INDEX post_age ON post (last_block)"""
_DEAD_LETTER = """
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
    dropped INTEGER NOT NULL DEFAULT 0,
    checksum INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX dead_letter_place ON dead_letter (cursor, undo);
CREATE INDEX dead_letter_held ON dead_letter (id) WHERE NOT dropped;
CREATE INDEX dead_letter_wanted ON dead_letter (id) WHERE wanted"""

_TABLES = (_META, _STATE, _PROGRESS, _SUBSCRIPTION, _HANDLED, _POST, _DEAD_LETTER)

SEALED = {
    "state": "key, value",
    "progress": "position, attempt, deaths, redo, redo_before, is_clean",
    "subscription": "after_block, types",
    "handled": "num, id, places",
    "dead_letter": "id, cursor, block_num, undo, type, operation, error, parked_at, redriven, "
    "wanted, deaths, dropped",
}
"""The columns of each table that a row's checksum covers, in that order."""


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


def _checksums(connection: sqlite3.Connection) -> None:
    """2 to 3: rows get checksums, and the number of the redo log a place beside the position."""
    execute = connection.execute
    row = execute("SELECT value FROM meta WHERE name = 'redo'").fetchone()
    redo = 0 if row is None else int(row[0])
    kept = {
        "state": "key, value",
        "subscription": "after_block, types",
        "handled": "num, id, places",
        "post": "key, first, last_block",
        "dead_letter": SEALED["dead_letter"],
    }
    progress = execute("SELECT position, attempt, deaths FROM progress").fetchone()
    (last_id,) = execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").fetchone()
    for name in ("post_age", "dead_letter_place", "dead_letter_held", "dead_letter_wanted"):
        execute(f"DROP INDEX {name}")
    for table in kept:
        execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    execute("DROP TABLE progress")
    for tables in (_STATE, _PROGRESS, _SUBSCRIPTION, _HANDLED, _POST, _DEAD_LETTER):
        for statement in tables.split(";"):
            execute(statement)
    for table, columns in kept.items():
        more = (", checksum", f", row_checksum({columns})") if table in SEALED else ("", "")
        execute(
            f"INSERT INTO {table} ({columns}{more[0]}) "  # noqa: S608 (names of our own)
            f"SELECT {columns}{more[1]} FROM old_{table}"
        )
        execute(f"DROP TABLE old_{table}")
    execute("DELETE FROM sqlite_sequence")
    execute("INSERT INTO sqlite_sequence VALUES ('dead_letter', ?)", (last_id,))
    execute("DELETE FROM meta WHERE name = 'redo'")
    put_progress(connection, (*progress, redo, 0, 0))


_MIGRATIONS: Sequence[Callable[[sqlite3.Connection], None]] = (_one_row_for_a_block, _checksums)
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
            if _described(connection) is not None:  # no version below 3 has that
                raise connection.damaged(f"its schema version is {version}")
            for migrate in _MIGRATIONS[version - 1 :]:
                migrate(connection)
        else:
            for table in _TABLES:
                for statement in table.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("INSERT INTO meta VALUES ('chain', ?)", (chain,))
            put_progress(connection, (None, None, 0, 0, 0, 1))
        described = str(_description(connection))
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (described,))
        connection.execute(f"PRAGMA user_version = {VERSION}")
    if tables:
        log.info("brought %s from schema version %d to %d", path, version, VERSION)


Progress = tuple[str | None, str | None, int, int, int, int]
"""The one row of the table of that name: what :data:`SEALED` lists."""


def put_progress(connection: sqlite3.Connection, progress: Progress) -> None:
    """Write where the bot stands."""
    connection.execute(
        "INSERT OR REPLACE INTO progress VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
        (*progress, row_checksum(*progress)),
    )


def read_progress(connection: Connection) -> Progress:
    """Read where the bot stands. Raises :class:`~steembot.errors.DamagedError`."""
    query = f"SELECT {SEALED['progress']}, checksum FROM progress"  # noqa: S608
    row = connection.execute(query).fetchone()
    if row is None:
        raise connection.damaged("it has no position")
    *fields, checksum = row
    if row_checksum(*fields) != checksum:
        raise connection.damaged("the checksum of the position is wrong")
    progress: Progress = tuple(fields)
    return progress


def verify(connection: Connection) -> None:
    """Check a whole file before it is used: its structure, its tables, and each row that decides.

    A row's checksum tells what a disk changed in it. That a row is missing, or is found under
    another key, only the structure tells. Raises :class:`~steembot.errors.DamagedError`.
    """
    execute = connection.execute
    if _described(connection) != str(_description(connection)):
        raise connection.damaged("its tables are not those that were made")
    (pages,) = execute("PRAGMA page_count").fetchone()
    checks = ["integrity_check"] if pages <= SMALL_PAGES else ["quick_check", _LETTERS_CHECK]
    for check in checks:
        (words, *_) = execute(f"PRAGMA {check}").fetchone()
        if words != "ok":
            raise connection.damaged(" ".join(str(words).split()))
    for table in ("state", "subscription", "dead_letter"):
        verify_rows(connection, table)
    if execute(f"SELECT 1 FROM post WHERE fold != {_FOLD} LIMIT 1").fetchone():  # noqa: S608
        raise connection.damaged("a row of the table post is not what was written")


def verify_rows(connection: Connection, table: str) -> None:
    """Check each row of a table. Raises :class:`~steembot.errors.DamagedError`."""
    columns = SEALED[table]
    query = f"SELECT 1 FROM {table} WHERE checksum != row_checksum({columns}) LIMIT 1"  # noqa: S608
    if connection.execute(query).fetchone():
        raise connection.damaged(f"a row of the table {table} is not what was written")


def _described(connection: Connection) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    return None if row is None else str(row[0])


def _description(connection: Connection) -> int:
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")
    return row_checksum(*(field for row in rows.fetchall() for field in row))


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
