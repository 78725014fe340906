"""A bot's file of an older version: brought up to date, whole or not at all."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import msgspec
import pytest

from steembot.bot import schema
from steembot.bot.audit import Books
from steembot.bot.dead_letters import opened
from steembot.bot.handled import AUDIT_BLOCKS
from steembot.bot.state import BotState
from steembot.errors import DamagedError, DiskError, StateError
from steembot.operation import Cursor
from steembot.storage.database import Connection

# As version 1 wrote it. This is never changed again.
VERSION_1 = """
PRAGMA application_id = 1396851284;
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
CREATE TABLE handled_block (num INTEGER PRIMARY KEY, id TEXT NOT NULL) STRICT;
CREATE TABLE handled (
    num INTEGER NOT NULL,
    trx_in_block INTEGER NOT NULL,
    virtual_op INTEGER NOT NULL,
    op_in_trx INTEGER NOT NULL,
    times INTEGER NOT NULL,
    PRIMARY KEY (num, trx_in_block, virtual_op, op_in_trx)
) WITHOUT ROWID, STRICT;
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
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
"""

# As version 2 wrote it: as version 1, but for the record of what was handled.
_BEGIN, _END = VERSION_1.index("CREATE TABLE handled_block"), VERSION_1.index("CREATE TABLE post")
VERSION_2 = (
    VERSION_1[:_BEGIN]
    + "CREATE TABLE handled (num INTEGER PRIMARY KEY, id TEXT NOT NULL, places BLOB NOT NULL) "
    + "STRICT;"
    + VERSION_1[_END:].replace("user_version = 1", "user_version = 2")
)

IDS = {num: f"{num:08x}" + "a" * 32 for num in range(1, 9)}
HERE = Cursor(8, IDS[8], 1, 0)

COMMON = f"""
INSERT INTO meta VALUES ('chain', 'steem');
INSERT INTO state VALUES ('n', '41');
UPDATE progress SET position = '{HERE}', attempt = 'x', deaths = 2;
INSERT INTO subscription VALUES (4, 'vote');
INSERT INTO post VALUES (77, 78, 6);
INSERT INTO dead_letter (cursor, block_num, undo, type, operation, error, parked_at)
    VALUES ('c', 6, 0, 'vote', '{{}}', 'RuntimeError: no', 1600000000);
"""

CONTENT_1 = f"""
INSERT INTO handled_block VALUES (5, '{IDS[5]}'), (6, '{IDS[6]}'), (8, '{IDS[8]}');
INSERT INTO handled VALUES (5, 0, 0, 0, 1), (5, 0, 0, 1, 2), (5, 4294967295, 1, 0, 1);
INSERT INTO handled VALUES (8, 0, 0, 0, 1);
"""


PACKED = {
    5: msgspec.msgpack.encode([(0, 0, 0), (0, 0, 1), (0, 0, 1), (0xFFFFFFFF, 1, 0)]).hex(),
    6: "90",
    8: msgspec.msgpack.encode([(0, 0, 0)]).hex(),
}
CONTENT_2 = "".join(
    f"INSERT INTO handled VALUES ({num}, '{IDS[num]}', x'{packed}');"
    for num, packed in PACKED.items()
)


def tables_of(path):
    """Return what the file's tables look like, and its two numbers."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_schema").fetchall()
        numbers = [
            connection.execute(f"PRAGMA {name}").fetchone()
            for name in ("application_id", "user_version")
        ]
    # SQLite writes the name of a renamed table with quotes.
    return sorted(
        (name, " ".join(str(sql).replace('"', "").split())) for name, sql in rows
    ), numbers


@pytest.fixture(params=[VERSION_1 + COMMON + CONTENT_1, VERSION_2 + COMMON + CONTENT_2])
def old(request, tmp_path):
    """Lend a file of an older version with something in every table."""
    path = tmp_path / "bot-b.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(request.param)
    return path


