"""A session through forks: undos, newest first, then the branch that is; in both modes."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from steembot.feed import wire
from steembot.operation import Cursor
from tests.feed.memory_chain import Holder, MemoryChain
from tests.feed.sessions import EVERYTHING, read, subscribe
from tests.support.blocks import TYPES

block_types = st.lists(st.sampled_from(TYPES), max_size=4).map(tuple)
wanted_types = st.one_of(
    st.just(EVERYTHING), st.lists(st.sampled_from(TYPES), min_size=1, max_size=3).map(tuple)
)


# ---- forks


class ClientThroughForks(RuleBasedStateMachine):
    """A client that reads, sleeps, dies and comes back while the chain grows and forks."""

    @initialize(
        blocks=st.lists(block_types, max_size=6),
        settled=st.integers(0, 6),
        types=wanted_types,
        mode=st.sampled_from(["head", "irreversible"]),
        begin=st.sampled_from(["head", "number", "cursor"]),
        place=st.integers(0, 30),
    )
    def begin(self, blocks, settled, types, mode, begin, place):
        """Subscribe somewhere."""
        self.chain = MemoryChain(first=10)
        self.chain.grow(*blocks)
        self.chain.settle(9 + min(settled, len(blocks)))
        self.types, self.mode = types, mode
        self.holder = Holder()
        self.resumed = False
        self.tips: list[str] = []
        operations = self.chain.operations(
            types, upto=self.chain.irreversible if mode == "irreversible" else 2**32
        )
        if begin == "cursor" and operations:
            self.holder.held = operations[: place % len(operations) + 1]
            num, identity, operation = self.holder.held[-1]
            self.holder.position = Cursor(num, identity, *operation.within_block)
        self.start = "head" if begin == "head" else str(9 + place % (len(blocks) + 1))
        self.open(credit=5)

    def open(self, credit):
        """Subscribe from where the client stands, as a bot does."""
        position = self.holder.position
        if position is None and self.start != "head" and self.chain.head is not None:
            # After a shorter branch won: a client that named a number waits for it.
            missing = int(self.start) - self.chain.head.num
            self.chain.grow(*[()] * missing)
        self.session = subscribe(
            self.chain,
            self.start if position is None else position,
            types=self.types,
            mode=self.mode,
            credit=credit,
        )
        if position is None:
            begun = self.session.position
            self.holder.begun_after = 9 if begun is None else begun.block_num
            assert self.holder.held == []
            if begun is not None and begun.block_id:
                self.holder.position = begun  # what Subscribed.after tells a client
        else:
            self.resumed = True

    def take(self, message, upto=None):
        """Do what a message says."""
        if self.mode == "irreversible":
            assert not isinstance(message, wire.Undo)
        if isinstance(message, wire.BlockMessage | wire.Undo) and not self.resumed:
            # The server knows where this client began. Later, only the client does.
            assert message.num > self.holder.begun_after or not message.operations
        self.holder.take(message, upto)

    @rule(blocks=st.lists(block_types, min_size=1, max_size=4))
    def grow(self, blocks):
        """Blocks come."""
        self.chain.grow(*blocks)

    @precondition(lambda self: self.chain.head is not None)
    @rule(more=st.integers(0, 4))
    def settle(self, more):
        """Blocks become irreversible."""
        self.chain.settle(min(self.chain.head.num, self.chain.irreversible + more))

    @precondition(lambda self: self.chain.head and self.chain.head.num > self.chain.irreversible)
    @rule(data=st.data(), blocks=st.lists(block_types, min_size=1, max_size=5))
    def fork(self, data, blocks):
        """Another branch wins."""
        chain = self.chain
        oldest_changeable = max(chain.irreversible + 1, chain.oldest)
        depth = data.draw(st.integers(1, chain.head.num - oldest_changeable + 1))
        self.tips.append(chain.head.id)
        chain.fork(depth, *blocks)

    @precondition(lambda self: self.tips)
    @rule()
    def fork_back(self):
        """The branch that lost last wins after all, unless something irreversible forbids it."""
        chain, tip = self.chain, self.tips.pop()
        lost, below = chain.removed(tip), tip
        while (block := chain.removed(below)) is not None and chain.id_at(block.num) != below:
            below = block.previous
        if lost is None or lost.num < chain.irreversible or chain.id_at(lost.num) == tip:
            return
        common = next((n for n in range(chain.oldest, 99) if chain.id_at(n) == below), None)
        if common is not None and common >= chain.irreversible:
            chain.switch_back(tip)

    @rule(steps=st.integers(1, 5))
    def receive(self, steps):
        """The client reads a little."""
        for message in read(self.session, steps):
            self.take(message)

    @rule(blocks=st.integers(1, 5))
    def grant(self, blocks):
        """The client can take more."""
        self.session.grant(blocks)

    @rule(credit=st.integers(1, 5), upto=st.integers(0, 3))
    def die(self, credit, upto):
        """The client dies in the middle of a message, and comes back."""
        step = self.session.next()
        if step is not None:
            self.session.take(step)
            self.take(step.message, upto)
        self.open(credit)

    def teardown(self):
        """In the end the client holds exactly what the chain has."""
        if not hasattr(self, "session"):
            return
        self.session.credit = wire.MAX_CREDIT
        for message in read(self.session):
            self.take(message)
        upto = self.chain.irreversible if self.mode == "irreversible" else 2**32
        truth = self.chain.operations(self.types, after=self.holder.begun_after, upto=upto)
        assert self.holder.held == truth


TestClientThroughForks = ClientThroughForks.TestCase
TestClientThroughForks.settings = settings(max_examples=400, stateful_step_count=25, deadline=None)


def test_a_fork_is_undone_newest_first_then_the_new_branch_comes():
    """Undos come newest block first, newest operation first, and then the canonical blocks."""
    chain = MemoryChain()
    chain.grow(("vote",), ("comment", "vote", "comment"), ("vote", "comment"))
    session = subscribe(chain, 0)
    before = read(session)
    chain.fork(2, ("transfer",), ("vote",), ("vote",))
    undo3, undo2, *rest = read(session)
    assert (undo3.num, undo3.id) == (3, before[2].id)
    assert undo3.operations == tuple(reversed(before[2].operations))
    assert (undo2.num, undo2.id) == (2, before[1].id)
    assert undo2.operations == tuple(reversed(before[1].operations))
    assert [(message.num, message.id) for message in rest] == [
        (num, chain.id_at(num)) for num in (2, 3, 4)
    ]


def test_undos_need_no_credit():
    """A client that can take no block hears at once that what it has is gone."""
    chain = MemoryChain()
    chain.grow(("vote",), ("vote",))
    session = subscribe(chain, 0, credit=2)
    read(session)
    chain.fork(1, ("vote",), ("vote",))
    assert [type(message) for message in read(session)] == [wire.Undo]
    assert session.credit == 0
    session.grant(1)
    assert [message.num for message in read(session)] == [2]


def test_of_a_block_taken_in_part_just_that_part_is_undone():
    """A client that stopped within a block takes back what it has of it, no more."""
    chain = MemoryChain()
    chain.grow((), ("comment", "vote", "transfer", "vote"))
    operations = chain.block(2).operations
    cursor = Cursor(2, chain.id_at(2), *operations[1].within_block)
    chain.fork(1, ("transfer",))
    undo, block = read(subscribe(chain, cursor))
    assert undo.operations == (operations[1], operations[0])
    assert (block.num, block.id) == (2, chain.id_at(2))


def test_a_shorter_branch_is_no_reason_to_refuse():
    """A cursor above the head is undone if the block was removed; it is not "above the head"."""
    chain = MemoryChain()
    chain.grow(("vote",), ("vote",), ("vote",))
    cursor = Cursor.end_of(3, chain.id_at(3))
    chain.fork(2, ("comment",))
    assert [(type(m), m.num) for m in read(subscribe(chain, cursor))] == [
        (wire.Undo, 3),
        (wire.Undo, 2),
        (wire.BlockMessage, 2),
    ]


def test_what_a_fork_restores_is_not_undone():
    """A client that was away while a branch lost and won again has nothing to take back."""
    chain = MemoryChain()
    chain.grow(("vote",), ("vote",), ("vote",))
    tip = chain.head
    chain.fork(2, ("comment",), ("comment",), ("comment",))
    chain.switch_back(tip.id)
    chain.grow(("vote",))
    assert [type(m) for m in read(subscribe(chain, Cursor.end_of(tip.num, tip.id)))] == [
        wire.BlockMessage
    ]


def test_who_began_at_the_head_does_not_take_back_what_it_never_had():
    """A fork below a client's beginning moves it, but neither undoes nor brings older blocks."""
    chain = MemoryChain()
    chain.grow(("vote",), ("vote",), ("vote",))
    session = subscribe(chain, "head")
    chain.grow(("comment",))
    holder = Holder()
    for message in read(session):
        holder.take(message)
    chain.fork(3, ("vote",), ("vote",), ("vote",), ("vote",))
    for message in read(session):
        holder.take(message)
        assert getattr(message, "num", 9) > 3 or message.operations == ()
    assert holder.held == chain.operations(EVERYTHING, after=3)


