"""The operations that every feed passes on: the same for all, in the same order.

A file of JSON lines, one for each block: ``[[type, body], …]``. The publisher repeats them for
ever; each message carries a number, so that the other end knows what it missed.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: clients die with the process that forked them, however it ends."""


def blocks(path: str) -> list[list[tuple[str, bytes]]]:
    """Read the blocks; bodies stay the JSON text that the node sent."""
    lines = Path(path).read_text().splitlines()
    return [
        [(kind, json.dumps(body, ensure_ascii=False).encode()) for kind, body in json.loads(line)]
        for line in lines
    ]


class Counting:
    """Counts what a subscriber gets for some seconds from the first operation on, and tells it.

    Afterwards it goes on without a word, so that the load on the publisher stays what it is.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun = 0.0
        self._first = 0
        self._count = 0

    def saw(self, first: int, count: int) -> None:
        """Count ``count`` operations whose numbers begin with ``first``."""
        now = time.monotonic()
        if not self._begun:
            self._begun, self._first = now, first
        self._count += count
        if self._count < 0 or now - self._begun < self._seconds:
            return
        lost = first + count - self._first - self._count
        told = {"operations": self._count, "seconds": now - self._begun, "lost": lost}
        os.write(1, json.dumps(told).encode() + b"\n")  # in one write, as in ready()
        self._count = -(2**62)


def fork_clients(clients: int, subscribe: Callable[[int], None]) -> None:
    """Run ``subscribe`` in as many processes, each with its number; waits for ever."""
    for number in range(clients):
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            subscribe(number)
            os._exit(0)
    while True:
        time.sleep(3600)


def ready() -> None:
    """Tell that the subscription stands; in one write, since many processes tell it."""
    os.write(1, b"ready %d\n" % os.getpid())


def wait_for_go() -> None:
    """Tell that the publisher listens, and wait for the word to publish."""
    print("ready", flush=True)
    sys.stdin.readline()
