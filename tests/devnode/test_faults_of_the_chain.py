"""Faults of the chain: what a client is shown that is not, or not yet, or no longer so."""

from itertools import pairwise

import pytest

from steembot.devnode import serialize
from steembot.devnode.chain import Chain
from steembot.devnode.errors import ChainError
from steembot.devnode.generate import GeneratedBlocks
from steembot.devnode.recorded import RecordedBlocks
from steembot.devnode.server import DevNode
from steembot.devnode.thread import in_thread
from tests.conftest import GENESIS
from tests.devnode.client import (
    PROPERTIES,
    READY,
    Clock,
    answer_to,
    appbase_block,
    ask,
    block_of,
    call,
    head_of,
    running,
)


def test_missing_block_in_condenser(node):
    """The head is announced, its block is null; the one before is there."""
    node.faults.set("missing-block")
    assert head_of(node.url) == READY
    assert block_of(node.url, READY) is None
    assert ask(node.url, "condenser_api.get_block_header", [READY]) is None
    assert ask(node.url, "condenser_api.get_ops_in_block", [READY, False]) == []
    assert block_of(node.url, READY - 1)["block_id"]


def test_missing_block_in_block_api(node):
    """An empty object there; for as many blocks as told."""
    node.faults.set("missing-block:3")
    assert [appbase_block(node.url, READY - back) for back in range(3)] == [{}] * 3
    assert appbase_block(node.url, READY - 3)["block"]["block_id"]


def test_missing_block_appears():
    """It is there once it is no longer one of the newest, or when the time is over."""
    clock = Clock()
    with running(clock, faults=["missing-block:1,for:10"]) as node:
        assert block_of(node.url, READY) is None
        clock.now += 9
        head = head_of(node.url)
        assert head > READY
        assert block_of(node.url, READY)["block_id"]
        assert block_of(node.url, head) is None
        clock.now += 1
        assert block_of(node.url, head)["block_id"]


def test_hole(node):
    """Blocks in the middle that are never there."""
    node.faults.set("hole:10:12")
    blocks = [block_of(node.url, num) for num in range(9, 14)]
    assert [bool(block) for block in blocks] == [True, False, False, False, True]
    node.faults.set("hole:20")
    assert [bool(block_of(node.url, num)) for num in (12, 19, 20, 21)] == [True, True, False, True]


def test_missing_virtual(node):
    """get_ops_in_block is empty at the head; the blocks are there."""
    node.faults.set("missing-virtual:2")
    for num in (READY, READY - 1):
        assert ask(node.url, "condenser_api.get_ops_in_block", [num, True]) == []
        assert ask(node.url, "condenser_api.get_ops_in_block", [num, False]) == []
        assert block_of(node.url, num)["block_id"]
    assert ask(node.url, "condenser_api.get_ops_in_block", [READY - 2, True])


def test_stale_head(node):
    """Head, irreversible block and time are behind, and newer blocks are not there."""
    now = ask(node.url, PROPERTIES)
    node.faults.set("stale-head:10")
    then = ask(node.url, PROPERTIES)
    assert then["head_block_number"] == READY - 10
    assert then["last_irreversible_block_num"] == now["last_irreversible_block_num"] - 10
    assert then["time"] < now["time"]
    assert block_of(node.url, READY - 10)["block_id"] == then["head_block_id"]
    assert block_of(node.url, READY - 9) is None
    assert appbase_block(node.url, READY) == {}


def test_stale_head_by_more_than_there_is(node):
    """Then the oldest block is the head."""
    node.faults.set("stale-head")
    properties = ask(node.url, PROPERTIES)
    assert (properties["head_block_number"], properties["last_irreversible_block_num"]) == (1, 1)


