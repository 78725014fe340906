"""Several devnodes over one chain, each with faults of its own, in one thread."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from steembot.devnode.chain import Chain
from steembot.devnode.generate import GeneratedBlocks
from steembot.devnode.server import DevNode
from steembot.devnode.thread import in_thread
from tests.conftest import GENESIS


def make_chain(
    seed: str, *, ready: int, interval_s: float, ops: int = 10, hive: bool = False, **options
) -> Chain:
    source = GeneratedBlocks(seed, genesis_time=GENESIS, operations=ops, hive=hive)
    return Chain(source, start=time.monotonic(), ready=ready, interval_s=interval_s, **options)


class Nodes:
    """The running nodes. Change the chain through ``call`` only."""

    def __init__(self, nodes: list[DevNode]) -> None:
        self.nodes = nodes
        self.urls = [node.url for node in nodes]
        self.call = nodes[0].call

    def __getitem__(self, index: int) -> DevNode:
        return self.nodes[index]

    @property
    def chain(self) -> Chain:
        return self.nodes[0].chain


@contextmanager
def serving(chain: Chain, count: int = 3, **options) -> Iterator[Nodes]:
    """Serve one chain at several addresses."""
    nodes = [DevNode(chain, seed=index, **options) for index in range(count)]
    with in_thread(*nodes):
        yield Nodes(nodes)
