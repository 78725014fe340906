"""Plain parallel HTTP: batches on some connections, nothing decoded. What the node itself bears.

Arguments: URL, seconds, connections.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import sys
import threading
import time
from urllib.parse import urlsplit

BATCH = 50

url, seconds, connections = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
host = urlsplit(url).netloc
starts = itertools.count(1, BATCH)
lock = threading.Lock()
done = 0
begun = time.monotonic()


def work() -> None:
    """Ask for one batch after the other until the time is over."""
    global done  # noqa: PLW0603
    connection = http.client.HTTPConnection(host)
    while True:
        with lock:
            start = next(starts)
        calls = [
            {"jsonrpc": "2.0", "id": n, "method": "condenser_api.get_block", "params": [n]}
            for n in range(start, start + BATCH)
        ]
        connection.request("POST", "/", json.dumps(calls))
        connection.getresponse().read()
        with lock:
            done += BATCH
            elapsed = time.monotonic() - begun
            if elapsed > seconds:
                print(json.dumps({"blocks": done, "seconds": elapsed}), flush=True)
                os._exit(0)


for _ in range(connections):
    threading.Thread(target=work).start()
