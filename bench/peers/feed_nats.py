"""NATS JetStream, in memory: ``publish_async``, acknowledged by the server; a pull consumer.

    feed_nats.py publish URL PAYLOAD STOPPED | subscribe URL SECONDS CLIENTS

The stream keeps :data:`KEPT` messages, since a stream without a limit grows for ever.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
import nats
from nats.errors import TimeoutError as NothingYet
from nats.js.api import AckPolicy, ConsumerConfig, StorageType, StreamConfig

sys.path.insert(0, str(Path(__file__).parent))
import payload

KEPT = 200_000


async def publish(url: str, payload_path: str) -> None:
    """Publish for ever, a block's acknowledgements outstanding at most."""
    blocks = payload.blocks(payload_path)
    connection = await nats.connect(url)
    stream = connection.jetstream()
    await stream.add_stream(
        StreamConfig("chain", subjects=["op.*"], storage=StorageType.MEMORY, max_msgs=KEPT)
    )
    payload.wait_for_go()
    number = 0
    while True:
        for block in blocks:
            pending = []
            for kind, body in block:
                pending.append(await stream.publish_async(f"op.{kind}", b"%d %b" % (number, body)))
                number += 1
            await asyncio.gather(*pending)


async def subscribe(url: str, seconds: float) -> None:
    """Take every operation, parsed."""
    counting = payload.Counting(seconds)
    decode = msgspec.json.Decoder(dict).decode
    connection = await nats.connect(url)
    stream = connection.jetstream()
    subscription = await stream.pull_subscribe(
        "op.*", stream="chain", config=ConsumerConfig(ack_policy=AckPolicy.NONE)
    )
    payload.ready()
    while True:
        try:
            messages = await subscription.fetch(500, timeout=10)
        except NothingYet:
            continue
        for message in messages:
            number, _, body = message.data.partition(b" ")
            decode(body)
            counting.saw(int(number), 1)


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        asyncio.run(publish(sys.argv[2], sys.argv[3]))
    else:
        address, window_s, clients = sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
        payload.fork_clients(clients, lambda _: asyncio.run(subscribe(address, window_s)))
