"""A process's file of metrics: nothing that another user puts there is followed or overwritten."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from steembot import metrics_file
from steembot.metrics_file import File

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as two users")
NOBODY = 65534


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of ours that must stay as it is."""
    path = tmp_path / "victim"
    path.write_text("mine")
    return path


def test_a_links_target_stays_as_it_is(tmp_path: Path, victim: Path) -> None:
    """Also a hard link's, and a FIFO at the file's name does not make the process hang."""
    file = File(tmp_path, "bot-x", {})
    file.path.parent.mkdir()
    for put in (
        lambda: file.path.symlink_to(victim),
        lambda: os.link(victim, file.path),
        lambda: os.mkfifo(file.path),
    ):
        file.path.unlink(missing_ok=True)
        put()
        file.write("metrics\n")
        assert stat.S_ISREG(file.path.lstat().st_mode)
        assert (file.path.read_text(), victim.read_text()) == ("metrics\n", "mine")


def test_a_link_at_the_unfinished_files_name_is_not_followed(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the name was guessed, the write fails and the target stays."""
    monkeypatch.setattr(metrics_file.secrets, "token_hex", lambda _: "guessed")
    file = File(tmp_path, "bot-x", {})
    file.write("first\n")
    (file.path.parent / ".new-guessed").symlink_to(victim)
    with pytest.raises(FileExistsError):
        file.write("second\n")
    assert victim.read_text() == "mine"


def test_a_link_in_the_folders_place_is_refused(tmp_path: Path, victim: Path) -> None:
    """A process writes into its own folder, and never where a link in its place leads."""
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "bot-x").symlink_to(other)
    with pytest.raises(OSError, match="bot-x"):
        File(tmp_path, "bot-x", {}).write("metrics\n")
    assert list(other.iterdir()) == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """Unfinished files do not pile up."""
    folder = tmp_path / "bot-x"
    folder.mkdir()
    for number in range(300):
        (folder / f".new-{number}").touch()
    file = File(tmp_path, "bot-x", {})
    file.write("metrics\n")
    assert [path.name for path in folder.iterdir()] == [file.path.name]


def test_the_folder_that_the_unit_made_is_used(tmp_path: Path) -> None:
    """The one below the named folder, of several; it stays, since systemd removes it."""
    own = tmp_path / "metrics" / "bot"
    own.mkdir(parents=True)
    file = File(tmp_path / "metrics", "bot-first", {"RUNTIME_DIRECTORY": f"/run/else:{own}"})
    file.write("metrics\n")
    assert file.path == own / "steembot-bot-first.prom"
    assert file.path.read_text() == "metrics\n"
    file.remove()
    assert list(own.iterdir()) == []


@needs_root
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """Whoever made it first could put anything there."""
    folder = tmp_path / "bot-x"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(PermissionError, match="not this user's alone"):
        File(tmp_path, "bot-x", {}).write("metrics\n")
    assert list(folder.iterdir()) == []


def test_a_folder_of_the_unit_that_others_write_is_refused(tmp_path: Path) -> None:
    """A drop-in may have opened it to a group."""
    own = tmp_path / "bot"
    own.mkdir()
    own.chmod(0o775)
    with pytest.raises(PermissionError, match="not this user's alone"):
        File(tmp_path, "bot", {"RUNTIME_DIRECTORY": str(own)}).write("metrics\n")
