"""What one client gets next: position, filter, credit, undos. Pure, no sockets.

A session holds a handful of values and reads blocks from a :class:`BlockSource` when the client
has credit, so a slow client costs memory for its position and nothing else.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import msgspec

from steembot.errors import FeedError
from steembot.feed import wire
from steembot.feed.wire import ErrorCode
from steembot.operation import BLOCK_LEVEL, Block, BlockRef, Cursor, RawOperation

SCAN_BLOCKS = 200
"""How many blocks without a match one step reads before it reports progress."""


class BlockSource(Protocol):
    """What a session reads: the blocks of the chain as it is now, and those that it lost."""

    @property
    def head(self) -> BlockRef | None:
        """The newest block, or ``None`` while there is none."""

    @property
    def irreversible(self) -> int:
        """The number of the last irreversible block; 0 while unknown."""

    @property
    def oldest(self) -> int | None:
        """The number of the oldest block held, or ``None`` while there is none."""

    @property
    def first_wanted(self) -> int | None:
        """While there is no block: the number of the first one to come, if it is known."""

    @property
    def forks(self) -> int:
        """How many forks removed blocks since the start; a session looks back when it changes."""

    def id_at(self, num: int) -> str | None:
        """The id of the block of that number on the chain as it is now."""

    def block(self, num: int) -> Block | None:
        """The block of that number on the chain as it is now."""

    def older(self, num: int) -> Block | None:
        """A block from before :attr:`oldest`; ``None`` while it is being fetched.

        Raises :class:`LookupError` when it cannot be had.
        """

    def removed(self, block_id: str) -> Block | None:
        """A block that a fork removed from the chain."""

    def began_behind(self, block_id: str) -> bool:
        """Whether :attr:`oldest` was once a block, removed since, that joined the one of this id.

        A fork has then replaced everything here, and what lies below, of which nothing was given.
        """


class Step(msgspec.Struct, frozen=True):
    """One move of a session: where it leads, and what to tell the client."""

    position: Cursor
    message: wire.BlockMessage | wire.Undo | wire.Progress
    credit: int


class Session:
    """One client's subscription.

    A client that gives a number or ``head`` has nothing yet, so operations up to that block
    neither come nor are undone, whatever forks do to it. One that gives a cursor is taken to have
    everything up to it, in mode ``irreversible`` too: what it was once given in mode ``head`` it
    must take back. Apart from that, nothing is undone in mode ``irreversible``.
    """

    def __init__(self, subscribe: wire.Subscribe, source: BlockSource) -> None:
        """Find the position that the client asks for. Raises :class:`FeedError`."""
        if subscribe.version != wire.VERSION:
            raise FeedError(
                ErrorCode.VERSION,
                f"this broadcaster speaks version {wire.VERSION} of the feed, the client "
                f"{subscribe.version}; install the same steembot for both",
            )
        self.name = subscribe.name
        self.mode = subscribe.mode
        self.types = tuple(subscribe.types)
        self._wanted = None if wire.EVERY_TYPE in self.types else frozenset(self.types)
        self._source = source
        self._forks_seen = -1
        self._floor = 0
        self.credit = subscribe.credit
        # Blocks that were sent and that the client has not paid for with new credit: what it has in
        # hand. At most as many as credit allows.
        self._in_hand: deque[int] = deque()
        # The last operation that the client has. Where it gave just a number the id is empty,
        # and the next block is taken as it is; None is "the head" while there is none.
        self.position: Cursor | None = self._locate(subscribe.after)

    def grant(self, blocks: int) -> None:
        """Take more credit. Raises :class:`FeedError` above the limit."""
        if self.credit + blocks > wire.MAX_CREDIT:
            raise FeedError(
                ErrorCode.TOO_MUCH_CREDIT,
                f"credit of {self.credit + blocks} blocks; at most {wire.MAX_CREDIT} are allowed",
            )
        self.credit += blocks
        for _ in range(min(blocks, len(self._in_hand))):
            self._in_hand.popleft()

    @property
    def lag(self) -> int:
        """Blocks between the head and what the client has finished with, told by its credit."""
        head = self._source.head
        if head is None or self.position is None:
            return 0
        done = self._in_hand[0] - 1 if self._in_hand else self.position.block_num
        return max(0, head.num - done)

    def next(self) -> Step | None:
        """Decide the next move, or ``None`` while there is nothing to tell.

        The session moves only when :meth:`take` is called, so a message that could not be sent
        is decided anew later. Raises :class:`FeedError` when the client can't be served any more.
        """
        source = self._source
        if source.head is None:
            return None
        position = self.position
        if position is None:  # subscribed to the head before there was one
            position = Cursor.end_of((source.oldest or 1) - 1, "")
        forks = source.forks
        if self._forks_seen != forks:
            undo = self._undo(position)
            if undo is not None:
                return undo
            self._forks_seen = forks
        if self.credit == 0:
            return None
        return self._advance(position)

    def take(self, step: Step) -> None:
        """Move: the step's message is on its way."""
        if step.credit < self.credit:
            self._in_hand.append(step.position.block_num)
        self.position = step.position
        self.credit = step.credit

    def _locate(self, after: str) -> Cursor | None:
        source = self._source
        if after == "head":
            return self._begin(self._newest())
        if after.isascii() and after.isdecimal():
            num = int(after)
            if num > BLOCK_LEVEL:
                raise FeedError(
                    ErrorCode.BAD_MESSAGE, f"{after[:20]} is no block number; those have 32 bits"
                )
            self._check_range(num)
            if self.mode == "irreversible" and num > source.irreversible:
                # Whichever block this number ends up with, what follows it is wanted.
                return self._begin(Cursor.end_of(num, ""))
            return self._begin(Cursor.end_of(num, source.id_at(num) or ""))
        try:
            cursor = Cursor.parse(after)
        except ValueError as error:
            raise FeedError(
                ErrorCode.BAD_MESSAGE,
                f"{error}; 'after' may be head, a block number or a cursor",
            ) from None
        # A branch may be shorter than the one that it replaced, so what was removed is looked up
        # before "above the head" is said.
        if source.removed(cursor.block_id) is None:
            self._check_range(cursor.block_num)
            self._check_known(cursor)
        return cursor

    def _begin(self, position: Cursor | None) -> Cursor | None:
        if position is not None:
            self._floor = position.block_num
        return position

    def _newest(self) -> Cursor | None:
        """Behind the newest block that this mode delivers."""
        source = self._source
        head = source.head
        if head is None:
            return None
        if self.mode == "head":
            return Cursor.end_of(head.num, head.id)
        num = min(source.irreversible, head.num)
        block_id = source.id_at(num)
        if block_id is not None:
            return Cursor.end_of(num, block_id)
        # A young log: none of its blocks is irreversible yet.
        oldest = source.oldest or head.num
        first = source.block(oldest)
        return Cursor.end_of(oldest - 1, "" if first is None else first.previous)

    def _check_range(self, num: int) -> None:
        source = self._source
        if source.head is None:
            # A first start: blocks are still to come. All that must not be promised is a block
            # before the first one.
            if source.first_wanted is not None and num + 1 < source.first_wanted:
                self._older(num + 1, source.first_wanted)
            return
        if num > source.head.num:
            raise FeedError(
                ErrorCode.ABOVE_HEAD,
                f"block {num} is above the head, which is block {source.head.num}; "
                "ask again when the chain is there",
            )
        if source.oldest is not None and num + 1 < source.oldest:
            self._older(num + 1, source.oldest)

    def _older(self, num: int, oldest: int) -> Block | None:
        try:
            return self._source.older(num)
        except LookupError:
            raise self._too_old(num - 1, oldest) from None

    def _check_known(self, cursor: Cursor) -> None:
        source = self._source
        if source.head is None or source.id_at(cursor.block_num) == cursor.block_id:
            return
        if source.oldest is not None and cursor.block_num < source.oldest:
            if not cursor.is_end:
                self._older(cursor.block_num, source.oldest)
                return
            # Whether it is on the chain shows when the block after it is here.
            after = source.block(cursor.block_num + 1)
            if after is None or after.previous == cursor.block_id or self._is_beginning(cursor):
                return
        raise self._unknown(cursor)

    @staticmethod
    def _unknown(cursor: Cursor) -> FeedError:
        return FeedError(
            ErrorCode.UNKNOWN_BLOCK,
            f"block {cursor.block_num} with id {cursor.block_id} is neither on this chain nor "
            "among the removed blocks that the block log still holds",
        )

    @staticmethod
    def _too_old(num: int, oldest: int) -> FeedError:
        return FeedError(
            ErrorCode.TOO_OLD,
            f"what follows block {num} is no longer in the block log, which begins with "
            f"block {oldest}, and cannot be fetched from the chain",
        )

    def _undo(self, position: Cursor) -> Step | None:
        """Take back the position's block if a fork removed it."""
        source = self._source
        if not position.block_id:
            return None
        ours = source.id_at(position.block_num)
        if ours == position.block_id:
            return None
        block = source.removed(position.block_id)
        if block is None:
            if ours is not None:  # replaced, and too long ago for the log to say by what way
                raise self._unknown(position)
            return self._rebase(position)
        gone = [op for op in self._filter(block) if op.within_block <= position.within_block]
        return Step(
            position=Cursor.end_of(block.num - 1, block.previous),
            message=wire.Undo(
                num=block.num,
                id=block.id,
                previous=block.previous,
                timestamp=block.timestamp,
                operations=tuple(reversed(gone)),
            ),
            credit=self.credit,
        )

    def _rebase(self, position: Cursor) -> Step | None:
        """Lead a client that has nothing of our blocks onto the branch that replaced them all.

        It stands just below our first block, where there is another block by now. None of its
        operations was given to anybody: what is not irreversible is given only once it is here.
        """
        first = self._source.block(self._source.oldest or 0)
        if first is None or not self._is_beginning(position) or first.previous == position.block_id:
            return None
        cursor = Cursor.end_of(position.block_num, first.previous)
        return Step(
            position=cursor,
            message=wire.Progress(
                cursor=cursor, irreversible=self._source.irreversible, timestamp=first.timestamp
            ),
            credit=self.credit,
        )

    def _is_beginning(self, cursor: Cursor) -> bool:
        """Tell whether a position is just below our first block, on any branch that was here."""
        return (
            cursor.is_end
            and cursor.block_num + 1 == self._source.oldest
            and self._source.began_behind(cursor.block_id)
        )

    def _advance(self, position: Cursor) -> Step | None:
        source = self._source
        last = 0 if source.head is None else source.head.num
        if self.mode == "irreversible":
            last = min(last, source.irreversible)
        first = position.block_num + 1 if position.is_end else position.block_num
        passed: Block | None = None
        for num in range(first, min(last, first + SCAN_BLOCKS - 1) + 1):
            oldest = source.oldest or 0
            if 0 < source.irreversible < num < oldest:
                break  # a fork could remove it, and no log would say how to undo it
            block = self._older(num, oldest) if num < oldest else source.block(num)
            if block is None:
                break  # being fetched, or pruned this instant
            if not self._follows(block, position):
                break
            operations = self._filter(block)
            if num == position.block_num:  # the rest of a block of which the client has a part
                operations = [op for op in operations if op.within_block > position.within_block]
            position = Cursor.end_of(block.num, block.id)
            passed = block
            if operations:
                return Step(
                    position=position,
                    message=wire.BlockMessage(
                        num=block.num,
                        id=block.id,
                        previous=block.previous,
                        timestamp=block.timestamp,
                        irreversible=source.irreversible,
                        operations=tuple(operations),
                    ),
                    credit=self.credit - 1,
                )
        if passed is None:
            return None
        return Step(
            position=position,
            message=wire.Progress(
                cursor=position, irreversible=source.irreversible, timestamp=passed.timestamp
            ),
            credit=self.credit,
        )

    def _follows(self, block: Block, position: Cursor) -> bool:
        """Tell whether a block is what comes next; if not, undos come first."""
        before = block.id if block.num == position.block_num else block.previous
        if not position.block_id or before == position.block_id:
            return True
        if (
            self._source.oldest is not None
            and position.block_num < self._source.oldest
            and not self._is_beginning(position)
        ):
            raise self._unknown(position)
        self._forks_seen = -1  # the chain is changing under us: look for undos again
        return False

    def _filter(self, block: Block) -> list[RawOperation]:
        if block.num <= self._floor:
            return []
        if self._wanted is None:
            return list(block.operations)
        return [op for op in block.operations if op.type in self._wanted]
