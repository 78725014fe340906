"""Blocks by ``get_block_range``: the same as one by one; one by one where it gives none."""

from __future__ import annotations

import json
import logging
import random
import threading
import time

import msgspec
import pytest

from steembot.chain.agreement import same
from steembot.chain.node import MAX_BATCH, MAX_RANGE, Node
from steembot.chain.pace import FIRST_REQUESTS
from steembot.chain.profiles import PROFILES
from steembot.chain.stream import UNDER_WAY_BLOCKS
from steembot.devnode.chain import Chain
from steembot.devnode.recorded import RecordedBlocks
from steembot.devnode.server import DevNode
from steembot.devnode.thread import in_thread
from steembot.errors import (
    NodeAnswerError,
    NodeRpcError,
    NodeStatusError,
    NodeUnreachableError,
)
from tests.support.following import Recorder, streaming
from tests.support.front import RANGE, fronting
from tests.support.nodes import make_chain, serving
from tests.support.scripted_http import http, reset

HIVE = PROFILES["hive"]
ONE_BY_ONE = msgspec.structs.replace(HIVE, block_range=False)
READY = 320


@pytest.fixture(scope="module")
def hive():
    """A node of Hive whose head, block 320, does not move."""
    with serving(make_chain("ranges", ready=READY, interval_s=3600, ops=20, hive=True), 1) as nodes:
        yield nodes[0]


@pytest.fixture(scope="module")
def one_by_one(hive):
    """All its blocks, as condenser_api gives them."""
    node = Node(hive.url, profile=ONE_BY_ONE)
    starts = range(1, READY + 1, MAX_BATCH)
    blocks = [
        block
        for first in starts
        for block in node.blocks(range(first, min(first + MAX_BATCH, READY + 1)), 0)
    ]
    assert None not in blocks
    return blocks


def by_range(url: str, first: int, last: int, **options):
    return Node(url, profile=HIVE, **options).blocks(range(first, last + 1), 0)


def test_a_range_is_what_its_blocks_are(hive, one_by_one):
    """Whatever its size, in one request, to the byte where the node writes both alike."""
    assert any(" HIVE" in str(op.value) for block in one_by_one for op in block.operations)
    for first, last in ((1, 2), (1, 50), (7, 106), (101, 300), (319, 320)):
        before = hive.requests
        node = Node(hive.url, profile=HIVE)
        assert node.blocks(range(first, last + 1), 0) == one_by_one[first - 1 : last]
        assert hive.requests - before == 2, "get_config and the range"


@pytest.mark.parametrize("name", ["steem_2017_2020.chain", "steem_1000000_1000999.block_api"])
def test_ranges_of_real_blocks(chaindata, name):
    """As real nodes wrote them: the same operations either way."""
    blocks = RecordedBlocks(chaindata / "blocks" / f"{name}.jsonl", hive=True)
    chain = Chain(blocks, start=time.monotonic(), interval_s=0, keep=None)
    last = chain.head.num
    with in_thread(DevNode(chain)) as node:
        for first in range(chain.first_num, last + 1, MAX_BATCH):
            nums = range(first, min(first + MAX_BATCH, last + 1))
            ranged = Node(node.url, profile=HIVE).blocks(nums, 0)
            single = Node(node.url, profile=ONE_BY_ONE).blocks(nums, 0)
            assert None not in ranged
            assert all(map(same, ranged, single))


def test_another_way_to_write_json_makes_no_other_block(hive, one_by_one):
    """Some fronts have ranges from a database, with members in another order, and with spaces."""

    def rewrite(body, ask):
        return json.dumps(json.loads(ask()), sort_keys=True, indent=1).encode()

    with fronting(hive.url, rewrite) as front:
        blocks = by_range(front.url, 1, 200)
        assert front.ranges == 1
    assert blocks != one_by_one[:200]
    assert all(map(same, blocks, one_by_one))


def test_beyond_the_head_there_is_nothing(hive, one_by_one):
    """``None`` for each block that is not there yet."""
    assert by_range(hive.url, 311, 325) == [*one_by_one[310:], *[None] * 5]
    assert by_range(hive.url, 321, 420) == [None] * 100


