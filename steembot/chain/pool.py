"""The nodes' health, and so whom to ask. Pure: the clock is passed in.

A node is well, resting, or on probation. One that fails rests, longer each time, and is then on
probation: it is asked where its head is, and one good answer makes it well. Among the well the
user's order decides. A node that was ill lately rests longer at its next failure, so that one
which answers every other request does not get its share of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

FIRST_REST_S = 0.5
LONGEST_REST_S = 30.0

FORGET_S = 60.0
"""After so long without a failure a node's earlier ones are forgotten."""

CHECK_S = 30.0
"""How often a node that is not in use is asked for its head."""

USED_CHECK_S = 5.0
"""The same for one that is, where the answers for blocks don't tell it anyway."""

GROWN_S = 1.0
"""A node that told its head so long ago may well have more by now."""

SHORT_CHECK_S = 0.5
"""The same while one more node is needed."""

LAG_S = 3.0
"""A node that still lacks a block that was had elsewhere so long ago is behind: one slot."""

OUTRUN = 3
"""Times in a row that a node may be overtaken by one that was asked later."""

SLOW_S = 1.0
"""A node whose last small answer took longer stands back behind those that are faster."""

LEAST_PATIENCE_S = 0.15
FIRST_PATIENCE_S = 1.0
MOST_PATIENCE_S = 5.0
"""Bounds of how long to wait for one node before another one is asked as well."""


class Latency:
    """How long answers take: mean and deviation, as TCP measures round trips (RFC 6298)."""

    def __init__(self) -> None:
        self.last_s = 0.0
        self._mean_s: float | None = None
        self._deviation_s = 0.0

    def seen(self, seconds: float) -> None:
        """Learn from an answer that took so long."""
        self.last_s = seconds
        if self._mean_s is None:
            self._mean_s, self._deviation_s = seconds, seconds / 2
            return
        self._deviation_s += (abs(seconds - self._mean_s) - self._deviation_s) / 4
        self._mean_s += (seconds - self._mean_s) / 8

    @property
    def mean_s(self) -> float | None:
        """How long an answer takes on average; ``None`` before the first."""
        return self._mean_s

    @property
    def patience_s(self) -> float:
        """How long to wait before the answer is late."""
        if self._mean_s is None:
            return FIRST_PATIENCE_S
        late_s = self._mean_s + 4 * self._deviation_s
        return min(MOST_PATIENCE_S, max(LEAST_PATIENCE_S, late_s))


BOAST_BLOCKS = 100
"""A node that lacks a block so far below its head has no head like that, or a hole."""

MOST_DOUBTED_BLOCKS = 2**16

STILL_S = 5.0
"""A chain whose head stands still for so long has ended, as a recorded one does."""


class NodeHealth(NamedTuple):
    """How a node is, for people: ``state`` is well, resting or probation.

    ``head`` is 0 and ``latency_s`` ``None`` while they are not known.
    """

    state: str
    head: int
    rests_s: float
    latency_s: float | None


class _Health:
    def __init__(self) -> None:
        self.failures = 0  # lately; they decide how long the next rest is
        self.failed_at = float("-inf")
        self.ill = False
        self.rests_until = float("-inf")
        self.checked = float("-inf")  # when its head was last asked for or told
        self.outrun = 0
        self.head = 0
        self.irreversible = 0
        self.grew = float("-inf")  # when its head was last a higher one
        self.said = 0  # the newest head that it announced, believed or not
        self.trusted_blocks: int | None = None  # how far beyond what was had; None is any number
        self.small = Latency()
        self.spans = Latency()


