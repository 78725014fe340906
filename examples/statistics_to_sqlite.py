"""Count operations by day and type into a SQLite file that other programs read.

The file is not the bot's state, so after a crash an operation may be counted that comes again: each
is one row under its place on the chain, and written again it is the same row. It is for mode
irreversible (STEEMBOT_MODE=irreversible), where no fork takes anything back.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from steembot.bot import Bot, Context, Operation

# Beside the bot's own state, where its unit lets it write.
FOLDER = os.environ.get("STATE_DIRECTORY") or "."
PATH = Path(os.environ.get("STATISTICS_FILE", f"{FOLDER}/statistics.sqlite3"))

_SCHEMA = """
CREATE TABLE IF NOT EXISTS operation (
    block INTEGER, trx INTEGER, op INTEGER, virtual INTEGER, day TEXT, type TEXT,
    PRIMARY KEY (block, trx, op, virtual)
) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS daily AS
    SELECT day, type, count(*) AS count FROM operation GROUP BY day, type;
"""

bot = Bot()
_connections: dict[Path, sqlite3.Connection] = {}


@bot.on("vote", "comment", "transfer", "custom_json")
def count(op: Operation, _ctx: Context) -> None:
    """Write one row; the second time it is the same one."""
    place = (op.block_num, op.trx_in_block, op.op_in_trx, op.virtual_op)
    row = (*place, op.timestamp.date().isoformat(), op.type)
    _file().execute("INSERT OR REPLACE INTO operation VALUES (?, ?, ?, ?, ?, ?)", row)


def _file() -> sqlite3.Connection:
    if PATH not in _connections:
        _connections[PATH] = sqlite3.connect(PATH, isolation_level=None)
        _connections[PATH].executescript("PRAGMA journal_mode = WAL;" + _SCHEMA)
    return _connections[PATH]