def test_what_is_missing_in_a_range_is_asked_for_by_itself(hive, one_by_one):
    """A front may have ranges from a server that lags; only what both lack is missing."""

    def lag(body, ask):
        if RANGE not in body:
            return None
        (reply,) = json.loads(ask())
        del reply["result"]["blocks"][5:]
        return msgspec.json.encode([reply])

    with fronting(hive.url, lag) as front:
        node = Node(front.url, profile=HIVE)
        fetched = node.fetch(range(1, 121), 0)
        assert fetched.results == one_by_one[:120]
        assert front.ranges == 1
        assert len(front.requests) == 5, "get_config, the range, and 115 blocks in three batches"
        assert node.max_adjacent == MAX_RANGE
        assert fetched.size_bytes > sum(len(block.packed) for block in one_by_one[:120])


def test_a_hole_does_not_hide_what_is_behind_it(hive, one_by_one):
    """A range ends before a block that is missing."""
    hive.faults.set("hole:12")
    try:
        blocks = by_range(hive.url, 10, 20)
    finally:
        hive.faults.clear()
    assert blocks == [*one_by_one[9:11], None, *one_by_one[12:20]]


def rpc_error(code: int) -> bytes:
    return json.dumps([{"id": 0, "error": {"code": code, "message": "no"}}]).encode()


def blocks_of(ask) -> tuple[list[dict], list[dict]]:
    (reply,) = replies = json.loads(ask())
    return replies, reply["result"]["blocks"]


def with_body(value) -> object:
    """A range whose first operation is a transfer with this body."""

    def change(ask) -> bytes:
        replies, blocks = blocks_of(ask)
        first = next(block for block in blocks if block["transactions"])
        first["transactions"][0]["operations"][0] = {"type": "transfer_operation", "value": value}
        return msgspec.json.encode(replies)

    return change


@pytest.mark.parametrize(
    ("answer", "for_good"),
    [
        (http(b"<html>", "404 Not Found"), True),
        (http(b"<html>", "400 Bad Request"), True),
        (http(b"<html>", "403 Forbidden"), True),
        (http(b"<html>", "405 Method Not Allowed"), True),
        (rpc_error(-32002), True),
        (rpc_error(-32601), True),
        (rpc_error(1200), True),
        (rpc_error(1300), True),
        (rpc_error(-32601)[1:-1], True),
        (rpc_error(-32603), False),
        (rpc_error(-32003), False),
        (b'[{"id":0,"result":null}]', False),
        (b'[{"id":0,"result":{}}]', False),
        (b'[{"id":0,"result":{"blocks":[{}]}}]', False),
        (b'[{"id":0,"result":{"blocks":[null]}}]', False),
        (with_body({"amount": {"amount": "1", "precision": 3, "nai": "@@000000099"}}), False),
        (with_body({"extensions": [{"type": "void_t", "value": {}}]}), False),
    ],
)
def test_a_node_without_ranges_gives_its_blocks_one_by_one(
    hive, one_by_one, answer, for_good, caplog
):
    """Not known to it: never asked again, and said once. Not understood: not of these blocks."""
    caplog.set_level(logging.INFO)

    def refuse(body, ask):
        if RANGE not in body:
            return None
        return answer(ask) if getattr(answer, "__name__", "") == "change" else answer

    with fronting(hive.url, refuse) as front:
        node = Node(front.url, profile=HIVE)
        assert node.max_adjacent == MAX_RANGE
        assert node.blocks(range(1, 121), 0) == one_by_one[:120]
        assert node.max_adjacent == (MAX_BATCH if for_good else MAX_RANGE)
        assert node.blocks(range(121, 131), 0) == one_by_one[120:130]
        assert front.ranges == (1 if for_good else 2)
    said = [line for line in caplog.messages if "gives no ranges of blocks" in line]
    assert len(said) == for_good


def test_a_steem_devnode_is_a_node_without_ranges(still_node):
    """As steemd answers."""
    still_node.faults.set(f"wrong-chain:{HIVE.chain_id}")
    try:
        node = Node(still_node.url, profile=HIVE)
        assert [block.num for block in node.blocks(range(1, 61), 0)] == list(range(1, 61))
        assert node.max_adjacent == MAX_BATCH
    finally:
        still_node.faults.clear()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (http(b"", "500 Internal Server Error"), NodeStatusError),
        (http(b"", "502 Bad Gateway"), NodeStatusError),
        (http(b"", "429 Too Many Requests"), NodeStatusError),
        (http(b"", "503 Service Unavailable"), NodeStatusError),
        (reset, NodeUnreachableError),
        (b'[{"id":0,"result":{"blocks":[{"previous":', NodeAnswerError),
        (b"11 eof_exception", NodeAnswerError),
        (b"[]", NodeAnswerError),
    ],
)
def test_what_has_nothing_to_do_with_ranges_is_the_nodes_failure(hive, answer, error):
    """It is raised at once, and the next blocks are asked for as a range again."""
    with fronting(hive.url, lambda body, _: answer if RANGE in body else None) as front:
        node = Node(front.url, profile=HIVE)
        with pytest.raises(error):
            node.blocks(range(1, 11), 0)
        assert front.ranges == len(front.requests) - 1 == 1
        assert node.max_adjacent == MAX_RANGE


