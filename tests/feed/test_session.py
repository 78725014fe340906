"""What one client gets next, whatever the chain does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from steembot.errors import FeedError
from steembot.feed import wire
from steembot.feed.session import SCAN_BLOCKS, Session
from steembot.feed.wire import ErrorCode
from steembot.operation import Cursor
from tests.feed.memory_chain import Holder, MemoryChain
from tests.support.blocks import TYPES, block_id, make_block

EVERYTHING = ("*",)

block_types = st.lists(st.sampled_from(TYPES), max_size=4).map(tuple)
wanted_types = st.one_of(
    st.just(EVERYTHING), st.lists(st.sampled_from(TYPES), min_size=1, max_size=3).map(tuple)
)


def subscribe(chain, after, *, types=EVERYTHING, mode="head", credit=wire.MAX_CREDIT) -> Session:
    """Open a session."""
    request = wire.Subscribe(wire.VERSION, "test", list(types), mode, str(after), credit)
    return Session(request, chain)


def read(session, steps=None) -> list[wire.Reply]:
    """Take what there is, or so many steps of it."""
    messages = []
    while steps is None or len(messages) < steps:
        step = session.next()
        if step is None:
            break
        session.take(step)
        messages.append(step.message)
    return messages


def refused(call) -> FeedError:
    """Return the error that a call ends in."""
    with pytest.raises(FeedError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return caught.value


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
    read(session)
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


# ---- refusals


def test_another_version_is_refused_with_both():
    """The error says which versions met, and what to do."""
    request = wire.Subscribe(2, "test", ["*"], "head", "head", 1)
    error = refused(lambda: Session(request, MemoryChain()))
    assert error.code == ErrorCode.VERSION
    assert "version 1" in str(error)
    assert "client 2" in str(error)


@pytest.mark.parametrize("after", ["", "tail", "-1", "1.5", "\u0661", "1-2-3-4-5", "HEAD", " 5"])
def test_a_place_that_is_none_is_refused(after):
    """``after`` is head, a number or a cursor; anything else is said to be wrong."""
    chain = MemoryChain()
    chain.grow(("vote",))
    error = refused(lambda: subscribe(chain, after))
    assert error.code == ErrorCode.BAD_MESSAGE
    assert "head, a block number or a cursor" in str(error)


@pytest.mark.parametrize("blocks", [0, 3])
def test_a_number_of_more_than_32_bits_is_refused(blocks):
    """No block has such a number, and no block log need be asked for it."""
    chain = MemoryChain()
    chain.grow(*[("vote",)] * blocks)
    for after in (str(2**32), "9" * 128):
        error = refused(lambda after=after: subscribe(chain, after))
        assert error.code == ErrorCode.BAD_MESSAGE
        assert len(str(error)) < 200
    assert (
        refused(lambda: subscribe(chain, 2**32 - 1)).code == ErrorCode.ABOVE_HEAD if blocks else 1
    )


def test_above_the_head_is_refused_with_the_head():
    """A place that the chain has not reached is refused with words that say how far it is."""
    chain = MemoryChain()
    chain.grow(("vote",), ("vote",))
    for after in ("3", str(Cursor(3, block_id(3, ""), 0, 0))):
        error = refused(lambda after=after: subscribe(chain, after))
        assert error.code == ErrorCode.ABOVE_HEAD
        assert "block 3" in str(error)
        assert "block 2" in str(error)
    subscribe(chain, 2)


def test_older_than_the_log_is_refused_with_its_beginning():
    """What the log no longer holds is refused; the block just before its first is not."""
    chain = MemoryChain()
    chain.grow(*[("vote",)] * 10)
    before = {num: chain.id_at(num) for num in range(1, 11)}
    chain.prune(oldest=6)
    for after in ("4", str(Cursor.end_of(4, before[4])), str(Cursor(5, before[5], 0, 0))):
        error = refused(lambda after=after: subscribe(chain, after))
        assert error.code == ErrorCode.TOO_OLD
        assert "begins with block 6" in str(error)
    for after in ("5", Cursor.end_of(5, before[5])):
        assert [m.num for m in read(subscribe(chain, after))] == [6, 7, 8, 9, 10]


def test_a_block_nobody_knows_is_refused():
    """A cursor on a block that is on no branch that the log holds is refused, with the block."""
    chain = MemoryChain()
    chain.grow(*[("vote",)] * 10)
    chain.prune(oldest=6)
    strange = block_id(8, "", "elsewhere")
    for cursor in (Cursor(8, strange, 0, 0), Cursor.end_of(5, strange)):
        error = refused(lambda cursor=cursor: subscribe(chain, cursor))
        assert error.code == ErrorCode.UNKNOWN_BLOCK
        assert strange in str(error)


def test_a_sleeper_that_the_log_leaves_behind_is_told():
    """A client without credit for longer than the log reaches back gets an error, not a gap."""
    chain = MemoryChain()
    chain.grow(*[("vote",)] * 10)
    session = subscribe(chain, 0, credit=2)
    read(session)
    chain.prune(oldest=4)
    session.grant(1)
    error = refused(session.next)
    assert error.code == ErrorCode.TOO_OLD
    assert "begins with block 4" in str(error)


def test_a_sleeper_whose_undo_is_gone_is_told():
    """A client that can no longer be told what to take back gets an error, and is never stuck."""
    chain = MemoryChain()
    chain.grow(*[("vote",)] * 6)
    session = subscribe(chain, 0, credit=4)
    read(session)
    chain.fork(4, *[("comment",)] * 8)
    chain.prune(oldest=5)
    session.grant(1)
    assert refused(session.next).code == ErrorCode.UNKNOWN_BLOCK


def test_an_undo_whose_end_is_gone_is_told():
    """If the log holds just a part of what is to be undone, the client is told when it ends."""
    chain = MemoryChain()
    chain.grow(*[("vote",)] * 6)
    cursor = Cursor.end_of(6, chain.id_at(6))
    chain.fork(4, *[("comment",)] * 8)
    chain.prune(oldest=5)
    session = subscribe(chain, cursor)
    assert [m.num for m in read(session, 2)] == [6, 5]
    assert refused(session.next).code == ErrorCode.UNKNOWN_BLOCK


def test_credit_has_a_limit():
    """Credit above the limit is refused, with both numbers."""
    chain = MemoryChain()
    session = subscribe(chain, "head", credit=wire.MAX_CREDIT - 1)
    session.grant(1)
    error = refused(lambda: session.grant(1))
    assert error.code == ErrorCode.TOO_MUCH_CREDIT
    assert "1001" in str(error)
    assert "1000" in str(error)
    assert session.credit == wire.MAX_CREDIT


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
