"""Where every command's words leave it, for a terminal, a pipe or a file. Alone imports rich.

What commands show was written by strangers: operations, nodes' errors, exceptions, names. Here its
control characters become escapes, in text as in JSON, so that no command can forget it; markup is
not read; and a character that the terminal's encoding cannot hold is written as an escape.

Raises :class:`~steembot.errors.OutputError` where the words cannot be written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO, Any

import msgspec
import rich.console
import rich.table
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import Progress
from rich.segment import Segment
from rich.text import Text

from steembot.errors import OutputError
from steembot.streams import raw
from steembot.text import json_escaped, lines, one_line, storable

__all__ = ["Console", "Group", "Live", "Progress", "RenderableType", "Table", "Text"]

LINE_CHARACTERS = 4096
"""How long a line may be that is to be one: about an error, or what a handler logs."""


PIPE_CHARACTERS = 1000
"""How wide a table may be that goes into a pipe or a file."""


class _Stream:
    """A stream whose failures say what they mean for a command."""

    def __init__(self, stream: IO[str], name: str) -> None:
        self._stream = stream
        self._name = name

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(self._name, error.strerror or str(error)) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(self._name, error.strerror or str(error)) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _stream(*, err: bool) -> Any:
    stream = sys.stderr if err else sys.stdout
    return _Stream(raw(stream), f"standard {'error' if err else 'output'}")


class Console(rich.console.Console):
    """A console for text and tables; ``err`` is for standard error."""

    def __init__(self, *, err: bool = False) -> None:
        super().__init__(
            file=_stream(err=err), stderr=err, markup=False, emoji=False, highlight=False
        )
        if not self.is_terminal:  # what reads a pipe wants an entry a line
            self.width = PIPE_CHARACTERS

    def render(
        self, renderable: RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as rich does, with control characters made visible."""
        for segment in super().render(renderable, options):
            if segment.control:  # rich's own, such as moving the cursor
                yield segment
            else:
                yield segment._replace(text=lines(segment.text, limit=sys.maxsize))


class Table(rich.table.Table):
    """A table without lines around it. A cell is one line, whatever is in it."""

    def __init__(self, *columns: str, **more: Any) -> None:
        super().__init__(*columns, **{"box": None, "pad_edge": False, **more})

    def add_row(self, *cells: str | Text, **more: Any) -> None:  # type: ignore[override]
        """Add a row; a text keeps its style."""
        super().add_row(*map(_cell, cells), **more)


def _cell(cell: str | Text) -> Text:
    if isinstance(cell, str):
        return Text(one_line(cell))
    return Text(one_line(cell.plain), style=cell.style)


def say(text: str = "", *, err: bool = False) -> None:
    """Write text of one or more lines."""
    # While a progress bar is shown the stream is the bar's, which keeps the two apart.
    stream = sys.stderr if err else sys.stdout
    out = _Stream(stream, f"standard {'error' if err else 'output'}")
    out.write(lines(text, limit=sys.maxsize) + "\n")
    out.flush()


def say_line(text: str, *, err: bool = False) -> None:
    """Write one line, whatever the text holds."""
    say(one_line(text, LINE_CHARACTERS), err=err)


def say_error(words: str) -> None:
    """Say in one line what went wrong."""
    say_line(f"steembot: {words}", err=True)


def say_json(value: object, *, pretty: bool = False) -> None:
    """Write a value as JSON: on one line, or ``pretty`` for a person too."""
    say(json(value, pretty=pretty))


def json(value: object, *, pretty: bool = False) -> str:
    """Return a value as JSON that controls no terminal."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:  # a lone surrogate: a path's odd byte, or half an emoji
        encoded = msgspec.json.encode(_storable(msgspec.to_builtins(value)))
    if pretty:
        encoded = msgspec.json.format(encoded, indent=2)
    return json_escaped(encoded.decode("utf-8", "replace"))


def _storable(value: Any) -> Any:
    match value:
        case str():
            return storable(value)
        case dict():
            return {_storable(name): _storable(member) for name, member in value.items()}
        case list() | tuple():
            return [_storable(member) for member in value]
    return value
