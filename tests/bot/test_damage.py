"""Damage of a bot's files: the state is exactly right, or the bot stops and says so."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys

import pytest

from steembot.bot import Bot
from steembot.bot.audit import Books
from steembot.bot.state import BotState
from steembot.errors import DamagedError, StateError
from steembot.operation import RawOperation, unpack
from tests.bot.conftest import message
from tests.support.blocks import make_chain
from tests.support.processes import Process, environment


@pytest.fixture(scope="module")
def chain():
    """Lend two blocks of one comment each."""
    return make_chain(10, 2, types=("comment",))


NAMES = ("bot-b.sqlite3", "bot-b.sqlite3-wal", "bot-b.redo")
BLOCKS = 60

# A life with everything in it that a bot keeps. Its last operations are in the redo log alone.
LIFE = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from steembot.bot.state import BotState
from steembot.operation import Cursor, Operation

def operation(num, place):
    value = {"author": "ann", "permlink": f"p{num}", "body": "x"}
    when = datetime.fromtimestamp(1_500_000_000 + 3 * num, UTC)
    return Operation("comment", value, num, f"{num:040x}", when, "", place, 0, 0)

def live(state, first, last):
    for num in range(first, last):
        for place in range(3):
            op = operation(num, place)
            state.begin(str(op.cursor))
            state.values["n"] = state.values.get("n", 0) + 1
            state.values[f"key {num % 30}"] = ["x" * num, num]
            state.posts.note(op)
            if place == 1 and num % 4 == 0:
                state.park(op, f"RuntimeError: no {num}", op.cursor, undo=False)
            else:
                state.finish(op.cursor, handled=op.cursor)

with BotState(Path(sys.argv[1]), chain="steem") as state:
    state.subscribe(["comment"], 9)
    live(state, 10, 40)
    letters = state.dead_letters()
    state.letters.drop(letters[0].id)
    state.letters.want([letters[1].id])
if sys.argv[2] == "killed":
    state = BotState(Path(sys.argv[1]), chain="steem")
    state.subscribe(["comment", "vote"], 39)
    live(state, 40, 60)
    state.commit()
    live(state, 61, 64)
    state.begin("the next one")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def live(folder, end):
    status = subprocess.run([sys.executable, "-c", LIFE, folder / NAMES[0], end], check=False)
    assert status.returncode == (-signal.SIGKILL if end == "killed" else 0)
    assert (folder / NAMES[1]).exists() == (end == "killed")
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Lend the files of a bot that was killed: with write-ahead log, and with redo records."""
    return live(tmp_path_factory.mktemp("killed"), "killed")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Lend the files of a bot that was stopped as it should."""
    return live(tmp_path_factory.mktemp("stopped"), "stopped")


@pytest.fixture
def left(request, end):
    """Lend the files that a bot of that end left."""
    return request.getfixturevalue(end)


FILES = pytest.mark.parametrize(
    ("end", "name"),
    [*(("killed", name) for name in NAMES), ("stopped", NAMES[0]), ("stopped", NAMES[2])],
)


def told(path):
    """All that a bot's files tell."""
    with BotState(path, chain="steem") as state:
        deaths = state.begin("the next one")
        state.abandon()
        posts = state._connection.execute("SELECT * FROM post").fetchall()
        tells = [
            state.after,
            deaths,
            state.born,
            dict(state.values),
            state.letters.all(),
            [state.letters.next_wanted(0)],
            state.letters.count(),
            sorted(posts),
        ]
    with Books(path) as books:
        tells.append([books.handled(num) for num in range(BLOCKS + 9)])
        tells.append([books.wanted(num) for num in range(BLOCKS + 9)])
        tells.append(books.after)
    return tells


def copied(left, folder):
    shutil.copytree(left, folder)
    return folder / NAMES[0]


def flip(path, bit):
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


@FILES
def test_a_flipped_bit_changes_nothing_or_stops_the_bot(left, tmp_path, name):
    """Wherever it is: no position, value, letter, post or record is ever another one."""
    expected = told(copied(left, tmp_path / "well"))
    data = (left / name).read_bytes()
    used = [place for place, byte in enumerate(data) if byte]
    chance = random.Random(f"{name} 7")
    refused = 0
    for number in range(250):
        # Most of a file is empty, and the beginning of a page decides more than the rest.
        place = chance.choice(
            [
                chance.randrange(len(data)),
                chance.choice(used),
                chance.choice(used),
                chance.randrange(len(data)) // 4096 * 4096 + chance.randrange(100),
            ]
        )
        place = min(place, len(data) - 1)
        bit = place * 8 + chance.randrange(8)
        path = copied(left, tmp_path / "damaged")
        flip(path.with_name(name), bit)
        try:
            tells = told(path)
        except StateError:
            refused += 1
        else:
            assert tells == expected, f"bit {bit}, flip {number}"
        shutil.rmtree(tmp_path / "damaged")
    assert refused, "the damage is not seen at all"


