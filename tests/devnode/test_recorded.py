"""Recorded blocks: both shapes, wrapped or not, and every way in which a file can be wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot.devnode import serialize, shapes
from steembot.devnode.chain import Chain
from steembot.devnode.errors import BlockError, BlocksError, ChainError
from steembot.devnode.recorded import RecordedBlocks


@pytest.fixture
def write(tmp_path):
    """Write a file of blocks, an object or a text a line, and return its path."""

    def write_lines(*lines):
        path = tmp_path / "blocks.jsonl"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("".join(text + "\n" for text in texts))
        return path

    return write_lines


def all_blocks(path):
    """Every block of a file."""
    chain = Chain(RecordedBlocks(path), start=0, interval_s=0, keep=None)
    return [chain.block(num) for num in range(chain.first_num, chain.head.num + 1)]


def recorded(chaindata, name):
    """The blocks of a recorded file, as they stand there."""
    with (chaindata / "blocks" / name).open() as lines:
        for line in lines:
            record = json.loads(line)
            yield record.get("block", record)


def test_reads_what_a_node_answers(write, generated):
    """Either shape, bare or wrapped, gives the same blocks."""
    appbase = [block.appbase_block() for block in generated[:4]]
    condenser = [json.loads(block.condenser_json()) for block in generated[:4]]
    path = write(
        appbase[0],
        {"block_num": 2, "block": condenser[1]},
        "",
        condenser[2],
        {"block_num": 4, "source": "somewhere", "block": appbase[3]},
    )
    for read, block in zip(all_blocks(path), generated, strict=False):
        assert read.id == block.id
        assert read.appbase_json() == block.appbase_json()
        assert read.condenser_json() == block.condenser_json()
        assert read.timestamp == block.timestamp


def changed(block, **members):
    """A block with other members."""
    return block.appbase_block() | members


def test_errors_name_file_line_and_reason(write, generated):
    """One line that a person can act on, for each kind of wrong file."""
    first, second, third = (block.appbase_block() for block in generated[:3])
    bad = {**second["transactions"][0], "operations": [["vote"]]}
    no_dollars = {"type": "transfer_operation", "value": {"amount": "1 dollar"}}
    unpriced = {**second["transactions"][0], "operations": [no_dollars]}
    for lines, line, reason in [
        ((), None, "no block in it"),
        ((first, "{"), 2, "not JSON"),
        ((first, "[1]"), 2, "not an object"),
        (({"block": None},), 1, "`block` is not an object"),
        (({"previous": "0" * 40},), 1, "the block has no timestamp, witness"),
        ((first, third), 2, "does not follow block 1 of the line before"),
        ((first, first), 2, "does not follow"),
        (({"block_num": 7, "block": first},), 1, "block_num is 7, but the block's id says 1"),
        ((changed(generated[0], timestamp="yesterday"),), 1, "not as a node answers it"),
        ((changed(generated[0], block_id=5),), 1, "not as a node answers it"),
        ((changed(generated[1], transactions=[{}]),), 1, "transaction 0 has no ref_block_num"),
        ((changed(generated[1], transactions=[5]),), 1, "transaction 0 is not an object"),
        ((changed(generated[1], transactions=[]),), 1, "they must be as many"),
        ((changed(generated[1], transactions=[bad]),), 1, "transaction 0, operation 0 is neither"),
        ((changed(generated[1], transactions=[unpriced]),), 1, "asset '1 dollar' is not like"),
    ]:
        path = write(*lines)
        with pytest.raises(BlocksError) as caught:
            RecordedBlocks(path)
        text = str(caught.value)
        assert reason in text
        assert text.startswith(f"{path}:{line}: " if line else f"{path}: ")
        assert "\n" not in text
        assert caught.value.line == line


def test_missing_file(tmp_path):
    """The system's reason is in the error."""
    with pytest.raises(BlocksError, match="cannot be read: No such file"):
        RecordedBlocks(tmp_path / "nothing")


def test_does_not_fork(write, generated):
    """A recording has one branch."""
    blocks = RecordedBlocks(write(generated[0].appbase_block()))
    with pytest.raises(ChainError, match="cannot fork"):
        blocks.rewind(generated[0])


@given(st.integers(-(2**62), 2**62), st.sampled_from(["STEEM", "SBD", "VESTS"]))
def test_assets_survive_both_shapes(amount, symbol):
    """Text and back is the same asset."""
    value = shapes.asset(amount, symbol)
    text = shapes.legacy_asset(value)
    if amount >= 0:
        assert shapes.parse_asset(text) == value
    assert text.endswith(symbol)