class Pool:
    """The nodes' health. ``urls`` are in order of preference; times are monotonic seconds.

    No node's last irreversible block is believed nearer to its head than ``least_lag``, unless its
    head stands still.
    """

    def __init__(self, urls: Sequence[str], least_lag: int = 0) -> None:
        self._least_lag = least_lag
        self._nodes = {url: _Health() for url in urls}
        self._had: list[tuple[float, int]] = []  # when which block was had, for LAG_S

    # ---- whom to ask

    def ranked(self, now: float, least_head: int = 0) -> list[str]:
        """Return the nodes that may be asked, best first: the well, the slow, the others.

        ``least_head`` leaves out nodes that announced less just now.
        """
        awake = [
            (url, health)
            for url, health in self._nodes.items()
            if health.rests_until <= now
            and (health.head >= least_head or (health.head and now - health.checked >= GROWN_S))
        ]
        # Stable, so that the user's order decides among equals.
        awake.sort(key=lambda each: (each[1].ill, each[1].small.last_s > SLOW_S))
        return [url for url, _ in awake]

    def pick(self, now: float) -> str | None:
        """Return the node to ask, or ``None`` while all of them rest."""
        ranked = self.ranked(now)
        return ranked[0] if ranked else None

    def well(self, now: float) -> list[str]:
        """Return the nodes that neither rest, nor are on probation, nor are slow, in order."""
        return [
            url
            for url, health in self._nodes.items()
            if health.rests_until <= now and not health.ill and health.small.last_s <= SLOW_S
        ]

    def to_check(self, now: float, used: Collection[str], *, short: bool = False) -> list[str]:
        """Return the nodes whose head is to be asked for; ``used`` are asked for blocks too.

        ``short`` tells that one more node is needed for a block, if only it has it.
        """
        unused_s = SHORT_CHECK_S if short else CHECK_S
        return [
            url
            for url, health in self._nodes.items()
            if health.rests_until <= now
            and (health.ill or now - health.checked >= (USED_CHECK_S if url in used else unused_s))
        ]

    def rests_until(self, now: float) -> float:
        """When the next of the resting nodes may be asked again; ``now`` where none rests."""
        rests = [h.rests_until for h in self._nodes.values() if h.rests_until > now]
        return min(rests, default=now)

    def patience_s(self, url: str, *, span: bool) -> float:
        """How long to wait for a node before another one is asked as well."""
        health = self._nodes[url]
        # A node must not teach us to be patient with it by being slow.
        return health.spans.patience_s if span else min(SLOW_S, health.small.patience_s)

    # ---- what they did

    def failed(
        self, url: str, now: float, *, least_s: float = 0.0, most_s: float = LONGEST_REST_S
    ) -> bool:
        """Let a node rest. Returns whether it was well before, so that it is said once.

        ``least_s`` is a rest that the node demanded itself, ``most_s`` the longest for this kind
        of failure.
        """
        health = self._nodes[url]
        if health.rests_until > now:
            # One of several requests that were under way when it fell ill.
            health.rests_until = max(health.rests_until, now + least_s)
            return False
        if now - health.failed_at > FORGET_S and not health.ill:
            health.failures = 0
        health.failures += 1
        health.failed_at = now
        was_well = not health.ill
        health.ill = True
        health.outrun = 0
        rest_s = min(most_s, LONGEST_REST_S, FIRST_REST_S * 2 ** min(10, health.failures - 1))
        health.rests_until = now + max(rest_s, least_s)
        return was_well

    def succeeded(self, url: str, now: float) -> bool:
        """Note a good answer. Returns whether the node was ill before, so that it is said.

        One that was still under way when the node failed does not make it well.
        """
        health = self._nodes[url]
        if health.rests_until > now:
            return False
        was_ill = health.ill
        health.ill = False
        return was_ill

    def answered(self, url: str, seconds: float, *, span: bool) -> None:
        """Note how long an answer took."""
        health = self._nodes[url]
        (health.spans if span else health.small).seen(seconds)

    def outran(self, url: str) -> None:
        """Note that a node answered before all others, or as the only one asked."""
        self._nodes[url].outrun = 0

    def was_outrun(self, url: str, now: float) -> bool:
        """Note that one asked later was faster. Returns whether that is too often now."""
        health = self._nodes[url]
        health.outrun += 1
        return health.outrun >= OUTRUN and health.rests_until <= now

    # ---- their heads

    def announced(self, url: str, head: int, irreversible: int, now: float) -> None:
        """Note where a node says that its chain ends. Neither number goes back.

        Who announced what it did not have is believed one block beyond what was had from anybody,
        and twice as far with each answer that brings what was asked for.
        """
        health = self._nodes[url]
        health.checked = now
        health.said = head
        if health.trusted_blocks is not None and self._had:
            head = min(head, self._had[-1][1] + health.trusted_blocks)
        if head > health.head:
            health.grew = now
        if now - health.grew < STILL_S:
            irreversible = min(irreversible, head - self._least_lag)
        health.head = max(health.head, head)
        health.irreversible = max(health.irreversible, irreversible)

    def behind(self, head: int, now: float) -> int:
        """Return how many blocks a head lacks that another node had :data:`LAG_S` ago."""
        return max(
            0, max((num for when, num in self._had if now - when >= LAG_S), default=0) - head
        )

    def had(self, num: int, now: float) -> None:
        """Note that a block was had from some node."""
        while len(self._had) > 1 and now - self._had[1][0] >= LAG_S:
            del self._had[0]
        if not self._had or now - self._had[-1][0] >= LAG_S / 10:
            self._had.append((now, num))

    def gave(self, url: str) -> None:
        """Note that a node gave all that it was asked for."""
        health = self._nodes[url]
        if health.trusted_blocks is not None:
            doubled = health.trusted_blocks * 2
            health.trusted_blocks = doubled if doubled < MOST_DOUBTED_BLOCKS else None

    def boasts(self, url: str, num: int) -> bool:
        """Whether a node announced far more than the block that it does not have."""
        return self._nodes[url].said - num >= BOAST_BLOCKS

    def has_announced(self, url: str, num: int) -> bool:
        """Whether a node said that its chain reaches that block."""
        return self._nodes[url].head >= num

    def disbelieve(self, url: str) -> None:
        """Forget what a node announced: it does not have it."""
        self._nodes[url].trusted_blocks = 1
        self._nodes[url].head = 0
        self._nodes[url].irreversible = 0

    def agreed_head(self, now: float, quorum: int) -> tuple[int, int]:
        """Return the head and the last irreversible block that so many nodes announced.

        Nodes at rest don't count; where too few are left, both are 0.
        """
        urls = self.well(now)
        if len(urls) < quorum:
            urls = self.ranked(now)
        if len(urls) < quorum:
            return 0, 0
        # What just a slow or an ill node announced would be waited for, from that node.
        awake = [self._nodes[url] for url in urls]
        heads = sorted((health.head for health in awake), reverse=True)
        irreversibles = sorted((health.irreversible for health in awake), reverse=True)
        return heads[quorum - 1], irreversibles[quorum - 1]

    def first_answers(self) -> bool:
        """Whether each node told its head or failed, once at least."""
        return all(health.head or health.failures for health in self._nodes.values())

    # ---- words

    @property
    def urls(self) -> list[str]:
        """All nodes, in order of preference."""
        return list(self._nodes)

    @property
    def size(self) -> int:
        """How many nodes there are."""
        return len(self._nodes)

    @property
    def all_failing(self) -> bool:
        """Whether no node gave a good answer to what it was asked last."""
        return all(health.ill for health in self._nodes.values())

    def health(self, url: str, now: float) -> NodeHealth:
        """How a node is. May be asked from any thread."""
        health = self._nodes[url]
        rests_s = max(0.0, health.rests_until - now)
        state = "resting" if rests_s else "probation" if health.ill else "well"
        latency_s = health.small.mean_s
        if latency_s is None:
            latency_s = health.spans.mean_s
        return NodeHealth(state, health.head, rests_s, latency_s)

    @property
    def ill(self) -> int:
        """How many nodes are resting or on probation."""
        return sum(health.ill for health in self._nodes.values())
