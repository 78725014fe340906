"""Requests under way: each a call in a worker's thread, with a deadline.

One that does not end by its deadline is abandoned: its node has failed, and what it may still
answer is not looked at.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from steembot import events
from steembot.chain.jobs import Job
from steembot.chain.node import Node
from steembot.chain.workers import Workers
from steembot.errors import NodeAnswerError, NodeError, NodeTimeoutError

log = logging.getLogger(__name__)

GIVEN_UP_AFTER_S = 1.0
"""Beyond a node's own deadline, which a hanging name server for example can exceed."""


class _Request(msgspec.Struct, eq=False):
    node: Node
    job: Job | None
    deadline: float


class Answer(msgspec.Struct, frozen=True):
    """How a request ended. ``job`` is ``None`` where just the node's head was asked for.

    ``result`` is what the call returned; ``error`` takes its place where it failed.
    """

    url: str
    job: Job | None
    seconds: float
    result: Any
    error: NodeError | None


class Asking:
    """Asks nodes and hands out what they answer. One thread uses it; :meth:`wake` is for others.

    Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._workers = Workers()
        self._open: set[_Request] = set()
        self._ended: queue.SimpleQueue[tuple[_Request, Answer] | None] = queue.SimpleQueue()

    def ask(self, node: Node, job: Job | None, call: Callable[[], Any], now: float) -> None:
        """Have a worker call this soon, for a job or for the node's head."""
        request = _Request(node, job, now + node.timeout_s + GIVEN_UP_AFTER_S)
        self._open.add(request)

        def work() -> None:
            begun = time.monotonic()
            result, failure = None, None
            try:
                result = call()
            except NodeError as error:
                failure = error
            except BaseException as error:
                log.exception(
                    "asking %s failed in a way nobody expected",
                    node,
                    extra=events.NODE_BUG(STEEM_NODE=node.url),
                )
                failure = NodeAnswerError(node.url, repr(error))
            answer = Answer(node.url, job, time.monotonic() - begun, result, failure)
            self._ended.put((request, answer))

        self._workers.start(work)

    def answers(self, wait_s: float) -> Iterator[Answer]:
        """Wait for an answer, and yield all that are there; none after the wait or :meth:`wake`."""
        try:
            ended = self._ended.get(timeout=max(0.0, wait_s))
            while ended is not None:
                request, answer = ended
                if request in self._open:  # not abandoned before
                    self._open.discard(request)
                    yield answer
                ended = self._ended.get_nowait()
        except queue.Empty:
            return

    def late(self, now: float) -> Iterator[Answer]:
        """Abandon what did not end in time, and yield an error in the place of each answer."""
        for request in [each for each in self._open if each.deadline <= now]:
            self._open.discard(request)
            node = request.node
            late = NodeTimeoutError(node.url, f"no answer within {node.timeout_s:g} s")
            yield Answer(node.url, request.job, 0.0, None, late)

    @property
    def deadlines(self) -> list[float]:
        """When each request under way will be abandoned."""
        return [request.deadline for request in self._open]

    @property
    def for_heads(self) -> set[str]:
        """The nodes that are being asked where their head is."""
        return {request.node.url for request in self._open if request.job is None}

    def wake(self) -> None:
        """Let :meth:`answers` end its wait. May be called from any thread."""
        self._ended.put(None)

    def stop(self) -> None:
        """Ask no more; requests under way end by themselves."""
        self._workers.stop()