@pytest.mark.parametrize("mode", ["head", "irreversible"])
@pytest.mark.parametrize("comes_back", [False, True])
def test_a_fork_below_a_young_log_leads_on_along_the_new_branch(mode, comes_back):
    """All of the log is undone for who had it, and nobody is refused for what is below it."""
    chain = MemoryChain(first=100)
    chain.grow(("vote",), ("vote",))
    chain.settle(80)
    session = subscribe(chain, "head" if mode == "irreversible" else "99", mode=mode)
    holder = Holder()
    holder.position = session.position
    for message in read(session):
        holder.take(message)
    assert len(holder.held) == (2 if mode == "head" else 0)
    for _ in range(2):
        chain.fork_below(("comment",), ("comment",), ("comment",))
        if comes_back:
            session = subscribe(chain, holder.position, mode=mode)
        for message in read(session):
            holder.take(message)
    chain.settle(102)
    for message in read(session):
        holder.take(message)
    assert holder.held == chain.operations(EVERYTHING)


def test_what_is_below_a_young_log_comes_when_it_is_irreversible():
    """An older block is in no log: a fork of it could not be undone, so it waits until none can."""
    chain = MemoryChain(first=10)
    chain.grow(("vote",), ("vote",), ("vote",))
    (older, _, _) = chain.blocks
    chain.archive[10] = older
    chain.prune(11)
    chain.settle(9)
    session = subscribe(chain, "9")
    assert read(session) == []
    chain.settle(10)
    assert [message.num for message in read(session)] == [10, 11, 12]