def test_unknown_assets_are_errors():
    """Steem has three assets."""
    with pytest.raises(BlockError, match="known are @@000000013"):
        shapes.legacy_asset({"amount": "1", "precision": 3, "nai": "@@000000099"})


def test_a_memo_is_not_an_asset():
    """Text that looks like an amount stays text."""
    operation = ["transfer", {"from": "a", "to": "b", "amount": "1.000 SBD", "memo": "1.000 SBD"}]
    converted = shapes.appbase_operation(operation)
    assert converted["value"]["memo"] == "1.000 SBD"
    assert converted["value"]["amount"] == shapes.asset(1000, "SBD")
    assert shapes.legacy_operation(converted) == operation


def test_every_generated_operation_survives_both_shapes(generated):
    """To the condenser's shape and back changes nothing, virtual operations included."""
    for block in generated:
        appbase = block.appbase_block()
        assert shapes.appbase_block(json.loads(block.condenser_json())) == appbase
        for each in block.virtual_operations():
            legacy = shapes.legacy_operation(each.operation)
            assert shapes.appbase_operation(legacy) == each.operation


def as_recorded(answered, block):
    """The condenser shape less what nodes did otherwise when the block was recorded."""
    for transaction, old in zip(answered["transactions"], block["transactions"], strict=True):
        if "transaction_id" not in old:  # before 2018
            for member in ("transaction_id", "block_num", "transaction_num"):
                del transaction[member]
        elif not old["block_num"]:  # 0.19.4 forgot to fill these in
            transaction |= {"block_num": 0, "transaction_num": 0}
    return answered


def test_shapes_equal_the_recorded_ones(chaindata):
    """Both shapes of the same 45 real blocks, to the order of the members."""
    both = zip(
        recorded(chaindata, "steem_2017_2020.recorded.jsonl"),
        recorded(chaindata, "steem_2017_2020.block_api.jsonl"),
        strict=True,
    )
    for condenser, appbase in both:
        if '["0", 3, "@@' in json.dumps(condenser):
            continue  # two nodes of April 2018, whose assets were arrays
        num = serialize.block_num(appbase["block_id"])
        assert json.dumps(shapes.appbase_block(condenser)) == json.dumps(appbase)
        answered = as_recorded(shapes.legacy_block(appbase, num), condenser)
        assert json.dumps(answered) == json.dumps(condenser)


@pytest.mark.parametrize(
    "name", ["steem_2017_2020.recorded.jsonl", "steem_1000000_1000999.block_api.jsonl"]
)
def test_recorded_hashes_are_recomputed(chaindata, name):
    """Block ids, transaction ids and merkle roots of real blocks come out of our serialization.

    Of all 1639 transactions, though two kinds must not be taken as they look: a limit order that
    expires at "1969-12-31T23:59:59" (the largest value, read as -1), and assets written as arrays.
    """
    for block in recorded(chaindata, name):
        appbase = shapes.appbase_block(block)
        packed = [serialize.transaction(each) for each in appbase["transactions"]]
        assert list(map(serialize.transaction_id, packed)) == block["transaction_ids"]
        signed = [
            serialize.signed_transaction(data, each["signatures"])
            for data, each in zip(packed, appbase["transactions"], strict=True)
        ]
        root = serialize.merkle_root(signed)
        assert root == block["transaction_merkle_root"]
        time = serialize.timestamp_seconds(block["timestamp"])
        header = serialize.header(block["previous"], time, block["witness"], root)
        num = serialize.block_num(block["block_id"])
        assert serialize.block_id(header, block["witness_signature"], num) == block["block_id"]


@pytest.mark.parametrize(
    ("name", "first", "count"),
    [
        ("steem_2017_2020.chain.jsonl", 30_000_000, 45),
        ("steem_1000000_1000999.block_api.jsonl", 1_000_000, 1000),
    ],
)
def test_recorded_chains_load(chaindata, name, first, count):
    """The recorded chains are chains."""
    blocks = RecordedBlocks(chaindata / "blocks" / name)
    assert (blocks.first_num, len(blocks)) == (first, count)


def test_recorded_blocks_that_are_not_adjacent_are_refused(chaindata):
    """Line and numbers are named."""
    with pytest.raises(BlocksError, match=r":2: block 16615626 does not follow block 16429520"):
        RecordedBlocks(chaindata / "blocks" / "steem_2017_2020.recorded.jsonl")
