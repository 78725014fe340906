"""ZeroMQ PUB/SUB: one message an operation, type as the topic; limits as they are by default.

feed_zeromq.py publish PATH PAYLOAD STOPPED | subscribe PATH SECONDS CLIENTS
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import zmq

sys.path.insert(0, str(Path(__file__).parent))
import payload


def publish(path: str, payload_path: str) -> None:
    """Send for ever."""
    blocks = payload.blocks(payload_path)
    socket = zmq.Context().socket(zmq.PUB)
    socket.bind(f"ipc://{path}")
    payload.wait_for_go()
    number = 0
    while True:
        for block in blocks:
            for kind, body in block:
                socket.send_multipart((kind.encode(), b"%d" % number, body))
                number += 1


def subscribe(path: str, seconds: float) -> None:
    """Take every operation, parsed."""
    counting = payload.Counting(seconds)
    decode = msgspec.json.Decoder(dict).decode
    socket = zmq.Context().socket(zmq.SUB)
    monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    socket.subscribe(b"")
    socket.connect(f"ipc://{path}")
    monitor.recv_multipart()
    socket.disable_monitor()
    payload.ready()
    while True:
        _, number, body = socket.recv_multipart()
        decode(body)
        counting.saw(int(number), 1)


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        publish(sys.argv[2], sys.argv[3])
    else:
        address, window_s, clients = sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
        payload.fork_clients(clients, lambda _: subscribe(address, window_s))