def test_a_node_that_gives_neither_has_failed(hive, one_by_one):
    """And that says nothing about its ranges."""
    answers = [http(b"", "404 Not Found"), rpc_error(-32601)]

    def fail_twice(body, ask):
        return answers.pop(0) if answers and b"get_config" not in body else None

    with fronting(hive.url, fail_twice) as front:
        node = Node(front.url, profile=HIVE)
        with pytest.raises(NodeRpcError):
            node.blocks(range(1, 11), 0)
        assert node.blocks(range(1, 11), 0) == one_by_one[:10]
        assert front.ranges == 2


def other_id(blocks):
    blocks[3]["block_id"] = f"{77:08x}" + blocks[3]["block_id"][8:]


def other_previous(blocks):
    blocks[3]["previous"] = f"{77:08x}" + blocks[3]["previous"][8:]


def swapped(blocks):
    blocks[3], blocks[4] = blocks[4], blocks[3]


def one_more(blocks):
    blocks.append(blocks[-1])


def without_ids(blocks):
    next(block for block in blocks if block["transactions"])["transaction_ids"].pop()


def odd_time(blocks):
    blocks[2]["timestamp"] = "yesterday"


@pytest.mark.parametrize(
    "change", [other_id, other_previous, swapped, one_more, without_ids, odd_time]
)
def test_each_block_of_a_range_is_checked(hive, change):
    """As one by one: number in the ids, an id for each transaction, a time."""

    def spoil(body, ask):
        if RANGE not in body:
            return None
        replies, blocks = blocks_of(ask)
        change(blocks)
        return msgspec.json.encode(replies)

    with fronting(hive.url, spoil) as front, pytest.raises(NodeAnswerError):
        by_range(front.url, 1, 20)


def test_ranges_are_not_asked_for_where_they_are_of_no_use(hive, one_by_one):
    """For one block, for blocks apart, with virtual operations, for what is written down as is."""
    with fronting(hive.url, lambda *_: None) as front:
        node = Node(front.url, profile=HIVE)
        assert node.blocks([7], 0) == one_by_one[6:7]
        assert node.blocks([7, 9], 0) == [one_by_one[6], one_by_one[8]]
        assert node.poll(8)[1] == one_by_one[7]
        assert all(b'["vote",' in raw for raw in node.raw_blocks(range(1, 4)) if b"vote" in raw)
        virtual = Node(front.url, profile=HIVE, virtual_ops=True)
        assert virtual.max_adjacent == virtual.max_blocks == MAX_BATCH // 2
        assert len(virtual.blocks(range(1, 21), 0)) == 20
        steem = Node(front.url, profile=ONE_BY_ONE)
        assert steem.max_adjacent == steem.max_blocks == MAX_BATCH
        assert front.ranges == 0


def test_nodes_agree_whichever_way_they_are_asked(hive, one_by_one):
    """One gives ranges, one does not, one writes JSON in its own way: nobody is blamed."""

    def rewrite(body, ask):
        return json.dumps(json.loads(ask()), sort_keys=True).encode()

    def refuse(body, ask):
        return rpc_error(-32601) if RANGE in body else None

    recorder = Recorder()
    with (
        fronting(hive.url, rewrite) as odd,
        fronting(hive.url, refuse) as old,
        streaming(recorder, [hive.url, odd.url, old.url], profile=HIVE, quorum=3) as stream,
    ):
        recorder.wait_for(READY)
        assert stream.situation.ill == 0
        assert not any(state.errors for state in stream.nodes())
        assert odd.ranges > 1
        assert 1 <= old.ranges <= FIRST_REQUESTS, "those that were under way together"
    assert all(map(same, recorder.blocks, one_by_one))


