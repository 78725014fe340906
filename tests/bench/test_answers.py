"""The node whose answers are made beforehand."""

from __future__ import annotations

import itertools
import json

import pytest

from bench.answers import Answers


@pytest.fixture(scope="module")
def answers():
    return Answers(ops=5, kinds=7)


def ask(answers: Answers, *calls: tuple[str, object]) -> list:
    sent = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate(calls)
    ]
    replies = json.loads(answers.answer(json.dumps(sent).encode()))
    assert [reply["id"] for reply in replies] == list(range(len(calls)))
    return [reply["result"] for reply in replies]


def test_its_blocks_join(answers):
    """Each block names the one before it, beyond the kinds that there are, and times go up."""
    blocks = ask(answers, *[("condenser_api.get_block", [num]) for num in range(1, 20)])
    for before, block in itertools.pairwise(blocks):
        assert block["previous"] == before["block_id"]
        assert block["timestamp"] > before["timestamp"]
    for num, block in enumerate(blocks, 1):
        assert int(block["block_id"][:8], 16) == num
        assert {each["block_num"] for each in block["transactions"]} <= {num}


def test_both_shapes_are_the_same_block(answers):
    """A caller of the block_api gets the block of that number too."""
    (old,), (new,) = (
        ask(answers, ("call", ["database_api", "get_block", [12]])),
        ask(answers, ("block_api.get_block", {"block_num": 12})),
    )
    assert new["block"]["block_id"] == old["block_id"]
    assert new["block"]["transaction_ids"] == old["transaction_ids"]


def test_its_head_is_the_newest_block(answers):
    """What it announces it has, and nothing above it."""
    (properties,) = ask(answers, ("condenser_api.get_dynamic_global_properties", []))
    head = properties["head_block_number"]
    block, above = ask(
        answers, ("condenser_api.get_block", [head]), ("condenser_api.get_block", [head + 9])
    )
    assert block["block_id"] == properties["head_block_id"]
    assert above is None
