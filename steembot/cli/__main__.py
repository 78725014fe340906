"""The `steembot` command: what a person asks of an installation.

Each subcommand is a module of this package and is imported when it is called.
"""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

import click

from steembot.cli import ending

COMMANDS = {
    "audit": "Prove that a bot handled every operation of a range, once.",
    "dead-letters": "Show, redrive or drop what a bot's handlers failed on.",
    "doctor": "Check what goes wrong in practice, and say how to mend it.",
    "new": "Write the beginning of a bot, or of a micro-process.",
    "nodes": "Measure the configured nodes from here.",
    "position": "Show where a bot stands, or put a stopped one elsewhere.",
    "record": "Write past blocks into a file.",
    "replay": "Run a bot over past blocks, in a dry run.",
    "status": "Show how the broadcaster and its clients are.",
    "tail": "Follow operations as they come.",
}


class _Commands(click.Group):
    """Subcommands by name; the help is known without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"steembot.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="steembot")
@click.option("-v", "--verbose", is_flag=True, help="Say which settings files were read.")
def steembot(*, verbose: bool) -> None:
    """Look after a swarm of small processes on the Steem blockchain.

    Settings are STEEMBOT_* variables or come from .env, as for the processes themselves.
    """
    if verbose:
        logging.basicConfig(format="steembot: %(message)s")
        logging.getLogger("steembot.cli").setLevel(logging.INFO)


def main() -> Any:
    """Run the command and end with its status."""
    sys.exit(ending.run(lambda: steembot(standalone_mode=False)))


if __name__ == "__main__":
    main()
