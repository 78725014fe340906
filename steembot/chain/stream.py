"""Follow the chain for ever: the waiting, and who is asked for what.

Decisions are the follower's (what to fetch), the pool's (whom to ask), the pace's (how much at
once), the agreement's (what to believe) and the slot clock's (when). One thread runs
:meth:`ChainStream.run`; workers hold one HTTP request each and answer through a queue.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from steembot import events
from steembot.chain.agreement import differ
from steembot.chain.asking import Answer, Asking
from steembot.chain.follower import Change, Follower, Span
from steembot.chain.heads import impossible
from steembot.chain.jobs import Job
from steembot.chain.node import Fetched, Head, Node
from steembot.chain.pace import Pace
from steembot.chain.pool import LONGEST_REST_S, NodeHealth, Pool
from steembot.chain.progress import Progress
from steembot.chain.slots import SlotClock
from steembot.chain.troubles import Troubles
from steembot.errors import (
    ForkTooDeepError,
    NodeAnswerError,
    NodeDisagreesError,
    NodeError,
    NodeLimitError,
    NodeTimeoutError,
)
from steembot.operation import Block, BlockRef

log = logging.getLogger(__name__)

AHEAD_BYTES = 10 * 1024 * 1024
"""What is fetched ahead of the tip, as the nodes write it; packed, it is half of that.

The bound on memory while behind.
"""

UNDER_WAY_BLOCKS = 800
"""Asked for and not there yet, about so many at most: how heavy they are is known afterwards."""

PATIENCE_S = 3.0
"""How long a block that a node announced may be missing there before the node is called ill."""

MISSING_REST_S = 3.0
"""The longest rest of a node for a missing block: it has been seen to take up to 48 s."""

GRACE_S = 1.0
"""How long a first start waits for the other nodes' heads, so as not to begin at a stale one."""

LATE = 3
"""Questions without a new block after which other nodes are asked in turn."""

RETRY_S = 0.5
"""The pause before blocks are asked for again that were not to be had, or not agreed on."""


class Situation(msgspec.Struct, frozen=True):
    """How the stream is, for ``STATUS=`` and ``steembot status``.

    ``node`` gave the last block. ``ill`` of ``nodes`` don't answer as they should. ``speed`` is in
    blocks a second. ``attempted`` is when something last went on: a block came, a request came to
    its end, well or not, or it was known that all nodes rest (monotonic seconds).
    """

    node: str
    nodes: int
    ill: int
    head: int
    behind: int
    speed: float
    trouble: str
    attempted: float


class NodeState(msgspec.Struct, frozen=True):
    """One node: its health, how often it failed in which way, and in what words last."""

    url: str
    health: NodeHealth
    errors: dict[str, int]
    trouble: str


