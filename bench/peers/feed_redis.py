"""Redis Streams: XADD through a pipeline for each block, XREAD of many entries at once.

    feed_redis.py publish PATH PAYLOAD STOPPED | subscribe PATH SECONDS CLIENTS

The stream keeps about :data:`KEPT` entries, since a stream without a limit grows for ever.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import redis

sys.path.insert(0, str(Path(__file__).parent))
import payload

KEPT = 200_000
STREAM = "operations"


def publish(path: str, payload_path: str) -> None:
    """Append for ever."""
    blocks = payload.blocks(payload_path)
    client = redis.Redis(unix_socket_path=path)
    payload.wait_for_go()
    number = 0
    while True:
        for block in blocks:
            pipeline = client.pipeline(transaction=False)
            for kind, body in block:
                fields = {"type": kind, "number": number, "value": body}
                pipeline.xadd(STREAM, fields, maxlen=KEPT, approximate=True)
                number += 1
            pipeline.execute()


def subscribe(path: str, seconds: float) -> None:
    """Take every operation, parsed."""
    counting = payload.Counting(seconds)
    decode = msgspec.json.Decoder(dict).decode
    client = redis.Redis(unix_socket_path=path)
    after = b"0"
    client.ping()
    payload.ready()
    while True:
        for _, entries in client.xread({STREAM: after}, count=1000, block=10_000):
            for _, fields in entries:
                decode(fields[b"value"])
                counting.saw(int(fields[b"number"]), 1)
            after = entries[-1][0]


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        publish(sys.argv[2], sys.argv[3])
    else:
        address, window_s, clients = sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
        payload.fork_clients(clients, lambda _: subscribe(address, window_s))
