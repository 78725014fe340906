"""``steembot position``: where a bot stands, and the way to put it elsewhere."""

from __future__ import annotations

import click

from steembot.bot.audit import Books
from steembot.bot.state import BotState
from steembot.cli import installation
from steembot.cli.console import say_line
from steembot.cli.ownership import become_owner
from steembot.operation import Cursor

NOTHING = "no operation yet"

LAST_BLOCK = 2**32 - 1
"""The highest number that a block can have."""


@click.command("position")
@click.option("--bot", "name", help="The bot's name; STEEMBOT_BOT_NAME otherwise.")
@click.option(
    "--set",
    "after",
    metavar="CURSOR|BLOCK",
    help="Go on behind this operation (a cursor as shown) or block. The bot must be stopped.",
)
def command(name: str | None, after: str | None) -> None:
    """Show behind which operation a bot stands, or put it behind another one.

    What lies between is not delivered (forwards) or delivered again (backwards): the bot's state
    stays as it is. This is the way on when the broadcaster no longer knows a bot's block.
    """
    here = installation.find()
    target = None if after is None else _target(after)
    here.check_bot(name)
    path = here.bot_state(name)
    become_owner(path.parent)
    with Books(path) as books:
        before = books.after
    if target is None:
        say_line(before or NOTHING)
        return
    with BotState(path, chain=here.settings.chain_key) as state:
        say_line(f"was {state.after or NOTHING}")
        state.move(target)
        say_line(str(state.after))


def _target(after: str) -> Cursor | int:
    if after.isascii() and after.isdecimal() and int(after[:11]) <= LAST_BLOCK:
        return int(after)
    try:
        return Cursor.parse(after)
    except ValueError as error:
        raise click.BadParameter(f"{error}; a block number will do") from error
