"""The chain over time: head, irreversible block, end of a recording, forks, forgetting."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steembot.devnode import serialize
from steembot.devnode.chain import Block, Chain
from steembot.devnode.errors import ChainError
from steembot.devnode.generate import GeneratedBlocks


class Blocks:
    """A source of `count` empty blocks; `missed` numbers come a slot late."""

    def __init__(self, count, missed=()):
        self.first_num = 1
        self.hive = False
        self._count = count
        self._missed = missed
        self._num = 0

    def slots_to_next(self):
        """The distance to the next block."""
        if self._num == self._count:
            return None
        return 2 if self._num + 1 in self._missed else 1

    def next(self, slots):
        """The next block."""
        self._num += 1
        block_id = f"{self._num:040x}"
        return Block(
            self._num, block_id, f"{self._num - 1:040x}", self._num * 3, "a", b"", b"", b""
        )

    def rewind(self, common):
        """No fork."""
        raise ChainError("no other blocks")


def generated_chain(seed="1", *, ready=30, keep=None, lag=15):
    """A chain of nearly empty generated blocks, at time 0, one slot a second."""
    source = GeneratedBlocks(seed, genesis_time=1_600_000_002, operations=1)
    return Chain(source, start=0, ready=ready, interval_s=1, irreversible_lag=lag, keep=keep)


def assert_linked(chain):
    """Every block names the one before it, and ids and times go with that."""
    blocks = [chain.block(num) for num in range(chain.oldest_num, chain.head.num + 1)]
    for earlier, later in pairwise(blocks):
        assert later.previous == earlier.id
        assert later.num == earlier.num + 1 == serialize.block_num(later.id)
        assert later.timestamp > earlier.timestamp


def test_head_advances_with_time():
    """A block an interval, none before it is due."""
    chain = Chain(Blocks(100), start=50, ready=3, interval_s=3)
    assert chain.head.num == 3
    chain.advance(52.9)
    assert chain.head.num == 3
    chain.advance(53)
    assert chain.head.num == 4
    chain.advance(65.9)
    assert chain.head.num == 8


def test_missed_slot_delays_the_block():
    """A block whose witness' predecessor missed comes an interval later, and the rest after it."""
    chain = Chain(Blocks(100, missed={2}), start=0, interval_s=3)
    chain.advance(5)
    assert chain.head.num == 1
    chain.advance(6)
    assert chain.head.num == 2
    chain.advance(9)
    assert chain.head.num == 3


def test_time_does_not_go_back():
    """An earlier time changes nothing."""
    chain = Chain(Blocks(100), start=0, interval_s=1)
    chain.advance(10)
    chain.advance(3)
    assert chain.head.num == 11


def test_irreversible_block_trails_the_head():
    """By the lag, and never below the first block."""
    chain = Chain(Blocks(100), start=0, interval_s=1, irreversible_lag=15)
    assert chain.irreversible_num == 1
    chain.advance(40)
    assert (chain.head.num, chain.irreversible_num) == (41, 26)


def test_irreversible_block_reaches_the_end():
    """At the end of the blocks it goes on by one an interval until the head."""
    chain = Chain(Blocks(20), start=0, interval_s=1, irreversible_lag=15)
    chain.advance(19)
    assert (chain.head.num, chain.irreversible_num) == (20, 5)
    chain.advance(24.5)
    assert (chain.head.num, chain.irreversible_num) == (20, 10)
    chain.advance(1000)
    assert (chain.head.num, chain.irreversible_num) == (20, 20)


def test_interval_zero_shows_all_at_once():
    """The whole recording is there, and irreversible."""
    chain = Chain(Blocks(20), start=0, interval_s=0)
    assert (chain.head.num, chain.irreversible_num) == (20, 20)


def test_forgets_what_is_older_than_keep():
    """Memory is bounded; a forgotten block is answered as none."""
    chain = Chain(Blocks(1000), start=0, interval_s=1, keep=50)
    chain.advance(500)
    assert chain.oldest_num == 452
    assert chain.block(451) is None
    assert chain.block(452).num == 452
    assert chain.block(502) is None


def test_keep_must_exceed_the_lag():
    """Else a fork could not be told any more."""
    with pytest.raises(ChainError, match="keep 10 must be above"):
        Chain(Blocks(5), start=0, keep=10)


def test_no_blocks_is_an_error():
    """A node without a block could not answer anything."""
    with pytest.raises(ChainError, match="at least one block"):
        Chain(Blocks(0), start=0)


def test_fork_replaces_the_newest_blocks_by_more():
    """The new branch starts at the common block, is longer, and shares no block with the old."""
    chain = generated_chain()
    common = chain.block(25)
    old_head = chain.head
    fork = chain.fork(5)
    assert [block.num for block in fork.removed] == [26, 27, 28, 29, 30]
    assert [block.num for block in fork.added] == [26, 27, 28, 29, 30, 31]
    assert fork.added[0].previous == fork.removed[0].previous == common.id
    assert not {block.id for block in fork.removed} & {block.id for block in fork.added}
    assert chain.head.timestamp == old_head.timestamp + 3
    assert chain.forks == 1
    assert_linked(chain)


def test_chain_goes_on_behind_a_fork():
    """The fork's last block took the next slot; the blocks after it come at their time."""
    chain = generated_chain()
    chain.fork(3)
    assert chain.head.num == 31
    chain.advance(1)
    assert chain.head.num == 31
    chain.advance(100)
    assert chain.head.num > 100
    assert_linked(chain)


@pytest.mark.parametrize("depth", [0, -1, 16, 1000])
def test_fork_does_not_reach_irreversible_blocks(depth):
    """It says what would be allowed."""
    with pytest.raises(ChainError, match="allowed is 1 to 15"):
        generated_chain().fork(depth)


def test_recorded_blocks_do_not_fork():
    """The refusal comes before any block is lost."""
    chain = Chain(Blocks(30), start=0, ready=20, interval_s=1)
    with pytest.raises(ChainError, match="no other blocks"):
        chain.fork(2)
    assert chain.head.num == 20


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("advance"), st.integers(0, 8)),
            st.tuples(st.just("fork"), st.integers(1, 6)),
        ),
        max_size=12,
    )
)
def test_any_history_leaves_a_linked_chain(events):
    """Whatever happens: linked, head and irreversible block never go back, no lasting undone."""
    chain = generated_chain(ready=10, keep=30, lag=6)
    now = 0
    for name, amount in events:
        head, irreversible = chain.head.num, chain.irreversible_num
        lasting = chain.block(irreversible)
        if name == "advance":
            now += amount
            chain.advance(now)
        elif amount <= chain.head.num - irreversible:
            chain.fork(amount)
            assert chain.head.num > head
        assert chain.head.num >= head
        assert chain.irreversible_num >= irreversible
        assert chain.block(irreversible) in (lasting, None)
        assert_linked(chain)


def test_threads_may_read_blocks_at_once():
    """A test reads the chain while the node's own thread serves it: neither gets garbage."""
    chain = generated_chain(ready=10, keep=30, lag=6)
    expected = [(block.appbase_json(), block.condenser_json()) for block in chain.newest(10)]

    def read(_):
        return [(block.appbase_json(), block.condenser_json()) for block in chain.newest(10)]

    with ThreadPoolExecutor(8) as threads:
        for got in threads.map(read, range(400)):
            assert got == expected
