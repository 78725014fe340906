"""How fast blocks come by: counted for some seconds from the first one on, then told as JSON."""

from __future__ import annotations

import json
import time


class Window:
    """Counts blocks and operations. :meth:`saw` is called for each operation."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._first: tuple[float, int] | None = None
        self._block = 0
        self._operations = 0

    def saw(self, block_num: int) -> bool:
        """Count one operation of a block. Returns whether the time is over; then it is told."""
        if self._first is None:
            self._first = time.monotonic(), block_num
        self._operations += 1
        if block_num == self._block:
            return False
        self._block = block_num
        begun, first = self._first
        elapsed = time.monotonic() - begun
        if elapsed < self._seconds:
            return False
        told = {
            "blocks": block_num - first,
            "seconds": elapsed,
            "operations": self._operations - 1,
        }
        print(json.dumps(told), flush=True)
        self._first, self._operations = None, 0  # whoever goes on is told of anew
        return True
