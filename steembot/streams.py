"""Standard output and standard error, on which strangers' text controls no terminal.

A process prints in more ways than its log: a handler's ``print``, a warning, the traceback of a
thread. All of them write to ``sys.stdout`` or ``sys.stderr``; so these are what is made safe.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any, cast

from steembot.text import lines


class VisibleStream:
    """A text stream that shows control characters as escapes; line ends and tabs stay.

    What is written leaves the process at once: a pipe to the journal would buffer it, for as long
    as a bot runs, and ``kill -9`` would take it. All else is the stream's own, which is ``raw``:
    for who writes control sequences on purpose.
    """

    def __init__(self, raw: IO[str]) -> None:
        self.raw = raw

    def write(self, text: str) -> int:
        """Write the text, with its control characters made visible."""
        self.raw.write(lines(text, limit=sys.maxsize))
        self.raw.flush()
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        """Write all of these."""
        for text in texts:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


@contextmanager
def visible() -> Iterator[None]:
    """Make both streams visible ones while the context lasts.

    A character that the terminal's encoding cannot hold is written as an escape as well.
    """
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with ExitStack() as opened:
        nowhere: Any = None
        if None in before:  # closed before the start
            # Only then: else its descriptor might take the place of one that systemd announced.
            nowhere = opened.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123 (no path of ours)
        sys.stdout, sys.stderr = (cast("Any", VisibleStream(one or nowhere)) for one in before)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def raw(stream: IO[str]) -> IO[str]:
    """Return the stream on which control sequences are such."""
    return stream.raw if isinstance(stream, VisibleStream) else stream


def write_no_more() -> None:
    """Let Python's own flush at exit find a stream that takes all, after one that takes nothing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            raw(stream).flush()
        except (OSError, ValueError):
            os.dup2(nowhere, raw(stream).fileno())
    os.close(nowhere)
