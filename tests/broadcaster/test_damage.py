"""A damaged block log: nothing wrong is served, nothing is lost, and the process goes on."""

from __future__ import annotations

import logging
import random
import sqlite3
from contextlib import closing

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from steembot.broadcaster.block_log import FETCH_AGAIN_S, BlockLog
from steembot.chain.follower import Change
from steembot.errors import DiskError
from steembot.operation import Block
from steembot.storage import aside, database
from tests.support.blocks import fork, make_chain, ref
from tests.support.processes import Process, environment

CHAIN = make_chain(1, 300, types=("comment",) * 4)
SIZE = 200


class Chain:
    """The chain's nodes, which give what is asked for at the second question."""

    def __init__(self, blocks: list[Block] = CHAIN) -> None:
        self.blocks = {block.num: block for block in blocks}
        self.asked: set[int] = set()
        self.rejected: list[int] = []

    def older(self, num: int) -> Block | None:
        if num in self.asked:
            return self.blocks[num]
        self.asked.add(num)
        return None


def open_log(path, chain=None, *, keep_blocks=1000) -> BlockLog:
    chain = chain or Chain()
    return BlockLog(
        path,
        chain="steem",
        keep_blocks=keep_blocks,
        cache_bytes=0,
        older=chain.older,
        rejected=chain.rejected.append,
    )


@pytest.fixture
def path(tmp_path):
    """Lend a log of 200 blocks, all in the file itself; the last 10 can still be removed."""
    with open_log(tmp_path / "log") as log:
        log.apply(Change((), tuple(CHAIN[:SIZE])), SIZE - 10)
    return tmp_path / "log"


def change(path, statement, *values):
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement, values).rowcount == 1


DAMAGES = {
    "a blob of zeros": ("UPDATE block SET operations = zeroblob(500) WHERE num = ?",),
    "another text": ("UPDATE block SET operations = ? WHERE num = ?", zstandard.compress(b"x")),
    "another's operations": (
        "UPDATE block SET operations = (SELECT operations FROM block WHERE num = 7) WHERE num = ?",
    ),
    "another id": ("UPDATE block SET id = zeroblob(20) WHERE num = ?",),
    "a short id": ("UPDATE block SET id = x'00' WHERE num = ?",),
    "another previous": ("UPDATE block SET previous = zeroblob(20) WHERE num = ?",),
    "another time": ("UPDATE block SET timestamp = timestamp + 3 WHERE num = ?",),
    "gone": ("DELETE FROM block WHERE num = ?",),
}


# Of a row of version 1, which has no checksum, what is not whole can be told.
OLD_DAMAGES = ("a blob of zeros", "another text", "another id", "a short id", "gone")


@pytest.mark.parametrize(
    ("damage", "has_checksum"),
    [*((damage, True) for damage in DAMAGES), *((damage, False) for damage in OLD_DAMAGES)],
)
def test_a_damaged_block_is_fetched_again_and_mended(path, caplog, damage, has_checksum):
    """Said once; nothing is given out until the chain's own block is there; then it is on disk."""
    statement, *values = DAMAGES[damage]
    change(path, statement, *values, 50)
    if not has_checksum and damage != "gone":
        change(path, "UPDATE block SET checksum = NULL WHERE num = ?", 50)
    caplog.set_level(logging.ERROR)
    with open_log(path) as log:
        assert log.block(50) is None
        assert log.block(50) == CHAIN[49]
        assert log.id_at(50) == CHAIN[49].id
        log.apply(Change((), tuple(CHAIN[SIZE : SIZE + 1])), SIZE - 9)
    (record,) = caplog.records
    assert "block 50 of the block log" in record.getMessage()
    assert "fetched again" in record.getMessage()
    with open_log(path) as log:
        assert [log.block(num) for num in range(1, SIZE + 2)] == CHAIN[: SIZE + 1]
    assert len(caplog.records) == 1
    assert list(path.parent.glob("*.set-aside-*")) == []


