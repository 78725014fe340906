"""The simulated world around the deciding parts: a chain as a node tells it, and a durable log."""

from __future__ import annotations

import random

from steembot.chain.follower import Change, Span
from steembot.operation import Block, BlockRef
from tests.support.blocks import block_id, make_block

TYPES = ("comment", "vote", "transfer")
FIRST = 100
"""Where the log begins; the node's chain begins earlier, and forks may reach below."""
GENESIS = 70
IRREVERSIBLE_LAG = 26


class Node:
    """The chain as a node tells it: it grows, forks, lags, forgets and fails."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.blocks: list[Block] = []
        self.forks = 0
        self.calm = False
        self.lies = rng.random() < 0.3
        """Whether it calls its head irreversible now and then."""
        for _ in range(GENESIS, FIRST + 3):
            self.grow()

    @property
    def head(self) -> int:
        return self.blocks[-1].num

    @property
    def irreversible(self) -> int:
        return max(0, self.head - IRREVERSIBLE_LAG)

    def grow(self) -> None:
        rng = self._rng
        num = self.blocks[-1].num + 1 if self.blocks else GENESIS
        previous = self.blocks[-1].id if self.blocks else block_id(GENESIS - 1, "")
        types = rng.choices(TYPES, k=rng.choice((0, 1, 1, 2, 3)))
        self.blocks.append(make_block(num, previous, f"{self.forks}", types))

    def fork(self) -> None:
        """Replace the newest blocks by one more than that, as real forks do."""
        depth = min(self._rng.choice((1, 1, 2, 3, 8, 25)), len(self.blocks) - 1)
        self.forks += 1
        del self.blocks[-depth:]
        for _ in range(depth + 1):
            self.grow()

    def properties(self) -> tuple[BlockRef, int]:
        """The head and the last irreversible block; now and then those of a while ago."""
        back = 0
        if not self.calm and self._rng.random() < 0.1:
            back = min(self._rng.randrange(1, 20), len(self.blocks) - 1)
        block = self.blocks[-1 - back]
        if self.lies and not self.calm and self._rng.random() < 0.1:
            return block.ref, block.num
        return block.ref, max(0, block.num - IRREVERSIBLE_LAG)

    def fetch(self, span: Span) -> list[Block | None] | None:
        """Blocks, some missing although announced; ``None`` for a failed request."""
        if not self.calm and self._rng.random() < 0.1:
            return None
        found: list[Block | None] = []
        for num in span.nums:
            index = num - GENESIS
            there = 0 <= index < len(self.blocks)
            if there and not self.calm and self._rng.random() < 0.03:
                there = False
            found.append(self.blocks[index] if there else None)
        return found


class DurableLog:
    """What the block log keeps over crashes. A ``BlockSource`` too."""

    def __init__(self, keep_blocks: int) -> None:
        self.chain: dict[int, Block] = {}
        self.gone: dict[str, Block] = {}
        self.forks = 0
        self.irreversible = 0
        self.believed = 0
        """How many of the newest blocks may be called irreversible falsely."""
        self.first_wanted: int | None = FIRST
        self._keep_blocks = keep_blocks
        self._top: BlockRef | None = None

    @property
    def head(self) -> BlockRef | None:
        return self._top

    @property
    def oldest(self) -> int | None:
        return next(iter(self.chain), None)

    def id_at(self, num: int) -> str | None:
        block = self.chain.get(num)
        return None if block is None else block.id

    def block(self, num: int) -> Block | None:
        return self.chain.get(num)

    def older(self, num: int) -> Block | None:
        raise LookupError(num)

    def removed(self, identity: str) -> Block | None:
        return self.gone.get(identity)

    def began_behind(self, identity: str) -> bool:
        gone = self.gone.values()
        return any(block.num == self.oldest and block.previous == identity for block in gone)

    def apply(self, change: Change, irreversible: int) -> None:
        for ref in change.removed:
            block = self.chain.pop(ref.num)
            assert block.id == ref.id
            assert ref.num > self.irreversible - self.believed, "an irreversible block was removed"
            self.gone[block.id] = block
        for block in change.appended:
            if self.chain:
                assert self._top is not None
                before = self.chain[block.num - 1]
                assert block.previous == before.id, "a block that does not join"
            self.chain[block.num] = block
            self._top = block.ref
        self.irreversible = irreversible
        self.forks += bool(change.removed)
