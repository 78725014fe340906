"""``steembot position``: where a bot stands, and the way to put it elsewhere."""

from __future__ import annotations

import click

from steembot import settings
from steembot.bot.state import BotState
from steembot.errors import StateError
from steembot.operation import Cursor


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
    given = settings.load()
    path = given.state_dir / f"bot-{name or given.bot_name}.sqlite3"
    if not path.exists():
        raise StateError(f"there is no bot's state at {path}; name the bot with --bot")
    with BotState(path, chain=given.chain) as state:
        if after is not None:
            target = _target(after)
            click.echo(f"was {state.after or 'no operation yet'}")
            state.move(target)
        click.echo(state.after or "no operation yet")


def _target(after: str) -> Cursor | int:
    if after.isascii() and after.isdecimal() and len(after) <= 10:
        return int(after)
    try:
        return Cursor.parse(after)
    except ValueError as error:
        raise click.BadParameter(f"{error}; a block number will do") from error