class ChainStream:
    """Follows the chain and hands every change to ``apply``, in order, from one thread.

    ``tip`` and ``irreversible`` are where an earlier run ended, ``start`` the first block
    otherwise (``None``: the head). ``id_at`` and ``oldest`` tell of the blocks that are applied, as
    :class:`Follower` wants it. ``apply(change, irreversible)`` makes a change durable before
    it returns; the tip moves only then. A block counts when ``quorum`` nodes have it.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        tip: BlockRef | None,
        irreversible: int,
        start: int | None,
        id_at: Callable[[int], str | None],
        oldest: Callable[[], int | None],
        apply: Callable[[Change, int], None],
        quorum: int = 1,
    ) -> None:
        self._profile = nodes[0].profile
        self._nodes = {node.url: node for node in nodes}
        self._pool = Pool(list(self._nodes), self._profile.least_lag)
        self._paces = {node.url: Pace(node.max_adjacent) for node in nodes}
        self._slots = SlotClock()
        self._quorum = quorum
        self._id_at = id_at
        self._oldest = oldest
        self._apply = apply
        self._begins_at_head = tip is None and start is None
        self._follower: Follower | None = None
        if not self._begins_at_head:
            self._follower = self._new_follower(tip, start or 0, irreversible)
        self._stopping = threading.Event()
        self._asking = Asking()
        self._spans: list[Job] = []
        self._poll: Job | None = None
        self._missing_since: dict[str, float] = {}
        self._first_head: float | None = None
        self._short = False
        self._givers: dict[int, Sequence[str]] = {}  # who gave a block that may not join
        self._newest = 0  # when the newest block was made, once one was joined
        self._irreversible = irreversible
        self._at_head = 0  # the next block when we were there last
        self._hold_until = float("-inf")
        self._troubles = Troubles(self._pool, quorum)
        self._progress = Progress(time.monotonic())
        self._node = ""
        self._attempted = time.monotonic()

    # ---- from other threads

    @property
    def situation(self) -> Situation:
        """How the stream is now. May be read from any thread."""
        follower = self._follower
        return Situation(
            node=self._node,
            nodes=len(self._nodes),
            ill=self._pool.ill,
            head=follower.head if follower else 0,
            behind=follower.behind if follower else 0,
            speed=self._progress.speed,
            trouble=self._troubles.words,
            attempted=self._attempted,
        )

    def nodes(self) -> list[NodeState]:
        """How each node is now, in order of preference. May be asked from any thread."""
        now = time.monotonic()
        return [
            NodeState(
                url=url,
                health=self._pool.health(url, now),
                errors=self._troubles.errors(url),
                trouble=self._troubles.last(url),
            )
            for url in self._nodes
        ]

    def stop(self) -> None:
        """Make :meth:`run` return soon. May be called from any thread."""
        self._stopping.set()
        self._asking.wake()

    def run(self) -> None:
        """Follow until :meth:`stop`. Raises what ``apply`` raises."""
        try:
            while not self._stopping.is_set():
                wait_s = self._turn(time.monotonic())
                # All that came is looked at before anything is called late: applying a block can
                # take long, on a full disk for example.
                for answer in self._asking.answers(wait_s):
                    self._finish(answer, time.monotonic())
        finally:
            self._asking.stop()

    # ---- asking

    def _turn(self, now: float) -> float:
        """Start what should be under way now; return for how long nothing else will be due."""
        for late in self._asking.late(now):
            self._finish(late, now)
        ranked = self._pool.ranked(now)
        self._check_heads(now, ranked[: self._quorum])
        if len(ranked) < self._quorum:
            self._attempted = now  # to know that nobody can be asked is as good as having asked
            self._troubles.too_few(len(ranked), now)
        follower = self._follower or self._begin(now)
        due = [now + 1.0, *self._asking.deadlines]
        if len(ranked) < len(self._nodes):
            due.append(max(now + 0.01, self._pool.rests_until(now)))
        if follower is not None:
            self._aim(follower, now)
            if 0 < follower.head < follower.next_num - 1:
                self._troubles.below(follower.next_num, follower.head, now)
            self._progress.say(follower, now)
            if follower.behind > 1 or follower.walking_back:
                if self._poll is not None:
                    self._close(self._poll, now)
                self._open_spans(follower, now)
                due += [self._staff(job, now) for job in list(self._spans)]
            else:
                due.append(self._poll_head(follower, now))
        return min(due) - now

    def _check_heads(self, now: float, used: Sequence[str]) -> None:
        under_way = self._asking.for_heads
        for url in self._pool.to_check(now, used, short=self._short):
            if url not in under_way:
                node = self._nodes[url]
                self._asking.ask(node, None, node.head, now)
        self._short = False

    def _begin(self, now: float) -> Follower | None:
        """Begin at the head, once it is known well enough where that is."""
        head, _ = self._pool.agreed_head(now, self._quorum)
        if not head:
            return None
        if self._first_head is None:
            self._first_head = now
        if not self._pool.first_answers() and now - self._first_head < GRACE_S:
            return None
        log.info(
            "the head is block %d; beginning there",
            head,
            extra=events.BEGINNING(STEEM_BLOCK=head),
        )
        self._follower = self._new_follower(None, head, 0)
        return self._follower

    def _new_follower(self, tip: BlockRef | None, start: int, irreversible: int) -> Follower:
        return Follower(
            tip,
            start,
            self._id_at,
            oldest=self._oldest,
            irreversible=irreversible,
            reversible_blocks=self._profile.reversible_blocks,
        )

    def _aim(self, follower: Follower, now: float) -> None:
        """Let the follower want what so many nodes announced that it can be had."""
        head, irreversible = self._pool.agreed_head(now, self._quorum)
        if head:
            follower.announce(BlockRef(head, ""), irreversible)
            if head < follower.head:
                follower.retract(head)

    def _open_spans(self, follower: Follower, now: float) -> None:
        """Ask for as much as the best node bears, within the bound on memory."""
        ranked = self._pool.ranked(now, follower.next_num if not follower.walking_back else 1)
        if not ranked or now < self._hold_until:
            return
        used = ranked[: self._quorum]
        paces = [self._paces[url] for url in used]
        allowed = min(self._nodes[url].max_adjacent for url in used)
        for pace in paces:
            pace.most_blocks = allowed
        follower.span_blocks = min(pace.blocks for pace in paces)
        heaviest = max(pace.block_bytes for pace in paces) * len(paces)
        follower.window_blocks = max(follower.span_blocks, int(AHEAD_BYTES / heaviest))
        requests = min(pace.requests for pace in paces)
        requests = min(requests, max(1, UNDER_WAY_BLOCKS // follower.span_blocks))
        while len(self._spans) < requests:
            doubted = follower.walking_back
            span = follower.wanted()
            if span is None:
                return
            self._spans.append(Job(span, self._quorum, doubted=doubted))

    def _ask_ahead(self, now: float) -> None:
        """While what came is being written, the next answers can be on their way."""
        follower = self._follower
        if follower is None or follower.behind <= 1 or follower.walking_back:
            return
        had = len(self._spans)
        self._open_spans(follower, now)
        for job in self._spans[had:]:
            for url in self._pool.ranked(now, job.span.last)[: job.needed]:
                self._ask(job, url, now)

    def _staff(self, job: Job, now: float) -> float:
        """See that enough nodes are asked for a job; return when to look again."""
        job.asked = {url: since for url, since in job.asked.items() if not self._rests(url, now)}
        rest = [
            url
            for url in self._pool.ranked(now, 1 if job.doubted else job.span.last)
            if url not in job.asked and url not in job.found and url not in job.failed
        ]
        if job.doubted and self._quorum == 1:
            # Blocks are to be removed: somebody else should have the new ones too.
            job.needed = min(2, len(rest) + len(job.asked) + len(job.found)) or 1
        while rest and job.votes + len(job.asked) < job.needed:
            self._ask(job, rest.pop(0), now)
        if job.votes + len(job.asked) < job.needed:
            self._short = True
        if not job.asked:
            self._settle(job, now, last=True)
            return now + RETRY_S
        return self._hedge(job, rest, now)

    def _hedge(self, job: Job, rest: Sequence[str], now: float) -> float:
        """Ask one more node where an answer is late; return when that may be."""
        url, since = min(job.asked.items(), key=lambda item: item[1])
        late = since + self._pool.patience_s(url, span=not job.poll)
        well = [other for other in rest if other in self._pool.well(now)]
        if job.votes + len(job.asked) > job.needed:
            return now + 1.0
        if late > now:
            return late
        if not well:
            self._short = True
            return now + RETRY_S
        log.debug("node %s is late with block %d; asking %s too", url, job.span.first, well[0])
        self._ask(job, well[0], now)
        return now + 1.0

    def _poll_head(self, follower: Follower, now: float) -> float:
        """Ask for the next block at the head when it is due; return when to look again."""
        job = self._poll
        if job is None or job.span.first != follower.next_num:
            if self._spans:
                return now + 1.0  # what was asked for while behind comes first
            num = follower.next_num
            job = self._poll = Job(Span(num, num), self._quorum, poll=True)
        job.asked = {url: since for url, since in job.asked.items() if not self._rests(url, now)}
        others = [
            url
            for url in self._pool.ranked(now, 1)
            if url not in job.asked and not _complete(job, url)
        ]
        if job.asked:
            return self._hedge(job, others, now)
        if self._slots.next_question > now:
            return self._slots.next_question
        if self._slots.misses >= LATE:
            # Is it the chain that is late, or the node?
            well = [url for url in others if url in self._pool.well(now)]
            turn = (self._slots.misses - LATE + 1) % max(1, len(well))
            others = well[turn:] + well[:turn] + [url for url in others if url not in well]
        for url in others[: max(1, job.needed - job.votes)]:
            self._ask(job, url, now)
        return now + 1.0

    def _ask(self, job: Job, url: str, now: float) -> None:
        node, span = self._nodes[url], job.span
        job.asked[url] = now
        job.found.pop(url, None)
        if job.poll:
            self._asking.ask(node, job, lambda: node.poll(span.first), now)
        else:
            self._asking.ask(node, job, lambda: node.fetch(span.nums, span.irreversible), now)

    def _rests(self, url: str, now: float) -> bool:
        return url not in self._pool.ranked(now)

    # ---- what came back

    def _finish(self, done: Answer, now: float) -> None:
        url, job = done.url, done.job
        self._attempted = now
        if job is not None:
            job.asked.pop(url, None)
        if done.error is not None:
            self._take_error(url, job, done.error, now)
        elif job is None:
            self._pool.answered(url, done.seconds, span=False)
            self._take_head(url, done.result, now)
        elif job.poll:
            self._pool.answered(url, done.seconds, span=False)
            self._take_poll(url, job, done.result, now)
        else:
            self._pool.answered(url, done.seconds, span=True)
            self._take_blocks(url, job, done.result, now)

    def _take_error(self, url: str, job: Job | None, error: NodeError, now: float) -> None:
        if job is not None:
            job.failed.add(url)
        blocks = 1 if job is None else len(job.span.nums)
        if isinstance(error, NodeLimitError) and blocks > 1:
            log.debug("%s; asking for less at once", error)
            self._paces[url].refused(blocks)
            if job is not None and not job.closed:
                self._close(job, now)  # its blocks are wanted again, and cut anew
            return
        self._paces[url].failed()
        self._troubles.failed(url, error, now)

    def _take_head(self, url: str, head: Head, now: float) -> None:
        if not self._is_believable(url, head, now):
            return
        self._announce(url, head, now)
        if not self._behind_others(url, head, now):
            self._troubles.succeeded(url, now)

    def _take_blocks(self, url: str, job: Job, fetched: Fetched[Block | None], now: float) -> None:
        blocks = fetched.results
        if None not in blocks:
            self._paces[url].answered(len(blocks), fetched.size_bytes, fetched.seconds)
        if job.closed:
            return
        job.found[url] = blocks
        if None in blocks:
            num = job.span.first + blocks.index(None)
            if self._pool.has_announced(url, num):
                self._missing(url, num, now, patience_s=0.0)
        else:
            self._missing_since.pop(url, None)
            self._pool.gave(url)
            self._troubles.succeeded(url, now)
        self._settle(job, now)

    def _take_poll(self, url: str, job: Job, answer: tuple[Head, Block | None], now: float) -> None:
        head, block = answer
        num = job.span.first
        if not self._is_believable(url, head, now):
            job.failed.add(url)
            return
        if block is not None and block.num > head.num:
            head = msgspec.structs.replace(head, num=block.num, id=block.id)
        self._announce(url, head, now)
        if self._poll is not job:
            return
        job.found[url] = [block]
        if block is not None:
            self._missing_since.pop(url, None)
            self._pool.gave(url)
            self._troubles.succeeded(url, now)
            self._settle(job, now)
        elif head.num >= num:
            self._missing(url, num, now, patience_s=PATIENCE_S)
        else:
            self._missing_since.pop(url, None)
            if not self._behind_others(url, head, now):
                self._troubles.succeeded(url, now)
        if self._poll is job and not job.asked:
            self._slots.missed(now)

    def _is_believable(self, url: str, head: Head, now: float) -> bool:
        """Tell whether a head can be; if not, the node has failed."""
        reason = impossible(head, self._newest, time.time())
        if reason:
            self._pool.disbelieve(url)
            self._troubles.failed(url, NodeAnswerError(url, reason), now)
        return not reason

    def _announce(self, url: str, head: Head, now: float) -> None:
        self._pool.announced(url, head.num, head.irreversible, now)
        follower = self._follower
        if follower is None:
            return
        known = follower.irreversible
        self._aim(follower, now)
        _, irreversible = self._pool.agreed_head(now, self._quorum)
        if head.num <= follower.head:
            follower.announce(BlockRef(head.num, head.id), irreversible)
        if follower.irreversible > known:
            self._apply(Change((), ()), follower.irreversible)
            self._irreversible = follower.irreversible

    def _behind_others(self, url: str, head: Head, now: float) -> bool:
        behind = self._pool.behind(head.num, now)
        if behind and len(self._nodes) > 1:
            text = f"its head is block {head.num}, {behind} behind what others have"
            self._troubles.failed(url, NodeDisagreesError(url, text), now)
            return True
        return False

    def _settle(self, job: Job, now: float, *, last: bool = False) -> None:
        """Take what the nodes agree on. ``last`` tells that nobody is left to be asked."""
        verdicts = job.verdicts()
        agreed = all(verdict.block is not None for verdict in verdicts)
        if not agreed and not last and not (job.poll and self._all_found(job, now)):
            return
        if not agreed:
            self._hold_until = now + RETRY_S
        for index, verdict in enumerate(verdicts):
            if verdict.block is not None:
                self._blame(job, index, verdict.block, verdict.against, now)
            elif verdict.split:
                self._split(job, index, now)
                break  # the others are of the same kind
        if job.poll and not agreed:
            job.found.clear()  # they may agree when asked again
            return
        if agreed:
            self._node = self._fastest(job, verdicts[-1].block) or self._node
        change = self._receive(job, [verdict.block for verdict in verdicts], now)
        self._close(job, now)
        self._ask_ahead(now)
        self._changed(change, now)

    def _all_found(self, job: Job, now: float) -> bool:
        return not job.asked and all(_complete(job, url) for url in self._pool.ranked(now, 1))

    def _blame(
        self, job: Job, index: int, block: Block, against: Sequence[str], now: float
    ) -> None:
        for url in against:
            theirs = job.found[url][index]
            if theirs is not None:
                self._troubles.failed(url, NodeDisagreesError(url, differ(theirs, block)), now)

    def _split(self, job: Job, index: int, now: float) -> None:
        """Nodes have different blocks, and not enough of them the same."""
        theirs = {url: b for url, blocks in job.found.items() if (b := blocks[index]) is not None}
        num = job.span.first + index
        ours = self._id_at(num)
        if self._quorum == 1 and any(block.id == ours for block in theirs.values()):
            # Ours has a witness; who has another one is alone with it.
            for url, block in theirs.items():
                if block.id != ours:
                    text = f"block {num} is {block.id} there, and {ours} elsewhere"
                    self._troubles.failed(url, NodeDisagreesError(url, text), now)
            if self._follower is not None:
                self._follower.leave_branch()
            return
        if self._quorum == 1:
            return
        self._troubles.split(num, theirs, now)

    def _fastest(self, job: Job, block: Block | None) -> str | None:
        for url, blocks in job.found.items():
            if blocks[-1] is block:
                return url
        return None

    def _receive(self, job: Job, blocks: Sequence[Block | None], now: float) -> Change | None:
        """Join what came; return what the chain changes by, which is not applied yet."""
        follower = self._follower
        assert follower is not None  # noqa: S101 (jobs are the follower's)
        span = job.span
        if job.poll:
            # What was known before this very answer.
            irreversible = max(follower.irreversible, follower.announced_irreversible)
            span = Span(span.first, span.last, irreversible)
        givers = list(job.found)
        for block in blocks:
            if block is not None and block.num > follower.next_num - 1:
                self._givers[block.num] = givers
        branch_tip = follower.branch_tip
        try:
            change = follower.receive(span, blocks)
        except ForkTooDeepError as error:
            self._blame_fork(self._givers.get(branch_tip, givers), error, now)
            return None
        if follower.is_inconsistent:
            self._blame_inconsistent(span.first, branch_tip, givers, now)
        if follower.behind <= 1:
            since = max(1, follower.next_num - self._at_head)
            self._at_head = follower.next_num
            if job.poll:
                self._slots.found(now, since)
            else:
                self._slots.arrived(now, since)
        return change

    def _close(self, job: Job, now: float) -> None:
        """Be done with a job; who was asked before those that answered was too slow."""
        job.closed = True
        if job.found:
            for url, since in job.asked.items():
                if now - since > self._pool.patience_s(url, span=not job.poll):
                    self._outrun(url, now, since)
            for url in job.found:
                self._pool.outran(url)
        if job.poll:
            self._poll = None
            return
        self._spans.remove(job)
        if self._follower is not None:
            self._follower.give_up(job.span)

    def _outrun(self, url: str, now: float, asked: float) -> None:
        """Note that another node was faster, though it was asked later."""
        if self._pool.was_outrun(url, now):
            text = f"still no answer after {now - asked:.1f} s, when others have answered"
            self._troubles.failed(url, NodeTimeoutError(url, text), now)

    def _missing(self, url: str, num: int, now: float, patience_s: float) -> None:
        """Treat a block that the node announced and does not have: a hole is never skipped."""
        since = self._missing_since.setdefault(url, now)
        if now - since < patience_s:
            return
        # At the head it is only late, most likely; one that boasts rests as for any failure.
        most_s = LONGEST_REST_S if self._pool.boasts(url, num) else MISSING_REST_S
        self._pool.disbelieve(url)
        error = NodeAnswerError(url, f"announced block {num} but does not have it")
        self._troubles.failed(url, error, now, most_s=most_s)
        if self._begins_at_head and self._follower is not None and self._follower.tip is None:
            self._restart()

    def _restart(self) -> None:
        """Begin anew: the head that this began at does not exist."""
        self._follower = None
        self._poll = None
        for job in self._spans:
            job.closed = True
        self._spans.clear()

    def _changed(self, change: Change | None, now: float) -> None:
        follower = self._follower
        assert follower is not None  # noqa: S101 (changes are the follower's)
        while change is not None:
            if change.removed and change.removed[-1].num <= self._irreversible:
                log.error(
                    "block %d was called irreversible, and a fork removed it all the same: a node "
                    "told what is not so. Bots in mode irreversible are told to take it back",
                    change.removed[-1].num,
                    extra=events.FORK(STEEM_BLOCK=change.removed[-1].num),
                )
            if change.removed:
                log.warning(
                    "a fork removed %d block(s), %s down to %s; block %d is now %s",
                    len(change.removed),
                    change.removed[0],
                    change.removed[-1],
                    change.appended[0].num,
                    change.appended[0].id,
                    extra=events.FORK(STEEM_BLOCK=change.removed[-1].num),
                )
            self._apply(change, follower.irreversible)
            self._irreversible = follower.irreversible
            if change.appended:
                self._newest = change.appended[-1].timestamp
            self._troubles.agreed()
            if follower.tip is not None:
                self._pool.had(follower.tip.num, now)
                self._progress.had(follower.tip.num, now)
            for num in [num for num in self._givers if num < follower.next_num]:
                del self._givers[num]
            given = self._givers.get(follower.next_num, ())
            try:
                change = follower.pending()
            except ForkTooDeepError as error:
                self._blame_fork(given, error, now)
                change = None

    def _blame_fork(self, urls: Sequence[str], error: ForkTooDeepError, now: float) -> None:
        for url in urls:
            self._troubles.failed(url, NodeDisagreesError(url, str(error)), now)

    def _blame_inconsistent(
        self, num: int, branch_tip: int, urls: Sequence[str], now: float
    ) -> None:
        """Let those rest whose block does not join their own one before it.

        It may be that a node changed to another branch between two answers; then it rests for
        half a second. One that lies would be asked again and again.
        """
        for url in urls:
            if url in self._givers.get(branch_tip, ()):
                text = f"its block {num + 1} does not join its own block {num}"
                self._troubles.failed(url, NodeAnswerError(url, text), now)


def _complete(job: Job, url: str) -> bool:
    """Tell whether a node gave all the blocks of a job."""
    return None not in job.found.get(url, [None])
