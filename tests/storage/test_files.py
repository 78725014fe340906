"""A state's lock and the files beside it: one process at a time, and no link is followed."""

from __future__ import annotations

import os

import pytest

from steembot.errors import DiskError, StateError
from steembot.storage import database
from steembot.storage.files import Lock, open_beside, unusable
from tests.support.processes import Process, environment


def make_link(place, target):
    place.symlink_to(target)


def make_second_name(place, target):
    place.hardlink_to(target)


def make_pipe(place, _target):
    os.mkfifo(place)


traps = pytest.mark.parametrize("trap", [make_link, make_second_name, make_pipe])


@traps
def test_a_trap_in_the_place_of_a_file_is_refused(tmp_path, trap):
    """Neither opened nor waited for, and what it leads to is not touched."""
    target = tmp_path / "target"
    target.write_text("somebody's")
    before = target.stat()
    place = tmp_path / "bot.lock"
    trap(place, target)
    with pytest.raises(StateError, match=r"bot\.lock .*; remove"):
        open_beside(place, os.O_RDWR)
    after = target.stat()
    assert target.read_text() == "somebody's"
    assert (before.st_uid, before.st_size) == (after.st_uid, after.st_size)


@traps
@pytest.mark.parametrize("name", ["bot.sqlite3", "bot.sqlite3-wal", "bot.sqlite3-shm"])
def test_a_trap_in_the_place_of_a_database_is_refused(tmp_path, name, trap):
    """SQLite would follow it."""
    target = tmp_path / "target"
    target.write_text("somebody's")
    trap(tmp_path / name, target)
    with pytest.raises(StateError, match=rf"{name} .*; remove"):
        database.connect(tmp_path / "bot.sqlite3", remedy="")


def test_a_lock_is_had_once(tmp_path):
    """A second one is refused in the words given, until the first is released."""
    first = Lock(tmp_path / "x.lock", "taken")
    with pytest.raises(StateError, match="taken"):
        Lock(tmp_path / "x.lock", "taken")
    first.release()
    with Lock(tmp_path / "x.lock", "taken"):
        pass


def test_what_cannot_be_opened_says_what_to_do():
    """A full disk wants room, a folder that is not ours wants rights."""
    from errno import EACCES, ENOSPC, EROFS  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    full = unusable(Path("/s/x"), OSError(ENOSPC, "No space left on device"))
    assert isinstance(full, DiskError)
    assert "/s/x cannot be opened or written: No space left on device; make room" in str(full)
    for number in (EACCES, EROFS):
        refused = unusable(Path("/s/x"), OSError(number, "no"))
        assert isinstance(refused, StateError)
        assert "let the user of this process write to the folder /s" in str(refused)


def test_a_second_broadcaster_on_a_folder_ends_with_one_line(tmp_path):
    """Two of them would write into each other's block log; the first one goes on."""
    env = environment(
        STEEMBOT_NODES="http://127.0.0.1:9",
        STEEMBOT_STATE_DIR=tmp_path / "state",
        STEEMBOT_SOCKET=tmp_path / "one.sock",
    )
    other = env | {"STEEMBOT_SOCKET": str(tmp_path / "two.sock")}
    with Process("steembot-broadcaster", env=env, cwd=tmp_path) as first:
        first.wait_for(lambda _: (tmp_path / "one.sock").exists(), "that it serves")
        with Process("steembot-broadcaster", env=other, cwd=tmp_path) as second:
            assert second.ended() == 1
        (line,) = second.lines
        assert "another broadcaster uses the block log" in line
        assert f"{tmp_path}/state/block-log.sqlite3" in line
        assert first.runs
