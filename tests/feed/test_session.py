"""What one client gets next, whatever the chain does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot.feed.session import SCAN_BLOCKS
from steembot.feed.wire import ErrorCode
from steembot.operation import Cursor
from tests.feed.memory_chain import Holder, MemoryChain
from tests.feed.sessions import EVERYTHING, read, refused, subscribe
from tests.support.blocks import TYPES, block_id, make_block

block_types = st.lists(st.sampled_from(TYPES), max_size=4).map(tuple)
wanted_types = st.one_of(
    st.just(EVERYTHING), st.lists(st.sampled_from(TYPES), min_size=1, max_size=3).map(tuple)
)


# ---- any resume point, any credit


@given(st.data(), st.lists(block_types, min_size=1, max_size=12), wanted_types)
def test_any_resume_point_gives_the_rest_of_the_same_sequence(data, blocks, types):
    """From a block's number, or from any operation's cursor: what follows it, and nothing else."""
    chain = MemoryChain(first=5)
    chain.grow(*blocks)
    everything = chain.operations(EVERYTHING)
    places = [(str(num), num, None) for num in range(4, chain.head.num + 1)] + [
        (str(Cursor(num, i, *op.within_block)), num, op) for num, i, op in everything
    ]
    after, num, operation = data.draw(st.sampled_from(places))

    holder = Holder()
    for message in read(subscribe(chain, after, types=types)):
        holder.take(message)

    def follows(place) -> bool:
        if operation is None or place[0] != num:
            return place[0] > num
        return place[2].within_block > operation.within_block

    assert holder.held == [place for place in chain.operations(types) if follows(place)]
    assert holder.undone == 0


@given(st.data(), st.lists(block_types, min_size=1, max_size=20), wanted_types)
def test_stopping_anywhere_and_any_credit_change_nothing(data, blocks, types):
    """However credit comes, and wherever a client stops and resumes, it holds the same."""
    chain = MemoryChain()
    chain.grow(*blocks)
    holder = Holder()
    session = subscribe(chain, 0, types=types, credit=data.draw(st.integers(1, 3)))
    while holder.held != chain.operations(types):
        step = session.next()
        if step is None:
            assert session.credit == 0
            session.grant(data.draw(st.integers(1, 4)))
            continue
        assert session.next() == step  # until it is taken it stays the next one
        session.take(step)
        assert session.credit >= 0
        stop = data.draw(st.booleans())
        size = len(getattr(step.message, "operations", ()))
        holder.take(step.message, upto=data.draw(st.integers(0, size)) if stop else None)
        if stop:
            session = subscribe(
                chain, holder.position or 0, types=types, credit=data.draw(st.integers(1, 3))
            )
    session.grant(1)
    for message in read(session):
        holder.take(message)
    assert holder.held == chain.operations(types)


# ---- types and progress


def test_a_type_is_matched_whole():
    """``comment`` is not ``comment_options``."""
    chain = MemoryChain()
    chain.grow(("comment_options", "comment", "comment_reward"))
    (block,) = read(subscribe(chain, 0, types=["comment"]))
    assert [operation.type for operation in block.operations] == ["comment"]


def test_blocks_without_a_match_are_progress_at_no_cost():
    """A client that waits for something rare is told how far the chain is, without credit."""
    chain = MemoryChain()
    chain.grow(*[("vote",)] * (2 * SCAN_BLOCKS + 50), ("transfer",))
    session = subscribe(chain, 0, types=["transfer"], credit=1)
    messages = read(session)
    assert [getattr(m, "num", None) or m.cursor.block_num for m in messages] == [
        SCAN_BLOCKS,
        2 * SCAN_BLOCKS,
        2 * SCAN_BLOCKS + 51,
    ]
    assert session.credit == 0


def test_one_step_reads_a_bounded_number_of_blocks():
    """A client that wants what never comes delays the others by so many blocks at a time."""
    chain = MemoryChain()
    chain.grow(*[()] * (3 * SCAN_BLOCKS))
    session = subscribe(chain, 0, types=["transfer"])
    chain.reads = 0
    session.next()
    assert chain.reads <= SCAN_BLOCKS + 2


def test_a_client_without_credit_reads_nothing():
    """A client that can take nothing costs no reading either."""
    chain = MemoryChain()
    chain.grow(("vote",), ("vote",))
    session = subscribe(chain, 0, credit=1)
    read(session)
    chain.reads = 0
    for _ in range(100):
        assert session.next() is None
    assert chain.reads == 0


def test_the_lag_counts_blocks_to_the_head():
    """People see how far behind a client is."""
    chain = MemoryChain()
    assert subscribe(chain, "head").lag == 0
    chain.grow(*[("vote",)] * 5)
    session = subscribe(chain, 1)
    assert session.lag == 4
    session.grant(len(read(session)))
    assert session.lag == 0


# ---- before there is a block


def test_the_head_of_an_empty_log_is_what_comes_first():
    """Who subscribes to the head before the first block misses nothing that comes."""
    chain = MemoryChain(first=50)
    session = subscribe(chain, "head")
    assert read(session) == []
    chain.grow(("vote",), ("vote",))
    assert [m.num for m in read(session)] == [50, 51]


def test_a_number_beyond_an_empty_log_is_waited_for():
    """Before the first block a client may name a block that the chain has yet to reach."""
    chain = MemoryChain(first=50)
    session = subscribe(chain, 51)
    chain.grow(("vote",), ("vote",))
    assert read(session) == []
    chain.grow(("vote",))
    assert [m.num for m in read(session)] == [52]


def test_a_cursor_on_another_chain_than_what_came_is_refused():
    """A cursor taken on trust while the log was empty is checked when there are blocks."""
    chain = MemoryChain(first=50)
    session = subscribe(chain, Cursor.end_of(51, block_id(51, "", "elsewhere")))
    chain.grow(("vote",), ("vote",), ("vote",))
    assert refused(session.next).code == ErrorCode.UNKNOWN_BLOCK


def test_a_cursor_below_what_came_is_refused():
    """Where the log begins behind what a client needs, it is told so and does not wait for ever."""
    chain = MemoryChain(first=50)
    session = subscribe(chain, Cursor.end_of(30, block_id(30, "")))
    chain.grow(("vote",))
    assert refused(session.next).code == ErrorCode.TOO_OLD


def test_what_will_not_come_is_refused_before_the_first_block():
    """If the first block to come is known, what lies before it is refused at once."""
    chain = MemoryChain()
    chain.first_wanted = 50
    assert refused(lambda: subscribe(chain, 48)).code == ErrorCode.TOO_OLD
    subscribe(chain, 49)


# ---- older than the log, and fetched for the client


@pytest.fixture
def archived():
    """A chain whose first five blocks are in the archive alone, none of them fetched yet."""
    chain = MemoryChain()
    chain.grow(*[("vote",), ("comment",)] * 5)
    blocks = {num: chain.block(num) for num in range(1, 6)}
    chain.prune(oldest=6)
    chain.archive = dict.fromkeys(blocks)
    return chain, blocks


@pytest.mark.parametrize("by_number", [True, False])
@pytest.mark.parametrize("order", [(3, 4, 5), (5, 4, 3), (4, 5, 3)])
def test_blocks_that_are_being_fetched_are_waited_for(archived, order, by_number):
    """In whatever order they arrive, none is passed over, though those behind it are there."""
    chain, blocks = archived
    session = subscribe(chain, 2 if by_number else Cursor.end_of(2, blocks[2].id))
    got = []
    for num in order:
        assert read(session) == []
        chain.archive[num] = blocks[num]
        got += [message.num for message in read(session)]
        assert got == list(range(3, 3 + len(got)))
    assert got == list(range(3, 11))


def test_old_blocks_of_another_branch_are_not_what_follows(archived):
    """A client whose old block is no longer on the chain is told so, and gets nothing wrong."""
    chain, blocks = archived
    chain.archive.update(blocks)
    session = subscribe(chain, Cursor.end_of(2, block_id(2, "", "another branch")))
    assert refused(session.next).code == ErrorCode.UNKNOWN_BLOCK
    session = subscribe(chain, Cursor(2, block_id(2, "", "another"), 0, 0))
    assert refused(session.next).code == ErrorCode.UNKNOWN_BLOCK


def test_a_part_of_an_old_block_is_gone_on_with(archived):
    """Behind an operation in the middle of an old block comes the rest of that block."""
    chain, blocks = archived
    chain.archive.update(blocks)
    chain.archive[2] = make_block(2, blocks[1].id, "old", ("vote", "comment", "vote"))
    chain.archive[3] = make_block(3, chain.archive[2].id, "old")
    first, *rest = chain.archive[2].operations
    session = subscribe(chain, Cursor(2, chain.archive[2].id, *first.within_block))
    (message,) = read(session, steps=1)
    assert (message.num, list(message.operations)) == (2, rest)


def test_the_lag_is_that_of_what_is_finished_with():
    """Not of what was sent: credit is given for what was handled."""
    chain = MemoryChain()
    chain.grow(*[("vote",)] * 10)
    session = subscribe(chain, 0, credit=100)
    assert len(read(session)) == 10
    assert session.lag == 10
    for done in range(1, 11):
        session.grant(1)
        assert session.lag == 10 - done
    chain.grow((), ("comment",), ())
    assert len(read(session)) > 0
    assert session.lag == 2, "the one without a match is behind the one in hand"
    session.grant(50)
    assert session.lag == 0
