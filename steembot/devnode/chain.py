"""The chain that a devnode shows: which blocks exist now, and which can no longer be undone.

Pure: time is an argument, in seconds of any clock that does not go backwards. Nothing here waits;
a chain catches up with `advance(now)` whenever somebody asks it something.
"""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import msgspec
import zstandard

from steembot.devnode import shapes
from steembot.devnode.errors import ChainError

SLOT_SECONDS = 3  # STEEM_BLOCK_INTERVAL: a witness has one slot of 3 s, and may miss it
IRREVERSIBLE_LAG = 15  # two thirds of 21 witnesses have to build on a block; on Steem 15 to 25
KEEP_BLOCKS = 28_800  # a day


class _Zstd(threading.local):
    """A thread's own contexts: used by two at once, they give garbage or the death of both."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(level=1).compress
        self.decompress = zstandard.ZstdDecompressor().decompress


_zstd = _Zstd()


def _compress(data: bytes) -> bytes:
    # Copied, since zstandard cuts its answer's length but keeps the memory of the worst case.
    return bytes(memoryview(_zstd.compress(data)))


def _decompress(data: bytes) -> bytes:
    return _zstd.decompress(data)


@dataclass(frozen=True, slots=True)
class VirtualOperation:
    """What the chain itself did: a reward, a filled order.

    trx_in_block: the transaction that caused it, or None where the block as a whole did.
    op_in_trx: that transaction's operation, from 0.
    virtual_op: counts from 1 in each transaction, and again behind the last one (database.cpp).
    operation: in the block_api shape.
    """

    trx_in_block: int | None
    op_in_trx: int
    virtual_op: int
    operation: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Block:
    """A block, its contents packed: a day of them has to fit in memory.

    timestamp: seconds since 1970. appbase, condenser, virtual: compressed JSON, see the methods.
    hive: it is one of Hive's.
    """

    num: int
    id: str
    previous: str
    timestamp: int
    witness: str
    appbase: bytes
    condenser: bytes
    virtual: bytes
    hive: bool = False

    @classmethod
    def of(
        cls,
        num: int,
        timestamp: int,
        block: dict[str, Any],
        virtual: Sequence[VirtualOperation],
        *,
        hive: bool = False,
    ) -> "Block":
        """Pack a block of the block_api shape.

        Both shapes are written out now: serving a block then costs a decompression, whoever asks.
        """
        encode = msgspec.json.encode
        return cls(
            num=num,
            id=block["block_id"],
            previous=block["previous"],
            timestamp=timestamp,
            witness=block["witness"],
            appbase=_compress(encode(block)),
            condenser=_compress(encode(shapes.legacy_block(block, num, hive=hive))),
            virtual=_compress(encode(virtual)) if virtual else b"",
            hive=hive,
        )

    def appbase_json(self) -> bytes:
        """Return what block_api.get_block answers as `block`."""
        return _decompress(self.appbase)

    def condenser_json(self) -> bytes:
        """Return what condenser_api.get_block answers."""
        return _decompress(self.condenser)

    def appbase_block(self) -> dict[str, Any]:
        """Return the block in the block_api shape."""
        block: dict[str, Any] = msgspec.json.decode(self.appbase_json())
        return block

    def virtual_operations(self) -> list[VirtualOperation]:
        """Return the block's virtual operations, as the chain made them."""
        if not self.virtual:
            return []
        return msgspec.json.decode(_decompress(self.virtual), type=list[VirtualOperation])


class Source(Protocol):
    """Where a chain's blocks come from, one after the other. hive: it is Hive's, not Steem's."""

    first_num: int
    hive: bool

    def slots_to_next(self) -> int | None:
        """Return how many slots after the latest block the next one is; None at the end."""

    def next(self, slots: int) -> Block:
        """Make the next block, `slots` slots after the latest one."""

    def rewind(self, common: Block) -> None:
        """Go on after `common` with other blocks than before.

        Raises ChainError where there are no others.
        """


@dataclass(frozen=True, slots=True)
class Fork:
    """What a fork did: blocks that are no longer part of the chain, and those in their place."""

    removed: tuple[Block, ...]
    added: tuple[Block, ...]


