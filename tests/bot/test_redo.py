"""The redo log: what was added is read again, whatever happened to the process in between."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steembot.bot.redo import SIZE, Redo
from steembot.bot.state import BotState
from steembot.errors import DamagedError, StateError
from steembot.operation import Cursor

# Random ones, as in real life: what could be guessed might stand in a record's content.
OLD, NEW = 0x2B7E_1516_28AE_D2A6, 0x3BF7_1588_09CF_4F3C

BOOT = 1_600_000_000


def records_of(redo):
    return redo.records(NEW, OLD, may_be_another=False)


contents = st.lists(st.binary(min_size=1, max_size=300), max_size=20)


@settings(max_examples=60, deadline=None)
@given(old=contents, new=contents, cut=st.integers(0, 3000), noise=st.binary(max_size=64))
def test_records_are_those_of_the_generation_up_to_the_first_damage(
    tmp_path_factory, old, new, cut, noise
):
    """Neither an older generation's records nor a torn one are read as new ones."""
    path = tmp_path_factory.mktemp("redo") / "r"
    redo = Redo(path, BOOT)
    for generation, records in ((OLD, old), (NEW, new)):
        redo.restart(generation)
        for content in records:
            assert redo.append(content)
    redo.close()
    again = Redo(path, BOOT)
    assert records_of(again) == new
    assert again.records(NEW + 1, NEW, may_be_another=False) == []
    assert again.records(NEW + 2, NEW + 1, may_be_another=True) == []
    with pytest.raises(ValueError, match="a later state"):
        again.records(NEW + 2, NEW + 1, may_be_another=False)
    again.close()
    with path.open("r+b") as file:
        file.seek(cut)
        file.write(noise)
    torn = Redo(path, BOOT)
    with contextlib.suppress(ValueError):
        assert records_of(torn) == new
    torn.close()
    after_power_cut = Redo(path, BOOT + 60)
    read = records_of(after_power_cut)
    after_power_cut.close()
    assert read == new[: len(read)]


