"""``steembot status``: how the broadcaster and its clients are, as the broadcaster says it."""

from __future__ import annotations

import time

import click
import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from steembot.cli import installation
from steembot.errors import SteembotError
from steembot.feed import wire
from steembot.feed.client import ask_status
from steembot.settings import Settings

TIMEOUT_S = 5.0
EVERY_S = 1.0


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--watch", is_flag=True, help="Stay, and show it anew every second.")
def command(*, as_json: bool, watch: bool) -> None:
    """Show how the broadcaster is: its block, its lag, its node, and every client's lag.

    Ends with status 1 if no broadcaster answers.
    """
    given = installation.find().settings
    if as_json:
        click.echo(msgspec.json.encode(ask_status(given.socket, TIMEOUT_S)))
    elif watch:
        _watch(given)
    else:
        Console().print(_page(ask_status(given.socket, TIMEOUT_S), time.time()))


def _watch(given: Settings) -> None:
    with Live(Text("asking…"), console=Console(), auto_refresh=False) as live:
        while True:
            try:
                live.update(_page(ask_status(given.socket, TIMEOUT_S), time.time()), refresh=True)
            except SteembotError as error:
                live.update(Text(str(error), style="red"), refresh=True)
            try:
                time.sleep(EVERY_S)
            except KeyboardInterrupt:
                return


def _page(status: wire.Status, now: float) -> Group:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column()
    facts.add_row("broadcaster", status.words or "serving")
    facts.add_row("chain", status.chain)
    if status.head is None:
        facts.add_row("head", "no block yet")
    else:
        age_s = max(0, int(now) - status.head_timestamp)
        facts.add_row("head", f"block {status.head.num:,} ({status.head.id}), {age_s:,} s old")
        facts.add_row("irreversible", f"block {status.irreversible:,}")
        facts.add_row("block log", f"from block {status.oldest:,} on")
    if not status.clients:
        return Group(facts, Text("no clients"))
    clients = Table(
        "client", "pid", "uid", "types", "mode", "blocks behind", box=None, pad_edge=False
    )
    for client in status.clients:
        clients.add_row(
            client.name,
            str(client.pid),
            str(client.uid),
            ", ".join(client.types),
            client.mode,
            f"{client.lag:,}",
        )
    return Group(facts, Text(), clients)
