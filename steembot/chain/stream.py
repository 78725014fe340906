"""Follow the chain for ever: the waiting, the threads and the words for the log.

Decisions are the follower's (what to fetch), the pool's (whom to ask) and the slot clock's (when).
One thread runs :meth:`ChainStream.run`; a few workers hold one HTTP request each.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from steembot.chain.follower import Change, Follower, Span
from steembot.chain.node import Head, Node
from steembot.chain.pool import Pool
from steembot.chain.slots import SlotClock
from steembot.errors import ForkTooDeepError, NodeAnswerError, NodeError
from steembot.operation import Block, BlockRef

log = logging.getLogger(__name__)

WORKERS = 4
"""Requests under way at once. More made nothing faster: the node is what limits."""

HEAD_EVERY_S = 3.0
"""How often the head is asked for while behind."""

PATIENCE_S = 3.0
"""How long a block that a node announced may be missing there before the node is called ill."""

REPEAT_S = 60.0
"""How often a trouble that lasts is said again."""


class Situation(msgspec.Struct, frozen=True):
    """How the stream is, for ``STATUS=`` and ``steembot status``.

    ``attempted`` is when a request last ended, well or not (monotonic seconds).
    """

    node: str
    head: int
    behind: int
    trouble: str
    attempted: float


class _Done(msgspec.Struct, frozen=True):
    url: str
    task: Head | Span | int | None  # what was asked: a span, one block at the head, or the head
    result: Any
    error: NodeError | None


class ChainStream:
    """Follows the chain and hands every change to ``apply``, in order, from one thread.

    ``tip`` and ``irreversible`` are where an earlier run ended, ``start`` the first block
    otherwise (``None``: the head). ``apply(change, irreversible)`` makes a change durable before
    it returns; the tip moves only then.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        tip: BlockRef | None,
        irreversible: int,
        start: int | None,
        id_at: Callable[[int], str | None],
        apply: Callable[[Change, int], None],
    ) -> None:
        self._nodes = {node.url: node for node in nodes}
        self._pool = Pool(list(self._nodes))
        self._slots = SlotClock()
        self._id_at = id_at
        self._apply = apply
        self._start = start
        self._follower: Follower | None = None
        if tip is not None or start is not None:
            self._follow(tip, start or 0, irreversible)
        self._stopping = threading.Event()
        self._done: queue.SimpleQueue[_Done | None] = queue.SimpleQueue()
        self._under_way = 0
        self._head_asked = float("-inf")
        self._head_under_way = False
        self._poll_under_way = False
        self._missing_since: float | None = None
        self._trouble = ""
        self._trouble_said = float("-inf")
        self._waiting_said = float("-inf")
        self._attempted = time.monotonic()
        self._node = ""

    @property
    def situation(self) -> Situation:
        """How the stream is now. May be read from any thread."""
        follower = self._follower
        return Situation(
            node=self._node,
            head=follower.head if follower else 0,
            behind=follower.behind if follower else 0,
            trouble=self._trouble,
            attempted=self._attempted,
        )

    def stop(self) -> None:
        """Make :meth:`run` return soon. May be called from any thread."""
        self._stopping.set()
        self._done.put(None)

    def run(self) -> None:
        """Follow until :meth:`stop`. Raises what ``apply`` raises."""
        workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="node")
        try:
            while not self._stopping.is_set():
                wait_s = self._schedule(workers, time.monotonic())
                try:
                    done = self._done.get(timeout=wait_s)
                except queue.Empty:
                    continue
                if done is not None:
                    self._finish(done, time.monotonic())
        finally:
            # A request under way is not worth waiting for; its thread ends at its deadline.
            workers.shutdown(wait=False, cancel_futures=True)

    # ---- asking

    def _schedule(self, workers: ThreadPoolExecutor, now: float) -> float:
        """Start what should be under way now; return for how long nothing else will be due."""
        url = self._pool.pick(now)
        if url is None:
            self._repeat_trouble(now)
            return max(0.01, self._pool.rests_until() - now)
        follower = self._follower
        if follower is None or (follower.behind > 1 and now - self._head_asked >= HEAD_EVERY_S):
            self._ask_head(workers, url, now)
        if follower is None:
            return HEAD_EVERY_S
        self._say_waiting(follower, now)
        if follower.behind <= 1 and not follower.walking_back:
            if self._poll_under_way or self._under_way:
                return HEAD_EVERY_S
            wait_s = self._slots.next_question - now
            if wait_s > 0:
                return wait_s
            self._poll_under_way = True
            num = follower.next_num
            self._submit(workers, url, num, lambda: self._nodes[url].poll(num))
            return HEAD_EVERY_S
        while self._under_way < WORKERS:
            span = follower.wanted()
            if span is None:
                break
            call = _blocks_of(self._nodes[url], span, follower.announced_irreversible)
            self._submit(workers, url, span, call)
        return HEAD_EVERY_S

    def _ask_head(self, workers: ThreadPoolExecutor, url: str, now: float) -> None:
        if self._head_under_way:
            return
        self._head_under_way = True
        self._head_asked = now
        self._submit(workers, url, None, self._nodes[url].head)

    def _submit(
        self,
        workers: ThreadPoolExecutor,
        url: str,
        task: Span | int | None,
        call: Callable[[], Any],
    ) -> None:
        self._under_way += 1

        def work() -> None:
            try:
                done = _Done(url, task, call(), None)
            except NodeError as error:
                done = _Done(url, task, None, error)
            except BaseException as error:
                log.exception("asking %s failed in a way nobody expected", url)
                done = _Done(url, task, None, NodeAnswerError(url, repr(error)))
            self._done.put(done)

        workers.submit(work)

    # ---- what came back

    def _finish(self, done: _Done, now: float) -> None:
        self._under_way -= 1
        self._attempted = now
        if done.task is None:
            self._head_under_way = False
        elif isinstance(done.task, int):
            self._poll_under_way = False
        if done.error is not None:
            if isinstance(done.task, Span) and self._follower is not None:
                self._follower.give_up(done.task)
            self._failed(done.url, done.error, now)
            return
        try:
            if done.task is None:
                self._take_head(done.url, done.result)
            elif isinstance(done.task, Span):
                self._take_blocks(done.url, done.task, done.result, now)
            elif isinstance(done.task, int):
                self._take_poll(done.url, done.task, done.result, now)
        except ForkTooDeepError as error:
            self._failed(done.url, NodeAnswerError(done.url, str(error)), now)

    def _take_head(self, url: str, head: Head) -> None:
        if self._follower is None:
            self._follow(None, head.num, 0)
            log.info("node %s: head is block %d; beginning there", url, head.num)
        self._announce(head)
        self._succeeded(url)

    def _take_blocks(
        self, url: str, span: Span, blocks: Sequence[Block | None], now: float
    ) -> None:
        follower = self._follower
        assert follower is not None  # noqa: S101 (spans are the follower's)
        found = sum(block is not None for block in blocks)
        self._changed(follower.receive(span, blocks))
        if found == len(blocks):
            self._missing_since = None
            self._succeeded(url)
            if follower.behind <= 1:
                self._slots.found(now, found)
        else:
            missing = next(n for n, b in zip(span.nums, blocks, strict=True) if b is None)
            self._missing(url, missing, now, patience_s=0.0)

    def _take_poll(self, url: str, num: int, answer: tuple[Head, Block | None], now: float) -> None:
        head, block = answer
        follower = self._follower
        assert follower is not None  # noqa: S101 (polls come after the follower)
        known = follower.head
        known_irreversible = max(follower.irreversible, follower.announced_irreversible)
        self._announce(head)
        if block is not None:
            if block.num > follower.head:
                self._announce(msgspec.structs.replace(head, num=block.num, id=block.id))
            self._changed(follower.receive(Span(num, num, known_irreversible), [block]))
            self._announce(head)  # our tip may be that head now
            self._slots.found(now, max(1, follower.head - known))
            self._missing_since = None
            self._succeeded(url)
            return
        self._slots.missed(now)
        if head.num >= num:
            self._missing(url, num, now, patience_s=PATIENCE_S)
        else:
            self._missing_since = None
            self._succeeded(url)

    def _missing(self, url: str, num: int, now: float, patience_s: float) -> None:
        """Treat a block that the node announced and does not have: a hole is never skipped."""
        if self._missing_since is None:
            self._missing_since = now
        if now - self._missing_since >= patience_s:
            self._failed(
                url, NodeAnswerError(url, f"announced block {num} but does not have it"), now
            )

    def _follow(self, tip: BlockRef | None, start: int, irreversible: int) -> None:
        self._follower = Follower(
            tip,
            start,
            self._id_at,
            irreversible=irreversible,
            span_blocks=min(node.max_blocks for node in self._nodes.values()),
        )

    def _announce(self, head: Head) -> None:
        follower = self._follower
        assert follower is not None  # noqa: S101 (only called with one)
        before = follower.irreversible
        follower.announce(BlockRef(head.num, head.id), head.irreversible)
        if follower.irreversible > before:
            self._apply(Change((), ()), follower.irreversible)

    def _changed(self, change: Change | None) -> None:
        follower = self._follower
        assert follower is not None  # noqa: S101 (changes are the follower's)
        while change is not None:
            if change.removed:
                log.warning(
                    "a fork removed %d block(s), %s down to %s; block %d is now %s",
                    len(change.removed),
                    change.removed[0],
                    change.removed[-1],
                    change.appended[0].num,
                    change.appended[0].id,
                )
            self._apply(change, follower.irreversible)
            change = follower.pending()

    # ---- words

    def _failed(self, url: str, error: NodeError, now: float) -> None:
        self._trouble = str(error)
        if self._pool.failed(url, now):
            self._trouble_said = now
            log.warning("%s; asking it again later", error, extra={"STEEM_NODE": url})

    def _succeeded(self, url: str) -> None:
        self._node = url
        self._trouble = ""
        if self._pool.succeeded(url):
            log.info("node %s is back", url, extra={"STEEM_NODE": url})

    def _repeat_trouble(self, now: float) -> None:
        if self._pool.all_failing and now - self._trouble_said >= REPEAT_S:
            self._trouble_said = now
            log.warning("no node answers; last was %s", self._trouble)

    def _say_waiting(self, follower: Follower, now: float) -> None:
        """Say that the chain has not reached the first wanted block, once a minute."""
        waits = 0 < follower.head < follower.next_num - 1
        if waits and now - self._waiting_said >= REPEAT_S:
            self._waiting_said = now
            log.warning(
                "waiting for block %d: the node's head is block %d",
                follower.next_num,
                follower.head,
            )


def _blocks_of(node: Node, span: Span, irreversible: int) -> Callable[[], list[Block | None]]:
    return lambda: node.blocks(span.nums, irreversible)
