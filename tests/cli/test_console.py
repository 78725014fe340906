"""The one way out of every command: any text, any value, no control character, no way around it."""

from __future__ import annotations

import ast
import io
import json as stdlib_json
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import steembot.cli
from steembot.cli import console
from steembot.cli.console import Console, Table, Text
from steembot.errors import OutputError
from tests.support.hostile import HOSTILE, anything, controls

PACKAGE = Path(steembot.cli.__file__).parent
OWNERS = ("console.py", "ending.py")
"""Who may write to the streams themselves."""


@contextmanager
def captured():
    """Standard output in memory."""
    before, sys.stdout = sys.stdout, io.StringIO()
    try:
        yield sys.stdout
    finally:
        sys.stdout = before


def table_of(text: str) -> Table:
    table = Table("a", "b")
    table.add_row(text, Text(text, style="red"))
    return table


@pytest.mark.parametrize(
    "show",
    [
        console.say,
        console.say_line,
        lambda text: console.say_json({text: [text, 1, None]}),
        lambda text: console.say_json([text], pretty=True),
        lambda text: Console().print(text),
        lambda text: Console().print(Text(text, style="red"), soft_wrap=True),
        lambda text: Console().print(table_of(text)),
    ],
    ids=["say", "say_line", "json", "pretty", "print", "styled", "table"],
)
def test_any_text_can_be_shown_and_controls_nothing(show: Callable[[str], None]):
    """Whatever a stranger wrote is no error, no control character, and no markup."""

    @given(anything)
    def check(text):
        with captured() as out:
            show(text)
        assert controls(out.getvalue()) == set()

    check()
    with captured() as out:
        show("[red]kept[/nothing]")
    assert "[red]kept[/nothing]" in out.getvalue()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_is_what_it_was(text):
    """A program reads the very text that was stored."""
    assert stdlib_json.loads(console.json({"a": text})) == {"a": text}


def test_json_of_half_an_emoji_is_json():
    """What UTF-8 cannot hold is replaced, wherever it stands."""
    told = stdlib_json.loads(console.json({"a": [{"b\ud83d": "cut \ud83d"}]}))
    assert told == {"a": [{"b\ufffd": "cut \ufffd"}]}


def test_a_line_is_one():
    """A finding cannot forge another one."""
    with captured() as out:
        console.say_line(HOSTILE)
        console.say_error(HOSTILE)
    assert len(out.getvalue().splitlines()) == 1


def test_what_cannot_be_written_is_said_in_our_words():
    """A full disk behind standard output is an error that says so."""
    with Path("/dev/full").open("w") as full:
        before, sys.stdout = sys.stdout, full
        try:
            for show in (console.say, Console().print):
                with pytest.raises(
                    OutputError, match="standard output cannot be written: No space"
                ):
                    show("words")
        finally:
            sys.stdout = before
            with pytest.raises(OSError, match="No space"):
                full.close()


def _ways_around(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        name = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""
        if name in ("print", "click.echo", "click.secho", "sys.stderr", "sys.stdout.write"):
            found.append(f"{path.name}: {name}")
    return found


def test_no_command_writes_in_another_way():
    """Only then the console is all that has to be right."""
    ways = [
        way
        for path in PACKAGE.glob("*.py")
        if path.name not in OWNERS
        for way in _ways_around(path)
    ]
    assert ways == []