def test_a_lie_within_a_range_is_found_out(hive, one_by_one):
    """Who changes an operation is outvoted, as one by one."""
    recorder = Recorder()
    chain = make_chain("lies", ready=100, interval_s=3600, ops=5, hive=True)
    with serving(chain, 3) as nodes:
        nodes[0].faults.set("altered-block")
        with streaming(recorder, nodes.urls, profile=HIVE, quorum=2) as stream:
            recorder.wait_for(100)
            states = {state.url: state for state in stream.nodes()}
        truth = Node(nodes.urls[1], profile=ONE_BY_ONE).blocks(range(1, 51), 0)
    assert recorder.blocks[:50] == truth
    assert states[nodes.urls[0]].errors.get("disagrees")
    assert not states[nodes.urls[1]].errors


def test_much_is_asked_for_at_once_but_not_too_much():
    """Up to 200 blocks in a request, and 800 under way: they may turn out to be heavy."""
    under_way = most = 0
    sizes = []
    lock = threading.Lock()

    def count(body, ask):
        nonlocal under_way, most
        if RANGE not in body:
            return None
        (call,) = json.loads(body)
        blocks = call["params"]["count"]
        with lock:
            sizes.append(blocks)
            under_way += blocks
            most = max(most, under_way)
        answer = ask()
        time.sleep(0.05)  # the way to a node, which the number of requests follows
        with lock:
            under_way -= blocks
        return answer

    recorder = Recorder()
    chain = make_chain("much", ready=6000, interval_s=3600, ops=0, hive=True)
    with (
        serving(chain, 1) as nodes,
        fronting(nodes.urls[0], count) as front,
        streaming(recorder, [front.url], profile=HIVE),
    ):
        recorder.wait_for(6000, timeout_s=60)
    assert max(sizes) == MAX_RANGE
    assert 2 * MAX_RANGE < most <= UNDER_WAY_BLOCKS


def test_no_more_than_a_batch_once_there_are_no_ranges(hive):
    """The stream sees it at once, although it began with more in mind."""
    recorder = Recorder()
    refuse = rpc_error(-32601)
    with (
        fronting(hive.url, lambda body, _: refuse if RANGE in body else None) as front,
        streaming(recorder, [front.url], profile=HIVE) as stream,
    ):
        recorder.wait_for(READY)
        assert stream.situation.ill == 0
        assert stream._follower.span_blocks == MAX_BATCH
        batches = [json.loads(body) for body in front.requests]
    assert max(map(len, batches)) == MAX_BATCH


MIXED = [
    *("http-502@0.3", "http-503:1@0.2", "internal-error@0.3", "truncated@0.3", "reset@0.3"),
    *("hang@0.05", "missing-block:2", "frozen-head", "stale-head:30", "head-back:20:flap"),
    *("batch-limit:20", "plain-text@0.3", "database-lock@0.3", "latency:300", "refuse"),
    *("server-error@0.3", "empty-body@0.3", "drip@0.05", "hole:{next}", "http-403@0.3"),
]


@pytest.mark.parametrize("seed", [2])
def test_a_chain_of_hive_is_followed_through_a_mix_of_faults(seed):
    """Nothing is lost, doubled, changed or out of order while two of three nodes fail."""
    rng = random.Random(seed)
    recorder = Recorder()
    total = 5000
    chain = make_chain(f"mix {seed}", ready=20, interval_s=0.004, ops=2, hive=True)
    with serving(chain) as nodes:
        with streaming(recorder, nodes.urls, timeout_s=2, profile=HIVE):
            while (had := len(recorder.blocks)) < total:
                for node in nodes.nodes:
                    node.faults.clear()
                for node in rng.sample(nodes.nodes, 2):
                    node.faults.set(rng.choice(MIXED).format(next=had + rng.randrange(1, 50)))
                recorder.wait_for(had + rng.randrange(50, 1500), timeout_s=30)
        for node in nodes.nodes:
            node.faults.clear()
        for block in recorder.blocks[:total]:
            truth = json.loads(nodes.chain.block(block.num).condenser_json())
            assert block.id == truth["block_id"]
            told = [op for one in truth["transactions"] for op in one["operations"]]
            assert [[op.type, json.loads(op.value)] for op in block.operations] == told
    assert [block.num for block in recorder.blocks[:total]] == list(range(1, total + 1))
