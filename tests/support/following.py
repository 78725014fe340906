"""Run a ChainStream in a thread, and take what it delivers as the block log would."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from steembot.chain.node import Node
from steembot.chain.pool import LONGEST_REST_S
from steembot.chain.stream import ChainStream
from steembot.devnode.server import DevNode
from steembot.operation import Block
from tests.support.nodes import Nodes

PATIENCE_S = 2 * LONGEST_REST_S
"""How long a test waits for what must come: a node that failed often may rest in between."""


class Recorder:
    """Takes the changes, checks that they join, and lets a test wait for them."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.removed = 0
        self.irreversible = 0
        self._news: queue.Queue[None] = queue.Queue()

    def id_at(self, num: int) -> str | None:
        first = self.blocks[0].num if self.blocks else 0
        if not first <= num < first + len(self.blocks):
            return None
        return self.blocks[num - first].id

    @property
    def oldest(self) -> int | None:
        return self.blocks[0].num if self.blocks else None

    def apply(self, change, irreversible: int) -> None:
        for gone in change.removed:
            assert self.blocks.pop().id == gone.id
            self.removed += 1
        for block in change.appended:
            if self.blocks:
                assert block.previous == self.blocks[-1].id
            self.blocks.append(block)
        assert irreversible >= self.irreversible
        self.irreversible = irreversible
        self._news.put(None)

    def wait(self, condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, f"{len(self.blocks)} blocks after {timeout_s} s"
            try:
                self._news.get(timeout=min(left, 0.05))
            except queue.Empty:
                continue

    def wait_for(self, blocks: int, timeout_s: float = PATIENCE_S) -> None:
        self.wait(lambda: len(self.blocks) >= blocks, timeout_s)


def fork_until(recorder: Recorder, holds: Callable[[], object], node: DevNode | Nodes) -> None:
    """Fork a chain that is followed until it has the effect that the test is about.

    On a busy machine the stream may be behind what a fork removes; then the next one will do.
    """
    for _ in range(50):
        if holds():
            return
        newest = node.chain.head.num
        recorder.wait(lambda n=newest: recorder.blocks and recorder.blocks[-1].num >= n)
        node.call(lambda: node.chain.fork(12))
        recorder.wait(lambda n=newest: recorder.blocks[-1].num > n)
    raise AssertionError("fifty forks, and it was behind all of them")


@contextmanager
def streaming(recorder: Recorder, urls: list[str], **options) -> Iterator[ChainStream]:
    of_node = {"timeout_s": options.pop("timeout_s", 5)}
    for name in ("virtual_ops", "profile", "requests_per_s"):
        if name in options:
            of_node[name] = options.pop(name)
    of_node.setdefault("requests_per_s", 1000)
    with following(recorder, [Node(url, **of_node) for url in urls], **options) as stream:
        yield stream


@contextmanager
def following(recorder: Recorder, nodes: list[Node], **options) -> Iterator[ChainStream]:
    """Follow these nodes."""
    stream = ChainStream(
        nodes,
        id_at=recorder.id_at,
        oldest=lambda: recorder.oldest,
        apply=recorder.apply,
        **{"tip": None, "irreversible": 0, "start": 1} | options,
    )
    failures: list[BaseException] = []

    def run() -> None:
        try:
            stream.run()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield stream
    finally:
        stream.stop()
        thread.join(PATIENCE_S)
    assert not failures
    assert not thread.is_alive()
