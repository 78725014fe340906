"""``steembot audit FROM TO``: prove that a bot handled what the chain has."""

from __future__ import annotations

import sys

import click

from steembot.bot.audit import Books, Finding, compare
from steembot.bot.handled import AUDIT_BLOCKS
from steembot.cli import installation, past_blocks
from steembot.cli.console import Console, Progress, say, say_line
from steembot.cli.ownership import become_owner
from steembot.errors import StateError

SHOWN = 100
"""How many findings are told; the others are counted."""


@click.command("audit")
@click.argument("first", metavar="FROM", type=click.IntRange(1))
@click.argument("last", metavar="TO", type=click.IntRange(1))
@click.option("--bot", "name", help="The bot's name; STEEMBOT_BOT_NAME otherwise.")
def command(first: int, last: int, name: str | None) -> None:
    """Prove that a bot handled every operation of the blocks FROM to TO, each exactly once.

    Reads the blocks from the configured nodes and the bot's own record from its state; the bot may
    be running. Dead letters count as handled, and are counted. Ends with status 1 if anything is
    missing, double or foreign, and names it.
    """
    if last < first:
        raise click.BadParameter(f"TO ({last}) is below FROM ({first})")
    here = installation.find()
    given = here.settings
    here.check_bot(name)
    path = here.bot_state(name)
    become_owner(path.parent)
    err = Console(err=True)
    wrong = operations = 0
    bar = Progress(
        console=err,
        transient=True,
        disable=not err.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # what goes into a pipe is not the bar's to write
    )
    with Books(path) as books, bar as progress:
        _check_range(books, first, last)
        letters = books.dead_letters(first, last)
        task = progress.add_task("comparing blocks", total=last - first + 1)
        for finding in compare(books, past_blocks.blocks(given, first, last)):
            if isinstance(finding, Finding):
                wrong += 1
                if wrong <= SHOWN:
                    say_line(f"{finding.what}: {finding.words}")
                elif wrong == SHOWN + 1:
                    say("… and more")
            else:
                operations += finding
                progress.advance(task)
    are = "is a dead letter" if letters == 1 else "are dead letters"
    say(
        f"blocks {first} to {last}: {operations} operations on the chain for this bot"
        + (f" ({letters} of them {are}), " if letters else ", ")
        + (f"{wrong} finding{'s' * (wrong > 1)}" if wrong else "each handled exactly once")
    )
    if wrong:
        raise SystemExit(1)


def _check_range(books: Books, first: int, last: int) -> None:
    known = books.first(AUDIT_BLOCKS)
    if known is None or books.last < known:
        raise StateError("this bot has no whole block on record yet")
    if first < known or last > books.last:
        raise StateError(
            f"this bot's record reaches from block {known} to block {books.last}; "
            f"asked for {first} to {last}"
        )
