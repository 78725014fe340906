"""Calls a bot's handlers, operation by operation, and sees to it that none is skipped.

No sockets and no process here: messages in, handlers called, positions committed. The clock and
the pause are passed in, so that a test runs it in memory.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable

import msgspec

from steembot import events
from steembot.bot.bot import COMMENT, DELETION, Bot
from steembot.bot.calls import Calls
from steembot.bot.context import Context, fields
from steembot.bot.credentials import Secrets
from steembot.bot.dead_letters import DeadLetter
from steembot.bot.functions import check_result
from steembot.bot.hiding import hide_in_record
from steembot.bot.later import Later, Wait
from steembot.bot.state import BotState
from steembot.bot.timers import Timers
from steembot.feed import wire
from steembot.operation import BlockRef, Cursor, Operation, RawOperation, unpack
from steembot.repeats import Repeats
from steembot.text import one_line

log = logging.getLogger(__name__)
log.addFilter(hide_in_record)

DEATHS = 3
"""How often an operation may kill or hang the process before it is parked."""

ROOM_PAUSE_S = 10.0
"""How long a bot with too many dead letters waits before it tries the next one again."""

SHORTEST_REST_S = 0.01
"""Between two looks at the timers, while an operation waits."""


class Stopped(BaseException):
    """The process is asked to end; what was being tried is left for the next start.

    Comes also out of a log call, in the middle of a handler, whose author's ``except Exception``
    has no say in it.
    """


class Runner:
    """Runs ``bot`` on messages of the feed.

    ``pause(seconds)`` waits between tries and raises :class:`Stopped` when the process is to end.
    ``rest(seconds)`` does the same while an operation waits for something that may take hours, and
    sees to all else that the process does; it is ``pause`` unless given. ``alive()`` is called
    after each operation, and feeds the watchdog. ``clock`` gives monotonic seconds, ``now`` seconds
    since 1970. ``chain`` names the blockchain. ``called(type, seconds, failed)`` is told of each
    call of the handlers, ``passed_by(type)`` of each operation that no handler could have read.
    """

    def __init__(
        self,
        bot: Bot,
        state: BotState,
        *,
        pause: Callable[[float], None],
        rest: Callable[[float], None] | None = None,
        alive: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        chain: str = "steem",
        dry_run: bool = False,
        called: Callable[[str, float, bool], None] | None = None,
        passed_by: Callable[[str], None] | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self._bot = bot
        self._passed_by = passed_by
        self._state = state
        self._pause = pause
        self._rest = rest or pause
        self._alive = alive
        self._clock = clock
        self._context = Context(
            state.values, chain, posts=state.posts, now=now, dry_run=dry_run, secrets=secrets
        )
        self._calls = Calls(
            bot, state, self._context, pause=pause, clock=clock, now=now, called=called
        )
        self._repeats = Repeats()
        self._timers = Timers(
            bot.timers,
            state.timers(),
            state.keep_timer,
            state.commit_values,
            clock=clock,
            now=now,
        )
        self._timer_waits: dict[int, Wait] = {}
        self._wait: Wait | None = None
        self._redrive_wait: Wait | None = None
        self._redrive_due = float("-inf")

    @property
    def waiting(self) -> str | None:
        """What waits because its handler raised :class:`~steembot.bot.later.Later`, and why."""
        wait = self._wait or self._redrive_wait
        return None if wait is None else str(wait)

    def announce(self, head: int, irreversible: int) -> None:
        """Let handlers know the chain's head and last irreversible block."""
        self._context.head = max(self._context.head, head)
        self._context.irreversible = max(self._context.irreversible, irreversible)

    def on_block(self, message: wire.BlockMessage) -> None:
        """Deliver a block's operations, in chain order."""
        self.announce(message.num, message.irreversible)
        block = BlockRef(message.num, message.id)
        if message.num <= self._state.born:
            self._state.finish(Cursor.end_of(block.num, block.id))
            return
        cursors = [_cursor(block, raw) for raw in message.operations]
        attempts = [str(cursor) for cursor in cursors]
        for index, raw in enumerate(message.operations):
            then = attempts[index + 1] if index + 1 < len(attempts) else None
            self._deliver(raw, block, message.timestamp, attempts[index], cursors[index], then=then)
            if then is not None:
                self._check_stop()

    def on_undo(self, message: wire.Undo) -> None:
        """Deliver the undo of a block's operations, newest first."""
        block = BlockRef(message.num, message.id)
        before = Cursor.end_of(message.num - 1, message.previous)
        if message.num <= self._state.born:
            self._state.finish(before)
            return
        for index, raw in enumerate(message.operations):
            older = message.operations[index + 1 :]
            position = _cursor(block, older[0]) if older else before
            cursor = _cursor(block, raw)
            if self._state.letters.has(cursor):
                # Its handler never succeeded, so there is nothing to take back.
                operation = self._unpacked(raw, block, message.timestamp)
                forgotten = operation if raw.type == COMMENT else None
                self._state.finish(position, undone=cursor, forgotten=forgotten)
                continue
            self._deliver(raw, block, message.timestamp, f"undo {cursor}", position, undone=cursor)
            if older:
                self._check_stop()
        if not message.operations:
            self._state.finish(before)

    def on_progress(self, message: wire.Progress) -> None:
        """Remember a position up to which nothing matched."""
        self.announce(message.cursor.block_num, message.irreversible)
        self._state.finish(message.cursor)

    def redrive(self) -> None:
        """Run the dead letters again that somebody asked for. To be called between two blocks."""
        if self._clock() < self._redrive_due:
            return
        while (letter := self._state.letters.next_wanted(self._context.irreversible)) is not None:
            try:
                self._redrive(letter)
            except Later as later:
                self._state.letters.abandon(letter.id)
                self._redrive_wait = wait = self._redrive_wait or Wait(
                    "redrive", f"the dead letter {letter.id}", self._clock()
                )
                self._redrive_due = self._put_off(wait, later, events.WAITS())
                return
            self._redrive_wait = None  # the next one's pauses begin anew
        self._redrive_wait = None

    def run_timers(self) -> float:
        """Run the timers that are due; return for how many seconds none will be."""
        now = self._clock()
        for index, (seconds, timer) in enumerate(self._bot.timers):
            if now >= self._timers.due[index]:
                self._timers.begin(index)
                self._timers.put(index, now + seconds)
                self._context.enter(None)
                try:
                    check_result(timer, timer(self._context))
                    self._state.values.take_changes()
                except Later as later:
                    self._state.check()
                    self._state.drop_changes()
                    name = getattr(timer, "__name__", repr(timer))
                    wait = self._timer_waits.setdefault(
                        index, Wait(index, f"the timer {name}", now)
                    )
                    due = self._put_off(wait, later, events.WAITS())
                    latest = due if later.after_s is not None else now + seconds
                    self._timers.put(index, min(due, latest))
                except Exception:
                    self._state.check()
                    self._state.drop_changes()
                    log.exception(
                        "the timer %r failed; it runs again later",
                        timer,
                        extra=events.TIMER_FAILED(),
                    )
                else:
                    self._state.commit_values()
                    if (ended := self._timer_waits.pop(index, None)) is not None:
                        self._end_wait(ended, events.WAITED())
                self._alive()
        return min(self._timers.due, default=now + 3600.0) - now

    def _put_off(self, wait: Wait, later: Later, event: events.Fields) -> float:
        """Take note that something waits; return the time of its next try."""
        pause_s = wait.next_s(later)
        now = self._clock()
        if wait.is_due(self._repeats, now):
            log.warning("%s; it is tried again in %g s", wait, pause_s, extra=event)
        return now + pause_s

    def _end_wait(self, wait: Wait, event: events.Fields) -> None:
        if wait.is_said:
            seconds = self._clock() - wait.since
            log.info("%s waits no longer, after %.0f s", wait.what, seconds, extra=event)

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
        attempt: str,
        position: Cursor,
        *,
        then: str | None = None,
        undone: Cursor | None = None,
    ) -> None:
        """Have an operation handled, or taken back; behind it the bot stands at ``position``.

        ``attempt`` names what is about to run, and ``then`` what follows at once.
        """
        state = self._state
        undo = undone is not None
        deaths = 0 if state.is_begun(attempt) else state.begin(attempt)
        operation = self._unpacked(raw, block, timestamp)
        if operation is None:  # no handler could have read it: nobody failed
            state.finish(position, then, undone=undone, handled=None if undo else position)
            self._alive()
            return

        def again() -> Operation:
            """Make the operation anew: a handler may have changed its value."""
            return unpack(raw, block, timestamp)

        error: str | None = f"its handler killed or hung the process {deaths} times"
        forgotten = self._forgotten(operation, undo=undo)
        while True:
            if deaths < DEATHS:
                error = self._handle(operation, again, attempt, undo=undo)
            if error is None:
                if undo:
                    state.finish(position, then, undone=undone, forgotten=forgotten)
                else:
                    state.finish(position, then, handled=position)
                break
            if state.letters.has_room:
                self._park(again(), error, position, undo=undo, forgotten=forgotten)
                break
            # A pause is no death, and what is redriven in it has a count of its own.
            state.abandon()
            self._wait_for_room(operation)
            state.begin(attempt)
        if self._wait is not None:
            self._end_wait(self._wait, events.WAITED(**fields(operation)))
            self._wait = None
        self._alive()

    def _handle(
        self, operation: Operation, again: Callable[[], Operation], attempt: str, *, undo: bool
    ) -> str | None:
        """Have the handlers called, and wait as long as they ask for; return what they raised."""
        while True:
            try:
                return self._calls.deliver(operation, again, undo=undo)
            except Stopped:
                self._state.abandon()
                raise
            except Later as later:
                self._state.abandon()  # a pause is no death
                self._wait_for(later, operation, undo=undo)
            self._state.begin(attempt)
            operation = again()

    def _unpacked(self, raw: RawOperation, block: BlockRef, timestamp: int) -> Operation | None:
        """Parse an operation's body; one that nobody can read is counted and passed by."""
        try:
            return unpack(raw, block, timestamp)
        except msgspec.MsgspecError as error:
            if self._passed_by is not None:
                self._passed_by(raw.type)
            if self._repeats.is_due("unreadable", self._clock()):
                log.warning(
                    "passed by %s of block %d, whose body nobody can read: %s",
                    raw.type,
                    block.num,
                    one_line(str(error)),
                    extra=events.UNREADABLE(STEEM_BLOCK=block.num, STEEM_TYPE=raw.type),
                )
            return None

    def _redrive(self, letter: DeadLetter) -> None:
        state = self._state
        operation = letter.to_operation()
        deaths = state.letters.begin(letter.id)
        if deaths >= DEATHS:
            error: str | None = f"redriven, its handler killed or hung the process {deaths} times"
        else:
            try:
                error = self._calls.redrive(operation, letter.to_operation, undo=letter.undo)
            except Stopped:
                state.letters.abandon(letter.id)
                raise
        what = f"the dead letter {letter.id}, {operation.type} of block {operation.block_num}"
        if error is None:
            forgotten = self._forgotten(operation, undo=letter.undo)
            state.finish_redrive(letter, forgotten=forgotten)
            log.info("redriven: %s", what, extra=events.REDRIVEN(**fields(operation)))
        else:
            state.letters.fail(letter.id, error)
            log.error(
                "redriven, and failed again: %s: %s",
                what,
                error.rstrip().rsplit("\n", 1)[-1],
                extra=events.REDRIVE_FAILED(**fields(operation)),
            )
        self._alive()

    def _forgotten(self, operation: Operation, *, undo: bool) -> Operation | None:
        """Return an undone comment that will be new when it comes again; see ``posts``."""
        told = undo and operation.type == COMMENT and self._bot.rules(COMMENT, undo=True)
        return operation if told else None

    def _wait_for_room(self, operation: Operation) -> None:
        if self._repeats.is_due("full", self._clock()):
            log.error(
                "%s of block %d failed, and there are %d dead letters already: the bot waits here. "
                "Redrive or drop some: steembot dead-letters",
                operation.type,
                operation.block_num,
                self._state.letters.count(),
                extra=events.LETTERS_FULL(**fields(operation)),
            )
        self._rest_for(ROOM_PAUSE_S)

    def _wait_for(self, later: Later, operation: Operation, *, undo: bool) -> None:
        """Wait with an operation, and all behind it, for what its handler needs."""
        self._wait = wait = self._wait or Wait(
            "operation",
            f"{'the undo of ' if undo else ''}{operation.type} of block {operation.block_num}",
            self._clock(),
        )
        due = self._put_off(wait, later, events.WAITS(**fields(operation)))
        self._rest_for(due - self._clock())

    def _rest_for(self, seconds: float) -> None:
        """Wait, with timers run and dead letters redriven meanwhile."""
        while seconds > 0:
            step_s = min(seconds, max(self.run_timers(), SHORTEST_REST_S))
            self._rest(step_s)
            seconds -= step_s
            self.redrive()

    def _park(
        self,
        operation: Operation,
        error: str,
        position: Cursor,
        *,
        undo: bool,
        forgotten: Operation | None,
    ) -> None:
        if self._bot.remembers_posts and operation.type == COMMENT and not undo:
            with contextlib.suppress(KeyError, TypeError, AttributeError):  # not a real comment
                self._state.posts.note(operation)
        if self._bot.remembers_posts and operation.type == DELETION and not undo:
            with contextlib.suppress(KeyError):
                self._state.posts.note_deletion(operation, undo=False)
        self._state.park(operation, error, position, undo=undo, forgotten=forgotten)
        log.error(
            "parked %s%s of block %d as a dead letter: %s",
            "the undo of " if undo else "",
            operation.type,
            operation.block_num,
            error.rstrip().rsplit("\n", 1)[-1],
            extra=events.DEAD_LETTER(**fields(operation)),
        )


def _cursor(block: BlockRef, raw: RawOperation) -> Cursor:
    return Cursor(block.num, block.id, raw.trx_in_block, raw.op_in_trx, raw.virtual_op)
