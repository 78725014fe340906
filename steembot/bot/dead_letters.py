"""Dead letters: operations set aside after their handler failed for good.

They lie in the bot's own file. The bot parks them and, between two operations, redrives those that
were asked for; people list, redrive and drop them from another process (``steembot dead-letters``).
SQLite sees to it that each change is whole, so neither has to stop for the other.

There are at most :data:`MAX_DEAD_LETTERS`. A bot that has so many waits at the next operation that
fails, tries it again and again and says so, until some were redriven or dropped: a handler that
fails on everything fills neither the disk nor loses what it was given.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from steembot.bot import schema
from steembot.errors import StateError
from steembot.operation import Cursor, Operation
from steembot.storage import database
from steembot.storage.database import Connection, row_checksum
from steembot.storage.files import exists
from steembot.text import storable

MAX_DEAD_LETTERS = 10_000

MAX_ERROR_CHARS = 16_384
"""Of a traceback; of a longer one the beginning and the end are kept."""

_COLUMNS = schema.SEALED["dead_letter"]
_SELECT = f"SELECT {_COLUMNS}, checksum FROM dead_letter"  # noqa: S608 (names of our own)
_encode = msgspec.json.Encoder().encode


class DeadLetter(msgspec.Struct, frozen=True):
    """An operation set aside.

    ``operation`` is the whole operation as JSON, ``undo`` whether it was its undo that failed.
    ``error`` is a traceback or a sentence, ``parked_at`` in seconds since 1970. ``redriven`` counts
    how often it was run again and failed again; ``wanted`` says that this is asked for now.
    """

    id: int
    cursor: str
    undo: bool
    type: str
    operation: str
    error: str
    parked_at: int
    redriven: int = 0
    wanted: bool = False

    @property
    def summary(self) -> str:
        """The last line of the error, which is the one that names it."""
        return self.error.rstrip().rsplit("\n", 1)[-1]

    def to_operation(self) -> Operation:
        """Return the operation itself."""
        return msgspec.json.decode(self.operation, type=Operation)


class DeadLetters:
    """The dead letters in a bot's file. Who changes more than one row begins a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._version_seen: int | None = None

    # ---- for people and for the bot

    def all(self) -> list[DeadLetter]:
        """All of them, oldest first."""
        query = f"{_SELECT} WHERE NOT dropped ORDER BY id"
        return [self._letter(row) for row in self._connection.execute(query)]

    def get(self, number: int) -> DeadLetter | None:
        """Return the one with that id."""
        query = f"{_SELECT} WHERE id = ? AND NOT dropped"
        row = self._connection.execute(query, (number,)).fetchone()
        return None if row is None else self._letter(row)

    def count(self) -> int:
        """How many there are."""
        query = "SELECT count(*) FROM dead_letter WHERE NOT dropped"
        (count,) = self._connection.execute(query).fetchone()
        return int(count)

    def want(self, numbers: Sequence[int] | None) -> int:
        """Ask the bot to redrive these, or all. Returns how many there are of them."""
        self._version_seen = None
        statement = f"{_changed(wanted='1', deaths='0')} WHERE NOT dropped"
        if numbers is None:
            return int(self._connection.execute(statement).rowcount)
        return sum(
            int(self._connection.execute(f"{statement} AND id = ?", (number,)).rowcount)
            for number in numbers
        )

    def drop(self, number: int) -> bool:
        """Throw one away, and say if there was one.

        Its place stays on record while a fork can still undo the operation: what no handler ever
        did must not be undone by one.
        """
        changed = _changed(dropped="1", wanted="0", operation="''", error="''")
        statement = f"{changed} WHERE id = ? AND NOT dropped"
        return bool(self._connection.execute(statement, (number,)).rowcount)

    # ---- for the bot alone

    @property
    def has_room(self) -> bool:
        """Whether one more may be parked."""
        return self.count() < MAX_DEAD_LETTERS

    def park(self, operation: Operation, error: str, *, undo: bool) -> None:
        """Set an operation aside, within the caller's transaction."""
        number = self._connection.execute(
            "INSERT INTO dead_letter (cursor, block_num, undo, type, operation, error, parked_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                str(operation.cursor),
                operation.block_num,
                int(undo),
                operation.type,
                _encode(operation).decode(),
                _shortened(storable(error)),
                int(time.time()),
            ),
        ).lastrowid
        self._connection.execute(f"{_changed()} WHERE id = ?", (number,))

    def has(self, cursor: Cursor) -> bool:
        """Tell whether an operation's handler failed for good; dropped ones count too."""
        query = "SELECT 1 FROM dead_letter WHERE cursor = ? AND undo = 0"
        return self._connection.execute(query, (str(cursor),)).fetchone() is not None

    def take_back(self, cursor: Cursor) -> None:
        """Remove the one of an operation that a fork undid, within the caller's transaction."""
        statement = "DELETE FROM dead_letter WHERE cursor = ? AND undo = 0"
        self._connection.execute(statement, (str(cursor),))

    def next_wanted(self, irreversible: int) -> DeadLetter | None:
        """Return the oldest one that is to be redriven. Cheap while nobody else writes.

        ``irreversible`` is the number of the last block that no fork undoes.
        """
        # Changes when another connection has committed (sqlite.org, PRAGMA data_version).
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version == self._version_seen:
            return None
        query = f"{_SELECT} WHERE wanted ORDER BY id LIMIT 1"
        row = self._connection.execute(query).fetchone()
        if row is not None:
            return self._letter(row)
        self._version_seen = version
        self._connection.execute(
            "DELETE FROM dead_letter WHERE dropped AND block_num <= ?", (irreversible,)
        )
        return None

    def begin(self, number: int) -> int:
        """Record that a redrive is about to run. Returns how often the process died of it."""
        row = self._connection.execute(
            f"{_changed(deaths='deaths + 1')} WHERE id = ? RETURNING deaths", (number,)
        ).fetchone()
        return 0 if row is None else int(row[0]) - 1

    def abandon(self, number: int) -> None:
        """Take a redrive back: the process ends on purpose, and the next one begins it anew."""
        changed = _changed(deaths="max(0, deaths - 1)")
        self._connection.execute(f"{changed} WHERE id = ?", (number,))

    def succeed(self, number: int) -> None:
        """Remove one that was redriven, within the transaction that commits what came of it."""
        self._connection.execute("DELETE FROM dead_letter WHERE id = ?", (number,))

    def fail(self, number: int, error: str) -> None:
        """Keep one that failed again, with its new error."""
        changed = _changed(wanted="0", deaths="0", redriven="redriven + 1", error=":error")
        self._connection.execute(
            f"{changed} WHERE id = :id AND NOT dropped",
            {"error": _shortened(storable(error)), "id": number},
        )

    def _letter(self, row: tuple[Any, ...]) -> DeadLetter:
        *fields, checksum = row
        if row_checksum(*fields) != checksum:
            raise self._connection.damaged(f"the dead letter {row[0]} is not what was written")
        named = dict(zip(_COLUMNS.split(", "), fields, strict=True))
        named |= {"undo": bool(named["undo"]), "wanted": bool(named["wanted"])}
        letter: DeadLetter = msgspec.convert(named, DeadLetter)
        return letter


