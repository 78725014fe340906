"""steembot's feed: ``FeedServer`` on a chain in memory, and ``FeedClient``.

feed_steembot.py publish PATH PAYLOAD STOPPED | subscribe PATH SECONDS CLIENTS
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import payload

from steembot.feed import wire
from steembot.feed.client import Connected, FeedClient
from steembot.feed.server import FeedServer
from steembot.operation import Block, BlockRef, RawOperation, pack, unpack

ENDLESS = 2**31


def block_id(num: int) -> str:
    """Return the id of the block of that number."""
    return f"{num:08x}{num:032x}"


class Chain:
    """A chain without end, of the same blocks again and again: a ``BlockSource``."""

    def __init__(self, path: str) -> None:
        self._packed = [
            pack(
                [
                    RawOperation(kind, place, 0, 0, f"{place:040x}", body)
                    for place, (kind, body) in enumerate(block)
                ]
            )
            for block in payload.blocks(path)
        ]
        self.head: BlockRef | None = BlockRef(1, block_id(1))
        self.oldest = 1
        self.irreversible = 0
        self.first_wanted = None
        self.forks = 0

    def id_at(self, num: int) -> str:
        """The id of the block of that number."""
        return block_id(num)

    def block(self, num: int) -> Block:
        """The block of that number."""
        packed = self._packed[num % len(self._packed)]
        return Block(num, block_id(num), block_id(num - 1), 1_600_000_002 + 3 * num, packed)

    def older(self, num: int) -> Block | None:
        """Nothing is older than the first block."""
        raise LookupError(num)

    def removed(self, _identity: str) -> Block | None:
        """Nothing is ever removed."""

    def began_behind(self, _identity: str) -> bool:
        """So nothing has replaced the first block."""
        return False
        return None


def publish(path: str, payload_path: str) -> None:
    """Serve the chain's first block, and the rest when told to go."""
    chain = Chain(payload_path)
    with FeedServer(chain, chain="steem", path=Path(path), listener=None) as server:
        print("ready", flush=True)
        while True:
            if server.wait([0] if chain.head.num == 1 else [], server.turn(time.monotonic())):
                sys.stdin.readline()
                chain.head = BlockRef(ENDLESS, block_id(ENDLESS))


def subscribe(path: str, seconds: float, number: int) -> None:
    """Take every operation, parsed as a handler gets it."""
    counting = payload.Counting(seconds)
    first = None
    count = 0
    client = FeedClient(
        Path(path), name=f"bench-{number}", types=["*"], mode="head", after=lambda: "1"
    )
    while True:
        event = client.receive(10.0)
        if isinstance(event, wire.BlockMessage):
            if first is None:
                first = event.num
            # Blocks have different sizes: a gap is counted in blocks, and none ever was.
            assert event.num == first, "blocks are missing"
            first += 1
            block = BlockRef(event.num, event.id)
            for raw in event.operations:
                unpack(raw, block, event.timestamp)
            counting.saw(count, len(event.operations))
            count += len(event.operations)
        elif isinstance(event, Connected):
            payload.ready()


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        publish(sys.argv[2], sys.argv[3])
    else:
        socket, window_s, clients = sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
        os.environ.pop("PYTHONPATH", None)
        payload.fork_clients(clients, lambda number: subscribe(socket, window_s, number))
