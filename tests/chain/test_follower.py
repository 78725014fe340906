"""The follower: what it asks for, what it joins, how it walks back a fork."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steembot.chain.follower import Change, Follower, Span
from steembot.errors import ForkTooDeepError
from steembot.operation import Block, BlockRef
from tests.support.blocks import fork, make_block, make_chain, ref


class Chain:
    """Our side: applies changes and answers ``id_at``, as the block log does."""

    def __init__(self, blocks: list[Block] | None = None) -> None:
        self.blocks = {block.num: block for block in blocks or []}

    def id_at(self, num: int) -> str | None:
        block = self.blocks.get(num)
        return None if block is None else block.id

    def apply(self, change: Change | None) -> None:
        if change is None:
            return
        for gone in change.removed:
            assert gone.num == max(self.blocks), "removed newest first"
            assert self.blocks.pop(gone.num).id == gone.id
        for block in change.appended:
            if self.blocks:
                assert block.previous == self.blocks[max(self.blocks)].id
                assert block.num == max(self.blocks) + 1
            self.blocks[block.num] = block

    @property
    def list(self) -> list[Block]:
        return [self.blocks[num] for num in sorted(self.blocks)]


def follower_at(chain: Chain, **options) -> Follower:
    tip = ref(chain.list[-1]) if chain.blocks else None
    return Follower(tip, options.pop("start", 1), chain.id_at, **options)


def serve(follower: Follower, ours: Chain, node: list[Block], span: Span) -> None:
    """Answer a span from a node's chain and apply all that comes of it."""
    by_num = {block.num: block for block in node}
    change = follower.receive(span, [by_num.get(num) for num in span.nums])
    while change is not None:
        ours.apply(change)
        change = follower.pending()


def catch_up(follower: Follower, ours: Chain, node: list[Block]) -> None:
    for _ in range(1000):
        span = follower.wanted()
        if span is None:
            return
        serve(follower, ours, node, span)
    pytest.fail("the follower never stops asking")


def test_begins_with_the_first_wanted_block():
    """Without a tip the first block asked for is the start, and it is taken as it is."""
    node = make_chain(100, 10)
    ours = Chain()
    follower = follower_at(ours, start=103)
    follower.announce(ref(node[-1]), 0)
    assert follower.behind == 7
    catch_up(follower, ours, node)
    assert ours.list == node[3:]
    assert follower.behind == 0
    assert follower.wanted() is None


def test_spans_are_bounded_and_disjoint():
    """Spans are at most as long as a batch, never overlap, and stay within the window."""
    follower = Follower(None, 1, lambda _: None, span_blocks=50, window_blocks=120)
    follower.announce(BlockRef(1000, "x"), 0)
    spans = []
    while (span := follower.wanted()) is not None:
        spans.append(span)
    assert spans == [Span(1, 50), Span(51, 100), Span(101, 120)]
    follower.give_up(spans[1])
    assert follower.wanted() == Span(51, 100)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), length=st.integers(1, 60), span=st.integers(1, 7))
def test_any_order_of_answers_gives_the_chain(data, length, span):
    """Answers may come in any order, fail, or hold nothing: the chain is joined without a hole."""
    node = make_chain(1, length)
    by_num = {block.num: block for block in node}
    ours = Chain()
    follower = Follower(None, 1, ours.id_at, span_blocks=span, window_blocks=20)
    follower.announce(ref(node[-1]), 0)
    under_way: list[Span] = []
    for _ in range(2000):
        while len(under_way) < 4 and (wanted := follower.wanted()) is not None:
            under_way.append(wanted)
        if not under_way:
            break
        index = data.draw(st.integers(0, len(under_way) - 1))
        answer = under_way.pop(index)
        outcome = data.draw(st.sampled_from(["all", "all", "all", "none", "part", "failed"]))
        if outcome == "failed":
            follower.give_up(answer)
            continue
        blocks = [by_num[num] for num in answer.nums]
        if outcome == "none":
            blocks = [None] * len(blocks)
        elif outcome == "part":
            blocks = [b if data.draw(st.booleans()) else None for b in blocks]
        change = follower.receive(answer, blocks)
        while change is not None:
            ours.apply(change)
            change = follower.pending()
    else:
        pytest.skip("hypothesis drew failures only")
    assert ours.list == node


