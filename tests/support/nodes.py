"""Several devnodes over one chain, each with faults of its own, in one thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager

from steembot.devnode.chain import Chain
from steembot.devnode.generate import GeneratedBlocks
from steembot.devnode.server import DevNode

GENESIS = 1_600_000_002


def make_chain(seed: str, *, ready: int, interval_s: float, ops: int = 10, **options) -> Chain:
    source = GeneratedBlocks(seed, genesis_time=GENESIS, operations=ops)
    return Chain(source, start=time.monotonic(), ready=ready, interval_s=interval_s, **options)


class Nodes:
    """The running nodes. Change the chain through ``call`` only."""

    def __init__(self, nodes: list[DevNode], loop: asyncio.AbstractEventLoop) -> None:
        self.nodes = nodes
        self.urls = [node.url for node in nodes]
        self._loop = loop

    def __getitem__(self, index: int) -> DevNode:
        return self.nodes[index]

    @property
    def chain(self) -> Chain:
        return self.nodes[0].chain

    def call(self, function: Callable[[], object]) -> object:
        async def run() -> object:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(20)


@contextmanager
def serving(chain: Chain, count: int = 3, **options) -> Iterator[Nodes]:
    """Serve one chain at several addresses."""
    loop = asyncio.new_event_loop()
    started = threading.Event()
    stop = asyncio.Event()
    nodes: list[DevNode] = []

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            for index in range(count):
                node = DevNode(chain, seed=index, **options)
                nodes.append(await stack.enter_async_context(node))
            started.set()
            await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            loop.close()
            started.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait()
    try:
        yield Nodes(nodes, loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
