"""What goes wrong with the nodes: counted for each, and told at once and then once a minute."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

from steembot import events
from steembot.chain.pool import Pool
from steembot.errors import NodeBusyError, NodeError, NodeStatusError, WrongChainError
from steembot.operation import Block
from steembot.repeats import REPEAT_S, Repeats

log = logging.getLogger(__name__)

PATIENCE_S = 3.0
"""For so long different blocks at different nodes are what a fork of one block looks like."""

WRONG_CHAIN_REST_S = 600.0
"""A node of another chain will hardly become one of ours."""


class Troubles:
    """Lets the nodes of a pool rest, and says why. ``quorum`` of them must agree.

    Times are monotonic seconds. Reading is for any thread, the rest for one.
    """

    def __init__(self, pool: Pool, quorum: int) -> None:
        self._pool = pool
        self._quorum = quorum
        self._repeats = Repeats()
        self._errors: Counter[tuple[str, str]] = Counter()
        self._last: dict[str, str] = {}
        self._of_nodes = ""
        self._of_split = ""
        self._split_since: float | None = None  # no block came since

    # ---- for people

    @property
    def words(self) -> str:
        """Why no block comes; empty while nothing is in the way."""
        return self._of_split or self._of_nodes

    def errors(self, url: str) -> dict[str, int]:
        """How often a node failed, by kind."""
        return {kind: count for (of, kind), count in self._errors.copy().items() if of == url}

    def last(self, url: str) -> str:
        """In what words a node failed last."""
        return self._last.get(url, "")

    # ---- of one node

    def failed(
        self, url: str, error: NodeError, now: float, *, most_s: float = float("inf")
    ) -> None:
        """Let a node rest, for ``most_s`` at most; say it when it was well before."""
        least_s = 0.0
        if isinstance(error, NodeStatusError | NodeBusyError):
            least_s = error.retry_after_s
        elif isinstance(error, WrongChainError):
            least_s = WRONG_CHAIN_REST_S
        self._errors[url, error.kind] += 1
        self._last[url] = error.detail
        fell_ill = self._pool.failed(url, now, least_s=least_s, most_s=most_s)
        if self._pool.all_failing:
            self._of_nodes = str(error)
        if fell_ill and not isinstance(error, NodeBusyError):
            ill = events.NODE_ILL(STEEM_NODE=url)
            self._say(url, f"{error}; asking it again later", now, ill)

    def succeeded(self, url: str, now: float) -> None:
        """Note a good answer; say it when the node was ill before."""
        well_again = self._pool.succeeded(url, now)
        if not self._pool.all_failing and self._pool.ill <= self._pool.size - self._quorum:
            self._of_nodes = ""
        said_s = self._repeats.said_s(url, now)
        if well_again and said_s != float("inf"):
            # Its next failure is news, but one that comes and goes is not told each time.
            if said_s < REPEAT_S:
                self._repeats.said(url, now)
            else:
                self._repeats.forget(url)
            log.info("node %s is back", url, extra=events.NODE_BACK(STEEM_NODE=url))

    # ---- of several

    def too_few(self, awake: int, now: float) -> None:
        """Say that no block can be had, since just so many nodes can be asked."""
        if self._quorum > 1 and awake:
            self._of_nodes = (
                f"{self._quorum} nodes must agree, and {awake} of {self._pool.size} answer"
            )
            self._say("quorum", self._of_nodes, now, events.QUORUM_MISSING())
        elif self._of_nodes and self._all_said(now):
            words = f"no node answers; last was {self._of_nodes}"
            self._say("all", words, now, events.NODES_GONE())

    def split(self, num: int, theirs: Mapping[str, Block], now: float) -> None:
        """Say that nodes have different blocks of that number, once it lasts."""
        if self._split_since is None:
            self._split_since = now
        if now - self._split_since >= PATIENCE_S:
            words = ", ".join(f"{block.id} at {url}" for url, block in theirs.items())
            self._of_split = (
                f"no {self._quorum} nodes agree on block {num}: {words}; waiting until they do"
            )
            self._say("split", self._of_split, now, events.NODES_DISAGREE(STEEM_BLOCK=num))

    def agreed(self) -> None:
        """Note that a block came."""
        self._of_split, self._split_since = "", None

    def below(self, wanted: int, head: int, now: float) -> None:
        """Say that the chain has not reached the first wanted block."""
        words = f"waiting for block {wanted}: the node's head is block {head}"
        self._say("waiting", words, now, events.CHAIN_BELOW(STEEM_BLOCK=wanted))

    def _all_said(self, now: float) -> bool:
        """Whether it is a while since each node's failure was told."""
        said = (self._repeats.said_s(url, now) for url in self._pool.urls)
        return all(REPEAT_S <= ago_s < float("inf") for ago_s in said)

    def _say(self, what: str, words: str, now: float, event: events.Fields) -> None:
        if self._repeats.is_due(what, now):
            log.warning("%s", words, extra=event)
