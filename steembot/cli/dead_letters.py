"""``steembot dead-letters``: look at what a bot could not digest, and have it try again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from steembot.bot import dead_letters
from steembot.bot.dead_letters import DeadLetter, DeadLetters
from steembot.cli import installation
from steembot.cli.console import Console, Table, json, say, say_json, say_line
from steembot.cli.ownership import become_owner
from steembot.errors import StateError

POLL_S = 0.1

_bot = click.option("--bot", "name", help="The bot's name; STEEMBOT_BOT_NAME otherwise.")
_json = click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")


@click.group("dead-letters")
def command() -> None:
    """Show, redrive or drop the operations that a bot's handlers failed on for good.

    All of it works while the bot runs and while it does not.
    """


@command.command("list")
@_bot
@_json
def list_letters(name: str | None, *, as_json: bool) -> None:
    """List all dead letters, oldest first."""
    path = _path(name)
    with dead_letters.opened(path) as letters:
        held = letters.all()
    if as_json:
        say_json([_as_object(letter) for letter in held], pretty=True)
    elif not held:
        say(f"no dead letters in {path}")
    else:
        table = Table()
        for title in ("ID", "OPERATION", "BLOCK", "PARKED (UTC)", "FAILED AGAIN", "ERROR"):
            table.add_column(title, overflow="fold" if title == "ERROR" else "ellipsis")
        for letter in held:
            table.add_row(
                str(letter.id),
                _what(letter),
                letter.cursor.split("-")[0],
                _time(letter),
                f"{letter.redriven or ''}" + (" redrive asked for" if letter.wanted else ""),
                letter.summary,
            )
        Console().print(table)


@command.command("show")
@click.argument("number", metavar="ID", type=int)
@_bot
@_json
def show(number: int, name: str | None, *, as_json: bool) -> None:
    """Show one dead letter whole: the operation, its place and the traceback."""
    with dead_letters.opened(_path(name)) as letters:
        letter = letters.get(number)
    if letter is None:
        raise StateError(f"there is no dead letter {number}")
    if as_json:
        say_json(_as_object(letter), pretty=True)
        return
    operation = json(msgspec.Raw(letter.operation.encode()), pretty=True)
    say(
        f"id        {letter.id}\n"
        f"what      {_what(letter)}\n"
        f"cursor    {letter.cursor}\n"
        f"parked    {_time(letter)} UTC\n"
        f"redriven  {letter.redriven} times without success\n\n"
        f"{operation}\n\n{letter.error.rstrip()}"
    )


@command.command("redrive")
@click.argument("number", metavar="[ID]", type=int, required=False)
@click.option("--all", "every", is_flag=True, help="All of them, oldest first.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Seconds to wait for what comes of it.",
)
@_bot
@_json
def redrive(
    number: int | None, name: str | None, wait_s: float, *, every: bool, as_json: bool
) -> None:
    """Have the bot handle a dead letter once more, or all.

    The bot itself does it, between two blocks or at its next start, and commits what comes of it
    together with the dead letter's end. One that fails again stays, with its new error. Ends with
    status 1 unless all succeeded.
    """
    if (number is None) == (not every):
        raise click.UsageError("name one ID, or give --all")
    with dead_letters.opened(_path(name)) as letters:
        asked = {
            letter.id: letter.redriven for letter in letters.all() if every or letter.id == number
        }
        if number is not None and not asked:
            raise StateError(f"there is no dead letter {number}")
        letters.want(tuple(asked))
        left = _wait(letters, asked, wait_s)
    failed = [letter for letter in left if not letter.wanted]
    waiting = [letter for letter in left if letter.wanted]
    done = len(asked) - len(left)
    if as_json:
        answer = {"handled": done, "failed": [_as_object(one) for one in failed]}
        say_json(answer | {"waiting": [letter.id for letter in waiting]}, pretty=True)
    else:
        say(f"{done} handled, {len(failed)} failed again, {len(waiting)} still to be run")
        for letter in failed:
            say_line(f"{letter.id}: {letter.summary}")
        if waiting:
            say("the bot takes them up as soon as it can, or when it is started")
    if left:
        raise SystemExit(1)


@command.command("drop")
@click.argument("number", metavar="ID", type=int)
@_bot
def drop(number: int, name: str | None) -> None:
    """Throw a dead letter away: its operation will never be handled."""
    with dead_letters.opened(_path(name)) as letters:
        if not letters.drop(number):
            raise StateError(f"there is no dead letter {number}")
    say(f"dropped {number}")


def _wait(letters: DeadLetters, asked: dict[int, int], wait_s: float) -> Sequence[DeadLetter]:
    """Return those of the asked that are left, when none is waiting any more or time is up."""
    deadline = time.monotonic() + wait_s
    while True:
        left = [letter for letter in letters.all() if letter.id in asked]
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not any(letter.wanted for letter in left):
            return left
        time.sleep(min(POLL_S, left_s))


def _path(name: str | None) -> Path:
    here = installation.find()
    here.check_bot(name)
    path = here.bot_state(name)
    become_owner(path.parent)
    return path


def _what(letter: DeadLetter) -> str:
    return f"undo of {letter.type}" if letter.undo else letter.type


def _time(letter: DeadLetter) -> str:
    return datetime.fromtimestamp(letter.parked_at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _as_object(letter: DeadLetter) -> dict[str, object]:
    return msgspec.structs.asdict(letter) | {"operation": msgspec.Raw(letter.operation.encode())}
