"""What to fetch next, and how what came joins the chain. Pure: no clock, no sockets, no disk.

The follower knows the tip (the last block that it joined) and the head that a node announced. It
hands out :class:`Span` s of block numbers to fetch, takes the blocks in any order, and joins them
strictly in order on ``previous == id``. A number that a node doesn't have yet is asked for again:
a hole is never skipped.

Where a block does not join the tip, the tip was removed by a fork. The follower then fetches the
node's blocks backwards until one joins a block that it knows, and only then changes anything: a
:class:`Change` that removes the old blocks, newest first, and appends the new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from steembot.errors import ForkTooDeepError
from steembot.operation import Block, BlockRef


class Span(msgspec.Struct, frozen=True):
    """Block numbers ``first`` to ``last``, both included, that somebody is to fetch.

    ``irreversible`` is the last irreversible block that was announced before the fetch.
    """

    first: int
    last: int
    irreversible: int = 0

    @property
    def nums(self) -> range:
        """The numbers themselves."""
        return range(self.first, self.last + 1)


class Change(msgspec.Struct, frozen=True):
    """What happens to the chain: blocks removed, newest first, then blocks appended in order."""

    removed: tuple[BlockRef, ...]
    appended: tuple[Block, ...]


class Follower:
    """Joins blocks to a chain.

    ``tip`` is the last block of the chain, ``start`` the first number wanted where there is none
    yet. ``id_at`` returns the id of a block of our chain, or ``None`` when it holds no such
    block, and ``oldest`` the number of the first one that it holds. ``irreversible`` is the last
    block of ours that nodes say can't be undone any more; of the newest ``reversible_blocks``
    that is believed only until a fork shows otherwise. ``is_inconsistent`` tells that the last
    answer was no continuation, backwards, of the one before. ``span_blocks`` is the most that is
    fetched at once, ``window_blocks`` bounds what is fetched ahead of the tip, and so the memory;
    both may be changed at any time.
    """

    def __init__(
        self,
        tip: BlockRef | None,
        start: int,
        id_at: Callable[[int], str | None],
        *,
        oldest: Callable[[], int | None] = lambda: None,
        irreversible: int = 0,
        reversible_blocks: int = 0,
        span_blocks: int = 50,
        window_blocks: int = 400,
    ) -> None:
        self.tip = tip
        self.head = 0
        self.irreversible = irreversible
        self.announced_irreversible = 0
        self._next = start if tip is None else tip.num + 1
        self._id_at = id_at
        self._oldest = oldest
        self._reversible_blocks = reversible_blocks
        self.is_inconsistent = False
        self.span_blocks = span_blocks
        self.window_blocks = window_blocks
        self._fetched: dict[int, tuple[Block, int]] = {}
        self._asked: set[int] = set()
        self._branch: list[Block] = []
        self._branch_irreversible = 0
        self._removed: list[BlockRef] = []

    @property
    def next_num(self) -> int:
        """The number of the block that the tip waits for."""
        return self._next

    @property
    def behind(self) -> int:
        """How many announced blocks are not joined yet."""
        return max(0, self.head - self._next + 1)

    @property
    def walking_back(self) -> bool:
        """Whether a fork is being followed backwards; nothing else is wanted meanwhile."""
        return bool(self._branch)

    @property
    def _known_irreversible(self) -> int:
        return max(self.irreversible, self.announced_irreversible)

    @property
    def _fixed(self) -> int:
        """The last block that no fork removes: irreversible by more than a node's word."""
        newest = 0 if self.tip is None else self.tip.num
        return min(self.irreversible, newest - self._reversible_blocks)

    @property
    def branch_tip(self) -> int:
        """The number of the block that a fork is followed back from; 0 if none is."""
        return self._branch[-1].num if self._branch else 0

    def announce(self, head: BlockRef, irreversible: int) -> None:
        """Take note of a node's head. Neither number ever goes backwards."""
        self.head = max(self.head, head.num)
        self.announced_irreversible = max(self.announced_irreversible, irreversible)
        if head == self.tip:
            self._confirm(head.num, self.announced_irreversible)

    def retract(self, head: int) -> None:
        """Take back an announcement that turned out to be no more than that."""
        self.head = head if self.tip is None else max(self.tip.num, head)

    def _confirm(self, num: int, irreversible: int) -> None:
        """Our block ``num`` was on the chain when ``irreversible`` had been announced of it.

        So that holds for our blocks up to there. Without having seen our block there, it need
        not: a tip from before an outage, or a block that waited here for another one, may have
        been removed since and still be below the number that is announced now.
        """
        self.irreversible = max(self.irreversible, min(irreversible, num))

    def wanted(self) -> Span | None:
        """Return the next numbers to fetch, or ``None`` when all that exist are asked for."""
        if self._branch:
            num = self._branch[0].num - 1
            if num in self._asked:
                return None
            self._asked.add(num)
            return Span(num, num, self._known_irreversible)
        end = min(self.head, self._next + self.window_blocks - 1)
        first = self._next
        while first <= end and (first in self._asked or first in self._fetched):
            first += 1
        if first > end:
            return None
        last = first
        while (
            last < end
            and last - first + 1 < self.span_blocks
            and last + 1 not in self._asked
            and last + 1 not in self._fetched
        ):
            last += 1
        self._asked.update(range(first, last + 1))
        return Span(first, last, self._known_irreversible)

    def give_up(self, span: Span) -> None:
        """Take back a span whose fetch failed: its numbers are wanted again."""
        self._asked.difference_update(span.nums)

    def receive(self, span: Span, blocks: Sequence[Block | None]) -> Change | None:
        """Take the blocks of a span, and return how the chain changes by what joins now.

        Blocks that are ``None`` are wanted again. Raises :class:`ForkTooDeepError` when the
        node's chain leaves ours at a block that can't be undone; the follower then stands where
        it stood before.
        """
        self._asked.difference_update(span.nums)
        self.is_inconsistent = False
        if self._branch:
            for block in blocks:
                if block is not None and block.num == self._branch[0].num - 1:
                    return self._walk_back(block)
            return None
        for block in blocks:
            if block is not None and block.num >= self._next:
                self._fetched[block.num] = (block, span.irreversible)
        return self._join()

    def _join(self) -> Change | None:
        joined: list[Block] = []
        tip = self.tip
        while (fetched := self._fetched.get(self._next)) is not None:
            block, irreversible = fetched
            if tip is not None and block.previous != tip.id:
                if joined:
                    break  # first say what joined; the odd one is looked at in the next round
                return self._fork(block, irreversible)
            del self._fetched[self._next]
            joined.append(block)
            tip = block.ref
            self._next += 1
            self._confirm(block.num, irreversible)
        if not joined:
            return None
        self.tip = tip
        return Change(removed=(), appended=tuple(joined))

    def pending(self) -> Change | None:
        """Return what else joins of what is already here. To be called until it is ``None``."""
        if self._branch:
            return None
        return self._join()

    def _fork(self, block: Block, irreversible: int) -> Change | None:
        """Begin to walk back: ``block`` does not join the tip."""
        self._fetched.clear()
        self._branch_irreversible = irreversible
        self._branch = [block]
        self._removed = []
        return self._walk_on()

    def _walk_back(self, block: Block) -> Change | None:
        if block.id != self._branch[0].previous:
            # Another node, or the same one on another branch by now. Begin anew.
            self.is_inconsistent = True
            self._forget_branch()
            return None
        self._branch.insert(0, block)
        return self._walk_on()

    def _walk_on(self) -> Change | None:
        """Compare the branch's oldest block with our chain; finish when it joins."""
        oldest = self._branch[0]
        below = oldest.num - 1
        ours = self._id_at(below)
        # A fork may reach the first block of a young log. Nothing below it was ever promised, and
        # none of its blocks is irreversible, or the walk would have ended there: all of them are
        # replaced, and the log begins at the same place on the new branch.
        is_first = oldest.num == self._oldest()
        if (ours is not None and ours == oldest.previous) or is_first:
            change = Change(removed=tuple(self._removed), appended=tuple(self._branch))
            if below < self.irreversible:  # a node's word was false
                self.irreversible = self.announced_irreversible = below
                self._branch_irreversible = min(self._branch_irreversible, below)
            self.tip = self._branch[-1].ref
            self._next = self.tip.num + 1
            self._forget_branch()
            self._confirm(self.tip.num, self._branch_irreversible)
            return change
        if ours is not None and self._branch_irreversible < below <= self._fixed:
            # Fetched before that block of ours was irreversible, and removed since. Fetch it anew.
            self._forget_branch()
            return None
        if ours is None or below <= self._fixed:
            branch = [block.ref for block in self._branch]
            self._forget_branch()
            raise ForkTooDeepError(
                f"the node's block {branch[0]} does not join our chain"
                + (
                    f", and our block {below} is irreversible"
                    if ours is not None
                    else f", and what our log had below block {branch[0].num} is not known"
                )
            )
        self._removed.append(BlockRef(below, ours))
        return None

    def leave_branch(self) -> None:
        """Stop walking back, since nobody else has those blocks. What is wanted is asked anew."""
        self._forget_branch()

    def _forget_branch(self) -> None:
        if self._branch:
            self._asked.discard(self._branch[0].num - 1)
        self._branch = []
        self._removed = []
