"""Why a unit is not well: read from lines as journalctl writes them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot.cli import failures
from tests.support.hostile import HOSTILE, anything, controls


def line(message, identifier="steembot-bot", at_s=1000):
    fields = {"MESSAGE": message, "SYSLOG_IDENTIFIER": identifier}
    return json.dumps(fields | {"__REALTIME_TIMESTAMP": str(at_s * 1_000_000)}).encode()


@pytest.mark.parametrize(
    ("lines", "now", "words"),
    [
        ([], 1000, ""),
        ([line("no such module")], 1003, "3 s ago: no such module"),
        ([line("old"), line("new")], 1000 + 7200, "2 h ago: new"),
        # systemd's own words about the end come behind the process's.
        ([line("the reason"), line("Failed to start", "systemd")], 1000, "0 s ago: the reason"),
        ([line("Failed at step EXEC", "(ython)")], 1000, "0 s ago: Failed at step EXEC"),
        ([line("it ends\nTraceback\n  x\nKeyError: 1\n")], 1000, "0 s ago: it ends: KeyError: 1"),
        ([line(list(b"odd \xff"))], 1000, "0 s ago: odd \ufffd"),
        ([line(None)], 1000, "0 s ago: "),
        ([b"no JSON", line("kept")], 1000, "0 s ago: kept"),
    ],
)
def test_the_last_error_of_the_process_is_told(lines, now, words):
    """One line: how old it is, what it says, and of a traceback the error itself."""
    assert failures.newest(lines, now) == words


@given(st.one_of(anything, st.lists(st.integers(-1000, 1000))), anything)
def test_any_entry_is_one_line_that_controls_nothing(message, identifier):
    """Whatever a handler logged."""
    for text in (message, HOSTILE):
        told = failures.newest([line(text, identifier)], 0)
        assert controls(told, ends="") == set()
