"""How much to ask one node for at once while behind. Pure.

Two numbers: blocks in a request, and requests under way. Both grow while the node bears it and
shrink when it does not (slow start, additive increase, multiplicative decrease; RFC 5681). The
number of requests follows their latency as TCP Vegas does (Brakmo and Peterson, 1995): as soon as
more requests only make each one slower, they stand in the node's queue and there are enough.
"""

from __future__ import annotations

FIRST_BLOCKS = 10
FIRST_REQUESTS = 2
MOST_REQUESTS = 16

FEW_QUEUED = 1.0
MANY_QUEUED = 3.0
"""Requests that may stand in the node's queue: below, one more is sent; above, one less."""

REQUEST_BYTES = 4 * 1024 * 1024
"""What one answer should not exceed."""

MANY_BLOCKS = 50
MANY_BYTES = 2 * 1024 * 1024
"""More blocks than that only in an answer of so many bytes: few large ones hide latency badly."""

FIRST_BLOCK_BYTES = 64 * 1024
"""The guess before the first answer."""

_PROBE_AFTER = 200
"""Good answers after which a size that was once refused is approached again."""


class Pace:
    """What one node bears.

    ``most_blocks`` is the largest request that is allowed. It may be lowered meanwhile, and raised
    again up to where it was.
    """

    def __init__(self, most_blocks: int) -> None:
        self.block_bytes = float(FIRST_BLOCK_BYTES)
        self.most_blocks = most_blocks
        self._most_blocks = most_blocks
        self._allowed = most_blocks
        self._size = float(min(FIRST_BLOCKS, most_blocks))
        self._requests = float(FIRST_REQUESTS)
        self._least_s = float("inf")  # a block's share of a request's time, at its best
        self._good = 0
        self._slow_start = True  # until there were enough for the first time: one more an answer

    @property
    def blocks(self) -> int:
        """Blocks to ask for in one request."""
        fits = REQUEST_BYTES / self.block_bytes
        fits = min(fits, max(MANY_BLOCKS, MANY_BYTES / self.block_bytes))
        return max(1, min(int(self._size), self._allowed, self.most_blocks, int(fits)))

    @property
    def requests(self) -> int:
        """Requests to have under way at once."""
        return int(self._requests)

    def answered(self, blocks: int, size_bytes: int, latency_s: float) -> None:
        """Learn from a good answer of that many blocks, bytes and seconds."""
        seen = size_bytes / blocks
        # Up at once, because memory is at stake; down slowly.
        self.block_bytes = max(1.0, seen, self.block_bytes * 0.9 + seen * 0.1)
        self._good += 1
        if self._good >= _PROBE_AFTER and self._allowed < self._most_blocks:
            self._good = 0
            self._allowed += 1
        if self._size < self._allowed:
            self._size = min(float(self._allowed), self._size * 2)
            return
        # The rest of a distance says nothing about a whole request. Where weight decides how many
        # blocks that is, none is just like the one before.
        whole = self.blocks if self.blocks == self._allowed else 0.75 * self.blocks
        if blocks < whole:
            return
        self._least_s = min(self._least_s * 1.002, latency_s)
        queued = self._requests * (1 - self._least_s / max(latency_s, 1e-6))
        if queued < FEW_QUEUED:
            more = 1.0 if self._slow_start else 1 / self._requests
            self._requests = min(float(MOST_REQUESTS), self._requests + more)
            return
        self._slow_start = False
        if queued > MANY_QUEUED:
            self._requests = max(1.0, self._requests - 1 / self._requests)

    def refused(self, blocks: int) -> None:
        """Learn that a request of so many blocks was too large for the node."""
        self._allowed = max(1, min(self._allowed, blocks // 2))
        self._size = min(self._size, float(self._allowed))
        self._good = 0

    def failed(self) -> None:
        """Learn that a request failed or took too long: half of everything."""
        self._size = max(1.0, self._size / 2)
        self._requests = max(1.0, self._requests / 2)
        self._slow_start = False
        self._least_s = float("inf")