class Chain:
    """The blocks that exist at a given time.

    source: makes the blocks. interval_s: seconds of the clock to a slot; 0 means all of the source
    at once, which must then have an end. ready: blocks that exist at `start`. irreversible_lag: how
    far the last irreversible block trails the head. keep: the newest blocks that are held; older
    ones are forgotten as a pruned node forgets them (None: hold all).
    """

    def __init__(
        self,
        source: Source,
        *,
        start: float,
        ready: int = 1,
        interval_s: float = SLOT_SECONDS,
        irreversible_lag: int = IRREVERSIBLE_LAG,
        keep: int | None = KEEP_BLOCKS,
    ) -> None:
        if keep is not None and keep <= irreversible_lag:
            raise ChainError(
                f"keep {keep} must be above the irreversible lag {irreversible_lag}: "
                "blocks that a fork may replace cannot be forgotten"
            )
        self.first_num = source.first_num
        self.hive = source.hive
        self.source = source
        self._interval_s = interval_s
        self._lag = irreversible_lag
        # Blocks fall out at the left by themselves.
        self._blocks: deque[Block] = deque(maxlen=keep)
        self._now = start
        self._due = start  # when the head's slot was
        self._ended_at: float | None = None
        self._irreversible = source.first_num
        self.forks = 0

        count = 0
        while (count < max(1, ready) or not interval_s) and self._append_next() is not None:
            count += 1
        if not self._blocks:
            raise ChainError("a chain needs at least one block")
        self.advance(start)

    def _append_next(self) -> int | None:
        """Append the next block. Return its distance in slots, or None at the source's end."""
        slots = self.source.slots_to_next()
        if slots is not None:
            self._blocks.append(self.source.next(slots))
        return slots

    @property
    def head(self) -> Block:
        """The newest block."""
        return self._blocks[-1]

    @property
    def irreversible_num(self) -> int:
        """The newest block that no fork replaces; never goes back."""
        return self._irreversible

    @property
    def oldest_num(self) -> int:
        """The oldest block still held."""
        return self._blocks[0].num

    @property
    def slots(self) -> int:
        """Slots from the oldest block held to the head, those missed included."""
        return (self.head.timestamp - self._blocks[0].timestamp) // SLOT_SECONDS

    def block(self, num: int) -> Block | None:
        """Return block `num`, or None when it does not exist yet or is forgotten."""
        index = num - self._blocks[0].num
        return self._blocks[index] if 0 <= index < len(self._blocks) else None

    def newest(self, count: int) -> tuple[Block, ...]:
        """Return the newest `count` blocks (fewer where there are fewer), newest first."""
        return tuple(islice(reversed(self._blocks), count))

    def advance(self, now: float) -> None:
        """Let the blocks appear that are due at `now`; an earlier `now` changes nothing."""
        self._now = max(self._now, now)
        while self._interval_s and self._ended_at is None:
            slots = self.source.slots_to_next()
            if slots is None:
                break
            due = self._due + slots * self._interval_s
            if due > self._now:
                break
            self._blocks.append(self.source.next(slots))
            self._due = due
        trailing = self._lag
        if self.source.slots_to_next() is None:
            # Nobody builds on the last block any more, yet a reader of irreversible blocks should
            # see it in the end: the lag shrinks by one an interval.
            if self._ended_at is None:
                self._ended_at = self._due
            past = (self._now - self._ended_at) / self._interval_s if self._interval_s else trailing
            trailing = max(0, trailing - int(past))
        self._irreversible = max(self._irreversible, self.head.num - trailing)

    def fork(self, depth: int) -> Fork:
        """Replace the newest `depth` blocks by `depth + 1` others, as when a longer branch wins.

        The new branch takes the slot that the next block would have had: the head's number and time
        both grow. Raises ChainError when the depth reaches the last irreversible block or the
        source has no other blocks.
        """
        undoable = self.head.num - self._irreversible
        if not 1 <= depth <= undoable:
            raise ChainError(
                f"a fork of depth {depth} is not possible: allowed is 1 to {undoable}, since block "
                f"{self._irreversible} is irreversible and the head is {self.head.num}"
            )
        common = self._blocks[-1 - depth]
        self.source.rewind(common)  # before anything is lost: it may refuse
        removed = tuple(reversed([self._blocks.pop() for _ in range(depth)]))
        old_slots = (removed[-1].timestamp - common.timestamp) // SLOT_SECONDS
        for _ in range(depth):
            self._blocks.append(self.source.next(1))
        # One slot beyond the old head: that is what lets the branch be longer.
        self._blocks.append(self.source.next(old_slots + 1 - depth))
        self._due += self._interval_s
        self.forks += 1
        added = tuple(reversed(self.newest(depth + 1)))
        self.advance(self._now)
        return Fork(removed, added)
