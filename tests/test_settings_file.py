"""A settings file: whose it is, what its lines may be, and how the rest is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot import settings_file
from steembot.errors import SettingsError

STRANGER = 65534
ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="only root can give a file to somebody else")


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / ".env"


def read(file: Path, *, trusted: bool = False) -> dict[str, str] | None:
    return settings_file.read(file, trusted=trusted)


def test_lines_of_the_usual_kinds_are_read(file):
    """Quoted, exported, commented in either way, over several lines, with a byte order mark."""
    file.write_text(
        "\ufeffA=1\n\n  # one's comment\n; B=2\n;\nexport C='3' # c\r\n"
        'D="four\nlines"\nE=\nF.g-h = 6\n',
        newline="",
    )
    assert read(file) == {"A": "1", "C": "3", "D": "four\nlines", "E": "", "F.g-h": "6"}


@pytest.mark.parametrize(
    "line",
    [
        "https://b.example",
        "https://b.example/?a=b",
        "STEEMBOT_NODES",
        "export STEEMBOT_NODES",
        "STEEMBOT_MODE irreversible",
        'STEEMBOT_MODE="irreversible',
        "this is = no 'line",
        "= 5",
        "1A=5",
        "- A=5",
    ],
)
def test_a_line_that_is_no_assignment_is_shown(file, line):
    """It may be the second half of a value that somebody meant: the error says where and what."""
    file.write_text(f"A=http://a.example,\n\n{line}\nB=2\n")
    with pytest.raises(SettingsError) as caught:
        read(file)
    assert f"{file}, line 3={line!r}: allowed is NAME=value" in str(caught.value)


def test_a_long_hostile_line_is_shown_safely(file):
    """No control character of a file reaches a terminal, and no password."""
    file.write_text("http://ann:secret@a.example \x1b[31m" + "x" * 5000)
    with pytest.raises(SettingsError) as caught:
        read(file)
    words = str(caught.value)
    assert "secret" not in words
    assert "\x1b" not in words
    assert len(words) < 400


@given(st.binary(max_size=200))
def test_any_bytes_are_assignments_or_a_settings_error(tmp_path_factory, content):
    """Whatever a file holds, it is read or refused in one line; nothing else is raised."""
    file = tmp_path_factory.getbasetemp() / "any.env"
    file.write_bytes(content)
    words = ""
    try:
        read(file)
    except SettingsError as error:
        words = str(error)
    assert len(words.splitlines()) <= 1


def test_a_file_that_is_no_text_is_named(file):
    """A file that is no UTF-8 is said to be so, not read in part."""
    file.write_bytes(b"STEEMBOT_START=7\n\xff\xfe\n")
    with pytest.raises(SettingsError, match=r"\.env: cannot be read"):
        read(file)


def test_what_is_no_file_holds_nothing(file, tmp_path):
    """A folder, a FIFO, a missing file and a path through a file hold no settings."""
    assert read(file) is None
    file.mkdir()
    assert read(file) is None
    os.mkfifo(tmp_path / "fifo")
    assert read(tmp_path / "fifo", trusted=True) is None
    (tmp_path / "plain").touch()
    assert read(tmp_path / "plain" / ".env") is None


@needs_root
def test_a_strangers_file_is_not_read(file):
    """Who makes a file where I stand does not set my settings; the words name both of us."""
    file.write_text("STEEMBOT_HANDLERS=/tmp/evil.py\n")
    os.chown(file, STRANGER, STRANGER)
    with pytest.raises(SettingsError, match="belongs to nobody and not to you") as caught:
        read(file)
    assert "evil" not in str(caught.value)
    assert read(file, trusted=True) == {"STEEMBOT_HANDLERS": "/tmp/evil.py"}


@pytest.mark.parametrize("mode", [0o666, 0o602])
def test_a_file_that_others_write_is_not_read(file, mode):
    """Anybody may have written its lines; the words say how to change that."""
    file.write_text("A=1\n")
    file.chmod(mode)
    with pytest.raises(SettingsError, match=f"run: chmod go-w {file}"):
        read(file)


@needs_root
def test_a_group_of_several_is_others_and_a_private_one_is_not(file):
    """With a umask of 002 a file is writable for the user's own group, where nobody else is."""
    file.write_text("A=1\n")
    file.chmod(0o664)
    assert read(file) == {"A": "1"}  # of root's own group
    os.chown(file, 0, STRANGER)
    with pytest.raises(SettingsError, match="others can write it"):
        read(file)


def test_a_symbolic_link_is_not_followed(file, tmp_path):
    """A stranger's link would choose which of my files counts."""
    (tmp_path / "mine").write_text("A=1\n")
    file.symlink_to(tmp_path / "mine")
    with pytest.raises(SettingsError, match="symbolic link"):
        read(file)
    assert read(file, trusted=True) == {"A": "1"}


@needs_root
def test_no_command_runs_what_a_strangers_file_names(tmp_path):
    """Root stands in a stranger's folder: replay ends with status 78 and imports nothing."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (tmp_path / ".env").write_text(f"STEEMBOT_HANDLERS={tmp_path}/evil.py\n")
    os.chown(tmp_path / ".env", STRANGER, STRANGER)
    done = subprocess.run(
        [sys.executable, "-m", "steembot.cli", "replay", "--from", "1", "--to", "2"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert "belongs to nobody" in done.stderr
    assert not (tmp_path / "ran").exists()
