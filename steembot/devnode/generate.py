"""An endless Steem chain that nobody recorded: made from a seed, and correct in every hash.

Block ids, transaction ids, merkle roots and signatures are computed as Steem computes them
(serialize.py, signing.py), so a client that verifies finds nothing to object to. What a block holds
is the mix of a busy day of 2018: votes and custom_json above all, posts, replies, edits (as a
diff-match-patch, or as the whole new body), transfers, claimed rewards, limit orders, with some
operations in one transaction and sometimes two equal ones; non-ASCII text, blocks without
operations, slots that a witness missed.

The same seed, first number, genesis time and operations per block give the same blocks, byte for
byte. Each block's contents come from its own random generator, so the only state is the ids to
refer to and a bounded list of posts to vote on, answer and edit. There is no state of accounts
behind it: nobody's balance runs out, and blocks above some 150 operations exceed Steem's 64 KiB.
"""

from collections import deque
from random import Random

from steembot.devnode.chain import SLOT_SECONDS, Block
from steembot.devnode.draft import Draft, Post

OPERATIONS_PER_BLOCK = 40
MISSED_SLOTS = 0.03  # share of blocks before which a witness missed its slot
POSTS_REMEMBERED = 400

_NO_BLOCK = "0" * 40
_ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "ch", "sh", "st")
_VOWELS = ["a", "e", "i", "o", "u", "ai", "ee", "ou"]


def slots_before(seed: str, num: int, branch: int | str = 0) -> int:
    """Return how many slots block `num` is after the one before it; above 1: some missed."""
    chance = Random(f"{seed} slot {branch} {num}").random()  # noqa: S311 - meant to be repeatable
    return 1 if chance >= MISSED_SLOTS else 2 if chance >= MISSED_SLOTS / 4 else 3


def genesis_for(seed: str, first_num: int, ready: int, head_time: int) -> int:
    """Return the genesis time at which the `ready`th block is stamped `head_time` (seconds)."""
    slots = sum(slots_before(seed, num) for num in range(first_num + 1, first_num + ready))
    return head_time - head_time % SLOT_SECONDS - slots * SLOT_SECONDS


class GeneratedBlocks:
    """The blocks of a seed, in order; a `chain.Source` without an end.

    genesis_time: the first block's timestamp, seconds since 1970, a multiple of 3.
    operations: how many a block has on average, those of empty blocks not counted. hive: as Hive's
    nodes tell them.
    """

    def __init__(
        self,
        seed: str,
        *,
        genesis_time: int,
        first_num: int = 1,
        operations: int = OPERATIONS_PER_BLOCK,
        hive: bool = False,
    ) -> None:
        self.seed = seed
        self.hive = hive
        self.first_num = first_num
        self.genesis_time = genesis_time
        self._operations = operations
        self._branch: int | str = 0
        self._forks = 0
        rng = Random(f"{seed} accounts")  # noqa: S311
        self._accounts = _accounts(rng)
        self._ids: deque[str] = deque(maxlen=64)
        self._posts: deque[Post] = deque(maxlen=POSTS_REMEMBERED)
        self._num = first_num - 1
        self._time = genesis_time

    def slots_to_next(self) -> int:
        """Return how many slots after the latest block the next one is."""
        return slots_before(self.seed, self._num + 1, self._branch)

    def next(self, slots: int) -> Block:
        """Make the next block, `slots` slots after the latest one; the first is at genesis_time."""
        num = self._num + 1
        time = self._time + slots * SLOT_SECONDS if num > self.first_num else self.genesis_time
        previous = self._ids[-1] if self._ids else _first_previous(self.first_num)
        draft = Draft(
            rng=Random(f"{self.seed} block {self._branch} {num}"),  # noqa: S311
            seed=self.seed,
            num=num,
            time=time,
            accounts=self._accounts,
            posts=self._posts,
            ref_id=self._ids[max(0, len(self._ids) - 20)] if self._ids else previous,
            hive=self.hive,
        )
        draft.fill(self._operations)
        block = draft.seal(previous)
        self._num, self._time = num, time
        self._ids.append(block.id)
        for post in draft.published:
            self._posts.append(post)
        return block

    def rewind(self, common: Block) -> None:
        """Go on after `common` with other blocks than before.

        Posts of the lost blocks are forgotten, and those that they edited with them.
        """
        for _ in range(self._num - common.num):
            self._ids.pop()
        kept = [post for post in self._posts if post.num <= common.num]
        self._posts = deque(kept, maxlen=POSTS_REMEMBERED)
        self._num, self._time = common.num, common.timestamp
        self._forks += 1
        self._branch = self._forks

    def branch(self, common: Block, name: str) -> "GeneratedBlocks":
        """Return a source that goes on after `common` with other blocks than this one.

        What it makes follows from the seed, the common block and the name alone: it votes on and
        answers nothing older.
        """
        branch = GeneratedBlocks(
            self.seed,
            genesis_time=self.genesis_time,
            first_num=self.first_num,
            operations=self._operations,
            hive=self.hive,
        )
        branch._branch = name
        branch._num, branch._time = common.num, common.timestamp
        branch._ids.append(common.id)
        return branch


def _first_previous(first_num: int) -> str:
    """Return what the first block names as previous: nothing for block 1, else a made-up id."""
    return _NO_BLOCK if first_num == 1 else f"{first_num - 1:08x}" + "0" * 32


def _accounts(rng: Random) -> tuple[str, ...]:
    names: dict[str, None] = {}
    while len(names) < 300:
        syllables = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(3))
        names[syllables + rng.choice(("", "", "", "-art", ".kr", str(rng.randrange(10, 99))))] = (
            None
        )
    return tuple(names)
