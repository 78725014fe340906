"""``steembot tail``: follow operations as they come, for a person or a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import click
import msgspec

from steembot.bot.authorities import actors_of
from steembot.cli import installation, wanted
from steembot.cli.console import Console, Text, say_json, say_line
from steembot.errors import FeedError
from steembot.feed import wire
from steembot.feed.client import Connected, Disconnected, FeedClient, Refused
from steembot.operation import BlockRef, Cursor, Operation, unpack
from steembot.settings import Settings
from steembot.text import one_line

_COLOURS = {"comment": "green", "vote": "cyan", "transfer": "yellow", "custom_json": "magenta"}
_WIDTH = 100
"""Characters of an operation's value that are shown on a terminal."""


@click.command("tail")
@click.argument("types", metavar="[TYPE]...", nargs=-1)
@click.option("--by", "account", help="Only operations of this account (author, voter, from, …).")
@click.option("--from", "first", type=click.IntRange(1), help="Begin with this block; else now.")
@click.option(
    "--mode",
    type=click.Choice(["head", "irreversible"]),
    help="Seconds old, or never undone; STEEMBOT_MODE otherwise.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(
    types: tuple[str, ...],
    account: str | None,
    first: int | None,
    mode: str | None,
    *,
    as_json: bool,
) -> None:
    """Follow operations of the types named, or all of them, until Ctrl-C.

    An operation that a fork removed is shown once more, marked as undone.
    """
    given = installation.find().settings
    types = wanted.operation_types_of(given.chain, types)
    if account is not None:
        account = wanted.account(account)
    if (silent := wanted.virtual(types)) and not given.virtual_ops:
        say_line(
            f"{', '.join(silent)} is virtual: it comes only where the broadcaster has "
            "STEEMBOT_VIRTUAL_OPS=1",
            err=True,
        )
    show = _show_json if as_json else _Lines(Console()).show
    try:
        for operation, undone in _operations(given, types, first, mode or given.mode):
            if account is None or account in actors_of(operation.type, operation.value):
                show(operation, undone=undone)
    except KeyboardInterrupt:
        pass  # this is how it is ended


def _operations(
    given: Settings, types: tuple[str, ...], first: int | None, mode: str
) -> Iterator[tuple[Operation, bool]]:
    """Yield operations and whether they are undone, over every loss of the connection."""
    after = "head" if first is None else str(first - 1)
    with FeedClient(
        given.socket, name=f"tail-{os.getpid()}", types=types, mode=mode, after=lambda: after
    ) as client:
        told: set[str] = set()
        while True:
            event = client.receive(60)
            match event:
                case wire.BlockMessage():
                    yield from ((op, False) for op in _unpacked(event))
                    after = str(Cursor.end_of(event.num, event.id))
                case wire.Undo():
                    yield from ((op, True) for op in _unpacked(event))
                    after = str(Cursor.end_of(event.num - 1, event.previous))
                case wire.Progress():
                    after = str(event.cursor)
                case Connected() if after == "head" and event.subscribed.after is not None:
                    after = str(event.subscribed.after)
                case Disconnected():
                    say_line(f"disconnected: {event.reason}; trying again", err=True)
                case Refused():
                    _tell(event, told)


def _tell(refused: Refused, told: set[str]) -> None:
    """Say once that a block is still to come: the client asks again. Anything else is the end."""
    if refused.code != wire.ErrorCode.ABOVE_HEAD:
        raise FeedError(refused.code, refused.text)
    if refused.code not in told:
        told.add(refused.code)
        say_line(f"waiting: {refused.text}", err=True)


def _unpacked(message: wire.BlockMessage | wire.Undo) -> Iterator[Operation]:
    block = BlockRef(message.num, message.id)
    for raw in message.operations:
        try:
            yield unpack(raw, block, message.timestamp)
        except msgspec.MsgspecError:
            text = raw.value.decode("utf-8", "replace")
            unreadable = msgspec.json.encode({"unreadable": text})
            readable = msgspec.structs.replace(raw, value=unreadable)
            yield unpack(readable, block, message.timestamp)


def _show_json(operation: Operation, *, undone: bool) -> None:
    line = {**msgspec.to_builtins(operation), "cursor": str(operation.cursor), "undone": undone}
    say_json(line)


class _Lines:
    """Operations as lines of text; colours on a terminal, unless NO_COLOR is set."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, operation: Operation, *, undone: bool) -> None:
        """Print one operation."""
        words = " ".join(
            f"{name}={value if isinstance(value, str) else msgspec.json.encode(value).decode()}"
            for name, value in operation.value.items()
            if value not in ("", [], {})
        )
        words = one_line(words, limit=sys.maxsize)
        if len(words) > _WIDTH and self._console.is_terminal:
            words = words[: _WIDTH - 1] + "…"
        line = Text()
        line.append(f"{operation.timestamp:%H:%M:%S} {operation.block_num} ", style="dim")
        if undone:
            line.append("UNDONE ", style="bold red")
        line.append(one_line(operation.type), style=_COLOURS.get(operation.type, "blue"))
        line.append(f" {words}")
        self._console.print(line, soft_wrap=True)