def test_a_block_that_is_not_the_chains_is_rejected(path, monkeypatch):
    """What a node gives in the place of a damaged block is checked against its neighbours."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    change(path, "UPDATE block SET id = zeroblob(20) WHERE num = ?", 50)
    lying = Chain(fork(CHAIN[:SIZE], 160, 0, "theirs"))
    with open_log(path, lying) as log:
        assert [log.block(50), log.block(50)] == [None, None]
        assert lying.rejected == [50]
        lying.blocks = Chain().blocks
        assert log.block(50) is None, "not asked again at once"
        now[0] += FETCH_AGAIN_S
        assert log.block(50) == CHAIN[49]


def test_a_block_that_can_still_be_removed_is_not_asked_for(path):
    """What nodes have above the last irreversible block need not be ours."""
    with open_log(path) as log:
        change(path, "UPDATE block SET id = zeroblob(20) WHERE num = ?", 195)
        assert [log.block(195), log.block(195)] == [None, None]
        assert log.id_at(195) == CHAIN[194].id, "its neighbour tells"
        log.apply(Change((), tuple(CHAIN[SIZE : SIZE + 1])), 196)
        assert [log.block(195), log.block(195)] == [None, CHAIN[194]]


@pytest.mark.parametrize("first_bad", [192, 200, 190, 100])
def test_a_start_goes_on_behind_the_newest_block_that_is_whole(path, first_bad, caplog):
    """Blocks that a fork can still remove are checked at the start; damaged ones come again."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE block SET timestamp = 1 WHERE num >= ?", (first_bad,))
    caplog.set_level(logging.ERROR)
    with open_log(path) as log:
        assert log.head == ref(CHAIN[first_bad - 2])
        assert log.irreversible <= log.head.num
        log.apply(Change((), tuple(CHAIN[first_bad - 1 : SIZE])), SIZE - 10)
        assert [log.block(num) for num in range(1, SIZE + 1)] == CHAIN[:SIZE]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("is_new", [True, False])
def test_a_log_that_was_lost_promised_what_lies_below_its_first_block(path, is_new):
    """A client that stands there is not led onto another branch without undos."""
    if is_new:
        path.unlink()
    else:
        path.write_bytes(b"rubbish" * 999)
    old = CHAIN[: SIZE + 1]
    with open_log(path) as log:
        assert log.was_lost != is_new
        log.apply(Change((), (old[-1],)), 0)
        log.apply(Change((ref(old[-1]),), (fork(old, 1, 0, "new")[-1],)), 0)
        assert log.began_behind(old[-1].previous) == is_new


