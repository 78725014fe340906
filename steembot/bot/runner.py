"""Calls a bot's handlers, operation by operation, and sees to it that none is skipped.

No sockets and no process here: messages in, handlers called, positions committed. The clock and
the pause are passed in, so that a test runs it in memory.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable

import msgspec

from steembot.bot.bot import Bot, Handler
from steembot.bot.context import Context, fields
from steembot.bot.state import BotState
from steembot.feed import wire
from steembot.operation import BlockRef, Cursor, Operation, RawOperation, unpack

log = logging.getLogger(__name__)

TRIES = 3
"""How often a handler that raises is called for one operation before it is parked."""

DEATHS = 3
"""How often an operation may kill or hang the process before it is parked."""

BACKOFF_S = (0.5, 2.0)
"""Pauses between those tries."""


class Stopped(Exception):  # noqa: N818 (a stop is no error)
    """The process is asked to end; what was being retried is left for the next start."""


class Runner:
    """Runs ``bot`` on messages of the feed.

    ``pause(seconds)`` waits between tries and raises :class:`Stopped` when the process is to end;
    ``alive()`` is called after each operation, and feeds the watchdog.
    """

    def __init__(
        self,
        bot: Bot,
        state: BotState,
        *,
        pause: Callable[[float], None],
        alive: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bot = bot
        self._state = state
        self._pause = pause
        self._alive = alive
        self._clock = clock
        self._context = Context(state.values)
        self._due = [clock() + seconds for seconds, _ in bot.timers]

    def announce(self, head: int, irreversible: int) -> None:
        """Let handlers know the chain's head and last irreversible block."""
        self._context.head = max(self._context.head, head)
        self._context.irreversible = max(self._context.irreversible, irreversible)

    def on_block(self, message: wire.BlockMessage) -> None:
        """Deliver a block's operations, in chain order."""
        self.announce(message.num, message.irreversible)
        block = BlockRef(message.num, message.id)
        operations = message.operations
        for index, raw in enumerate(operations):
            position = _cursor(block, raw)
            following = operations[index + 1] if index + 1 < len(operations) else None
            then = None if following is None else str(_cursor(block, following))
            self._deliver(raw, block, message.timestamp, position, then, undo=False)
            if then is not None:
                self._check_stop()

    def on_undo(self, message: wire.Undo) -> None:
        """Deliver the undo of a block's operations, newest first."""
        block = BlockRef(message.num, message.id)
        before = Cursor.end_of(message.num - 1, message.previous)
        for index, raw in enumerate(message.operations):
            older = message.operations[index + 1 :]
            position = _cursor(block, older[0]) if older else before
            cursor = _cursor(block, raw)
            if self._state.drop_dead_letter_at(cursor):
                # Its handler never succeeded, so there is nothing to take back.
                self._state.finish(position, undone=cursor)
                continue
            self._deliver(raw, block, message.timestamp, position, None, undo=True)
            if older:
                self._check_stop()
        if not message.operations:
            self._state.finish(before)

    def on_progress(self, message: wire.Progress) -> None:
        """Remember a position up to which nothing matched."""
        self.announce(message.cursor.block_num, message.irreversible)
        self._state.finish(message.cursor)

    def run_timers(self) -> float:
        """Run the timers that are due; return for how many seconds none will be."""
        now = self._clock()
        for index, (seconds, timer) in enumerate(self._bot.timers):
            if now >= self._due[index]:
                self._due[index] = now + seconds
                self._context.enter(None)
                try:
                    timer(self._context)
                except Exception:
                    self._state.values.drop()
                    log.exception("the timer %r failed; it runs again later", timer)
                else:
                    self._state.commit_values()
                self._alive()
        return min(self._due, default=now + 3600.0) - now

    def _check_stop(self) -> None:
        """Between two operations: end here if the process is to end."""
        try:
            self._pause(0)
        except Stopped:
            self._state.abandon()
            raise

    def _deliver(
        self,
        raw: RawOperation,
        block: BlockRef,
        timestamp: int,
        position: Cursor,
        then: str | None,
        *,
        undo: bool,
    ) -> None:
        state = self._state
        cursor = _cursor(block, raw)
        attempt = f"undo {cursor}" if undo else str(cursor)
        deaths = 0 if state.is_begun(attempt) else state.begin(attempt)
        try:
            operation = unpack(raw, block, timestamp)
        except msgspec.MsgspecError as error:
            operation = msgspec.structs.replace(
                unpack(msgspec.structs.replace(raw, value=b"{}"), block, timestamp),
                value={"unreadable": raw.value.decode("utf-8", "replace")},
            )
            self._park(operation, f"the body is not a JSON object: {error}", position, undo=undo)
            return
        if deaths >= DEATHS:
            words = f"its handler killed or hung the process {deaths} times"
            self._park(operation, words, position, undo=undo)
            return
        handlers = self._bot.undo_handlers(raw.type) if undo else self._bot.handlers(raw.type)
        for attempt_num in range(TRIES):
            error_text = self._call(handlers, operation)
            if error_text is None:
                if undo:
                    state.finish(position, then, undone=cursor)
                else:
                    state.finish(position, then, handled=cursor)
                self._alive()
                return
            if attempt_num < TRIES - 1:
                log.warning(
                    "the handler failed on %s in block %d; trying again\n%s",
                    operation.type,
                    operation.block_num,
                    error_text,
                    extra=fields(operation),
                )
                try:
                    self._pause(BACKOFF_S[attempt_num])
                except Stopped:
                    state.abandon()
                    raise
        self._park(operation, error_text or "", position, undo=undo)

    def _call(self, handlers: list[Handler], operation: Operation) -> str | None:
        """Call the handlers; return the traceback if one raised."""
        self._context.enter(operation)
        try:
            for handler in handlers:
                handler(operation, self._context)
        except Exception:  # noqa: BLE001 (whatever an author's code raises is theirs to see)
            self._state.values.drop()
            return traceback.format_exc()
        return None

    def _park(self, operation: Operation, error: str, position: Cursor, *, undo: bool) -> None:
        self._state.park(operation, error, position, undo=undo)
        log.error(
            "parked %s%s of block %d as a dead letter: %s",
            "the undo of " if undo else "",
            operation.type,
            operation.block_num,
            error.rstrip().rsplit("\n", 1)[-1],
            extra=fields(operation),
        )
        self._alive()


def _cursor(block: BlockRef, raw: RawOperation) -> Cursor:
    return Cursor(block.num, block.id, raw.trx_in_block, raw.op_in_trx, raw.virtual_op)
