"""What is said of nodes that fail: at once, once a minute, and what counts."""

from __future__ import annotations

import logging

import pytest

from steembot.chain.pool import Pool
from steembot.chain.troubles import PATIENCE_S, WRONG_CHAIN_REST_S, Troubles
from steembot.errors import (
    NodeBusyError,
    NodeStatusError,
    NodeTimeoutError,
    WrongChainError,
)
from steembot.operation import Block
from steembot.repeats import REPEAT_S

URLS = ["http://a.example", "http://b.example", "http://c.example"]


@pytest.fixture(autouse=True)
def _log_of_all(caplog) -> None:
    caplog.set_level(logging.INFO)


def status(url: str, **options) -> NodeStatusError:
    return NodeStatusError(url, 502, "Bad Gateway", **options)


def block(block_id: str) -> Block:
    return Block.of(7, block_id, "0" * 40, 0, [])


def test_a_failing_node_is_counted_each_time_and_told_once(caplog):
    """By kind, with its last words; while others are well nothing is in the way."""
    troubles = Troubles(Pool(URLS), quorum=1)
    for now in (0.0, 1.0, 3.0):
        troubles.failed(URLS[0], status(URLS[0]), now)
    troubles.failed(URLS[0], NodeTimeoutError(URLS[0], "no answer within 5 s"), 8.0)
    assert troubles.errors(URLS[0]) == {"status": 3, "timeout": 1}
    assert troubles.last(URLS[0]) == "no answer within 5 s"
    assert (troubles.errors(URLS[1]), troubles.last(URLS[1])) == ({}, "")
    assert caplog.messages == [f"node {URLS[0]}: HTTP 502 Bad Gateway; asking it again later"]
    assert troubles.words == ""
    troubles.succeeded(URLS[0], 30.0)
    assert caplog.messages[1:] == [f"node {URLS[0]} is back"]


def test_a_node_that_comes_and_goes_is_told_once_a_minute(caplog):
    """Its return does not make its next failure news before the minute is over."""
    troubles = Troubles(Pool(URLS), quorum=1)
    now = 0.0
    while now < REPEAT_S:
        troubles.failed(URLS[0], status(URLS[0]), now)
        now += 35.0  # longer than any rest
        troubles.succeeded(URLS[0], now)
    assert sum("502" in line for line in caplog.messages) == 1
    # It is counted from the last time that something was said of it.
    now += REPEAT_S
    troubles.failed(URLS[0], status(URLS[0]), now)
    assert sum("502" in line for line in caplog.messages) == 2


def test_that_all_nodes_fail_is_in_the_way_until_one_is_back():
    """Its words are those of the last failure."""
    pool = Pool(URLS[:2])
    troubles = Troubles(pool, quorum=1)
    troubles.failed(URLS[0], status(URLS[0]), 0.0)
    assert troubles.words == ""
    troubles.failed(URLS[1], status(URLS[1]), 0.0)
    assert troubles.words == f"node {URLS[1]}: HTTP 502 Bad Gateway"
    troubles.succeeded(URLS[0], 1.0)
    assert troubles.words == ""


def test_too_few_for_the_quorum_is_said_with_numbers(caplog):
    """And stays in the way while fewer than must agree are well."""
    pool = Pool(URLS)
    troubles = Troubles(pool, quorum=2)
    for url in URLS[:2]:
        troubles.failed(url, status(url), 0.0)
    caplog.clear()
    troubles.too_few(1, 0.0)
    troubles.too_few(1, REPEAT_S - 1)
    assert caplog.messages == ["2 nodes must agree, and 1 of 3 answer"] == [troubles.words]
    troubles.succeeded(URLS[0], 1.0)
    assert troubles.words == ""


@pytest.mark.parametrize(
    ("error", "rest_s"),
    [
        (status(URLS[0], retry_after_s=20.0), 20.0),
        (WrongChainError(URLS[0], "serves Hive, not Steem"), WRONG_CHAIN_REST_S),
    ],
)
def test_a_rest_is_as_long_as_the_node_or_its_chain_demands(error, rest_s):
    """Longer than what a first failure costs else."""
    pool = Pool(URLS[:1])
    Troubles(pool, quorum=1).failed(URLS[0], error, 100.0)
    assert pool.rests_until(100.0) == 100.0 + rest_s


def test_a_node_that_was_not_even_asked_is_not_told(caplog):
    """It said before how long it wants no request."""
    troubles = Troubles(Pool(URLS), quorum=1)
    troubles.failed(URLS[0], NodeBusyError(URLS[0], "wants no request for 9 s more", 9.0), 0.0)
    assert caplog.messages == []
    assert troubles.errors(URLS[0]) == {NodeBusyError.kind: 1}


def test_different_blocks_are_told_when_they_last(caplog):
    """At first they are what a fork looks like; a block that comes ends it."""
    troubles = Troubles(Pool(URLS), quorum=2)
    theirs = {URLS[0]: block("a" * 40), URLS[1]: block("b" * 40)}
    troubles.split(7, theirs, 0.0)
    troubles.split(7, theirs, PATIENCE_S - 0.1)
    assert (troubles.words, caplog.messages) == ("", [])
    troubles.split(7, theirs, PATIENCE_S)
    troubles.split(7, theirs, PATIENCE_S + 1)
    assert caplog.messages == [troubles.words]
    for part in ("no 2 nodes agree on block 7", f"{'a' * 40} at {URLS[0]}", URLS[1]):
        assert part in troubles.words
    troubles.agreed()
    assert troubles.words == ""
    troubles.split(8, theirs, PATIENCE_S + 2)
    assert troubles.words == "", "the next one has its own patience"


def test_a_chain_below_what_is_wanted_is_no_trouble_but_said(caplog):
    """Once a minute."""
    troubles = Troubles(Pool(URLS), quorum=1)
    for now in (0.0, 1.0, REPEAT_S):
        troubles.below(500, 120, now)
    assert caplog.messages == ["waiting for block 500: the node's head is block 120"] * 2
    assert troubles.words == ""
