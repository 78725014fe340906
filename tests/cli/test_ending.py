"""How a command ends where it cannot read or write: one line with the file, and what to do."""

from __future__ import annotations

import os
import resource
import stat
import subprocess

import pytest

from steembot.bot.state import BotState
from tests.support.processes import SCRIPTS

NEW = ("new", "greeter", "--into")
RECORD = ("record", "--from", "1", "--to", "3")
REPLAY = ("replay", "--from", "1", "--to", "3", "--handlers", "steembot.bot.handlers.new_posts")

SAYING = [
    ("--help",),
    ("--version",),
    ("audit", "1", "2"),
    ("dead-letters", "list"),
    ("doctor",),
    ("doctor", "--json"),
    ("new", "greeter"),
    ("nodes",),
    ("nodes", "--json"),
    ("position",),
    (*RECORD, "b.jsonl"),
    (*REPLAY, "--state"),
    ("status",),
    ("status", "--json"),
    ("tail", "--from", "1"),
    ("tail", "--json", "--from", "1"),
]
"""Each command, as it has something to say."""


@pytest.fixture
def run(tmp_path, settings):
    """Run a command to its end: gives its status and what it wrote to standard error."""

    def run(*arguments, stdout=subprocess.DEVNULL, **options):
        result = subprocess.run(
            [SCRIPTS / "steembot", *map(str, arguments)],
            env=settings,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            **options,
        )
        assert "Traceback" not in result.stderr, result.stderr
        assert "Exception ignored" not in result.stderr, result.stderr
        return result.returncode, result.stderr

    return run


def told(stderr: str) -> list[str]:
    """The lines about an error; a progress bar has its own."""
    return [line for line in stderr.splitlines() if line.startswith(("steembot:", "Error:"))]


@pytest.mark.parametrize("arguments", [a for a in SAYING if a[0] != "audit"], ids=" ".join)
def test_a_full_disk_behind_standard_output(run, broadcaster, tmp_path, arguments):
    """Each command says so in one line, and does not end well."""
    with BotState(tmp_path / "state" / "bot-bot.sqlite3", chain="steem"):
        pass
    with open("/dev/full", "w") as full:  # noqa: PTH123 (a descriptor, as a shell's > gives it)
        status, stderr = run(*arguments, stdout=full)
    assert status == 1
    (line,) = told(stderr)
    assert "standard output cannot be written: No space left on device" in line


@pytest.mark.parametrize("arguments", SAYING, ids=" ".join)
def test_a_reader_that_has_enough(run, broadcaster, arguments):
    """A pipe that is closed ends the command without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    status, stderr = run(*arguments, stdout=writer)
    os.close(writer)
    assert status in (0, 1)
    assert not [line for line in told(stderr) if "pipe" in line.lower()]


@pytest.mark.parametrize("arguments", SAYING[:-2], ids=" ".join)
def test_no_standard_output_at_all(run, broadcaster, arguments):
    """Started with it closed, as some supervisors do."""
    status, _ = run(*arguments, stdout=None, preexec_fn=lambda: os.close(1))
    assert status in (0, 1)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((*RECORD, "none/b.jsonl"), "none/b.jsonl: No such file or directory; make it first"),
        ((*RECORD, "/sys/b.jsonl"), "/sys/b.jsonl: "),
        ((*RECORD, "file/b.jsonl"), "file/b.jsonl: Not a directory; name a place in a folder"),
        ((*RECORD, "x" * 300), ": File name too long; use a shorter name"),
        ((*NEW, "/sys"), "/sys/greeter.py: "),
        (("replay", "--file", "none.jsonl"), "'none.jsonl' does not exist"),
        (("replay", "--file", "/proc/self/mem"), "/proc/self/mem, line 1: cannot be read"),
    ],
)
def test_a_place_that_cannot_be_used(run, tmp_path, still_node, arguments, name):
    """One line names the file and says what to do."""
    (tmp_path / "file").write_text("a file")
    status, stderr = run(*arguments)
    (line,) = told(stderr)
    assert status in (1, 2)
    assert name in line


def test_a_disk_that_fills_up_while_a_file_is_written(run, tmp_path, still_node):
    """The file is named, the one from before stays, and nothing is left beside it."""
    (tmp_path / "b.jsonl").write_text("before")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))  # noqa: E731
    status, stderr = run("record", "--from", "1", "--to", "100", "b.jsonl", preexec_fn=limit)
    (line,) = told(stderr)
    assert (status, line) == (
        1,
        "steembot: b.jsonl: File too large; make room, or name a place on another disk",
    )
    assert (tmp_path / "b.jsonl").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["b.jsonl"]


@pytest.mark.parametrize("kind", ["device", "pipe", "link", "dangling"])
def test_a_recording_replaces_plain_files_alone(run, tmp_path, still_node, kind):
    """A device, a pipe and a link stay what they are."""
    place = tmp_path / "place"
    (tmp_path / "target").write_text("before")
    if kind == "device":
        os.mknod(place, 0o600 | stat.S_IFCHR, os.makedev(1, 7))  # as /dev/full
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(tmp_path / ("target" if kind == "link" else "none"))
    before = place.lstat()
    status, stderr = run(*RECORD, "place")
    (line,) = told(stderr)
    assert (status, "is no plain file and stays as it is" in line) == (1, True)
    assert place.lstat().st_ino == before.st_ino
    assert stat.S_IFMT(place.lstat().st_mode) == stat.S_IFMT(before.st_mode)
    assert (tmp_path / "target").read_text() == "before"


def test_a_plain_file_is_replaced(run, tmp_path, still_node):
    """As the help says; a file beside it that looks like a part of it is somebody's own."""
    (tmp_path / "b.jsonl").write_text("before")
    (tmp_path / "b.jsonl.part").write_text("mine")
    assert run(*RECORD, "b.jsonl") == (0, run(*RECORD, "b.jsonl")[1])
    assert len((tmp_path / "b.jsonl").read_text().splitlines()) == 3
    assert (tmp_path / "b.jsonl.part").read_text() == "mine"


def test_new_files_are_written_all_or_none(run, tmp_path):
    """What is there is not replaced, a link is not followed, and no half is left."""
    (tmp_path / "greeter.env").symlink_to(tmp_path / "elsewhere")
    status, stderr = run("new", "greeter")
    (line,) = told(stderr)
    assert (status, line) == (1, "steembot: greeter.env exists already; nothing was written")
    assert [path.name for path in tmp_path.glob("*greeter*")] == ["greeter.env"]
    assert not (tmp_path / "elsewhere").exists()


def test_handlers_that_do_not_load_show_where_they_fail(run, tmp_path):
    """As steembot-bot does: only the traceback tells their author."""
    (tmp_path / "h.py").write_text("def f():\n    return undefined_name\n\nf()\n")
    result = subprocess.run(
        [SCRIPTS / "steembot", "replay", "--handlers", "h.py", "--from", "1", "--to", "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 78
    first, *rest = result.stderr.splitlines()
    assert first.startswith("steembot: STEEMBOT_HANDLERS=")
    assert any(line.endswith('h.py", line 2, in f') for line in rest)
    assert rest[-1] == "NameError: name 'undefined_name' is not defined"
