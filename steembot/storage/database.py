"""An SQLite file: opened, and its errors told in our words.

SQLite's errors are many, and what a person has to do about them is one of few things: make room,
let the process write, end another program, or replace a damaged file. :class:`Connection` raises
:class:`~steembot.errors.DiskError`, :class:`~steembot.errors.DamagedError` or
:class:`~steembot.errors.StateError` in place of ``sqlite3``'s errors, wherever they come up.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar
from urllib.parse import quote

import msgspec

from steembot.errors import DamagedError, DiskError, StateError, SteembotError
from steembot.storage.files import check_plain, writable
from steembot.text import one_line

BUSY_S = 10.0
"""How long one process waits for another's transaction."""

COMPANIONS = ("-wal", "-shm")
"""What SQLite keeps beside a file (sqlite.org, "WAL-mode File Format"), by the end of its name."""

_MISUSE = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.NotSupportedError)
"""Mistakes of this program, and no state of the file."""

_BAD_CONTENT = (
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
)
_CANNOT_WRITE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
_IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)

_pack = msgspec.msgpack.Encoder().encode

_P = ParamSpec("_P")
_T = TypeVar("_T")


def translated(
    error: sqlite3.Error | UnicodeDecodeError, path: Path, remedy: str, *, read_only: bool = False
) -> SteembotError:
    """Say in our words what SQLite could not do with a file; ``remedy`` is for a damaged one."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    primary = code & 0xFF
    # A damaged schema is quoted in the words, and may be no text at all.
    reason = one_line(str(error))
    if primary == sqlite3.SQLITE_READONLY and not read_only and _may_write(path):
        reason = "it says of itself that it cannot be written"
    elif primary in _CANNOT_WRITE:
        return _forbidden(path, reason, read_only=read_only)
    elif primary in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR) and code not in _BAD_CONTENT:
        words = f"{path} cannot be written: {reason}; make room on that disk"
        return DiskError(words + ("" if primary == sqlite3.SQLITE_FULL else ", or check it"))
    elif primary in _IN_USE:
        return StateError(f"{path} is kept locked by another program ({reason}); end that one")
    return DamagedError(str(path), reason, remedy)


def _forbidden(path: Path, reason: str, *, read_only: bool) -> StateError | DiskError:
    if read_only:
        return StateError(f"{path} cannot be read: {reason}; run this as the user whose file it is")
    return DiskError(f"{path} cannot be written: {reason}; {writable(path)}")


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _guarded(method: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let a method of a cursor raise our errors."""

    @wraps(method)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return method(*args, **kwargs)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            (cursor, *_) = args
            if isinstance(error, _MISUSE) or not isinstance(cursor, _Cursor):
                raise
            raise cursor.connection.failed(error) from error

    return guarded


class _Cursor(sqlite3.Cursor):
    connection: Connection
    execute = _guarded(sqlite3.Cursor.execute)
    executemany = _guarded(sqlite3.Cursor.executemany)
    fetchone = _guarded(sqlite3.Cursor.fetchone)
    fetchall = _guarded(sqlite3.Cursor.fetchall)

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self.connection.failed(error) from error


def row_checksum(*fields: str | bytes | int | None) -> int:
    """Return the checksum of a row's fields; in SQL the function of the same name does."""
    return zlib.crc32(_pack(fields))


class Connection(sqlite3.Connection):
    """A connection that raises our errors. Made by :func:`connect`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.create_function("row_checksum", -1, row_checksum, deterministic=True)

    path = Path(":memory:")
    remedy = ""
    read_only = False
    failure: SteembotError | None = None
    """The first error, whoever caught it since: a bot's handler may have."""

    def cursor(self, factory: Any = _Cursor) -> Any:
        """Make a cursor that raises our errors."""
        return super().cursor(factory)

    def execute(self, *args: Any) -> Any:
        """Run one statement."""
        return self.cursor().execute(*args)

    def executemany(self, *args: Any) -> Any:
        """Run one statement for each set of parameters."""
        return self.cursor().executemany(*args)

    def failed(self, error: sqlite3.Error | UnicodeDecodeError) -> SteembotError:
        """Take note of an error of SQLite's, and return it in our words."""
        ours = translated(error, self.path, self.remedy, read_only=self.read_only)
        if self.failure is None:
            self.failure = ours
        return ours

    def damaged(self, what: str) -> DamagedError:
        """Take note that the file's content is not what was written; return what to raise."""
        ours = DamagedError(str(self.path), what, self.remedy)
        if self.failure is None:
            self.failure = ours
        return ours

    @contextmanager
    def transaction(self) -> Iterator[Self]:
        """Commit all that the context does, or nothing."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield self
            self.execute("COMMIT")
        except BaseException:
            if self.in_transaction:  # not every error leaves it open
                self.execute("ROLLBACK")
            raise


def connect(
    path: Path, *, remedy: str, read_only: bool = False, any_thread: bool = False
) -> Connection:
    """Open an SQLite file; ``remedy`` says what to do when it is damaged.

    Raises :class:`~steembot.errors.StateError` for anything but a plain file, and what
    :class:`Connection` raises.
    """
    for companion in ("", *COMPANIONS):
        check_plain(path.with_name(path.name + companion))
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode={'ro' if read_only else 'rwc'}",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=not any_thread,
            factory=Connection,
        )
    except sqlite3.Error as error:
        raise translated(error, path, remedy, read_only=read_only) from error
    connection.path = path
    connection.read_only = read_only
    connection.remedy = remedy
    return connection
