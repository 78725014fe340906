"""What the unit's sandbox forbids is told from a handler's exception, with what opens it."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from steembot.bot import Bot, Later
from steembot.bot.sandbox import hint
from steembot.testing import BotRun, Chain


def error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (error(errno.EAFNOSUPPORT), "has no network"),
        (error(errno.ENETUNREACH), "has no network"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "no network"),
        (error(errno.EROFS), "ReadWritePaths="),
        (error(errno.EACCES), "ProtectHome="),
        (error(errno.EPERM), "ProtectHome="),
        (error(errno.ENOENT), None),
        (error(errno.ECONNREFUSED), None),
        (ValueError("97"), None),
    ],
)
def test_each_error_has_its_hint(raised: Exception, words: str | None) -> None:
    """An error that the sandbox does not cause has none."""
    found = hint(raised)
    assert (found is None) if words is None else (words in (found or ""))


def test_the_cause_of_an_error_is_looked_at() -> None:
    """Libraries raise errors of their own; one that is its own cause ends the search."""
    outer = RuntimeError("the post failed")
    outer.__cause__ = error(errno.EAFNOSUPPORT)
    assert "no network" in (hint(outer) or "")
    loop = RuntimeError("x")
    loop.__context__ = ValueError("y")
    loop.__context__.__context__ = loop
    assert hint(loop) is None


@pytest.mark.parametrize("in_unit", [True, False])
@pytest.mark.parametrize("waits", [True, False])
def test_dead_letter_and_waiting_say_it_in_a_unit_alone(
    tmp_path, monkeypatch: pytest.MonkeyPatch, *, in_unit: bool, waits: bool
) -> None:
    """Elsewhere the same error has another reason."""
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    if in_unit:
        monkeypatch.setenv("INVOCATION_ID", "0" * 32)
    bot, chain = Bot(), Chain()

    @bot.on("vote")
    def post(op, ctx):
        try:
            raise error(errno.EAFNOSUPPORT)
        except OSError as cause:
            raise (Later if waits else RuntimeError)("cannot post") from cause

    run = BotRun(bot, chain, tmp_path)
    chain.vote("alice", "bob", "p")
    run.catch_up()
    said = run.waiting if waits else run.dead_letters[0].error
    assert ("the bot's unit has no network" in said) is in_unit
