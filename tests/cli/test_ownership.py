"""Root's commands touch a bot's files with that bot's rights alone, whatever lies there."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from steembot.bot.state import BotState
from steembot.cli.ownership import as_owner
from steembot.errors import StateError
from steembot.operation import Cursor
from tests.support.processes import Process, environment

BOT = 64731
"""A uid that nobody has here."""

CURSOR = Cursor(7, "00000007" + "a" * 32, 1, 2)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")

WRITING = [("position", "--set", "5"), ("dead-letters", "redrive", "--all")]
OTHERS = [
    ("position",),
    ("dead-letters", "list"),
    ("dead-letters", "drop", "1"),
    ("audit", "1", "2"),
    ("status",),
    ("doctor",),
]
TRAPS = [
    *itertools.product(
        WRITING,
        ("symbolic", "hard", "fifo", "folder"),
        (".lock", ".redo", ".sqlite3", ".sqlite3-wal"),
    ),
    *itertools.product(OTHERS, ("symbolic", "fifo"), (".sqlite3",)),
]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that others may pass through, with a bot's state and something of root's."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    folder = place / "state"
    folder.mkdir()
    with BotState(folder / "bot-bot.sqlite3", chain="steem") as state:
        state.finish(CURSOR)
    for path in (folder, *folder.iterdir()):
        os.chown(path, BOT, BOT)
    (place / "roots").write_text("root's own\n")
    (place / "roots").chmod(0o600)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def steembot(place) -> Callable[..., tuple[int, list[str]]]:
    """Run a command as root on that bot."""
    env = environment(STEEMBOT_STATE_DIR=place / "state", STEEMBOT_SOCKET=place / "b.sock")
    env["STEEMBOT_NODES"] = "http://127.0.0.1:9"

    def run(*arguments: str) -> tuple[int, list[str]]:
        with Process("steembot", *arguments, env=env, cwd=place) as process:
            status = process.ended(30)
        return status, process.lines

    return run


def roots(place: Path) -> tuple[str, int, int]:
    path = place / "roots"
    return path.read_text(), path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)


def test_what_a_command_makes_belongs_to_the_bot(place, steembot):
    """The bot can go on with the files that an administrator's command wrote."""
    assert steembot("position", "--set", "5") == (0, [f"was {CURSOR}", "5"])
    assert steembot("position") == (0, ["5"])
    for path in (place / "state").iterdir():
        assert path.stat().st_uid == BOT, path


@pytest.mark.parametrize(("command", "made", "suffix"), TRAPS)
def test_a_trap_in_the_bots_folder_costs_root_nothing(place, steembot, command, made, suffix):
    """Links, pipes and folders in the place of each file: root's file stays, and nobody waits."""
    trap = place / "state" / f"bot-bot{suffix}"
    trap.unlink(missing_ok=True)
    before = roots(place)
    if made == "symbolic":
        trap.symlink_to(place / "roots")
    elif made == "hard":
        trap.hardlink_to(place / "roots")
    elif made == "fifo":
        os.mkfifo(trap)
        os.chown(trap, BOT, BOT)
    else:
        trap.mkdir()
    _, lines = steembot(*command)
    assert roots(place) == before
    assert "Traceback" not in "\n".join(lines)
    assert "root's own" not in "\n".join(lines)


def test_a_folder_that_is_swapped_in_between_is_opened_with_the_bots_rights(place):
    """Whatever stands there by the time of the opening: the rights are gone before."""

    def work() -> int:
        (place / "state").rename(place / "moved")
        (place / "state").symlink_to(place)
        (place / "state" / "roots").read_bytes()  # to read is all that is left
        (place / "state" / "roots").write_text("taken over\n")
        return 0

    os.chown(place, BOT, BOT)
    before = roots(place)
    with pytest.raises(StateError, match="without an answer"):
        as_owner(place / "state", work, int)
    assert roots(place) == before


def test_the_rights_are_gone_and_do_not_come_back(place):
    """User, groups and all rights but the one to pass through folders."""

    def work() -> dict[str, str]:
        with pytest.raises(PermissionError):
            os.setuid(0)
        with pytest.raises(PermissionError):
            os.chown(place / "roots", BOT, BOT)
        lines = Path("/proc/self/status").read_text().splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    status = as_owner(place / "state", work, dict[str, str])
    assert status["Uid"].split() == [str(BOT)] * 4
    assert status["Gid"].split() == [str(BOT)] * 4
    assert status["Groups"].split() == [str(BOT)]
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm")} == {1 << 2}
    assert os.geteuid() == 0  # the caller's own are untouched


def test_a_folder_below_one_of_roots_is_reached(place, steembot):
    """As with systemd's dynamic users, below a folder that is root's alone."""
    place.chmod(0o700)
    assert steembot("position", "--set", "5") == (0, [f"was {CURSOR}", "5"])
