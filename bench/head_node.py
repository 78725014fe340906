"""A devnode that is told by lines what to do, and that can show its blocks late.

    python -m bench.head_node [--late SECONDS] [--interval SECONDS] [--ops N]

Prints its URL; a block appears ``--late`` seconds after its stamp when the interval is 3 s. On
standard input:

    requests      prints how many requests there were
    head          prints the newest block's number
    fork N        replaces the newest N blocks
    fault TEXT    sets a fault, as the devnode's --fault does
    posts FIRST   prints the root comments of all blocks from FIRST on, as JSON, with their links
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from typing import Any

import msgspec

from steembot.devnode.chain import SLOT_SECONDS, Chain
from steembot.devnode.generate import GeneratedBlocks, genesis_for
from steembot.devnode.server import DevNode

READY = 30


def posts(chain: Chain, first: int) -> list[dict[str, Any]]:
    """Return each root comment from a block on: the block's number, author and permlink."""
    found = []
    for num in range(first, chain.head.num + 1):
        block = chain.block(num)
        if block is None:
            continue
        for transaction in msgspec.json.decode(block.condenser_json())["transactions"]:
            for kind, body in transaction["operations"]:
                if kind == "comment" and not body["parent_author"]:
                    found.append({"block": num, "link": f"@{body['author']}/{body['permlink']}"})
    return found


def obey(node: DevNode, line: str) -> str:
    """Do what a line says; return what to print."""
    word, _, rest = line.strip().partition(" ")
    node.chain.advance(time.monotonic())
    match word:
        case "requests":
            return str(node.requests)
        case "head":
            return str(node.chain.head.num)
        case "fork":
            node.chain.fork(int(rest))
            return "forked"
        case "fault":
            node.faults.set(rest)
            return "set"
        case "posts":
            return json.dumps(posts(node.chain, int(rest)))
    raise ValueError(line)


async def serve(node: DevNode) -> None:
    """Serve, and do what standard input says, until it ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def answer(line: str) -> None:
        print(obey(node, line), flush=True)

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(answer, line)
        loop.call_soon_threadsafe(ended.set)

    async with node:
        print(node.url, flush=True)
        threading.Thread(target=read, daemon=True).start()
        await ended.wait()


def main() -> None:
    """Make the chain, then serve it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--late", type=float, default=0.0)
    parser.add_argument("--interval", type=float, default=float(SLOT_SECONDS))
    parser.add_argument("--ops", type=int, default=50)
    given = parser.parse_args()
    start, wall = time.monotonic(), time.time() - given.late
    seed = "head"
    genesis = genesis_for(seed, 1, READY, int(wall))
    chain = Chain(
        GeneratedBlocks(seed, genesis_time=genesis, operations=given.ops),
        start=start - wall % SLOT_SECONDS,
        ready=READY,
        interval_s=given.interval,
    )
    asyncio.run(serve(DevNode(chain)))


if __name__ == "__main__":
    main()
