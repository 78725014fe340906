"""``steembot audit FROM TO``: prove that a bot handled what the chain has."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click
from rich.console import Console
from rich.progress import Progress

from steembot import settings
from steembot.bot.audit import Books, Finding, compare
from steembot.bot.state import AUDIT_BLOCKS
from steembot.chain.node import Node
from steembot.errors import NodeAnswerError, NodeError, StateError
from steembot.operation import Block
from steembot.settings import Settings

TRIES = 5
SHOWN = 100


@click.command("audit")
@click.argument("first", metavar="FROM", type=click.IntRange(1))
@click.argument("last", metavar="TO", type=click.IntRange(1))
@click.option("--bot", "name", help="The bot's name; STEEMBOT_BOT_NAME otherwise.")
def command(first: int, last: int, name: str | None) -> None:
    """Prove that a bot handled every operation of the blocks FROM to TO, each exactly once.

    Reads the blocks from the configured nodes and the bot's own record from its state. Ends with
    status 1 if anything is missing, double or foreign, and names it.
    """
    given = settings.load()
    path = given.state_dir / f"bot-{name or given.bot_name}.sqlite3"
    if last < first:
        raise click.BadParameter(f"TO ({last}) is below FROM ({first})")
    err = Console(stderr=True)
    wrong = operations = 0
    with Books(path) as books, Progress(console=err, transient=True) as progress:
        _check_range(books, first, last)
        task = progress.add_task("comparing blocks", total=last - first + 1)
        for finding in compare(books, _blocks(given, first, last)):
            if isinstance(finding, Finding):
                wrong += 1
                if wrong <= SHOWN:
                    click.echo(f"{finding.what}: {finding.words}")
                elif wrong == SHOWN + 1:
                    click.echo("… and more")
            else:
                operations += finding
                progress.advance(task)
    click.echo(
        f"blocks {first} to {last}: {operations} operations on the chain for this bot, "
        + ("each handled exactly once" if not wrong else f"{wrong} findings")
    )
    if wrong:
        raise SystemExit(1)


def _check_range(books: Books, first: int, last: int) -> None:
    known = books.first(AUDIT_BLOCKS)
    if known is None or books.last == 0:
        raise StateError("this bot has not handled anything yet")
    if first < known or last > books.last:
        raise StateError(
            f"this bot's record reaches from block {known} to block {books.last}; "
            f"asked for {first} to {last}"
        )


def _blocks(given: Settings, first: int, last: int) -> Iterator[Block]:
    """Read the range from the nodes, in order; another node or another try where one fails."""
    nodes = [Node(url, virtual_ops=given.virtual_ops) for url in given.nodes]
    span = min(node.max_blocks for node in nodes)
    for start in range(first, last + 1, span):
        yield from _span(nodes, range(start, min(start + span, last + 1)))


def _span(nodes: list[Node], nums: range) -> list[Block]:
    for attempt in range(TRIES):
        for node in nodes:
            try:
                blocks = node.blocks(nums, nums[-1])
                missing = [num for num, b in zip(nums, blocks, strict=True) if b is None]
                if missing:
                    raise NodeAnswerError(node.url, f"no block {missing[0]}")
                return [block for block in blocks if block is not None]
            except NodeError as error:
                last_error = error
        time.sleep(0.5 * 2**attempt)
    raise last_error