def test_frozen_head():
    """It stays where it was when the fault was set, then jumps to where it ought to be."""
    clock = Clock()
    with running(clock) as node:
        clock.now += 30
        frozen = head_of(node.url)
        node.faults.set("frozen-head")
        clock.now += 60
        assert head_of(node.url) == frozen
        assert block_of(node.url, frozen + 1) is None
        node.faults.clear()
        assert head_of(node.url) > frozen + 10
        assert block_of(node.url, frozen + 1)["block_id"]


def test_frozen_head_from_the_start():
    """As an option it freezes what is there at start."""
    clock = Clock()
    with running(clock, faults=["frozen-head"]) as node:
        clock.now += 60
        assert head_of(node.url) == READY


def test_head_back_once(node):
    """One answer has a lower head, with an id that fits; all blocks are there."""
    node.faults.set("head-back:3")
    assert block_of(node.url, READY)["block_id"]  # does not ask for the head, does not count
    back = ask(node.url, PROPERTIES)
    assert back["head_block_number"] == READY - 3
    assert back["head_block_id"] == block_of(node.url, READY - 3)["block_id"]
    assert [head_of(node.url) for _ in range(3)] == [READY] * 3
    assert node.faults.active == ()


def test_head_back_flaps(node):
    """Every second answer has a lower head."""
    node.faults.set("head-back:1:flap")
    assert [head_of(node.url) for _ in range(4)] == [READY - 1, READY] * 2


def test_a_backend_that_is_behind(node):
    """A share of a stale head: as behind a load balancer."""
    node.faults.set("stale-head:5@0.5")
    assert {head_of(node.url) for _ in range(30)} == {READY, READY - 5}


def is_linked(blocks):
    return all(later["previous"] == earlier["block_id"] for earlier, later in pairwise(blocks))


def verified(block, num):
    """Whether id, merkle root and transaction ids of a block_api block are those of its content."""
    signed = []
    for transaction, transaction_id in zip(
        block["transactions"], block["transaction_ids"], strict=True
    ):
        data = serialize.transaction(transaction)
        if serialize.transaction_id(data) != transaction_id:
            return False
        signed.append(serialize.signed_transaction(data, transaction["signatures"]))
    root = serialize.merkle_root(signed)
    seconds = serialize.timestamp_seconds(block["timestamp"])
    header = serialize.header(block["previous"], seconds, block["witness"], root)
    return (root, serialize.block_id(header, block["witness_signature"], num)) == (
        block["transaction_merkle_root"],
        block["block_id"],
    )


def test_fork_from():
    """Two nodes of one seed share their blocks up to a number; from there on each is a chain."""
    clock = Clock()
    with running(clock) as one, running(clock, faults=["fork-from:30"]) as two:
        clock.now += 60
        head = head_of(one.url)
        assert head_of(two.url) == head > READY
        blocks = [[block_of(url, n) for n in range(25, head + 1)] for url in (one.url, two.url)]
        assert all(is_linked(each) for each in blocks)
        same = [a["block_id"] == b["block_id"] for a, b in zip(*blocks, strict=True)]
        assert same == [True] * 6 + [False] * (head - 30)
        properties = ask(two.url, PROPERTIES)
        assert properties["head_block_id"] == blocks[1][-1]["block_id"]
        assert properties["last_irreversible_block_num"] == min(
            30, ask(one.url, PROPERTIES)["last_irreversible_block_num"]
        )
        for num in (31, head):
            assert verified(appbase_block(two.url, num)["block"], num)
        two.faults.clear()
        assert [block_of(two.url, n) for n in range(25, head + 1)] == blocks[0]


def test_forks_of_one_name_agree():
    """Whenever they began: seed, number and name decide; another name is another branch."""
    clock = Clock()
    with running(clock, faults=["fork-from:50:a"]) as one, running(clock) as two:
        clock.now += 30
        assert block_of(one.url, 45) == block_of(two.url, 45)
        clock.now += 60
        head = head_of(one.url)
        assert head > 55
        two.faults.set("fork-from:50:a")
        blocks = [block_of(one.url, n) for n in range(48, head + 1)]
        assert [block_of(two.url, n) for n in range(48, head + 1)] == blocks
        two.faults.set("fork-from:50:b")
        assert block_of(two.url, 50) == blocks[2]
        assert block_of(two.url, 51)["block_id"] != blocks[3]["block_id"]