@contextmanager
def opened(path: Path) -> Iterator[DeadLetters]:
    """Open the dead letters in a bot's file, beside the bot itself if it runs.

    Raises :class:`~steembot.errors.StateError` where there is no such file.
    """
    if not exists(path):
        raise StateError(f"there is no bot's state at {path}")
    connection = database.connect(path, remedy=schema.REMEDY)
    try:
        schema.check(connection, path)
        schema.verify_rows(connection, "dead_letter")
        yield DeadLetters(connection)
    finally:
        connection.close()


def _changed(**expressions: str) -> str:
    """Begin an UPDATE that sets columns to SQL expressions, and the checksum to what is right then.

    In an UPDATE the columns on the right hand are those from before it (sqlite.org, UPDATE).
    """
    after = [expressions.get(column, column) for column in _COLUMNS.split(", ")]
    assignments = [f"{column} = {value}" for column, value in expressions.items()]
    assignments.append(f"checksum = row_checksum({', '.join(after)})")
    return f"UPDATE dead_letter SET {', '.join(assignments)}"  # noqa: S608 (words of our own)


def _shortened(error: str) -> str:
    if len(error) <= MAX_ERROR_CHARS:
        return error
    half = MAX_ERROR_CHARS // 2
    return f"{error[:half]}\n[… {len(error) - 2 * half} characters …]\n{error[-half:]}"
