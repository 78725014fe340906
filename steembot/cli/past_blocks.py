"""A range of past blocks from the configured nodes, in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from steembot.chain.node import Node
from steembot.chain.profiles import PROFILES
from steembot.errors import NodeAnswerError, NodeError
from steembot.operation import Block
from steembot.settings import Settings

TRIES = 5
FIRST_PAUSE_S = 0.5

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
    nodes = [
        Node(
            url,
            virtual_ops=given.virtual_ops,
            profile=PROFILES[given.chain],
            requests_per_s=given.node_rate,
        )
        for url in given.nodes
    ]
    span = min(node.max_blocks for node in nodes)
    for start in range(first, last + 1, span):
        yield from _span(nodes, range(start, min(start + span, last + 1)), ask)


def _span(
    nodes: list[Node], nums: range, ask: Callable[[Node, range], list[_T | None]]
) -> list[_T]:
    for attempt in range(TRIES):
        for node in nodes:
            try:
                found = ask(node, nums)
                for num, block in zip(nums, found, strict=True):
                    if block is None:
                        raise NodeAnswerError(node.url, f"no block {num}")
                return [block for block in found if block is not None]
            except NodeError as error:
                last_error = error
        time.sleep(FIRST_PAUSE_S * 2**attempt)
    raise last_error