def test_fork_from_what_is_gone():
    """A block that is no longer held cannot be the common one, nor can recorded blocks fork."""
    clock = Clock()
    source = GeneratedBlocks("faults", genesis_time=GENESIS, operations=1)
    chain = Chain(source, start=clock(), ready=60, keep=20)
    with in_thread(DevNode(chain, clock=clock)) as node:
        with pytest.raises(ChainError, match="oldest block held is 41"):
            node.faults.set("http-502", "fork-from:40")
        assert node.faults.active == ()  # all or none
        node.faults.set("fork-from:41")
        branch = block_of(node.url, 42)
        with pytest.raises(ChainError):
            node.faults.set("fork-from:41:other", "fork-from:40")
        assert block_of(node.url, 42) == branch
        clock.now += 150
        head = head_of(node.url)
        assert head > 100
        assert block_of(node.url, head)["block_id"] != chain.block(head).id


def test_recorded_blocks_have_no_other_branch(chaindata):
    """That is said when the fault is set; other lies about them are possible."""
    blocks = RecordedBlocks(chaindata / "blocks" / "steem_2017_2020.chain.jsonl")
    chain = Chain(blocks, start=0.0, ready=45, interval_s=0, keep=None)
    with in_thread(DevNode(chain)) as node:
        with pytest.raises(ChainError, match="recorded blocks have no other branch"):
            node.faults.set("fork-from:30000001")
        true = block_of(node.url, 30_000_040)
        node.faults.set("other-block:30000040")
        assert block_of(node.url, 30_000_040)["block_id"] != true["block_id"]
        node.faults.set("altered-block:30000040")
        node.faults.clear("other-block")
        lie = block_of(node.url, 30_000_040)
        assert lie["block_id"] == true["block_id"]
        assert lie != true


def test_wrong_chain(node):
    """Config and version name another chain; get back to one's own by clearing."""
    node.faults.set("wrong-chain")
    wrong = "beeab0de" + "0" * 56
    assert ask(node.url, "condenser_api.get_config")["STEEM_CHAIN_ID"] == wrong
    request = call("database_api.get_version") | {"params": {}}
    assert answer_to(node.url, request)["result"]["chain_id"] == wrong
    node.faults.set(f"wrong-chain:{'ab' * 32}")
    assert ask(node.url, "condenser_api.get_config")["STEEM_CHAIN_ID"] == "ab" * 32
    node.faults.clear()
    assert ask(node.url, "condenser_api.get_config")["STEEM_CHAIN_ID"] == "0" * 64


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("hole:12", [10, 11]),
        ("missing-block:2", list(range(10, 29))),
        ("stale-head:5", list(range(10, 26))),
        ("hole:10", []),
    ],
)
def test_a_range_of_what_faults_leave(fault, expected):
    """It ends where a block is missing."""
    blocks = GeneratedBlocks("range", genesis_time=GENESIS, operations=3, hive=True)
    with in_thread(DevNode(Chain(blocks, start=0.0, ready=30), clock=lambda: 0.0)) as node:
        node.faults.set(fault)
        request = call("block_api.get_block_range") | {
            "params": {"starting_block_num": 10, "count": 100}
        }
        answer = answer_to(node.url, request)["result"]["blocks"]
        assert [serialize.block_num(block["block_id"]) for block in answer] == expected
        node.faults.set("altered-block")
        node.faults.clear(fault.partition(":")[0])
        for lie in answer_to(node.url, request)["result"]["blocks"]:
            true = node.chain.block(serialize.block_num(lie["block_id"])).appbase_block()
            assert (lie != true) == bool(operations(true))