@pytest.mark.parametrize("depth", [1, 2, 7, 25])
def test_a_fork_is_walked_back_to_the_common_block(depth):
    """The removed blocks are named newest first and replaced in one change."""
    old = make_chain(1, 40)
    new = fork(old, depth, 1, "other")
    ours = Chain(old)
    follower = follower_at(ours)
    follower.announce(ref(new[-1]), 0)
    changes: list[Change] = []
    by_num = {block.num: block for block in new}
    while (span := follower.wanted()) is not None:
        change = follower.receive(span, [by_num.get(num) for num in span.nums])
        if change is not None:
            changes.append(change)
    (change,) = changes
    assert list(change.removed) == [ref(block) for block in reversed(old[40 - depth :])]
    assert list(change.appended) == new[40 - depth :]
    assert follower.tip == ref(new[-1])
    assert not follower.walking_back


def test_a_branch_that_changes_under_the_walk_changes_nothing():
    """A second node's block in the middle of a walk is no reason to remove anything."""
    old = make_chain(1, 20)
    new = fork(old, 5, 1, "one")
    third = fork(old, 5, 1, "two")
    ours = Chain(old)
    follower = follower_at(ours)
    follower.announce(ref(new[-1]), 0)
    span = follower.wanted()
    serve(follower, ours, new, span)
    assert follower.walking_back
    serve(follower, ours, third, follower.wanted())
    assert not follower.walking_back
    assert ours.list == old
    catch_up(follower, ours, new)
    assert ours.list == new


def test_an_irreversible_block_is_never_removed():
    """A chain that leaves ours below the last irreversible block is refused."""
    old = make_chain(1, 30)
    new = fork(old, 5, 1, "liar")
    ours = Chain(old)
    follower = follower_at(ours, irreversible=26)
    follower.announce(ref(new[-1]), 30)
    with pytest.raises(ForkTooDeepError, match="block 26 is irreversible"):
        catch_up(follower, ours, new)
    assert ours.list == old
    assert follower.tip == ref(old[-1])


@pytest.mark.parametrize("depth", [1, 2, 5, 14])
def test_what_was_only_called_irreversible_is_removed(depth):
    """A node's word about the newest blocks is undone where a fork proves it false."""
    old = make_chain(1, 30)
    new = fork(old, depth, depth + 1, "other")
    ours = Chain(old)
    follower = follower_at(ours, irreversible=30, reversible_blocks=15)
    follower.announce(ref(new[-1]), 30 - depth)
    catch_up(follower, ours, new)
    assert ours.list == new
    assert follower.irreversible == 30 - depth


def test_what_the_chain_itself_makes_irreversible_stays():
    """Deeper than any fork can be, no word of a node is needed, and none counts."""
    old = make_chain(1, 30)
    new = fork(old, 16, 17, "liar")
    ours = Chain(old)
    follower = follower_at(ours, irreversible=30, reversible_blocks=15)
    follower.announce(ref(new[-1]), 0)
    with pytest.raises(ForkTooDeepError, match="block 15 is irreversible"):
        catch_up(follower, ours, new)
    assert ours.list == old


@pytest.mark.parametrize("depth", [5, 7, 9])
@pytest.mark.parametrize("irreversible", [0, 3])
def test_a_fork_that_reaches_the_first_block_replaces_them_all(depth, irreversible):
    """Nothing below a young log was promised: it begins at the same place on the new branch."""
    old = make_chain(1, 10)
    new = fork(old, depth, depth + 1, "other")
    ours = Chain(old[5:])
    follower = follower_at(ours, irreversible=irreversible, oldest=lambda: 6)
    follower.announce(ref(new[-1]), 0)
    catch_up(follower, ours, new)
    assert ours.list == new[5:]
    assert follower.tip == ref(new[-1])


def test_a_fork_of_the_only_block_is_followed():
    """The commonest one there is, just after a first start at the head."""
    old = make_chain(100, 2)
    new = fork(old, 1, 1, "other")
    ours = Chain(old[1:])
    follower = follower_at(ours, oldest=lambda: 101)
    follower.announce(ref(new[-1]), 80)
    catch_up(follower, ours, new)
    assert ours.list == new[1:]