# ---- mode irreversible


@pytest.mark.parametrize("after", ["head", "5", "7"])
def test_who_begins_irreversible_is_never_told_an_undo(after):
    """Also a client that began just before a fork gets what became irreversible, and no undo."""
    chain = MemoryChain()
    chain.grow(*[("vote",)] * 8)
    chain.settle(4)
    session = subscribe(chain, after, mode="irreversible")
    assert read(session) == []
    chain.fork(4, *[("comment",)] * 6)
    assert read(session) == []
    chain.settle(9)
    first = 5 if after == "head" else int(after) + 1
    messages = read(session)
    assert [(m.num, m.id) for m in messages] == [(n, chain.id_at(n)) for n in range(first, 10)]


def test_a_young_log_begins_irreversible_with_its_first_block():
    """Where the log holds no irreversible block yet, "head" is the log's beginning."""
    chain = MemoryChain(first=100)
    chain.grow(("vote",), ("vote",))
    chain.settle(80)
    session = subscribe(chain, "head", mode="irreversible")
    assert session.position == Cursor.end_of(99, chain.block(100).previous)
    again = subscribe(chain, session.position, mode="irreversible")
    chain.settle(101)
    assert [m.num for m in read(session)] == [m.num for m in read(again)] == [100, 101]


def test_nothing_above_the_irreversible_block_is_delivered():
    """The last irreversible block is the newest that the mode gives, also within its progress."""
    chain = MemoryChain()
    chain.grow(*[("vote",)] * 5, *[()] * 5)
    chain.settle(3)
    session = subscribe(chain, 0, mode="irreversible")
    assert [m.num for m in read(session)] == [1, 2, 3]
    chain.settle(8)
    assert [getattr(m, "num", None) for m in read(session)] == [4, 5, None]
    assert session.position.block_num == 8


def test_who_comes_from_mode_head_takes_back_what_it_has():
    """A cursor on a removed block gets its undo in either mode: the client does have it."""
    chain = MemoryChain()
    chain.grow(*[("vote",)] * 4)
    cursor = Cursor.end_of(4, chain.id_at(4))
    chain.fork(1, ("comment",), ("comment",))
    (undo,) = read(subscribe(chain, cursor, mode="irreversible"))
    assert (undo.num, len(undo.operations)) == (4, 1)


def test_what_was_called_irreversible_and_was_not_is_taken_back():
    """A node's false word reached a client: it is told honestly, in mode irreversible too."""
    chain = MemoryChain()
    chain.grow(*[("vote",)] * 6)
    chain.settle(6)
    session = subscribe(chain, 0, mode="irreversible")
    holder = Holder()
    for message in read(session):
        holder.take(message)
    chain.fork(2, ("comment",), ("comment",), ("comment",))
    chain.irreversible = 4
    for message in read(session):
        holder.take(message)
    assert (holder.held, holder.undone) == (chain.operations(EVERYTHING, upto=4), 2)
    chain.settle(7)
    for message in read(session):
        holder.take(message)
    assert holder.held == chain.operations(EVERYTHING)