@pytest.mark.parametrize("fault", ["altered-block", "other-block", "fork-from:10"])
def test_lies_of_a_node_of_hive(fault):
    """They are told in Hive's names too."""
    blocks = GeneratedBlocks("lies", genesis_time=GENESIS, hive=True)
    with in_thread(DevNode(Chain(blocks, start=0.0, ready=40), clock=lambda: 0.0)) as node:
        node.faults.set(fault)
        told = [each for num in range(11, 41) for each in operations(block_of(node.url, num))]
    amounts = [value["amount"] for kind, value in told if kind == "transfer"]
    assert {amount.split()[1] for amount in amounts} == {"HIVE", "HBD"}


def test_wrong_chain_of_a_node_of_hive():
    """It names Steem's."""
    blocks = GeneratedBlocks("wrong", genesis_time=GENESIS, operations=0, hive=True)
    with in_thread(DevNode(Chain(blocks, start=0.0), clock=lambda: 0.0)) as node:
        node.faults.set("wrong-chain")
        assert ask(node.url, "condenser_api.get_config")["HIVE_CHAIN_ID"] == "0" * 64


def operations(block):
    return [each for transaction in block["transactions"] for each in transaction["operations"]]


def test_altered_block(node):
    """The same id and header, but one operation is another."""
    true = [block_of(node.url, num) for num in range(20, 31)]
    busy = next(block for block in true if operations(block))
    num = serialize.block_num(busy["block_id"])
    node.faults.set(f"altered-block:{num}")
    lie = block_of(node.url, num)
    changed = [
        (one, two) for one, two in zip(operations(busy), operations(lie), strict=True) if one != two
    ]
    assert len(changed) == 1
    assert "mallory" in changed[0][1][1].values()
    assert lie | {"transactions": []} == busy | {"transactions": []}
    assert not verified(appbase_block(node.url, num)["block"], num)
    node.faults.set("altered-block")
    assert [block_of(node.url, n)["block_id"] for n in range(20, 31)] == [
        block["block_id"] for block in true
    ]
    differ = [operations(block_of(node.url, n)) for n in range(20, 31)]
    assert all(a != operations(b) for a, b in zip(differ, true, strict=True) if operations(b))


def test_other_block(node):
    """A different id, which is right for what is in it; it follows the same block."""
    num = next(n for n in range(20, READY) if operations(block_of(node.url, n)))
    true = appbase_block(node.url, num)["block"]
    node.faults.set(f"other-block:{num}")
    lie = appbase_block(node.url, num)["block"]
    assert lie["block_id"] != true["block_id"]
    assert lie["previous"] == true["previous"]
    assert lie["transactions"] != true["transactions"]
    assert verified(true, num)
    assert verified(lie, num)
    assert block_of(node.url, num)["block_id"] == lie["block_id"]
    assert block_of(node.url, num + 1)["previous"] == true["block_id"]


def test_other_block_at_the_head():
    """Without a number it is always the newest one, which is announced by its wrong id."""
    clock = Clock()
    with running(clock) as node:
        true = block_of(node.url, READY)["block_id"]
        node.faults.set("other-block")
        properties = ask(node.url, PROPERTIES)
        assert properties["head_block_id"] == block_of(node.url, READY)["block_id"] != true
        clock.now += 30
        assert block_of(node.url, READY)["block_id"] == true
        head = ask(node.url, PROPERTIES)
        assert block_of(node.url, head["head_block_number"])["block_id"] == head["head_block_id"]


def test_faults_of_the_chain_add_up():
    """A stale node on another branch that lacks its newest blocks."""
    with running(faults=["missing-block:2", "fork-from:10", "stale-head:5"]) as node:
        assert head_of(node.url) == READY - 5
        found = [bool(block_of(node.url, READY - back)) for back in range(4, 9)]
        assert found == [False, False, False, True, True]
        assert block_of(node.url, 11)["block_id"] != node.chain.block(11).id
