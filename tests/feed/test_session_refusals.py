"""What a session refuses: each with a code and one line that says why."""

from __future__ import annotations

import pytest

from steembot.feed import wire
from steembot.feed.session import Session
from steembot.feed.wire import ErrorCode
from steembot.operation import Cursor
from tests.feed.memory_chain import MemoryChain
from tests.feed.sessions import read, refused, subscribe
from tests.support.blocks import block_id


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
