"""One thing to be fetched, and which nodes were asked for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from steembot.chain.agreement import Verdict, agree
from steembot.chain.follower import Span
from steembot.operation import Block


class Job(msgspec.Struct, eq=False):
    """Blocks that somebody is to fetch; ``needed`` nodes must agree on each.

    ``asked`` are the nodes whose answer is still to come, and since when; ``found`` what came.
    A ``poll`` is for the next block at the head, which need not be there yet, ``doubted`` a block
    of a fork.
    """

    span: Span
    needed: int
    poll: bool = False
    doubted: bool = False
    asked: dict[str, float] = msgspec.field(default_factory=dict)
    found: dict[str, Sequence[Block | None]] = msgspec.field(default_factory=dict)
    failed: set[str] = msgspec.field(default_factory=set)
    closed: bool = False

    @property
    def votes(self) -> int:
        """How many nodes agree on every block, so far."""
        return min(verdict.votes for verdict in self.verdicts())

    def verdicts(self) -> list[Verdict]:
        """Say of each block whether the nodes agree."""
        if self.needed == 1 and len(self.found) == 1:
            (blocks,) = self.found.values()
            return [Verdict(block, (), int(block is not None), split=False) for block in blocks]
        return [
            agree(
                {url: b for url, blocks in self.found.items() if (b := blocks[index]) is not None},
                self.needed,
            )
            for index in range(len(self.span.nums))
        ]