def test_a_fork_through_an_unknown_block_of_the_log_is_refused_by_name():
    """Where a block of ours cannot be read now, the error says so and nothing changes."""
    old = make_chain(1, 10)
    new = fork(old, 8, 1, "other")
    ours = Chain(old[5:])
    follower = follower_at(ours, oldest=lambda: 1)
    follower.announce(ref(new[-1]), 0)
    with pytest.raises(ForkTooDeepError, match="what our log had below block 6 is not known"):
        catch_up(follower, ours, new)
    assert ours.list == old[5:]


def test_a_tip_from_before_an_outage_may_be_undone_though_irreversible_passed_it():
    """An orphaned tip is below the node's irreversible block, and can still be undone."""
    old = make_chain(1, 20)
    new = fork(old, 2, 200, "won")
    ours = Chain(old)
    follower = follower_at(ours, irreversible=5)
    follower.announce(ref(new[-1]), new[-1].num - 15)
    assert follower.irreversible == 5, "nothing of ours is known to be on that chain yet"
    catch_up(follower, ours, new)
    assert ours.list == new
    assert follower.irreversible == new[-1].num - 15


def test_irreversible_follows_only_what_was_joined():
    """What is irreversible at the node is so here up to our tip, once it is on that chain."""
    node = make_chain(1, 100)
    ours = Chain()
    follower = Follower(None, 1, ours.id_at, span_blocks=10, window_blocks=10)
    follower.announce(ref(node[-1]), 85)
    serve(follower, ours, node, follower.wanted())
    assert follower.irreversible == 10
    catch_up(follower, ours, node)
    assert follower.irreversible == 85
    follower.announce(ref(node[-1]), 100)
    assert follower.irreversible == 100, "the head was announced as irreversible, and it is ours"


def test_a_head_never_goes_backwards():
    """A node that reports an older head makes nothing be asked for twice."""
    node = make_chain(1, 10)
    ours = Chain()
    follower = follower_at(ours)
    follower.announce(ref(node[-1]), 3)
    catch_up(follower, ours, node)
    follower.announce(ref(node[2]), 1)
    assert follower.head == 10
    assert follower.wanted() is None


@settings(max_examples=300, deadline=None)
@given(
    data=st.data(),
    rounds=st.lists(st.tuples(st.integers(0, 25), st.integers(1, 6)), min_size=1, max_size=12),
)
def test_after_any_forks_our_chain_is_the_nodes(data, rounds):
    """Whatever forks happen between and during fetches, the end is the canonical chain."""
    node = make_chain(1, 30)
    ours = Chain(list(node))
    follower = follower_at(ours, span_blocks=4, window_blocks=12)
    for index, (depth, grow) in enumerate(rounds):
        node = fork(node, min(depth, len(node) - 2), grow, f"fork {index}")
        follower.announce(ref(node[-1]), 0)
        for _ in range(data.draw(st.integers(0, 3))):  # some answers, then the next fork
            if (span := follower.wanted()) is not None:
                serve(follower, ours, node, span)
    node = [*node, make_block(node[-1].num + 1, node[-1].id)]
    follower.announce(ref(node[-1]), 0)
    catch_up(follower, ours, node)
    assert ours.list == node


def test_a_block_that_waited_is_not_irreversible_by_a_later_word():
    """A block joined long after it was fetched may have been removed meanwhile."""
    old = make_chain(1, 40)
    new = fork(old, 10, 40, "other")
    ours = Chain()
    follower = Follower(None, 1, ours.id_at, span_blocks=20, window_blocks=60)
    follower.announce(ref(old[-1]), 14)
    first, second = follower.wanted(), follower.wanted()
    serve(follower, ours, old, second)  # 21 to 40 wait for 1 to 20, and meanwhile
    follower.announce(ref(new[-1]), 44)  # 31 to 40 are removed
    serve(follower, ours, new, first)
    assert ours.list[-1].num == 40
    assert follower.irreversible == 14
    catch_up(follower, ours, new)
    assert ours.list == new
    assert follower.irreversible == 44
