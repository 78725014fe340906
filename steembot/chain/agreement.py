"""Which block the nodes agree on. Pure.

Nodes agree where number, id and every operation are equal. The id alone would not do: it commits
to a block's transactions by their binary form, which this program does not know for every type,
so a node could send the right id with other contents.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from steembot.operation import Block, RawOperation


class Verdict(msgspec.Struct, frozen=True):
    """``block`` is what enough nodes have, or ``None``. ``against`` holds the nodes of others.

    ``votes`` is how many nodes have the block that most have; ``split`` tells that nodes differ.
    """

    block: Block | None
    against: tuple[str, ...]
    votes: int
    split: bool


def agree(answers: Mapping[str, Block], needed: int) -> Verdict:
    """Compare one block's answers, by node. ``needed`` nodes make an agreement."""
    groups: list[tuple[Block, list[str]]] = []
    for node, block in answers.items():
        for other, nodes in groups:
            if same(block, other):
                nodes.append(node)
                break
        else:
            groups.append((block, [node]))
    groups.sort(key=lambda group: -len(group[1]))
    votes = len(groups[0][1]) if groups else 0
    if votes < needed:
        return Verdict(None, (), votes, split=len(groups) > 1)
    against = tuple(node for _, nodes in groups[1:] for node in nodes)
    return Verdict(groups[0][0], against, votes, split=bool(against))


def same(one: Block, other: Block) -> bool:
    """Tell whether two nodes' blocks are the same, however each of them writes JSON."""
    if one == other:
        return True
    if one.ref != other.ref or (one.previous, one.timestamp) != (other.previous, other.timestamp):
        return False
    ours, theirs = one.operations, other.operations  # unpacked once
    return len(ours) == len(theirs) and all(map(_same_operation, ours, theirs))


def _same_operation(one: RawOperation, other: RawOperation) -> bool:
    if one == other:
        return True
    if one.value == other.value:
        return False
    try:
        # Not by msgspec, since numbers beyond 64 bits are to be compared too.
        values = json.loads(one.value), json.loads(other.value)
    except (ValueError, RecursionError):
        return False
    return values[0] == values[1] and one == msgspec.structs.replace(other, value=one.value)


def differ(one: Block, other: Block) -> str:
    """Say in what two blocks of a number differ, for a person."""
    if one.id != other.id:
        return f"block {one.num} is {other.id} there, and {one.id} elsewhere"
    return f"block {one.ref} has other contents there than elsewhere"