def test_an_older_file_becomes_what_a_new_one_is(old, tmp_path):
    """The same tables, and everything that was in them."""
    with BotState(old, chain="steem") as state:
        assert state.position == HERE
        assert state.begin("x") == 2
        assert state.values["n"] == 41
        assert state.born == 4
        assert state.letters.count() == 1
        state.finish(HERE)
    BotState(tmp_path / "new", chain="steem").close()
    assert tables_of(old) == tables_of(tmp_path / "new")
    with Books(old) as books:
        assert books.handled(5).block_id == IDS[5]
        assert books.handled(5).times == {(0, 0, 0): 1, (0, 0, 1): 2, (0xFFFFFFFF, 1, 0): 1}
        assert (books.handled(6).block_id, books.handled(6).times) == (IDS[6], {})
        assert books.handled(8).times == {(0, 0, 0): 1}
        assert books.first(AUDIT_BLOCKS) == 5
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT key, first, last_block FROM post").fetchall() == [
            (77, 78, 6)
        ]


def test_what_the_older_program_had_not_written_is_taken_over(old):
    """Its redo log continues the file as it was, and is read after the change."""
    again = old.parent / "again.sqlite3"
    cursor = Cursor(8, IDS[8], 0, 1)
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("INSERT INTO meta VALUES ('redo', '7')")
    state = BotState(again, chain="steem")
    state._redo.restart(7)
    state.values["n"] = 42
    state.finish(HERE, handled=cursor)
    state.close()  # without a commit, as when it is killed
    again.with_suffix(".redo").rename(old.with_suffix(".redo"))
    with BotState(old, chain="steem") as state:
        assert state.values["n"] == 42
    with Books(old) as books:
        assert books.handled(8).times == {(0, 0, 0): 1, (0, 0, 1): 1}


def test_a_change_that_fails_leaves_the_file_as_it_was(old, monkeypatch):
    """Half of it is nothing: the older program can still read the file."""
    before = tables_of(old)

    def fail(connection):
        connection.execute("DROP TABLE state")
        raise DiskError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(schema, "_MIGRATIONS", (fail, fail))
        with pytest.raises(DiskError, match="disk is full"):
            BotState(old, chain="steem")
    assert tables_of(old) == before
    with BotState(old, chain="steem") as state:
        assert state.position == HERE
    assert tables_of(old) != before


def test_a_file_that_is_up_to_date_is_only_read(tmp_path):
    """A start writes nothing here, and so waits for nobody who does."""
    path = tmp_path / "bot-b.sqlite3"
    BotState(path, chain="steem").close()
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as writer,
        closing(sqlite3.connect(path, timeout=0, factory=Connection)) as ours,
    ):
        writer.execute("BEGIN IMMEDIATE")
        schema.prepare(ours, path, "steem")


def test_who_looks_into_an_older_file_is_told_to_restart_the_bot(old):
    """The bot may run: its file is its own to change."""
    before = tables_of(old)
    with pytest.raises(StateError, match=r"version [12], .* knows 3; restart the bot"), opened(old):
        pass
    with pytest.raises(StateError, match=r"version [12], .* knows 3; restart the bot"):
        Books(old)
    assert tables_of(old) == before


def test_who_looks_into_a_newer_or_foreign_file_is_told_so(tmp_path):
    """Neither is guessed at."""
    path = tmp_path / "bot-b.sqlite3"
    BotState(path, chain="steem").close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    with pytest.raises(StateError, match="or a newer one"):
        Books(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 1")
    with pytest.raises(StateError, match="another program"), opened(path):
        pass


def test_a_version_that_a_disk_changed_is_no_older_version(tmp_path):
    """3 and 2 differ by one bit: to bring such a file up to date would hide what is damaged."""
    path = tmp_path / "bot-b.sqlite3"
    BotState(path, chain="steem").close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    before = path.read_bytes()
    with pytest.raises(DamagedError, match="its schema version is 2"):
        BotState(path, chain="steem")
    assert path.read_bytes() == before


def test_letters_are_numbered_on_after_a_change(old):
    """A number that was given once is not given again."""
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("DELETE FROM dead_letter")
    BotState(old, chain="steem").close()
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT * FROM sqlite_sequence").fetchall() == [
            ("dead_letter", 1)
        ]