@pytest.mark.parametrize("value", [SIZE, "195 1", "x", b"195", None, -3])
def test_a_damaged_number_of_the_irreversible_block_is_not_believed(path, value):
    """Blocks that can still be removed would be given out as final ones."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'irreversible'", (value,))
    with open_log(path) as log:
        assert log.irreversible == (value if value == SIZE else 0)  # version 1 has a number


def test_a_damaged_removed_block_is_not_given_out(path):
    """An undo with wrong operations would be worse than none."""
    other = fork(CHAIN[:SIZE], 3, 1, "other")
    removed = tuple(ref(block) for block in reversed(CHAIN[SIZE - 3 : SIZE]))
    with open_log(path) as log:
        log.apply(Change(removed, tuple(other[SIZE - 3 :])), SIZE - 10)
        change(path, "UPDATE removed SET operations = zeroblob(9) WHERE num = ?", SIZE - 1)
        assert log.removed(CHAIN[SIZE - 1].id) == CHAIN[SIZE - 1]
        assert log.removed(CHAIN[SIZE - 2].id) is None


def harm(path, chance, pages):
    """Write rubbish over some pages of a file, or cut it."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        for _ in range(pages):
            file.seek(chance.randrange(size // 4096) * 4096 + chance.choice([0, 0, 1, 77, 4000]))
            file.write(chance.randbytes(chance.choice([1, 8, 90])))
        if not pages:
            file.truncate(chance.randrange(size))


def read_all(log, first, last):
    """Read as a session does; every block is the chain's own, or not there for now."""
    for num in range(first, last + 1):
        for block in (log.block(num), log.block(num)):
            assert block in (None, CHAIN[num - 1])
        assert log.id_at(num) in (None, CHAIN[num - 1].id)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    pages=st.integers(0, 6),
    while_running=st.booleans(),
    keep_blocks=st.sampled_from([SIZE - 40, 1000]),
)
def test_whatever_is_damaged_nothing_wrong_is_served_and_it_goes_on(
    tmp_path_factory, seed, pages, while_running, keep_blocks
):
    """Random damage, at rest or under a running log: each block is right, and new ones come."""
    path = tmp_path_factory.mktemp("log") / "log"
    chance = random.Random(seed)
    with open_log(path) as log:
        log.apply(Change((), tuple(CHAIN[:SIZE])), SIZE - 10)
    if not while_running:
        harm(path, chance, pages)
    with open_log(path, keep_blocks=keep_blocks) as log:
        if while_running:
            harm(path, chance, pages)
            read_all(log, 1, SIZE)
        head = log.head.num if log.head else SIZE
        for num in range(head, head + 60):
            try:
                log.apply(Change((), (CHAIN[num],)), num - 10)
            except DiskError:  # set aside a moment ago; the broadcaster waits and tries again
                log._file._renewed = float("-inf")
                log.apply(Change((), (CHAIN[num],)), num - 10)
            read_all(log, log.oldest, num + 1)
        assert log.head == ref(CHAIN[head + 59])
        assert log.block(log.head.num) == CHAIN[head + 59]
    with open_log(path) as log:
        assert log.head == ref(CHAIN[head + 59])
    assert len(list(path.parent.glob("*.set-aside-*[0-9]"))) <= aside.KEPT


def test_a_damaged_file_is_not_set_aside_again_at_once(path, caplog):
    """On a disk that fails the feed stands still, instead of filling it with files."""
    with open_log(path) as log:
        for number in (1, 2):
            harm_all(path)
            log._file.damage = "page 7 is rubbish"
            if number == 1:
                log.apply(Change((), (CHAIN[SIZE],)), SIZE)
            else:
                with pytest.raises(DiskError, match="damaged again"):
                    log.apply(Change((), (CHAIN[SIZE + 1],)), SIZE)
    assert len(list(path.parent.glob("*.set-aside-*[0-9]"))) == 1


def harm_all(path):
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 3)


def test_a_process_that_died_while_it_replaced_the_file_goes_on_with_the_new_one(path):
    """The new file is whole before the old one is renamed."""
    path.rename(path.with_name("log.new"))
    with open_log(path) as log:
        assert log.head == ref(CHAIN[SIZE - 1])
        assert log.block(1) == CHAIN[0]
    path.with_name("log.new").write_bytes(b"half of it")  # it died before that
    with open_log(path) as log:
        assert log.head == ref(CHAIN[SIZE - 1])


def test_a_file_that_another_program_keeps_locked_is_waited_for(path, monkeypatch):
    """Somebody looks into it with a tool of SQLite's: the feed stands still, and goes on."""
    monkeypatch.setattr(database, "BUSY_S", 0.01)
    with open_log(path) as log, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DiskError, match="kept locked by another program"):
            log.apply(Change((), (CHAIN[SIZE],)), 0)
        assert log.block(1) == CHAIN[0]
        other.execute("ROLLBACK")
        log.apply(Change((), (CHAIN[SIZE],)), 0)
        assert log.head == ref(CHAIN[SIZE])
    assert list(path.parent.glob("*.set-aside-*")) == []


def test_few_files_are_kept_aside(tmp_path):
    """The oldest go, with their companions."""
    for number in range(5):
        (tmp_path / "log").write_text(str(number))
        (tmp_path / "log-wal").write_text(str(number))
        aside.set_aside(tmp_path / "log")
    kept = [p.read_text() for p in sorted(tmp_path.glob("log.set-aside-*[0-9]"))]
    assert kept == ["3", "4"]
    assert len(list(tmp_path.iterdir())) == 2 * aside.KEPT


