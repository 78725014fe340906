"""The feed's hot path in one process, for callgrind: so many blocks from server to parsed body.

    feed_instructions.py PATH PAYLOAD BLOCKS

Server and client take turns, and wait instead of looking again and again, so that nothing depends
on who is quicker. Prints how many operations that were.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import feed_steembot

from steembot.feed import wire
from steembot.feed.client import FeedClient
from steembot.feed.server import FeedServer
from steembot.operation import BlockRef, unpack

WAIT_S = 0.2
"""Long enough for libzmq's thread, however slowly it runs."""

path, payload, blocks = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
chain = feed_steembot.Chain(payload)
chain.head = BlockRef(1 + blocks, feed_steembot.block_id(1 + blocks))
operations = taken = 0
with FeedServer(chain, chain="steem", path=path, listener=None) as server:
    client = FeedClient(path, name="bench", types=["*"], mode="head", after=lambda: "1")
    while taken < blocks:
        server.turn(0.0)  # a clock that stands still: no heartbeats in between
        while (event := client.receive(WAIT_S)) is not None:
            if not isinstance(event, wire.BlockMessage):
                continue
            block = BlockRef(event.num, event.id)
            for raw in event.operations:
                unpack(raw, block, event.timestamp)
            taken += 1
            operations += len(event.operations)
    client.close()
print(operations)
