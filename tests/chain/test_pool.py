"""Which node is asked: order, rest, return."""

from __future__ import annotations

from steembot.chain.pool import FORGET_S, LONGEST_REST_S, STILL_S, Pool


def test_the_users_order_decides_while_all_are_well():
    """The first node is asked, again and again."""
    pool = Pool(["a", "b"])
    assert [pool.pick(float(t)) for t in range(3)] == ["a", "a", "a"]


def test_a_failing_node_rests_and_the_next_is_asked():
    """After a failure the next node in order is asked, until the first one has rested."""
    pool = Pool(["a", "b"])
    assert pool.failed("a", 0.0)
    assert pool.pick(0.1) == "b"
    assert pool.pick(0.6) == "b", "on probation: it only has to tell its head"
    assert pool.to_check(0.6, ["b"]) == ["a", "b"]
    assert pool.succeeded("a", 0.6)
    assert pool.pick(0.6) == "a"


def test_each_failure_makes_the_rest_longer_up_to_a_limit():
    """Pauses double and stay bounded; one good answer ends them."""
    pool = Pool(["a"])
    now, pauses = 0.0, []
    for _ in range(12):
        pool.failed("a", now)
        assert pool.pick(now) is None
        pauses.append(pool.rests_until(now) - now)
        now = pool.rests_until(now)
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(pauses) == LONGEST_REST_S
    assert pool.all_failing
    assert pool.succeeded("a", now)
    assert not pool.all_failing
    pool.failed("a", now + FORGET_S + 1)
    assert pool.rests_until(now + FORGET_S + 1) == now + FORGET_S + 1.5


def test_a_node_that_answers_now_and_then_rests_ever_longer():
    """One good answer makes a node well, but its failures of the last minute still count."""
    pool = Pool(["a"])
    now, pauses = 0.0, []
    for _ in range(6):
        pool.failed("a", now)
        pauses.append(pool.rests_until(now) - now)
        now = pool.rests_until(now)
        assert pool.succeeded("a", now)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0]


def test_trouble_and_return_are_each_told_once():
    """Only the first failure and the first success after it are news."""
    pool = Pool(["a"])
    assert [pool.failed("a", t) for t in (0.0, 1.0, 3.0)] == [True, False, False]
    assert [pool.succeeded("a", 9.0) for _ in range(2)] == [True, False]


def test_requests_that_fail_together_count_once():
    """Four requests under way when a node falls ill are one failure, not four."""
    pool = Pool(["a"])
    for _ in range(4):
        pool.failed("a", 10.0)
    assert pool.rests_until(10.0) == 10.5


def test_no_irreversible_block_is_nearer_to_the_head_than_the_chain_allows():
    """Unless the head stands still: then the chain has ended, as a recorded one does."""
    pool = Pool(["a"], least_lag=15)
    pool.announced("a", 100, 100, 0.0)
    assert pool.agreed_head(0.0, 1) == (100, 85)
    pool.announced("a", 101, 101, 3.0)
    assert pool.agreed_head(3.0, 1) == (101, 86)
    pool.announced("a", 101, 101, 3.0 + STILL_S)
    assert pool.agreed_head(3.0 + STILL_S, 1) == (101, 101)
    hive = Pool(["a"], least_lag=0)
    hive.announced("a", 100, 99, 0.0)
    assert hive.agreed_head(0.0, 1) == (100, 99)
