"""``steembot replay``: a bot over past blocks, in a dry run."""

from __future__ import annotations

import itertools
import logging
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import click

from steembot import events, settings
from steembot.bot.bot import Bot
from steembot.bot.loading import check_types, load_bot
from steembot.bot.runner import Runner
from steembot.bot.state import BotState
from steembot.cli import installation, past_blocks, recording
from steembot.cli.console import Console, Progress, say, say_json, say_line
from steembot.feed import wire
from steembot.operation import Block
from steembot.settings import Settings

TOLD_IN_THE_END = {events.HANDLER_FAILED.id, events.DEAD_LETTER.id}
"""Entries about dead letters: those are printed when the replay is over, each once."""

DELAY_S = 1.0
"""How old a block is in a replay: as if it came a moment after it was made."""


@click.command("replay")
@click.option("--from", "first", metavar="BLOCK", type=click.IntRange(1))
@click.option("--to", "last", metavar="BLOCK", type=click.IntRange(1))
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Recorded blocks (steembot record); else the configured nodes are asked.",
)
@click.option("--handlers", help="The bot's module or file; STEEMBOT_HANDLERS otherwise.")
@click.option("--state", "show_state", is_flag=True, help="Print the state in the end, as JSON.")
def command(
    first: int | None,
    last: int | None,
    file: Path | None,
    handlers: str | None,
    *,
    show_state: bool,
) -> None:
    """Run a bot over past blocks, in a dry run, and print what it logs.

    It has a state of its own, empty in the beginning and thrown away in the end; that of the
    running bot is not touched. Time is that of the blocks, nothing is waited for, ctx.dry_run is
    true. What a handler does besides is done: it should look at ctx.dry_run before it sends
    something. Ends with status 1 if there were dead letters, and prints them.
    """
    given = installation.find().settings
    if file is None and (first is None or last is None):
        raise click.UsageError("give --from and --to, or --file")
    if first is not None and last is not None and last < first:
        raise click.BadParameter(f"--to {last} is below --from {first}")
    named = given.handlers if handlers is None else _place(handlers)
    settings.export(given)
    bot = load_bot(named)
    check_types(bot, named, given.chain, virtual_ops=given.virtual_ops or file is not None)
    blocks, total = _blocks(given, first, last, file)
    with _Lines(), tempfile.TemporaryDirectory(prefix="steembot-replay-") as folder:
        path = Path(folder, "bot.sqlite3")
        with BotState(path, chain=given.chain) as state:
            failed = _run(bot, state, given.chain, blocks, total)
            if show_state:
                say_json(dict(state.values), pretty=True)
    if failed:
        raise SystemExit(1)


def _run(bot: Bot, state: BotState, chain: str, blocks: Iterable[Block], total: int | None) -> int:
    """Run the bot over the blocks; return how many dead letters it has."""
    now = [0.0]
    runner = Runner(
        bot,
        state,
        pause=lambda _s: None,
        alive=lambda: None,
        clock=lambda: now[0],
        now=lambda: now[0],
        chain=chain,
        dry_run=True,
    )
    wanted = None if wire.EVERY_TYPE in bot.types else frozenset(bot.types)
    count = operations = 0
    begun = time.monotonic()
    first: Block | None = None
    with Progress(console=Console(err=True), transient=True) as progress:
        task = progress.add_task("replaying blocks", total=total)
        for block in blocks:
            first = first or block
            now[0] = block.timestamp + DELAY_S
            given = tuple(op for op in block.operations if wanted is None or op.type in wanted)
            runner.on_block(
                wire.BlockMessage(
                    num=block.num,
                    id=block.id,
                    previous=block.previous,
                    timestamp=block.timestamp,
                    irreversible=block.num,
                    operations=given,
                )
            )
            runner.run_timers()
            count += 1
            operations += len(given)
            progress.advance(task)
    seconds = time.monotonic() - begun
    letters = state.dead_letters()
    for letter in letters:
        say()
        say_line(f"dead letter: {letter.type} at {letter.cursor}")
        say(letter.error.rstrip())
    span = "no blocks" if first is None else f"{count:,} blocks from {first.num}"
    say(
        f"{span}: {operations:,} operations for this bot, {len(letters)} dead letters, "
        f"{seconds:.1f} s",
        err=True,
    )
    return len(letters)


def _blocks(
    given: Settings, first: int | None, last: int | None, file: Path | None
) -> tuple[Iterator[Block], int | None]:
    """Return the blocks of the range, and how many there are if that is known."""
    if file is None:
        start, end = first or 1, last or 1
        return past_blocks.blocks(given, start, end), end - start + 1
    chosen = itertools.takewhile(
        lambda block: last is None or block.num <= last,
        itertools.dropwhile(
            lambda block: first is not None and block.num < first,
            recording.read(file, given.chain),
        ),
    )
    return chosen, None


def _place(handlers: str) -> str:
    """Take a file by whatever path, and else a module's name."""
    return str(Path(handlers).resolve()) if handlers.endswith(".py") else handlers


class _Lines(logging.Handler):
    """What the handlers log, on standard output; what is wrong, on standard error."""

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._before = root.handlers[:], root.level
        root.handlers[:] = [self]
        root.setLevel(logging.INFO)
        return self

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        root.handlers[:], level = self._before
        root.setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "MESSAGE_ID", None) in TOLD_IN_THE_END:
            return
        block = getattr(record, "STEEM_BLOCK", None)
        words = record.getMessage()
        is_wrong = record.levelno >= logging.WARNING
        say_line(words if block is None else f"block {block}: {words}", err=is_wrong)
        if record.exc_info:
            say("".join(traceback.format_exception(record.exc_info[1])).rstrip(), err=is_wrong)
