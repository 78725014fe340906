"""The block log's file while the broadcaster runs: its lock, its connections, its replacement.

A file that is damaged is set aside, and another one takes its place with the blocks that could be
saved, also while a reader has the old one open.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from steembot import events
from steembot.broadcaster import block_file
from steembot.broadcaster.block_file import COLUMNS, Row
from steembot.errors import DamagedError, DiskError, ForeignFileError, StateError
from steembot.operation import Block
from steembot.storage import aside
from steembot.storage.database import Connection
from steembot.storage.files import Lock

log = logging.getLogger(__name__)

AGAIN_S = 60.0
"""How long the file is not set aside a second time: a disk that fails should not be filled."""


class LogFile:
    """The file at ``path``, made if there is none. One thread writes, others read.

    ``say(what, reason)`` tells a person of damage. ``head`` is the newest block found when it was
    opened, ``oldest`` the number of the oldest, ``irreversible`` what was known to be. ``damage``
    is what is wrong with the structure of the file, found by whoever read it; then :meth:`renew`
    is due.
    """

    def __init__(self, path: Path, chain: str, say: Callable[[str, str], None]) -> None:
        self._path = path
        self._new = path.with_name(f"{path.name}.new")
        self._chain = chain
        self._say = say
        self._readers = threading.local()
        self._generation = 0
        self._swapping = threading.Lock()
        self._renewed = float("-inf")
        self.head: Block | None = None
        self.oldest: int | None = None
        self.irreversible = 0
        self.damage = ""
        self.was_lost = False
        self._process_lock = Lock(
            path.with_suffix(".lock"),
            f"another broadcaster uses the block log {path}; stop that one, or give each a "
            "STEEMBOT_STATE_DIR of its own",
        )
        try:
            self.writer = self._open()
        except BaseException:
            self._process_lock.release()
            raise

    def close(self) -> None:
        """Close the writer's connection; a reader's closes with its thread."""
        self.writer.close()
        self._process_lock.release()

    def read(self, key: str, value: int | bytes, table: str = "block") -> Row | None:
        """Read a row, which may be damaged. From any thread.

        Raises :class:`~steembot.errors.StateError` and :class:`~steembot.errors.DiskError`.
        """
        query = f"SELECT {COLUMNS} FROM {table} WHERE {key} = ?"  # noqa: S608
        try:
            row: Row | None = self._reader().execute(query, (value,)).fetchone()
        except DamagedError as error:
            self.damage = error.reason
            raise
        return row

    def began_behind(self, oldest: int, block_id: bytes) -> bool:
        """Tell whether it begins with block ``oldest`` since ever, once with another one there.

        That one is removed, and joined the block of that id. From any thread; raises as
        :meth:`read` does.
        """
        query = (
            "SELECT 1 FROM removed WHERE num = ? AND previous = ? "
            "AND num = (SELECT value FROM meta WHERE name = 'first')"
        )
        try:
            return self._reader().execute(query, (oldest, block_id)).fetchone() is not None
        except DamagedError as error:
            self.damage = error.reason
            raise

    def _reader(self) -> Connection:
        """This thread's connection to the file that there is now."""
        readers = self._readers
        if getattr(readers, "generation", None) != self._generation:
            with self._swapping:  # meanwhile nobody opens what is about to be renamed
                readers.connection = block_file.open_reader(self._path)
                readers.generation = self._generation
        connection: Connection = readers.connection
        return connection

    def _open(self) -> Connection:
        if not self._path.exists():
            aside.remove(self._path)  # what is left beside it
            if self._new.exists():  # the process died just before it took its place
                aside.rename(self._new, self._path)
        try:
            writer = block_file.open_file(self._path, self._chain)
            try:
                self._check(writer)
            except BaseException:
                writer.close()
                raise
        except ForeignFileError as error:
            return self._replace(str(error), [], [])
        except DamagedError as error:
            blocks, removed = self._save()
            self.head = blocks[-1] if blocks else None
            self.oldest = blocks[0].num if blocks else None
            self.was_lost = not blocks
            return self._replace(error.reason, blocks, removed)
        return writer

    def _check(self, writer: Connection) -> None:
        """Find the newest block that is whole; newer ones are forgotten, and come again."""
        with writer.transaction():
            pass  # where nothing can be written, the start is the time to say so
        self.head, lost = block_file.newest(writer)
        self.irreversible = block_file.irreversible(writer)
        if lost and self.head is None:
            raise DamagedError(str(self._path), "its blocks cannot be read", "")
        if lost and self.head is not None:
            num = self.head.num
            self._say(f"block {num + 1}", "it cannot be read, or does not join the one before")
            writer.execute("DELETE FROM block WHERE num > ?", (num,))
        (self.oldest,) = writer.execute("SELECT min(num) FROM block").fetchone()

    def _save(self) -> tuple[Sequence[Block], Sequence[Block]]:
        """Read what can still be read of a damaged file: the chain, and what forks removed."""
        self.irreversible = 0
        try:
            damaged = block_file.open_file(self._path, self._chain)
        except (StateError, DiskError):
            return [], []
        with contextlib.closing(damaged):
            blocks = block_file.saved(damaged)
            with contextlib.suppress(StateError, DiskError):
                self.irreversible = block_file.irreversible(damaged)
            return blocks, self._removed(damaged, blocks)

    @staticmethod
    def _removed(connection: Connection, blocks: Sequence[Block]) -> Sequence[Block]:
        return block_file.saved_removed(connection, blocks[0].num) if blocks else []

    def renew(self, blocks: Sequence[Block], irreversible: int) -> None:
        """Set the file aside, and go on in a new one that begins with these blocks.

        Raises :class:`~steembot.errors.DiskError` where that is not possible now.
        """
        now = time.monotonic()
        if now - self._renewed < AGAIN_S:
            raise DiskError(f"the block log {self._path} is damaged again: {self.damage}")
        damaged = self.writer
        self.irreversible = irreversible
        self.writer = self._replace(self.damage, blocks, self._removed(damaged, blocks))
        self._renewed = now
        damaged.close()

    def _replace(
        self, reason: str, blocks: Sequence[Block], removed: Sequence[Block]
    ) -> Connection:
        aside.remove(self._new)
        with (
            contextlib.closing(block_file.open_file(self._new, self._chain)) as connection,
            connection.transaction(),
        ):
            block_file.put(connection, blocks)
            block_file.put(connection, removed, table="removed")
            block_file.put_irreversible(connection, self.irreversible)
        with self._swapping:
            kept_as = aside.set_aside(self._path)
            aside.rename(self._new, self._path)
            writer = block_file.open_file(self._path, self._chain)
            self._generation += 1
            self.damage = ""
        log.error(
            "the block log %s cannot be used: %s; it is kept as %s and a new one is begun%s",
            self._path,
            reason,
            kept_as.name,
            f" with its newest {len(blocks)} blocks" if blocks else "",
            extra=events.LOG_SET_ASIDE(),
        )
        return writer
