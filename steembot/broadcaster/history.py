"""Blocks older than the block log, fetched from the chain for the client that asks for them.

A thread of its own fetches, with connections of its own, so nobody who is live waits for it. What
it fetched stays in memory until it was read, in spans, the least recently read first to go.

Bound: :data:`KEPT_SPANS` spans; :data:`WANTED_SPANS` waiting to be fetched, a span that finds no
place is asked for again at the client's next turn.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Self

from steembot import events
from steembot.chain.node import Node
from steembot.errors import NodeError
from steembot.operation import Block
from steembot.repeats import Repeats

log = logging.getLogger(__name__)

KEPT_SPANS = 6
WANTED_SPANS = 32
RETRY_S = 1.0


class History:
    """Fetches old blocks on demand. :meth:`block` may be called from one thread, never blocks.

    ``fetched()`` is called, from the fetching thread, when something that was asked for is there.
    """

    def __init__(self, nodes: Sequence[Node], fetched: Callable[[], None]) -> None:
        self._nodes = list(nodes)
        self._span_blocks = min(node.max_blocks for node in nodes)
        self._fetched = fetched
        self._lock = threading.Lock()
        self._spans: OrderedDict[int, tuple[Block | None, ...]] = OrderedDict()
        self._wanted: set[int] = set()
        self._queue: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._repeats = Repeats()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._queue.put(None)

    def change_over(self, nodes: Sequence[Node]) -> None:
        """Ask these nodes from the next question on; they give as many blocks at once as before.

        May be called from any thread.
        """
        self._nodes = list(nodes)

    def block(self, num: int) -> Block | None:
        """Return the block if it is here; otherwise ask for it and return ``None``.

        Raises :class:`LookupError` when the chain's nodes say that they have no such block.
        """
        span = num // self._span_blocks
        with self._lock:
            blocks = self._spans.get(span)
            if blocks is None:
                self._want(span)
                return None
            self._spans.move_to_end(span)
            self._want(span + 1)  # whoever reads this one reads the next one soon
            block = blocks[num % self._span_blocks]
            if block is None:
                del self._spans[span]
                raise LookupError(num)
            return block

    def reject(self, num: int) -> None:
        """Take note that a block which was given is not the chain's: ask another node first."""
        with self._lock:
            self._spans.pop(num // self._span_blocks, None)
            self._nodes = [*self._nodes[1:], *self._nodes[:1]]

    def _want(self, span: int) -> None:
        if span in self._spans or span in self._wanted or len(self._wanted) >= WANTED_SPANS:
            return
        self._wanted.add(span)
        self._queue.put(span)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="history", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            span = self._queue.get()
            if span is None:
                return
            blocks = self._fetch(span)
            with self._lock:
                self._wanted.discard(span)
                if blocks is not None:
                    self._spans[span] = blocks
                    while len(self._spans) > KEPT_SPANS:
                        self._spans.popitem(last=False)
            self._fetched()

    def _fetch(self, span: int) -> tuple[Block | None, ...] | None:
        """Fetch a span from the first node that gives it; for as long as it takes."""
        first = max(1, span * self._span_blocks)
        nums = range(first, (span + 1) * self._span_blocks)
        while not self._stopping.is_set():
            for node in self._nodes:
                try:
                    blocks = node.blocks(nums, nums[-1])
                except NodeError as error:
                    self._say(error)
                else:
                    padding = (None,) * (first - span * self._span_blocks)
                    return (*padding, *blocks)
            self._stopping.wait(RETRY_S)
        return None

    def _say(self, error: NodeError) -> None:
        if self._repeats.is_due("late", time.monotonic()):
            log.warning(
                "fetching old blocks for a client: %s; trying on",
                error,
                extra=events.OLD_BLOCKS_LATE(STEEM_NODE=error.node),
            )
