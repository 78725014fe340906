"""The block log: durable, bounded, fork-aware, and not taken down by a bad file."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steembot.broadcaster.block_log import BlockLog
from steembot.chain.follower import Change
from tests.support.blocks import fork, make_chain, ref


def open_log(path, **options) -> BlockLog:
    return BlockLog(path, **({"chain": "steem", "keep_blocks": 1000} | options))


def switch(old, new, depth) -> Change:
    """The change by which a fork replaces the last ``depth`` blocks."""
    common = len(old) - depth
    removed = tuple(ref(block) for block in reversed(old[common:]))
    return Change(removed=removed, appended=tuple(new[common:]))


def test_an_empty_log_has_nothing(tmp_path):
    """Before the first block there is no head, no oldest, no block."""
    with open_log(tmp_path / "log") as log:
        assert (log.head, log.oldest, log.irreversible) == (None, None, 0)
        assert log.block(1) is None
        assert log.id_at(1) is None


def test_what_was_applied_is_there_after_reopening(tmp_path):
    """Blocks, head, oldest and irreversible survive; bodies come back byte by byte."""
    chain = make_chain(10, 20)
    with open_log(tmp_path / "log") as log:
        log.apply(Change((), tuple(chain)), 15)
    with open_log(tmp_path / "log") as log:
        assert log.head == ref(chain[-1])
        assert log.head_timestamp == chain[-1].timestamp
        assert (log.oldest, log.irreversible) == (10, 15)
        assert [log.block(num) for num in range(10, 30)] == chain
        assert log.id_at(29) == chain[-1].id
        assert log.block(30) is None


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_a_fork_moves_blocks_aside(tmp_path, cache_bytes):
    """The chain shows the new blocks, and the old ones stay findable by id."""
    old = make_chain(1, 20)
    new = fork(old, 5, 1, "other")
    with open_log(tmp_path / "log", cache_bytes=cache_bytes) as log:
        log.apply(Change((), tuple(old)), 10)
        log.apply(switch(old, new, 5), 10)
        assert [log.block(num) for num in range(1, 22)] == new
        assert [log.removed(block.id) for block in old[15:]] == old[15:]
        assert log.removed(new[-1].id) is None
        assert log.forks == 1


def test_only_the_newest_blocks_stay(tmp_path):
    """Old blocks and old removed blocks go; the file stops growing."""
    path = tmp_path / "log"
    chain = make_chain(1, 3000, types=("comment",) * 10)
    with open_log(path, keep_blocks=100) as log:
        sizes = []
        for start in range(0, 3000, 50):
            log.apply(Change((), tuple(chain[start : start + 50])), start)
            sizes.append(path.stat().st_size)
        assert log.oldest == 2901
        assert log.block(2900) is None
        assert log.block(2901) == chain[2900]
        assert max(sizes[20:]) <= sizes[20] * 1.5
    with open_log(path, keep_blocks=100) as log:
        assert log.oldest == 2901


def test_removed_blocks_are_forgotten_with_their_time(tmp_path):
    """A removed block goes when blocks of its number go."""
    old = make_chain(1, 50)
    new = fork(old, 2, 1, "other")
    with open_log(tmp_path / "log", keep_blocks=100) as log:
        log.apply(Change((), tuple(old)), 0)
        log.apply(switch(old, new, 2), 0)
        more = make_chain(new[-1].num + 1, 98, previous=new[-1].id)
        log.apply(Change((), tuple(more)), 0)
        assert log.removed(old[-2].id) is None
        assert log.removed(old[-1].id) == old[-1]


@pytest.mark.parametrize("what", ["garbage", "truncated", "other program", "newer", "other chain"])
def test_a_file_that_cannot_be_used_is_set_aside(tmp_path, caplog, what):
    """One clear line, the file kept under another name, an empty log in its place."""
    path = tmp_path / "log"
    if what == "garbage":
        path.write_bytes(b"this is no database" * 1000)
    elif what == "other program":
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE theirs (a)")
        other.close()
    else:
        with open_log(path, chain="hive" if what == "other chain" else "steem") as log:
            log.apply(Change((), tuple(make_chain(1, 200))), 0)
        if what == "truncated":
            data = path.read_bytes()
            path.write_bytes(data[: len(data) // 2 // 4096 * 4096])
        elif what == "newer":
            with sqlite3.connect(path) as log:
                log.execute("PRAGMA user_version = 99")
            log.close()
    caplog.set_level(logging.ERROR)
    with open_log(path) as log:
        assert log.head is None
        log.apply(Change((), tuple(make_chain(1, 5))), 0)
    assert len(caplog.records) == 1
    assert str(path) in caplog.text
    assert len(list(tmp_path.glob("log.set-aside-*[0-9]"))) == 1
    with open_log(path) as log:
        assert log.head is not None


def test_left_over_companions_of_a_removed_file_do_no_harm(tmp_path):
    """Somebody who removes the log removes one file of three; a new one is begun."""
    path = tmp_path / "log"
    with open_log(path) as log:
        log.apply(Change((), tuple(make_chain(1, 200))), 0)
        log.block(1)
        companions = {p.name: p.read_bytes() for p in tmp_path.glob("log-*")}
    assert companions.keys() == {"log-wal", "log-shm"}
    path.unlink()
    for name, data in companions.items():
        (tmp_path / name).write_bytes(data)
    with open_log(path) as log:
        assert log.head is None


def test_a_busy_file_is_not_set_aside(tmp_path):
    """Another process's lock is no damage: nothing is moved away."""
    path = tmp_path / "log"
    with open_log(path) as log:
        log.apply(Change((), tuple(make_chain(1, 5))), 0)
    before = path.read_bytes()
    with open_log(path) as log:
        assert log.head is not None
    assert list(tmp_path.glob("log.set-aside-*")) == []
    assert path.read_bytes()[:100] == before[:100]