@FILES
@pytest.mark.parametrize("part", [0.01, 0.3, 0.5, 0.99])
def test_a_file_that_is_cut_stops_the_bot(left, tmp_path, name, part):
    """With the line that says what to do, and nothing is changed by the try."""
    path = copied(left, tmp_path / "cut")
    damaged = path.with_name(name)
    os.truncate(damaged, int(damaged.stat().st_size * part))
    with pytest.raises(DamagedError, match=r"(?s)is damaged: .*from a backup, or (re)?move"):
        told(path)


def test_a_lost_write_ahead_log_is_noticed(killed, tmp_path):
    """What was committed last is in it, and the redo log continues that."""
    path = copied(killed, tmp_path / "lost")
    wal = path.with_name(NAMES[1])
    wal.write_bytes(bytes(wal.stat().st_size))
    with pytest.raises(DamagedError, match="a later state of the file"):
        told(path)


@pytest.mark.parametrize("is_swallowed", [True, False])
def test_damage_that_a_handler_meets_is_no_failure_of_the_handler(
    run, open_state, chain, is_swallowed
):
    """Even where it catches everything: the bot stops, with no dead letter and at that place."""
    bot = Bot()

    @bot.on("comment")
    def read(op, ctx):
        if op.block_num == chain[1].num:
            try:
                ctx.state["n"]
            except Exception:
                if not is_swallowed:
                    raise
        ctx.state["seen"] = op.block_num

    runner, state = run(bot)
    state.values["n"] = 1
    state.commit_values()
    runner.on_block(message(chain[0]))
    state.commit()
    state._connection.execute("UPDATE state SET value = '2' WHERE key = 'n'")
    with pytest.raises(DamagedError, match="the value of 'n' is not what was written"):
        runner.on_block(message(chain[1]))
    with pytest.raises(DamagedError):
        state.commit()
    state._connection.execute("UPDATE state SET value = '1' WHERE key = 'n'")
    again = open_state()
    assert again.position.block_num == chain[0].num
    assert again.values["seen"] == chain[0].num
    assert again.dead_letters() == []


def test_a_post_that_was_damaged_meanwhile_is_not_believed(open_state, chain, tmp_path):
    """New or edited: a wrong answer would announce it twice, or never."""
    state = open_state()
    value = {"author": "ann", "permlink": "p", "body": "x"}
    raw = RawOperation("comment", 0, 0, 0, "", json.dumps(value).encode())
    first, second = (unpack(raw, block.ref, block.timestamp) for block in chain)
    state.posts.note(first)
    state.finish(first.cursor)
    state.commit()
    assert state.posts.note(second)
    state.drop_changes()
    execute = state._connection.execute
    (number,) = execute("SELECT first FROM post").fetchone()
    execute("PRAGMA wal_checkpoint(TRUNCATE)")
    execute("PRAGMA shrink_memory")
    place = (tmp_path / "bot.sqlite3").read_bytes().index(number.to_bytes(8))
    flip(tmp_path / "bot.sqlite3", place * 8 + 3)
    with pytest.raises(DamagedError, match="remembered of a post"):
        state.posts.note(second)


@pytest.mark.parametrize("damage", ["cut in half", "a flipped bit", "rubbish in the middle"])
def test_a_bot_with_a_damaged_file_ends_with_one_line(stopped, tmp_path, damage):
    """No traceback each time that it is started again: which file, what is wrong, what to do."""
    path = copied(stopped, tmp_path / "state")
    if damage == "cut in half":
        os.truncate(path, path.stat().st_size // 2)
    elif damage == "a flipped bit":
        flip(path, path.read_bytes().index(b"key 2") * 8)
    else:
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            file.write(random.Random(1).randbytes(5000))
    env = environment(
        STEEMBOT_STATE_DIR=path.parent,
        STEEMBOT_BOT_NAME="b",
        STEEMBOT_SOCKET=tmp_path / "none.sock",
    )
    with Process("steembot-bot", env=env, cwd=tmp_path) as bot:
        assert bot.ended() == 1
    (line,) = bot.lines
    assert f"{path} is damaged: " in line
    assert "restore it from a backup" in line
