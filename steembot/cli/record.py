"""``steembot record``: past blocks into a file, for replaying and for the devnode."""

from __future__ import annotations

from pathlib import Path

import click

from steembot.cli import files, installation, past_blocks
from steembot.cli.console import Console, Progress, say_line


@click.command("record")
@click.option("--from", "first", metavar="BLOCK", type=click.IntRange(1), required=True)
@click.option("--to", "last", metavar="BLOCK", type=click.IntRange(1), required=True)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def command(first: int, last: int, file: Path) -> None:
    """Write past blocks into FILE, a block a line, as the configured nodes answer them.

    FILE is what steembot replay --file reads and steembot-devnode --blocks serves. It is there
    when all blocks are. A plain file that exists is replaced, anything else is left alone.
    """
    if last < first:
        raise click.BadParameter(f"--to {last} is below --from {first}")
    given = installation.find().settings
    size = 0
    with files.replacing(file) as lines, Progress(console=Console(err=True)) as progress:
        task = progress.add_task("recording blocks", total=last - first + 1)
        for block in past_blocks.raw_blocks(given, first, last):
            size += lines.write(block + b"\n")
            progress.advance(task)
    say_line(f"blocks {first} to {last} in {file}, {size:,} bytes")
