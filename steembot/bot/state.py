"""What a bot keeps: its position, its key/value state, the attempt under way, dead letters.

One SQLite file, with a redo log beside it (:mod:`steembot.bot.redo`) for what is not in it yet.
Whatever belongs together is one record there or one transaction here: the state that a handler left
and the position behind its operation become durable together or not at all. Before a handler runs,
the attempt is on record, so that an operation which kills the process is known after the restart.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import msgspec

from steembot.bot import schema
from steembot.bot.dead_letters import DeadLetter, DeadLetters
from steembot.bot.handled import Handled
from steembot.bot.posts import Posts
from steembot.bot.redo import Redo, boot_s
from steembot.bot.values import KeyValue
from steembot.errors import DamagedError, StateError
from steembot.operation import Cursor, Operation
from steembot.storage import database
from steembot.storage.database import Connection, row_checksum
from steembot.storage.files import Lock


class _Record(msgspec.Struct, array_like=True):
    """One record of the redo log: where the bot stands, and what was changed since the last."""

    position: str | None
    attempt: str | None
    deaths: int
    handled: Cursor | None = None
    values: Mapping[str, str | None] = {}
    posts: Sequence[tuple[int, int, int]] = ()


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Record).decode


class BotState:
    """One bot's file, for one process at a time. ``chain`` names the blockchain it is on.

    What is finished is safe at once, and readable for other processes after :meth:`commit`, which
    is called here when enough has come together. Raises :class:`~steembot.errors.StateError`,
    also while another process has the file.
    """

    def __init__(self, path: Path, *, chain: str) -> None:
        self._path = path
        self._lock = Lock(
            path.with_suffix(".lock"),
            f"another process uses the bot's state {path}; stop that one, or give each bot a "
            "STEEMBOT_BOT_NAME of its own",
        )
        wal = path.with_name(f"{path.name}-wal")
        try:
            # SQLite removes it when a process ends as it should.
            self._has_wal = wal.exists() and wal.stat().st_size > 0
            self._connection = database.connect(path, remedy=schema.REMEDY)
        except BaseException:
            self._lock.release()
            raise
        self._position: str | None = None
        self._attempt: str | None = None
        self._deaths = 0
        self._begun_here: str | None = None
        self._born = 0
        self._generation = self._generation_before = 0
        self._is_committed = True
        self._is_clean = False
        self._timers_changed: dict[str, str | None] = {}
        self._redo: Redo | None = None
        self.values = KeyValue(self._connection)
        self.posts = Posts(self._connection)
        self.letters = DeadLetters(self._connection)
        self._handled = Handled(self._connection)
        try:
            self._open(chain)
            self._redo = Redo(path.with_suffix(".redo"), boot_s())
            self._recover()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._is_clean = True
                self._write()
        finally:
            self.close()

    def close(self) -> None:
        """Close the file, and let another process have it; that one finds what is not committed."""
        self._connection.close()
        if self._redo is not None:
            self._redo.close()
            self._redo = None
        self._lock.release()

    def check(self) -> None:
        """Raise what went wrong with the file, even if a handler has caught it.

        A handler reads the file through ``ctx.state``. That the file fails then is no failure of
        the handler, and nothing that it left may become durable.
        """
        if self._connection.failure is not None:
            raise self._connection.failure

    @property
    def position(self) -> Cursor | None:
        """Behind which operation the bot stands; ``None`` before its first one."""
        if self._position is None or self._position.isdecimal():
            return None
        return Cursor.parse(self._position)

    @property
    def after(self) -> str | None:
        """What to ask the feed for: the position, or the block number that :meth:`move` set."""
        return self._position

    def begin(self, attempt: str) -> int:
        """Record that a handler is about to run. Returns how often the process died of it before.

        ``attempt`` names the operation (and whether it is being undone). The count is of starts
        that were followed by no :meth:`finish`, :meth:`park` or :meth:`abandon`.
        """
        if attempt == self._attempt:
            deaths = self._deaths
            self._deaths += 1
        else:
            deaths = 0
            self._attempt, self._deaths = attempt, 1
        self._note(_Record(self._position, self._attempt, self._deaths))
        return deaths

    def is_begun(self, attempt: str) -> bool:
        """Whether this process recorded the attempt already, by ``then`` of :meth:`finish`."""
        return self._begun_here == attempt

    def finish(
        self,
        position: Cursor,
        then: str | None = None,
        *,
        handled: Cursor | None = None,
        undone: Cursor | None = None,
        forgotten: Operation | None = None,
    ) -> None:
        """Make a handler's state and the position behind its operation durable, both or none.

        ``then`` is the attempt that follows at once: recording it here saves a record.
        ``handled`` and ``undone`` go on record for :mod:`steembot.bot.audit`. ``forgotten`` is an
        undone operation whose post, if this was its first, will be new when it comes again.
        """
        self._position = str(position)
        self._begun_here = then
        self._attempt, self._deaths = then, 1 if then else 0
        values, posts = self._settle(forgotten)
        if handled is not None:
            self._handled.add(handled)
        if undone is None:
            self._note(_Record(self._position, then, self._deaths, handled, values, posts))
            return
        with self._transaction():
            if forgotten is not None:
                self.posts.forget(forgotten)
            self._handled.strike(undone)
            self.letters.take_back(undone)

    def commit(self) -> None:
        """Write what was finished into the file, where other processes see it."""
        if not self._is_committed:
            self._write()

    def abandon(self) -> None:
        """Take the attempt back: the process ends on purpose, not because of the operation."""
        self.drop_changes()
        self._deaths = max(0, self._deaths - 1)
        if self._deaths == 0:
            self._attempt = None
        self._begun_here = None
        self._note(_Record(self._position, self._attempt, self._deaths))

    def park(
        self,
        operation: Operation,
        error: str,
        position: Cursor,
        *,
        undo: bool,
        forgotten: Operation | None = None,
    ) -> None:
        """Set an operation aside as a dead letter and go on behind it.

        Of what its handler changed nothing is left, but the post is remembered that the caller has
        noted.
        """
        cursor = operation.cursor
        self.values.drop()
        self._position = str(position)
        self._attempt, self._deaths, self._begun_here = None, 0, None
        self._settle(forgotten)
        if not undo:
            self._handled.add(cursor)
        with self._transaction():
            self.letters.park(operation, error, undo=undo)
            if forgotten is not None:
                self.posts.forget(forgotten)
            if undo:
                self._handled.strike(cursor)

    def finish_redrive(self, letter: DeadLetter, *, forgotten: Operation | None = None) -> None:
        """Commit what came of a redriven dead letter, and remove it, in one transaction."""
        self._settle(forgotten)
        with self._transaction():
            if forgotten is not None:
                self.posts.forget(forgotten)
            self.letters.succeed(letter.id)

    def commit_values(self) -> None:
        """Commit the state alone, for work that belongs to no operation."""
        self._settle(None)
        self._write()

    def timers(self) -> dict[str, str]:
        """What was kept of timers, by name (:mod:`steembot.bot.timers`)."""
        query = "SELECT substr(name, 7), value FROM meta WHERE name LIKE 'timer %'"
        return dict(self._connection.execute(query).fetchall())

    def keep_timer(self, name: str, text: str | None) -> None:
        """Keep something of a timer, or nothing any more, as part of the next commit."""
        self._timers_changed[name] = text
        self._is_committed = False

    def _write_timers(self, connection: Connection) -> None:
        for name, text in self._timers_changed.items():
            if text is None:
                connection.execute("DELETE FROM meta WHERE name = ?", (f"timer {name}",))
            else:
                row = (f"timer {name}", text)
                connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", row)

    def drop_changes(self) -> None:
        """Forget what a handler changed."""
        self.values.drop()
        self.posts.drop()

    def subscribe(self, types: Sequence[str], after_block: int) -> None:
        """Put on record which types the bot is given behind a block.

        The first record says where the bot's life began: see :attr:`born`.
        """
        wanted = " ".join(types)
        with self._transaction():
            execute = self._connection.execute
            (rows,) = execute("SELECT count(*) FROM subscription").fetchone()
            if rows:
                after_block = max(after_block, self._born)
            # Undone, or put back by its administrator: what lies behind is delivered again.
            execute("DELETE FROM subscription WHERE after_block > ?", (after_block,))
            query = "SELECT types FROM subscription ORDER BY after_block DESC LIMIT 1"
            row = execute(query).fetchone()
            if row is None or row[0] != wanted:
                execute(
                    "INSERT OR REPLACE INTO subscription VALUES (?, ?, ?)",
                    (after_block, wanted, row_checksum(after_block, wanted)),
                )
        self._born = self._read_born()

    @property
    def born(self) -> int:
        """The block behind which the bot's life began; nothing up to it concerns the bot.

        A fork may replace blocks from before that. The feed can't know that they mean nothing to
        this bot: it asked for what follows a place, and is told that the place is gone.
        """
        return self._born

    def _read_born(self) -> int:
        (born,) = self._connection.execute("SELECT min(after_block) FROM subscription").fetchone()
        return 0 if born is None else int(born)

    def move(self, after: Cursor | int) -> None:
        """Put the bot behind another operation or block, as its administrator says.

        For a stopped bot. What lies between is not delivered, or delivered again.
        """
        self._attempt, self._deaths, self._begun_here = None, 0, None
        self._position = str(after)
        num = after if isinstance(after, int) else after.block_num - (not after.is_end)
        with self._transaction():
            # Moved back before its beginning, it is to be given what lies between.
            self._connection.execute(
                "UPDATE subscription SET after_block = :num, checksum = row_checksum(:num, types) "
                "WHERE after_block = (SELECT min(after_block) FROM subscription) "
                "AND after_block > :num",
                {"num": num},
            )
        self._born = self._read_born()

    def dead_letters(self) -> list[DeadLetter]:
        """All dead letters, oldest first."""
        return self.letters.all()

    # ---- the file

    def _open(self, chain: str) -> None:
        connection = self._connection
        schema.prepare(connection, self._path, chain)
        connection.execute("PRAGMA journal_mode = WAL")
        # Survives every crash of the process. A power cut may take the last commits, state and
        # position alike, and their operations come again.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -1024")  # KiB
        connection.execute("PRAGMA journal_size_limit = 4194304")
        self._load(chain)

    def _load(self, chain: str) -> None:
        row = self._connection.execute("SELECT value FROM meta WHERE name = 'chain'").fetchone()
        if row is None:
            raise self._connection.damaged("it does not name its chain")
        (known,) = row
        if known != chain:
            raise StateError(
                f"{self._path} belongs to a bot on the chain {known!r}, and STEEMBOT_CHAIN is "
                f"{chain!r}; give the bot on the other chain another STEEMBOT_BOT_NAME"
            )
        schema.verify(self._connection)
        progress = schema.read_progress(self._connection)
        self._position, self._attempt, self._deaths = progress[:3]
        self._generation, self._generation_before, is_clean = progress[3:]
        # Ended as it should, the file is whole without a redo log: perhaps it was put back here.
        self._may_be_another = bool(is_clean) and not self._has_wal
        self._born = self._read_born()

    def _recover(self) -> None:
        """Take over what the process before this one finished and did not commit."""
        assert self._redo is not None  # noqa: S101 (opened just before)
        try:
            contents = self._redo.records(
                self._generation, self._generation_before, may_be_another=self._may_be_another
            )
            records = [_unpack(content) for content in contents]
        except (ValueError, msgspec.MsgspecError) as error:
            redo = self._path.with_suffix(".redo")
            raise DamagedError(
                str(redo),
                str(error),
                f"restore it and {self._path} from a backup, or remove {redo} to go on where "
                f"{self._path.name} stands: what the bot did after that comes again",
            ) from error
        for record in records:
            self._position = record.position
            self._attempt, self._deaths = record.attempt, record.deaths
            self.values.restore(record.values)
            self.posts.restore(record.posts)
            if record.handled is not None:
                self._handled.add(record.handled)
        self._write()  # and begin a generation of our own

    def _note(self, record: _Record) -> None:
        """Make a record durable; whatever it changed is settled."""
        assert self._redo is not None  # noqa: S101 (as long as the state is open)
        if self._connection.failure is not None:
            raise self._connection.failure
        self._is_committed = False
        if not self._redo.append(_pack(record)):
            self.commit()

    def _settle(
        self, forgotten: Operation | None
    ) -> tuple[dict[str, str | None], list[tuple[int, int, int]]]:
        if forgotten is not None:
            self.posts.drop()
        return self.values.settle(), self.posts.settle()

    def _write(self) -> None:
        """Put into the file what was finished."""
        with self._transaction():
            pass  # nothing belongs to it

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Change the file; what was finished before goes into it first, with the position."""
        assert self._redo is not None  # noqa: S101 (as long as the state is open)
        self.check()
        generation = secrets.randbits(63)
        with self._connection.transaction() as connection:
            self.values.write()
            self.posts.write()
            self._handled.write()
            self._write_timers(connection)
            schema.put_progress(
                connection,
                (
                    self._position,
                    self._attempt,
                    self._deaths,
                    generation,
                    self._generation,
                    int(self._is_clean),
                ),
            )
            yield
        self.values.written()
        self.posts.written()
        self._handled.written()
        self._timers_changed.clear()
        self._is_committed = True
        self._generation = generation
        self._redo.restart(generation)
