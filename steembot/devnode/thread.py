"""Devnodes in a thread of their own, for callers without an event loop: tests above all."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

from steembot.devnode.server import DevNode


@contextmanager
def in_thread(node: DevNode, *more: DevNode) -> Iterator[DevNode]:
    """Serve a node, or several that may share a chain, until the end of the block.

    Yields the first one. Raises what entering a node raises.
    """
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    started = threading.Event()
    failed: list[BaseException] = []

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            for each in (node, *more):
                await stack.enter_async_context(each)
            started.set()
            await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            failed.append(error)
        finally:
            loop.close()
            started.set()

    thread = threading.Thread(target=run, name="devnode", daemon=True)
    thread.start()
    started.wait()
    if failed:
        raise failed[0]
    try:
        yield node
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
    if failed:
        raise failed[0]
