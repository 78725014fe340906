"""A range of past blocks from the configured nodes, in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from steembot.chain.node import Node
from steembot.errors import NodeAnswerError, NodeError
from steembot.operation import Block
from steembot.settings import Settings

ROUNDS = 5
"""How often each node is asked for the same blocks."""

FIRST_PAUSE_S = 0.5
"""After a round in which all of them failed; then twice as long each time."""

_T = TypeVar("_T")


def blocks(given: Settings, first: int, last: int) -> Iterator[Block]:
    """Yield the blocks from ``first`` to ``last``. Raises :class:`~steembot.errors.NodeError`."""
    return _range(given, first, last, lambda node, nums: node.blocks(nums, nums[-1]))


def raw_blocks(given: Settings, first: int, last: int) -> Iterator[bytes]:
    """Yield them as a node wrote them, in JSON. Raises :class:`~steembot.errors.NodeError`."""
    without = msgspec.structs.replace(given, virtual_ops=False)
    return _range(without, first, last, lambda node, nums: node.raw_blocks(nums))


def _range(
    given: Settings, first: int, last: int, ask: Callable[[Node, range], list[_T | None]]
) -> Iterator[_T]:
    nodes = deque(
        Node(
            url,
            virtual_ops=given.virtual_ops,
            profile=given.profile,
            requests_per_s=given.node_rate,
        )
        for url in given.nodes
    )
    span = min(node.max_blocks for node in nodes)
    for start in range(first, last + 1, span):
        yield from _span(nodes, range(start, min(start + span, last + 1)), ask)


def _span(
    nodes: deque[Node], nums: range, ask: Callable[[Node, range], list[_T | None]]
) -> list[_T]:
    """Ask the first node, and move one that fails to the end. Raises the last of the errors."""
    for round_ in range(ROUNDS):
        if round_:
            time.sleep(FIRST_PAUSE_S * 2 ** (round_ - 1))
        for _ in range(len(nodes)):
            node = nodes[0]
            try:
                found = ask(node, nums)
                for num, block in zip(nums, found, strict=True):
                    if block is None:
                        raise NodeAnswerError(node.url, f"no block {num}")
                return [block for block in found if block is not None]
            except NodeError as error:
                nodes.rotate(-1)
                last_error = error
    raise last_error
