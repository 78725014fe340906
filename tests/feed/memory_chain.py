"""A chain in memory: what a block log is to the feed, and what a client that reads it holds."""

from __future__ import annotations

from collections.abc import Sequence

from steembot.feed import wire
from steembot.operation import Block, BlockRef, Cursor, RawOperation
from tests.support.blocks import block_id, make_block

Place = tuple[int, str, RawOperation]
"""One operation on one block: number, id, operation."""


class MemoryChain:
    """A ``BlockSource`` that tests grow, fork, settle and prune as they like."""

    def __init__(self, first: int = 1) -> None:
        self.irreversible = 0
        self.archive: dict[int, Block | None] = {}
        """Blocks from before the oldest that can be had; ``None`` for one being fetched."""
        self.first_wanted: int | None = None
        self.forks = 0
        self.reads = 0
        self._first = first
        self._blocks: list[Block] = []
        self._removed: dict[str, Block] = {}
        self._genesis = block_id(first - 1, "", "genesis")
        self._made = 0

    @property
    def head(self) -> BlockRef | None:
        """The newest block."""
        return self._blocks[-1].ref if self._blocks else None

    @property
    def oldest(self) -> int | None:
        """The number of the oldest block held."""
        return self._blocks[0].num if self._blocks else None

    def id_at(self, num: int) -> str | None:
        """The id of the block of that number."""
        block = self.block(num)
        return None if block is None else block.id

    def block(self, num: int) -> Block | None:
        """The block of that number."""
        self.reads += 1
        index = num - self._blocks[0].num if self._blocks else -1
        return self._blocks[index] if 0 <= index < len(self._blocks) else None

    def older(self, num: int) -> Block | None:
        """A block from before the oldest, if there is an archive that has it."""
        return self.archive[num]

    def removed(self, identity: str) -> Block | None:
        """A block that a fork removed."""
        return self._removed.get(identity)

    def began_behind(self, identity: str) -> bool:
        """Whether a removed first block of the chain joined the block of this id."""
        gone = [block for block in self._removed.values() if block.num == self._first]
        return self.oldest == self._first and any(block.previous == identity for block in gone)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All that are held."""
        return tuple(self._blocks)

    # ---- what happens to a chain

    def grow(self, *blocks: Sequence[str]) -> None:
        """Append blocks; each is given as the types of its operations."""
        for types in blocks:
            num = self._blocks[-1].num + 1 if self._blocks else self._first
            previous = self._blocks[-1].id if self._blocks else self._genesis
            self._made += 1
            self._blocks.append(make_block(num, previous, str(self._made), types))

    def fork(self, depth: int, *blocks: Sequence[str]) -> None:
        """Remove the newest ``depth`` blocks and append these instead."""
        for _ in range(depth):
            gone = self._blocks.pop()
            if not self._blocks:
                self._first, self._genesis = gone.num, gone.previous
            self._removed[gone.id] = gone
        self.grow(*blocks)
        self.forks += 1

    def fork_below(self, *blocks: Sequence[str]) -> None:
        """Replace all blocks by these, which join another block than the first one did."""
        for gone in reversed(self._blocks):
            self._removed[gone.id] = gone
        self._genesis = block_id(self._first - 1, "", f"fork {self.forks}")
        self._blocks.clear()
        self.grow(*blocks)
        self.forks += 1

    def switch_back(self, tip: str) -> None:
        """Fork to the branch whose newest block, removed before, has this id."""
        branch: list[Block] = []
        while (block := self._removed.get(tip)) is not None and self.id_at(block.num) != tip:
            branch.insert(0, block)
            tip = block.previous
        while self._blocks[-1].id != tip:
            gone = self._blocks.pop()
            self._removed[gone.id] = gone
        self._blocks.extend(branch)
        self.forks += 1

    def settle(self, num: int) -> None:
        """Make everything up to that block irreversible."""
        self.irreversible = max(self.irreversible, num)

    def prune(self, oldest: int) -> None:
        """Forget what is older than that block, removed or not."""
        self._blocks = [block for block in self._blocks if block.num >= oldest]
        self._removed = {i: block for i, block in self._removed.items() if block.num >= oldest}

    # ---- what is true

    def operations(self, types: Sequence[str], after: int = 0, upto: int = 2**32) -> list[Place]:
        """Return what a client that wants these types of blocks ``after < num <= upto`` must hold.

        In chain order.
        """
        return [
            (block.num, block.id, operation)
            for block in self._blocks
            if after < block.num <= upto
            for operation in block.operations
            if "*" in types or operation.type in types
        ]


class Holder:
    """A client as it should be: holds each operation once, gives back the newest when undone.

    ``position`` is the cursor up to which it holds everything, ``None`` before it knows of any.
    """

    def __init__(self) -> None:
        self.held: list[Place] = []
        self.position: Cursor | None = None
        self.undone = 0
        self.begun_after = 0
        """A client that began here wants nothing of blocks up to this number, undos included."""

    def take(self, message: wire.Reply, upto: int | None = None) -> None:
        """Do what a message says, or just its first ``upto`` operations and then no more."""
        match message:
            case wire.BlockMessage():
                for operation in message.operations[:upto]:
                    if message.num > self.begun_after:
                        self.held.append((message.num, message.id, operation))
                    self.position = Cursor(message.num, message.id, *operation.within_block)
            case wire.Undo():
                before = Cursor.end_of(message.num - 1, message.previous)
                for index, operation in enumerate(message.operations[:upto]):
                    if message.num > self.begun_after:
                        newest = self.held.pop()
                        assert newest == (message.num, message.id, operation), "not the newest"
                        self.undone += 1
                    older = message.operations[index + 1 :]
                    self.position = (
                        Cursor(message.num, message.id, *older[0].within_block) if older else before
                    )
                if not message.operations:
                    self.position = before
            case wire.Progress():
                self.position = message.cursor
