"""The bot's state file: one transaction for what belongs together."""

from __future__ import annotations

import pytest

from steembot.bot.state import BotState
from steembot.errors import StateError
from steembot.operation import Cursor

HERE = Cursor(7, f"{7:08x}" + "a" * 32, 0, 1)
THERE = Cursor(8, f"{8:08x}" + "b" * 32, 0, 0)


def test_state_and_position_are_committed_together(open_state):
    """What a handler stored is there after a restart exactly when the position is."""
    state = open_state()
    state.begin("x")
    state.values["n"] = 1
    state.finish(HERE)
    state.begin("y")
    state.values["n"] = 2  # and now the process dies
    again = open_state()
    assert again.position == HERE
    assert again.values["n"] == 1


def test_an_attempt_without_an_end_counts_as_a_death(open_state):
    """Each start that found the attempt unfinished makes one more death."""
    assert open_state().begin("x") == 0
    assert open_state().begin("x") == 1
    assert open_state().begin("x") == 2
    assert open_state().begin("y") == 0, "another operation begins at none"


def test_a_finished_attempt_is_no_death(open_state):
    """After ``finish`` the next start begins at none."""
    state = open_state()
    state.begin("x")
    state.finish(HERE)
    assert open_state().begin("x") == 0


def test_finish_records_the_attempt_that_follows(open_state):
    """``then`` is on disk with the position, and known to this process as begun."""
    state = open_state()
    state.begin("x")
    state.finish(HERE, "y")
    assert state.is_begun("y")
    again = open_state()
    assert not again.is_begun("y")
    assert again.begin("y") == 1


def test_an_abandoned_attempt_is_no_death(open_state):
    """A process that ends on purpose takes its attempt back."""
    open_state().begin("x")
    state = open_state()
    assert state.begin("x") == 1
    state.abandon()
    assert open_state().begin("x") == 1


def test_a_position_of_another_chain_is_refused(open_state):
    """A bot moved from Steem to Hive must not go on at a Steem block."""
    open_state()
    with pytest.raises(StateError, match="another STEEMBOT_BOT_NAME"):
        open_state(chain="hive")


def test_a_damaged_file_is_named_and_left_alone(tmp_path):
    """A bot's state can't be fetched again from anywhere, so nothing is thrown away."""
    path = tmp_path / "bot.sqlite3"
    path.write_bytes(b"not a database" * 500)
    with pytest.raises(StateError, match=r"restore it from a backup"):
        BotState(path, chain="steem")
    assert path.read_bytes().startswith(b"not a database")


def test_a_newer_or_foreign_file_is_refused(tmp_path):
    """A file of a newer steembot, or of another program, is not touched."""
    import sqlite3  # noqa: PLC0415

    with sqlite3.connect(tmp_path / "theirs") as theirs:
        theirs.execute("CREATE TABLE t (a)")
    with pytest.raises(StateError, match="another program"):
        BotState(tmp_path / "theirs", chain="steem")
    BotState(tmp_path / "newer", chain="steem").close()
    with sqlite3.connect(tmp_path / "newer") as newer:
        newer.execute("PRAGMA user_version = 9")
    with pytest.raises(StateError, match="schema version 9"):
        BotState(tmp_path / "newer", chain="steem")