def test_a_record_that_finds_no_room_is_refused_and_changes_nothing(tmp_path):
    redo = Redo(tmp_path / "r", BOOT)
    redo.restart(NEW)
    assert redo.append(b"x" * (SIZE // 2))
    assert not redo.append(b"y" * SIZE)
    assert redo.append(b"z")
    redo.close()
    redo = Redo(tmp_path / "r", BOOT)
    assert records_of(redo) == [b"x" * (SIZE // 2), b"z"]
    redo.close()


def test_a_place_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "r").mkdir()
    with pytest.raises(StateError, match=f"{tmp_path}/r cannot be opened"):
        Redo(tmp_path / "r", BOOT)


def test_a_header_that_was_being_written_is_no_record(tmp_path):
    """Killed between the parts of a record's header: what is before it counts, and no more."""
    redo = Redo(tmp_path / "r", BOOT)
    redo.restart(7)
    redo.append(b"done")
    redo.close()
    whole = bytearray((tmp_path / "r").read_bytes())
    begin = redo._end
    whole[begin : begin + 8] = (7).to_bytes(8, "little")  # its generation, and no length yet
    (tmp_path / "r").write_bytes(whole)
    redo = Redo(tmp_path / "r", BOOT)
    assert redo.records(7, 0, may_be_another=False) == [b"done"]
    redo.close()


COUNT = """
import sys
from pathlib import Path
from steembot.bot.state import BotState
from steembot.operation import Cursor

state = BotState(Path(sys.argv[1]), chain="steem")
num = 0
while True:
    num += 1
    cursor = Cursor(num, f"{num:040x}", 0, 0)
    state.begin(str(cursor))
    state.values["n"] = state.values.get("n", 0) + 1
    state.finish(cursor, handled=cursor)
    print(num, flush=True)
"""


def test_nothing_that_was_finished_is_lost_by_kill_9(tmp_path):
    """The count and the position agree, and hold at least what the process said it had done."""
    for attempt in range(3):
        path = tmp_path / f"{attempt}.sqlite3"
        with subprocess.Popen(
            [sys.executable, "-c", COUNT, path], stdout=subprocess.PIPE, text=True
        ) as process:
            for _ in range(500):
                said = int(process.stdout.readline())
            os.kill(process.pid, signal.SIGKILL)
            said = max([said, *map(int, process.stdout.read().split())])
        with BotState(path, chain="steem") as state:
            assert said <= state.position.block_num <= said + 1
            assert state.values["n"] == state.position.block_num
            assert state.begin(f"{said + 1}-{said + 1:040x}-0-0-0") <= 1


def test_another_process_sees_what_was_committed(tmp_path):
    """What is finished is not in the file before it is committed; a full redo log commits it."""
    path = tmp_path / "s.sqlite3"
    with BotState(path, chain="steem") as state:
        state.values["big"] = "x" * SIZE
        state.finish(Cursor(1, "a" * 40, 0, 0))

        assert _position(path) == str(Cursor(1, "a" * 40, 0, 0))
        state.finish(Cursor(2, "b" * 40, 0, 0))
        assert _position(path) == str(Cursor(1, "a" * 40, 0, 0))
        state.commit()
        assert _position(path) == str(Cursor(2, "b" * 40, 0, 0))


@pytest.fixture
def backup(tmp_path):
    """Lend a file, and what was in it at an earlier time: ``(path, running, stopped)``."""
    path = tmp_path / "s.sqlite3"
    with BotState(path, chain="steem") as state:
        state.finish(Cursor(1, "a" * 40, 0, 0))
    stopped = path.read_bytes()
    with BotState(path, chain="steem") as state:
        state.finish(Cursor(2, "b" * 40, 0, 0))
        state.commit()
        state._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        running = path.read_bytes()
        state.finish(Cursor(3, "c" * 40, 0, 0))
        state.commit()
        state.finish(Cursor(4, "d" * 40, 0, 0))
    return path, running, stopped


def test_a_file_from_a_backup_is_not_mixed_with_a_later_redo_log(backup):
    """Made of a bot that was stopped it is whole, and the redo log beside it means nothing."""
    path, _, stopped = backup
    path.write_bytes(stopped)
    with BotState(path, chain="steem") as state:
        assert state.position == Cursor(1, "a" * 40, 0, 0)


def test_a_file_copied_from_a_running_bot_is_refused_beside_a_later_redo_log(backup):
    """It looks like one that lost its last commits; a person says which of the two to keep."""
    path, running, _ = backup
    path.write_bytes(running)
    with pytest.raises(DamagedError, match=r"s\.redo is damaged: .* or remove .*s\.redo"):
        BotState(path, chain="steem")
    path.with_suffix(".redo").unlink()
    with BotState(path, chain="steem") as state:
        assert state.position == Cursor(2, "b" * 40, 0, 0)


def test_a_redo_log_without_a_mark_is_read(tmp_path):
    """One of an older version, or one that was made just before the process was killed."""
    path = tmp_path / "r"
    redo = Redo(path, BOOT)
    redo.restart(NEW)
    assert redo.append(b"x")
    redo.close()
    data = path.read_bytes()
    for older in (data[:SIZE], data[:SIZE] + bytes(4096)):
        path.write_bytes(older)
        redo = Redo(path, BOOT)
        assert records_of(redo) == [b"x"]
        redo.close()


@pytest.mark.parametrize("size", [1, 4096, SIZE // 2, SIZE + 24])
def test_a_redo_log_that_is_cut_is_refused(tmp_path, size):
    """What it held is not known."""
    path = tmp_path / "r"
    redo = Redo(path, BOOT)
    redo.restart(NEW)
    redo.close()
    os.truncate(path, size)
    redo = Redo(path, BOOT)
    with pytest.raises(ValueError, match=f"cut to {size} bytes"):
        records_of(redo)
    redo.close()


def _position(path):

    with sqlite3.connect(path) as connection:
        return connection.execute("SELECT position FROM progress").fetchone()[0]
