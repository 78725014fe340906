"""Calls a bot's handlers for one operation, and calls them again where they fail."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable

from steembot import events
from steembot.bot import sandbox
from steembot.bot.bot import COMMENT, DELETION, Bot, Rule
from steembot.bot.context import Context, fields
from steembot.bot.functions import check_answer, check_result
from steembot.bot.hiding import hidden
from steembot.bot.later import Later
from steembot.bot.state import BotState
from steembot.operation import Operation
from steembot.text import storable

log = logging.getLogger(__name__)

TRIES = 3
"""How often a handler that raises is called for one operation before it is parked."""

BACKOFF_S = (0.5, 2.0)
"""Pauses between those tries."""


class Calls:
    """Calls the handlers of ``bot`` for one operation after the other.

    What they left in ``state`` is settled by the caller where they succeed, and dropped here where
    they fail. Arguments are as for :class:`~steembot.bot.runner.Runner`. In each method ``again``
    makes the operation anew, since a handler may change its value. A handler's
    :class:`~steembot.bot.later.Later` and whatever ``pause`` raises pass through.
    """

    def __init__(
        self,
        bot: Bot,
        state: BotState,
        context: Context,
        *,
        pause: Callable[[float], None],
        clock: Callable[[], float],
        now: Callable[[], float],
        called: Callable[[str, float, bool], None] | None,
    ) -> None:
        self._bot = bot
        self._state = state
        self._context = context
        self._pause = pause
        self._clock = clock
        self._now = now
        self._called = called
        self._remembers = bot.remembers_posts

    def deliver(
        self, operation: Operation, again: Callable[[], Operation], *, undo: bool
    ) -> str | None:
        """Call the handlers that its age allows; return the last traceback if none succeeds."""
        rules = self._bot.rules(operation.type, undo=undo)
        for rule in rules:
            if rule.max_age_s is not None:  # mostly none asks, and an age costs to tell
                age_s = self._now() - operation.timestamp.timestamp()
                rules = [rule for rule in rules if not rule.is_too_old(age_s)]
                break
        return self._repeat(rules, operation, again, undo=undo)

    def redrive(
        self, operation: Operation, again: Callable[[], Operation], *, undo: bool
    ) -> str | None:
        """Do the same however old it is: whoever asks for it by hand wants it."""
        return self._repeat(self._bot.rules(operation.type, undo=undo), operation, again, undo=undo)

    def _repeat(
        self,
        rules: list[Rule],
        operation: Operation,
        again: Callable[[], Operation],
        *,
        undo: bool,
    ) -> str | None:
        for tried in range(TRIES):
            error = self._measured(rules, operation, undo=undo)
            if error is None:
                break
            if tried < TRIES - 1:
                log.warning(
                    "the handler failed on %s in block %d; trying again\n%s",
                    operation.type,
                    operation.block_num,
                    error,
                    extra=events.HANDLER_FAILED(**fields(operation)),
                )
                self._pause(BACKOFF_S[tried])
                operation = again()
        return error

    def _measured(self, rules: list[Rule], operation: Operation, *, undo: bool) -> str | None:
        if self._called is None:
            return self._call(rules, operation, undo=undo)
        begun = self._clock()
        error = self._call(rules, operation, undo=undo)
        self._called(operation.type, self._clock() - begun, error is not None)
        return error

    def _call(self, rules: list[Rule], operation: Operation, *, undo: bool) -> str | None:
        """Call the handlers whose conditions hold; return the traceback if anything raised."""
        context = self._context
        context.enter(operation)
        try:
            if self._remembers:
                self._note_post(operation, undo=undo)
            for rule in rules:
                if rule.where is not None:
                    answer = rule.where(operation, context)
                    if answer is not True:
                        check_answer(rule.where, answer)
                    if not answer:
                        continue
                result = rule.handler(operation, context)
                if result is not None:
                    check_result(rule.handler, result)
            self._state.values.take_changes()
        except Later:
            self._state.check()
            self._state.drop_changes()
            if not context.dry_run:
                raise
            return _traceback()  # a replay waits for nothing
        except Exception:  # noqa: BLE001 (whatever an author's code raises is theirs to see)
            self._state.check()
            self._state.drop_changes()
            return _traceback()
        return None

    def _note_post(self, operation: Operation, *, undo: bool) -> None:
        """Remember a post or its deletion, whatever the conditions ask."""
        if operation.type == COMMENT:
            _ = self._context.is_edit
        elif operation.type == DELETION:
            self._state.posts.note_deletion(operation, undo=undo)


def _traceback() -> str:
    """Tell the exception being handled; its words may be a stranger's, or hold a secret."""
    text = storable(hidden(traceback.format_exc()))
    return sandbox.explained(text, sys.exception(), in_unit="INVOCATION_ID" in os.environ)
