"""The record of what was handled: what goes in comes out, whenever it is written."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from steembot.bot import schema
from steembot.bot.handled import AUDIT_BLOCKS, Handled, read
from steembot.operation import BLOCK_LEVEL, Cursor
from steembot.storage.database import Connection

cursors = st.builds(
    Cursor,
    st.integers(1, 4),
    st.sampled_from(["a" * 40, "b" * 40]),
    st.sampled_from([0, 1, 200, BLOCK_LEVEL]),
    st.integers(0, 2),
    st.integers(0, 2),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), cursors),
        st.tuples(st.just("strike"), cursors),
        st.tuples(st.just("write"), st.none()),
    )
)


def made() -> tuple[Connection, Handled]:
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=Connection)
    schema.prepare(connection, Path("x"), "steem")
    return connection, Handled(connection)


def write(handled: Handled) -> None:
    handled.write()
    handled.written()


@given(steps)
def test_what_was_handled_is_read_as_often_as_it_was(steps):
    """However much is written at once, and with what was undone taken off."""
    connection, handled = made()
    expected: dict[int, Counter] = defaultdict(Counter)
    ids: dict[int, str] = {}
    for step, cursor in steps:
        if step == "add":
            handled.add(cursor)
            expected[cursor.block_num][cursor.within_block] += 1
            ids[cursor.block_num] = cursor.block_id
        else:
            write(handled)
        if step == "strike":
            handled.strike(cursor)
            if expected[cursor.block_num].pop(cursor.within_block, 0):
                ids[cursor.block_num] = cursor.block_id
    write(handled)
    for num, times in expected.items():
        record = read(connection, num)
        assert record.times == times
        assert record.block_id == ids.get(num, "")
    connection.close()


def test_what_is_not_committed_is_written_again():
    """A transaction that failed took nothing; the next one has it."""
    connection, handled = made()
    with closing(connection):
        handled.add(Cursor(3, "a" * 40, 0, 0))
        connection.execute("BEGIN")
        handled.write()
        connection.execute("ROLLBACK")
        assert read(connection, 3).times == {}
        write(handled)
        assert read(connection, 3).times == {(0, 0, 0): 1}


def test_a_day_is_kept():
    """Older blocks go when newer ones come."""
    connection, handled = made()
    with closing(connection):
        for num in (1, 2, AUDIT_BLOCKS + 2):
            handled.add(Cursor(num, "a" * 40, 0, 0))
            write(handled)
        kept = [num for (num,) in connection.execute("SELECT num FROM handled ORDER BY num")]
        assert kept == [2, AUDIT_BLOCKS + 2]
