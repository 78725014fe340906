"""``steembot status``: processes, block and lag, nodes, clients, dead letters, at a glance."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click
import msgspec

from steembot.cli import installation, overview
from steembot.cli.console import Console, Group, Live, RenderableType, Table, Text, say_json
from steembot.cli.ending import words
from steembot.cli.installation import Installation
from steembot.errors import SettingsError, SteembotError
from steembot.feed import wire
from steembot.feed.client import ask_status
from steembot.text import one_line

TIMEOUT_S = 5.0
EVERY_S = 1.0

_COLOURS = {"well": "green", "active": "green", "resting": "red", "failed": "red"}


class Head(msgspec.Struct, frozen=True):
    """The newest block that the broadcaster has. ``timestamp`` is in seconds since 1970."""

    num: int
    id: str
    timestamp: int
    age_s: int


class Broadcaster(msgspec.Struct, frozen=True):
    """What the broadcaster says of itself. ``oldest`` is the first block of its log."""

    words: str
    chain: str
    head: Head | None
    irreversible: int
    oldest: int | None


class Report(msgspec.Struct, frozen=True):
    """All there is to say. Without an answer of the broadcaster, ``trouble`` says why.

    ``notes`` tell what could not be shown as it is, and what to do about that.
    """

    broadcaster: Broadcaster | None
    trouble: str
    nodes: list[wire.NodeStatus]
    clients: list[wire.ClientStatus]
    bots: list[overview.BotState]
    units: list[overview.Unit]
    notes: list[str]


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--watch", is_flag=True, help="Stay, and show it anew every second.")
def command(*, as_json: bool, watch: bool) -> None:
    """Show how everything is: processes, block and lag, nodes, clients, dead letters.

    Ends with status 1 if no broadcaster answers.
    """
    wrong: list[SettingsError] = []
    place = installation.find(wrong=wrong)
    notes = [f"{error}; shown as if it were not set" for error in wrong]
    if watch:
        _watch(place, notes, as_json=as_json)
        return
    report = _look(place, notes)
    if as_json:
        say_json(report)
    else:
        Console(err=report.broadcaster is None).print(_page(report), soft_wrap=True)
    if report.broadcaster is None:
        raise SystemExit(1)


def _watch(place: Installation, notes: list[str], *, as_json: bool) -> None:
    """Show it anew until Ctrl-C; as JSON, an object a line."""
    try:
        if as_json:
            while True:
                say_json(_look(place, notes))
                time.sleep(EVERY_S)
        with Live(Text("asking…"), console=Console(), auto_refresh=False) as live:
            while True:
                live.update(_page(_look(place, notes)), refresh=True)
                time.sleep(EVERY_S)
    except KeyboardInterrupt:
        return


def _look(place: Installation, notes: Sequence[str]) -> Report:
    status, trouble, notes = None, "", list(notes)
    try:
        status = ask_status(place.settings.socket, TIMEOUT_S)
    except (SteembotError, OSError) as error:
        trouble = words(error) if isinstance(error, OSError) else str(error)
    units: list[overview.Unit] = []
    bots: list[overview.BotState] = []
    try:
        units = overview.units(place)
    except OSError as error:
        notes.append(f"units are not shown: {words(error)}")
    try:
        bots = overview.bots(place)
    except OSError as error:
        notes.append(f"bots are not shown: {words(error)}; {overview.READABLE}")
    return Report(
        broadcaster=None if status is None else _broadcaster(status, time.time()),
        trouble=trouble,
        nodes=[] if status is None else status.nodes,
        clients=[] if status is None else status.clients,
        bots=bots,
        units=units,
        notes=notes,
    )


def _broadcaster(status: wire.Status, now: float) -> Broadcaster:
    head = None
    if status.head is not None:
        age_s = max(0, int(now) - status.head_timestamp)
        head = Head(status.head.num, status.head.id, status.head_timestamp, age_s)
    return Broadcaster(status.words, status.chain, head, status.irreversible, status.oldest)


def _page(report: Report) -> Group:
    parts: list[RenderableType] = []
    if report.trouble:
        parts.append(Text(one_line(f"steembot: {report.trouble}"), style="red"))
    if report.broadcaster is not None:
        parts.append(_facts(report.broadcaster))
    for table in (_nodes(report), _clients(report), _bots(report), _units(report)):
        if table.row_count:
            parts += [Text(), table] if parts else [table]
    if report.broadcaster is not None and not report.clients:
        parts.append(Text("no clients"))
    parts += [Text(one_line(f"note: {note}"), style="yellow") for note in report.notes]
    return Group(*parts)


def _facts(broadcaster: Broadcaster) -> Table:
    facts = Table(show_header=False, collapse_padding=True, padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column()
    facts.add_row("broadcaster", broadcaster.words or "serving")
    facts.add_row("chain", broadcaster.chain)
    head = broadcaster.head
    if head is None:
        facts.add_row("head", "no block yet")
    else:
        facts.add_row("head", f"block {head.num:,} ({head.id}), {head.age_s:,} s old")
        facts.add_row("irreversible", f"block {broadcaster.irreversible:,}")
        facts.add_row("block log", f"from block {broadcaster.oldest:,} on")
    return facts


def _state(word: str) -> Text:
    return Text(word, style=_COLOURS.get(word, "yellow"))


def _nodes(report: Report) -> Table:
    table = Table("node", "state", "head", "latency", "failures", "last failure")
    for node in report.nodes:
        table.add_row(
            Text(node.url),
            _state(node.state),
            f"{node.head:,}" if node.head else "",
            "" if node.latency_ms is None else f"{node.latency_ms:.0f} ms",
            Text(", ".join(f"{count} {kind}" for kind, count in node.errors.items())),
            Text(node.trouble),
        )
    return table


def _clients(report: Report) -> Table:
    table = Table("client", "pid", "uid", "types", "mode", "blocks behind")
    for client in report.clients:
        table.add_row(
            Text(client.name),
            str(client.pid),
            str(client.uid),
            Text(", ".join(client.types)),
            client.mode,
            f"{client.lag:,}",
        )
    return table


def _bots(report: Report) -> Table:
    table = Table("bot", "block", "dead letters")
    for bot in report.bots:
        if bot.trouble:
            table.add_row(Text(bot.name), Text(bot.trouble, style="yellow"), "")
            continue
        letters = Text(f"{bot.dead_letters:,}", style="red" if bot.dead_letters else "")
        table.add_row(Text(bot.name), "" if bot.block is None else f"{bot.block:,}", letters)
    return table


def _units(report: Report) -> Table:
    table = Table("unit", "state", "restarts", "pid", "says")
    for unit in report.units:
        table.add_row(
            unit.name,
            _state(unit.state),
            str(unit.restarts),
            str(unit.pid) if unit.pid else "",
            Text(unit.failure, style="red") if unit.failure else Text(unit.status),
        )
    return table