# As version 1 wrote it. This is never changed again.
VERSION_1 = """
PRAGMA application_id = 1396853831;
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) WITHOUT ROWID, STRICT;
CREATE TABLE block (
    num INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    previous BLOB NOT NULL,
    timestamp INTEGER NOT NULL,
    operations BLOB NOT NULL
) STRICT;
CREATE TABLE removed (
    id BLOB PRIMARY KEY,
    num INTEGER NOT NULL,
    previous BLOB NOT NULL,
    timestamp INTEGER NOT NULL,
    operations BLOB NOT NULL
) STRICT;
CREATE INDEX removed_num ON removed (num);
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
INSERT INTO meta VALUES ('chain', 'steem'), ('irreversible', 15);
"""


def test_a_log_of_version_1_is_taken_over(tmp_path):
    """Nothing of it is fetched again."""
    with closing(sqlite3.connect(tmp_path / "log")) as connection:
        connection.executescript(VERSION_1)
        with connection:
            for block in CHAIN[:20]:
                values = (
                    block.num,
                    bytes.fromhex(block.id),
                    bytes.fromhex(block.previous),
                    block.timestamp,
                    zstandard.compress(block.packed),
                )
                connection.execute("INSERT INTO block VALUES (?, ?, ?, ?, ?)", values)
    with open_log(tmp_path / "log") as log:
        assert (log.head, log.oldest, log.irreversible) == (ref(CHAIN[19]), 1, 15)
        log.apply(Change((), (CHAIN[20],)), 16)
        assert [log.block(num) for num in range(1, 22)] == CHAIN[:21]
    assert list(tmp_path.glob("*.set-aside-*")) == []


HANDLERS = """
from steembot.bot import Bot
bot = Bot()
@bot.on("*")
def every(op, ctx): ctx.log.info("saw %s", op.cursor)
"""


def saw(lines):
    return [line.split(" saw ")[1] for line in lines if " saw " in line]


def damage_log(path, damage):
    if damage == "a block":
        change(path, "UPDATE block SET operations = zeroblob(99) WHERE num = ?", 9)
    elif damage == "pages":
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(random.Random(1).randbytes(path.stat().st_size - 4096))
    else:
        path.write_bytes(b"rubbish" * 9999)


@pytest.mark.parametrize("damage", ["a block", "pages", "all of it"])
@pytest.mark.parametrize("while_running", [False, True])
def test_clients_see_no_loss_when_the_log_is_damaged(tmp_path, moving_node, damage, while_running):
    """A real broadcaster goes on, says it once, and a new bot is given each operation once."""
    (tmp_path / "every.py").write_text(HANDLERS)
    env = environment(
        STEEMBOT_NODES=moving_node.url,
        STEEMBOT_NODE_RATE=1000,
        STEEMBOT_START=1,
        STEEMBOT_SOCKET=tmp_path / "b.sock",
        STEEMBOT_STATE_DIR=tmp_path,
        STEEMBOT_HANDLERS="every",
    )
    path = tmp_path / "block-log.sqlite3"
    with (
        Process("steembot-broadcaster", env=env, cwd=tmp_path) as broadcaster,
        Process("steembot-bot", env=env, cwd=tmp_path) as bot,
    ):
        bot.wait_for(lambda lines: len(saw(lines)) > 100, "100 operations")
        broadcaster.signal(15)
        assert broadcaster.ended() == 0
        if not while_running:
            damage_log(path, damage)
        before = len(saw(bot.lines))
        with Process("steembot-broadcaster", env=env, cwd=tmp_path) as again:
            if while_running:  # it has few blocks in memory
                bot.wait_for(lambda lines: len(saw(lines)) > before, "an operation")
                damage_log(path, damage)
            new = {**env, "STEEMBOT_BOT_NAME": "new"}
            with Process("steembot-bot", env=new, cwd=tmp_path) as second:
                bot.wait_for(lambda lines: len(saw(lines)) > before + 20, "later operations")
                second.wait_for(lambda lines: len(saw(lines)) > before + 20, "all operations")
                assert again.runs
                # Of a block that was read, and of the file when it is written next.
                assert 1 <= sum(" error: " in line for line in again.lines) <= 1 + while_running
    first, fresh = saw(bot.lines), saw(second.lines)
    common = min(len(first), len(fresh))
    assert first[:common] == fresh[:common]
    assert len(set(first)) == len(first)
