"""The block log: the chain's recent blocks, durable, in SQLite. Written before it is served.

A :class:`~steembot.chain.follower.Change` is one transaction, so a crash leaves the chain before it
or after it. One thread writes (:meth:`BlockLog.apply`), one other may read; the newest blocks are
also kept in memory, up to ``cache_bytes``, because they are what live clients ask for.

A disk can change what was written. No row is believed without its checksum
(:mod:`~steembot.broadcaster.block_file`). A block whose row is damaged is fetched again from the
chain, by its number and checked against its neighbours' ids, and the row is written anew. A file
whose structure is damaged is set aside, and a new one begun with the newest blocks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Self

from steembot import events
from steembot.broadcaster import block_file
from steembot.broadcaster.log_file import LogFile
from steembot.chain.follower import Change
from steembot.errors import DamagedError, DiskError, StateError
from steembot.operation import Block, BlockRef
from steembot.repeats import Repeats
from steembot.storage.database import Connection

log = logging.getLogger(__name__)

FETCH_AGAIN_S = 5.0
"""The pause before a damaged block is asked for again that the nodes did not give."""

MENDED_BLOCKS = 100
"""Blocks that were fetched again and wait to be written; others are fetched once more."""

_BLOCK_BYTES = 400
"""What Python's objects around a block weigh."""


def _no_older(num: int) -> Block | None:
    raise LookupError(num)


