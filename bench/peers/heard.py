"""When each block's first operation reached a handler: a line of JSON for each."""

from __future__ import annotations

import json
import os
import time


class Heard:
    """Tells of each block once. :meth:`saw` is called for every operation."""

    def __init__(self) -> None:
        self._block = 0

    def saw(self, block_num: int, stamp: float) -> None:
        """Tell of the block if it is a new one; ``stamp`` is its time, in seconds since 1970."""
        if block_num != self._block:
            self._block = block_num
            told = {"block": block_num, "late": time.time() - stamp}
            os.write(1, json.dumps(told).encode() + b"\n")
