"""Commands on a bot's file that is damaged: they say so in one line, and change nothing."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing

import pytest

from steembot.bot.state import BotState
from steembot.operation import Cursor, RawOperation, unpack

HERE = Cursor(7, f"{7:08x}" + "a" * 32, 0, 1)

DAMAGES = ["half", "rubbish", "position", "letter", "handled"]

COMMANDS = [
    ("position",),
    ("position", "--set", "5"),
    ("audit", "6", "7"),
    ("dead-letters", "list"),
    ("dead-letters", "show", "1"),
    ("dead-letters", "redrive", "1"),
    ("dead-letters", "drop", "1"),
]


@pytest.fixture
def path(tmp_path):
    """Lend the file of a bot that handled one operation and set one aside."""
    folder = tmp_path / "state"
    folder.mkdir()
    with BotState(folder / "bot-bot.sqlite3", chain="steem") as state:
        state.subscribe(["*"], 5)
        state.finish(Cursor(6, f"{6:08x}" + "a" * 32, 0, 0), handled=HERE)
        raw = RawOperation("vote", 0, 1, 0, "c" * 40, b"{}")
        block = type("Ref", (), {"num": 7, "id": HERE.block_id})
        state.park(unpack(raw, block, 1_600_000_000), "RuntimeError: no", HERE, undo=False)
    return folder / "bot-bot.sqlite3"


def damage(path, how):
    size = path.stat().st_size
    statements = {
        "position": "UPDATE progress SET position = replace(position, 'a', 'b')",
        "letter": "UPDATE dead_letter SET type = 'comment'",
        "handled": "UPDATE handled SET places = x'91930000ff'",
    }
    if how in statements:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(statements[how])
    elif how == "half":
        os.truncate(path, size // 2)
    else:
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(random.Random(3).randbytes(size - 4096))


@pytest.mark.parametrize("how", DAMAGES)
def test_a_command_on_a_damaged_file_ends_with_one_line(path, steembot, how):
    """What it needs of the file is damaged, or it works as ever; never a traceback."""
    damage(path, how)
    before = path.read_bytes()
    for command in COMMANDS:
        status, lines = steembot(*command)
        text = "\n".join(lines)
        assert "Traceback" not in text, command
        if how in ("half", "rubbish") or "--set" in command:
            assert status == 1, command
            assert f"{path} is damaged: " in text, command
            assert "restore it from a backup" in text, command
    if how not in ("position", "handled"):  # there a letter was rightly changed
        assert path.read_bytes() == before


@pytest.mark.parametrize("how", ["half", "position"])
def test_status_and_doctor_tell_of_a_damaged_file(path, steembot, how):
    """No place is shown that may be a wrong one."""
    damage(path, how)
    for command in (("status",), ("doctor",)):
        _, lines = steembot(*command)
        assert "Traceback" not in "\n".join(lines)
    _, lines = steembot("status", "--json")
    assert "is damaged" in lines[-1]