class BlockLog:
    """A :class:`~steembot.feed.session.BlockSource` over one SQLite file.

    ``chain`` names the blockchain: a file of another one is set aside, as is a damaged one, and
    the log begins anew. ``keep_blocks`` is how many of the newest blocks stay; ``older`` gives
    what is older than those, as :meth:`older` does, and damaged blocks. ``rejected(num)`` is called
    when a block that it gave is not the one of our chain.
    """

    def __init__(
        self,
        path: Path,
        *,
        chain: str,
        keep_blocks: int,
        cache_bytes: int = 2 * 1024 * 1024,
        older: Callable[[int], Block | None] = _no_older,
        rejected: Callable[[int], None] | None = None,
    ) -> None:
        self._path = path
        self._keep_blocks = keep_blocks
        self._cache_bytes = cache_bytes
        self._older = older
        self._rejected = rejected
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, Block] = OrderedDict()
        self._cached_bytes = 0
        self._head: BlockRef | None = None
        self._head_timestamp = 0
        self._oldest: int | None = None
        self._irreversible = 0
        self._forks = 0
        self._mended: dict[int, Block] = {}
        self._fetch_due = float("-inf")
        self._repeats = Repeats()
        self._is_writing = False
        self.first_wanted: int | None = None
        self._file = LogFile(path, chain, self._say_damage)
        self._load()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, and let another process have it."""
        self._file.close()

    def _load(self) -> None:
        head = self._file.head
        self._oldest, self._irreversible = self._file.oldest, self._file.irreversible
        if head is not None:
            self._head = head.ref
            self._head_timestamp = head.timestamp
            self._irreversible = min(self._irreversible, head.num)

    @property
    def was_lost(self) -> bool:
        """Whether nothing of a damaged file could be saved: how far the chain was is not known."""
        return self._file.was_lost

    # ---- what a session reads

    @property
    def head(self) -> BlockRef | None:
        """The newest block."""
        return self._head

    @property
    def head_timestamp(self) -> int:
        """When the newest block was made, in seconds since 1970; 0 while there is none."""
        return self._head_timestamp

    @property
    def oldest(self) -> int | None:
        """The number of the oldest block held."""
        return self._oldest

    @property
    def irreversible(self) -> int:
        """The number of the last irreversible block."""
        return self._irreversible

    @property
    def forks(self) -> int:
        """How many forks removed blocks since the start."""
        return self._forks

    def id_at(self, num: int) -> str | None:
        """The id of the block of that number on the chain as it is now."""
        head = self._head
        if head is not None and num == head.num:
            return head.id
        block = self.block(num)
        if block is not None:
            return block.id
        if not self._holds(num):
            return None
        after = self._intact(num + 1)  # the block itself is damaged, or was pruned this instant
        return None if after is None else after.previous

    def block(self, num: int) -> Block | None:
        """The block of that number on the chain as it is now.

        ``None`` also while a damaged one is being fetched again.
        """
        with self._lock:
            known = self._cache.get(num) or self._mended.get(num)
        if known is not None:
            return known
        try:
            row = self._file.read("num", num)
            if row is not None:
                return block_file.to_block(row)
        except (StateError, DiskError, ValueError) as error:
            reason = _reason(error)
        else:
            if self._is_writing:
                return None  # pruned or removed this instant
            reason = "it is missing"
        return self._fetch_again(num, reason) if self._holds(num) else None

    def older(self, num: int) -> Block | None:
        """A block from before :attr:`oldest`; ``None`` while it is being fetched.

        Raises :class:`LookupError` when it cannot be had.
        """
        return self._older(num)

    def removed(self, block_id: str) -> Block | None:
        """A block that a fork removed from the chain; ``None`` too where it is damaged."""
        try:
            row = self._file.read("id", bytes.fromhex(block_id), table="removed")
            return None if row is None else block_file.to_block(row)
        except (StateError, DiskError, ValueError) as error:
            self._say_damage(f"a block that a fork removed, {block_id},", _reason(error))
        return None

    def began_behind(self, block_id: str) -> bool:
        """Whether its first block ever was once one, removed since, that joined this one."""
        try:
            return self._file.began_behind(self._oldest or 0, bytes.fromhex(block_id))
        except (StateError, DiskError, ValueError) as error:
            self._say_damage("what forks removed", _reason(error))
        return False

    # ---- damaged blocks

    def _holds(self, num: int) -> bool:
        """Tell whether the log is to have a block of that number."""
        head = self._head
        return head is not None and (self._oldest or head.num) <= num <= head.num

    def _intact(self, num: int) -> Block | None:
        """A block that is in memory or whole on the disk."""
        with self._lock:
            known = self._cache.get(num) or self._mended.get(num)
        if known is not None:
            return known
        try:
            row = self._file.read("num", num)
            return None if row is None else block_file.to_block(row)
        except (StateError, DiskError, ValueError):
            return None

    def _fetch_again(self, num: int, reason: str) -> Block | None:
        """Fetch a damaged block from the chain; ``None`` while that is under way."""
        self._say_damage(f"block {num}", reason)
        now = time.monotonic()
        # What a fork can still remove is not known to nodes for certain.
        if num > self._irreversible or now < self._fetch_due:
            return None
        try:
            block = self._older(num)
        except LookupError:
            self._fetch_due = now + FETCH_AGAIN_S
            return None
        if block is None:
            return None
        if not self._is_ours(block):
            self._fetch_due = now + FETCH_AGAIN_S
            if self._rejected is not None:
                self._rejected(num)
            return None
        with self._lock:
            if len(self._mended) < MENDED_BLOCKS:
                self._mended[num] = block
        return block

    def _is_ours(self, block: Block) -> bool:
        """Tell whether a block is the one that its neighbours join."""
        head = self._head
        if head is not None and block.num == head.num:
            return block.id == head.id
        before, after = self._intact(block.num - 1), self._intact(block.num + 1)
        return (before is None or before.id == block.previous) and (
            after is None or after.previous == block.id
        )

    def _say_damage(self, what: str, reason: str) -> None:
        if self._repeats.is_due("damage", time.monotonic()):
            log.error(
                "%s of the block log %s is damaged: %s; it is fetched again from the chain, and so "
                "is whatever else is damaged",
                what,
                self._path,
                reason,
                extra=events.BLOCK_DAMAGED(),
            )

    # ---- what the chain's thread writes

    def apply(self, change: Change, irreversible: int) -> None:
        """Make a change of the chain durable, then visible to readers.

        Raises :class:`~steembot.errors.DiskError` when there is no room, or the disk fails; nothing
        has changed then, and the same change may be applied again later.
        """
        self._is_writing = True
        try:
            oldest, mended = self._write_somewhere(change, irreversible)
            self._show(change, oldest, irreversible, mended)
        except StateError as error:  # damaged again at once, or in use by another program
            raise DiskError(str(error)) from error
        finally:
            self._is_writing = False

    def _write_somewhere(self, change: Change, irreversible: int) -> tuple[int | None, list[int]]:
        """Write a change to the file, or to a new one if that is damaged."""
        if not self._file.damage:
            try:
                return self._write(change, irreversible)
            except DamagedError as error:
                self._file.damage = error.reason
        self._begin_anew()
        return self._write(change, irreversible)

    def _begin_anew(self) -> None:
        """Go on in a new file with the newest blocks."""
        run: list[Block] = []
        num = self._head.num if self._head else 0
        while len(run) < block_file.SAVED_BLOCKS and (block := self._intact(num)) is not None:
            run.append(block)
            num -= 1
        run.reverse()
        self._file.renew(run, self._irreversible)
        with self._lock:
            self._oldest = run[0].num if run else None
            self._mended.clear()

    def _write(self, change: Change, irreversible: int) -> tuple[int | None, list[int]]:
        oldest = self._oldest
        with self._lock:
            mended = list(self._mended.values())
        if mended and not block_file.is_sound(self._file.writer):
            raise DamagedError(str(self._path), "its structure is damaged", "")
        with self._file.writer.transaction() as writer:
            if mended:
                block_file.put(writer, [block for block in mended if self._holds(block.num)])
            for ref in change.removed:
                block = self._intact(ref.num)
                if block is not None:
                    block_file.put(writer, (block,), table="removed")
                writer.execute("DELETE FROM block WHERE num = ?", (ref.num,))
            block_file.put(writer, change.appended)
            if irreversible != self._irreversible:
                block_file.put_irreversible(writer, irreversible)
            if change.appended:
                if oldest is None:
                    oldest = change.appended[0].num
                    if self._head is None and not self.was_lost:  # of what was lost some was given
                        block_file.put_meta(writer, "first", oldest)
                oldest = self._prune(writer, oldest, change.appended[-1].num)
        return oldest, [block.num for block in mended]

    def _prune(self, writer: Connection, oldest: int, head: int) -> int:
        least = head - self._keep_blocks + 1
        if oldest >= least:
            return oldest
        writer.execute("DELETE FROM block WHERE num < ?", (least,))
        writer.execute("DELETE FROM removed WHERE num < ?", (least,))
        return least

    def _show(
        self, change: Change, oldest: int | None, irreversible: int, mended: list[int]
    ) -> None:
        with self._lock:
            for num in mended:
                self._mended.pop(num, None)
            for ref in change.removed:
                self._uncache(ref.num)
            for block in change.appended:
                self._cache[block.num] = block
                self._cached_bytes += len(block.packed) + _BLOCK_BYTES
            while self._cache and (
                self._cached_bytes > self._cache_bytes or next(iter(self._cache)) < (oldest or 0)
            ):
                self._uncache(next(iter(self._cache)))
            self._oldest = oldest
            self._irreversible = irreversible
            if change.appended:
                self._head = change.appended[-1].ref
                self._head_timestamp = change.appended[-1].timestamp
            if change.removed:
                self._forks += 1

    def _uncache(self, num: int) -> None:
        cached = self._cache.pop(num, None)
        if cached is not None:
            self._cached_bytes -= len(cached.packed) + _BLOCK_BYTES


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, DamagedError) else str(error)
