"""Standard output and error: whatever a process prints controls no terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given

from steembot.streams import VisibleStream, raw
from tests.support.hostile import HOSTILE, anything, controls
from tests.support.programs import python


@given(anything)
def test_whatever_is_printed_controls_nothing(text):
    """No text is an error, and no control character of it comes through; line ends stay."""
    plain = io.StringIO()
    print(text, file=VisibleStream(plain), end="")
    assert controls(plain.getvalue()) == set()
    assert plain.getvalue().count("\n") == text.count("\n")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
@pytest.mark.parametrize(
    "statement",
    [
        "print(text)",
        "print(text, file=sys.stderr)",
        "logging.getLogger().warning('%s', text)",
        "raise ValueError(text)",
        "logging.getLogger().warning('%d', text)",
        "warnings.warn(text)",
        "thread = threading.Thread(target=failing); thread.start(); thread.join()",
    ],
)
def test_a_process_writes_no_control_character(statement, encoding):
    """By its log, a print, a traceback, a warning or a thread; in an encoding that is too small."""
    result = python(
        f"""
        import logging, sys, threading, warnings
        from steembot import service
        text = {HOSTILE + "👍"!a}
        def failing():
            raise ValueError(text)
        def body():
            {statement}
        sys.exit(service.run("bot", body))
        """,
        PYTHONIOENCODING=encoding,
    )
    written = result.stdout + result.stderr
    assert "mine" in written
    assert controls(written) == set()


def test_a_logged_message_is_one_line():
    """A line end in it cannot forge another line of the log."""
    result = python(
        f"""
        import logging
        from steembot import service
        service.set_up_logging("bot", "info")
        logging.info("%s", {HOSTILE!a})
        """
    )
    (line,) = result.stderr.splitlines()
    assert "\\r\\n12:00:00 broadcaster critical: forged" in line


def test_the_streams_are_as_before_when_the_body_is_over():
    """A process that goes on prints as it did."""
    result = python(
        """
        import sys
        from steembot import service
        before = sys.stdout, sys.stderr
        service.run("bot", lambda: print(type(sys.stdout).__name__))
        print((sys.stdout, sys.stderr) == before)
        """
    )
    assert result.stdout.split() == ["VisibleStream", "True"]


def test_who_writes_control_sequences_on_purpose_can():
    """The stream below is there for the colours of a console."""
    plain = io.StringIO()
    assert raw(VisibleStream(plain)) is plain
    assert raw(plain) is plain