def test_kill_9_between_changes_loses_nothing(tmp_path):
    """A process killed at any instant leaves a log that ends with a whole change."""
    code = """
import sys
from pathlib import Path
from tests.support.blocks import make_chain
from steembot.broadcaster.block_log import BlockLog
from steembot.chain.follower import Change
log = BlockLog(Path(sys.argv[1]), chain="steem", keep_blocks=100000)
for start, block in enumerate(make_chain(1, 100000)):
    log.apply(Change((), (block,)), 0)
    print(block.num, flush=True)
"""
    for attempt in range(3):
        path = tmp_path / f"log{attempt}"
        with subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
        ) as process:
            for line in process.stdout:
                if int(line) >= 200:
                    process.kill()
                    break
            told = max(int(line) for line in [line, *process.stdout] if line.endswith("\n"))
        with open_log(path, keep_blocks=100000) as log:
            assert log.head is not None
            assert log.head.num >= told
            assert log.block(log.head.num) is not None


@settings(max_examples=30, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 8), st.integers(1, 9)), max_size=12),
    cache_bytes=st.sampled_from([0, 5_000, 10**6]),
)
def test_any_history_reads_as_the_chain(tmp_path_factory, changes, cache_bytes):
    """After any extensions and forks the log reads as the chain, whatever is cached."""
    chain = make_chain(1, 10)
    path = tmp_path_factory.mktemp("log") / "log"
    with open_log(path, cache_bytes=cache_bytes) as log:
        log.apply(Change((), tuple(chain)), 0)
        for index, (wanted_depth, grow) in enumerate(changes):
            depth = min(wanted_depth, len(chain) - 1)
            new = fork(chain, depth, grow, f"{index}")
            log.apply(switch(chain, new, depth), 0)
            for gone in chain[len(chain) - depth :]:
                assert log.removed(gone.id) == gone
            chain = new
            assert log.head == ref(chain[-1])
            assert [log.block(block.num) for block in chain] == chain
            assert [log.id_at(block.num) for block in chain] == [block.id for block in chain]
