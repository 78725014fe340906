"""A disk that is full, or that nobody may write: one line says so, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys

import pytest

from steembot.bot.state import BotState
from steembot.broadcaster.block_log import BlockLog
from tests.support.disks import fill
from tests.support.processes import SCRIPTS, Process, environment

HANDLERS = """
from steembot.bot import Bot
bot = Bot()
@bot.on("*")
def every(op, ctx):
    ctx.state["n"] = ctx.state.get("n", 0) + 1
    ctx.state[str(op.cursor)] = "x" * 4000
    ctx.log.info("saw %s", op.cursor)
"""

PROCESSES = pytest.mark.parametrize("process", ["steembot-bot", "steembot-broadcaster"])


@pytest.fixture
def env(small_disk, tmp_path, moving_node):
    """Lend the settings of processes that keep their state on the small disk."""
    (tmp_path / "every.py").write_text(HANDLERS)
    return environment(
        STEEMBOT_NODES=moving_node.url,
        STEEMBOT_NODE_RATE=1000,
        STEEMBOT_START=1,
        STEEMBOT_SOCKET=tmp_path / "b.sock",
        STEEMBOT_STATE_DIR=small_disk,
        STEEMBOT_HANDLERS="every",
    )


def remount(disk, how):
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


def critical(process):
    """Return the one line in which the process says why it ends."""
    assert process.ended() == 1
    (line,) = [line for line in process.lines if "critical" in line]
    assert "Traceback" not in "".join(process.lines)
    assert "nobody expected" not in line
    return line


def test_a_bot_whose_disk_runs_full_ends_and_goes_on_later(small_disk, env, tmp_path):
    """It ends with one line; where there is room again, each operation counts once."""
    there = env | {"STEEMBOT_STATE_DIR": str(tmp_path)}
    path = small_disk / "bot-bot.sqlite3"
    with Process("steembot-broadcaster", env=there, cwd=tmp_path):
        with Process("steembot-bot", env=env, cwd=tmp_path) as bot:
            bot.says(" saw ")
            fill(small_disk / "ballast")
            line = critical(bot)
        done = len([line for line in bot.lines if " saw " in line])
        assert f"{small_disk}/bot-bot" in line
        assert "make room on that disk" in line
        (small_disk / "ballast").unlink()
        with Process("steembot-bot", env=env, cwd=tmp_path) as bot:
            bot.says(" saw ")
            bot.signal(15)
            assert bot.ended() == 0
    with BotState(path, chain="steem") as state:
        assert state.values["n"] == len(state.values) - 1 >= done
        assert state.dead_letters() == []


@PROCESSES
@pytest.mark.parametrize("before", ["nothing", "its files"])
def test_a_start_on_a_full_disk_is_refused_in_one_line(small_disk, env, tmp_path, process, before):
    """Whichever file finds no room first."""
    if before == "its files":
        start_and_stop(process, env, tmp_path)
    fill(small_disk / "ballast")
    with Process(process, env=env, cwd=tmp_path) as started:
        line = critical(started)
    assert str(small_disk) in line
    assert "make room on that disk" in line


@PROCESSES
@pytest.mark.parametrize("before", ["nothing", "its files"])
def test_a_start_in_a_read_only_folder_is_refused_in_one_line(
    small_disk, env, tmp_path, process, before
):
    """It names the file and the folder."""
    if before == "its files":
        start_and_stop(process, env, tmp_path)
    remount(small_disk, "ro")
    with Process(process, env=env, cwd=tmp_path) as started:
        line = critical(started)
    assert f"let the user of this process write to the folder {small_disk}" in line


@pytest.mark.parametrize(
    ("process", "kib"),
    [("steembot-bot", 1), ("steembot-bot", 20), ("steembot-bot", 100), ("steembot-broadcaster", 1)],
)
def test_a_limit_on_file_sizes_is_said_in_one_line(env, tmp_path, process, kib):
    """Such as LimitFSIZE= of a unit, whichever file reaches it first."""
    limited = ("-c", f"ulimit -f {kib}; exec {SCRIPTS / process}")
    with Process("/bin/bash", *limited, env=env, cwd=tmp_path) as started:
        line = critical(started)
    assert "cannot be" in line


def start_and_stop(process, env, tmp_path):
    """Let a process make its files."""
    with Process(process, env=env, cwd=tmp_path) as first:
        first.says("waiting for" if process == "steembot-bot" else "beginning with block 1")
        first.signal(15)
        assert first.ended() == 0


NOBODY = 65_534

AS_NOBODY = """
import os, sys
from pathlib import Path
from steembot.bot import dead_letters
from steembot.bot.audit import Books
from steembot.bot.state import BotState
from steembot.broadcaster.block_log import BlockLog
from steembot.broadcaster.block_log import BlockLog
from steembot.errors import DiskError, StateError

os.setgid({nobody})
os.setuid({nobody})
folder = Path(sys.argv[1])
bot, log = folder / "bot-bot.sqlite3", folder / "block-log.sqlite3"
uses = (
    lambda: BotState(bot, chain="steem").close(),
    lambda: BlockLog(log, chain="steem", keep_blocks=100).close(),
    lambda: Books(bot),
    lambda: dead_letters.opened(bot).__enter__(),
)
for use in uses:
    try:
        use()
    except (DiskError, StateError) as error:
        print(error)
    else:
        print("nothing was wrong")
"""


@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o755, 0o640), (0o755, 0o644), (0o700, 0)])
def test_files_of_another_user_are_named_with_what_to_do(
    small_disk, tmp_path, folder_mode, file_mode
):
    """Whatever exactly is forbidden: the folder, the lock, or just to write the database."""
    BotState(small_disk / "bot-bot.sqlite3", chain="steem").close()
    BlockLog(small_disk / "block-log.sqlite3", chain="steem", keep_blocks=100).close()
    for path in small_disk.iterdir():
        path.chmod(file_mode)
    small_disk.chmod(folder_mode)
    for above in list(small_disk.parents)[:3]:
        above.chmod(0o755)
    code = AS_NOBODY.format(nobody=NOBODY)
    done = subprocess.run(
        [sys.executable, "-c", code, small_disk], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    for line in lines:
        assert line.startswith(f"{small_disk}/")
        assert "let the user of this process write to" in line or "run this as the user" in line
