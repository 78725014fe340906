"""A chain that does what a test says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from steembot.operation import Block, BlockRef, RawOperation

SLOT_S = 3
"""From one block to the next, in seconds."""

START = datetime(2020, 9, 13, 12, 26, 42, tzinfo=UTC)

_encode = msgspec.json.Encoder().encode


class Chain:
    """A blockchain that does what the test says.

    Operations wait for the next block, which :meth:`next_block` makes; :meth:`BotRun.catch_up`
    makes one if any wait. ``now`` is the time on the chain's clock, in seconds since 1970.
    ``irreversible_lag`` is the number of blocks from the last irreversible one to the head.
    """

    def __init__(
        self,
        name: str = "steem",
        *,
        first: int = 1,
        start: datetime = START,
        irreversible_lag: int = 15,
    ) -> None:
        self.name = name
        self.now = start.timestamp()
        self.forks = 0
        self._lag = irreversible_lag
        self._first = first
        self._chain: list[Block] = []
        self._removed: dict[str, Block] = {}
        self._waiting: list[tuple[str, dict[str, Any]]] = []
        self._posts = 0
        self._seal()

    # ---- what people do

    def post(
        self,
        author: str,
        permlink: str | None = None,
        *,
        title: str = "",
        body: str = "A post.",
        tags: Sequence[str] = (),
        community: str | None = None,
        json_metadata: str | Mapping[str, Any] | None = None,
    ) -> str:
        """Write a post, or write it anew: an edit with a whole new body. Returns its permlink."""
        category = community or (tags[0] if tags else "life")
        metadata = {"tags": list(tags)} if json_metadata is None else json_metadata
        return self._comment(
            author, permlink, parent=("", category), title=title, body=body, metadata=metadata
        )

    def reply(
        self,
        author: str,
        parent_author: str,
        parent_permlink: str,
        body: str = "A reply.",
        permlink: str | None = None,
    ) -> str:
        """Reply to a post or a reply. Returns the reply's permlink."""
        parent = (parent_author, parent_permlink)
        return self._comment(author, permlink, parent=parent, title="", body=body, metadata={})

    def edit(
        self,
        author: str,
        permlink: str,
        patch: str = "@@ -1,3 +1,4 @@\n abc\n+d\n",
        *,
        tags: Sequence[str] = (),
    ) -> str:
        """Edit a post as most clients do, by a patch. Returns its permlink."""
        return self.post(author, permlink, body=patch, tags=tags)

    def vote(self, voter: str, author: str, permlink: str, weight: int = 10_000) -> None:
        """Vote; ``weight`` is in hundredths of a percent."""
        self.operation("vote", voter=voter, author=author, permlink=permlink, weight=weight)

    def transfer(self, sender: str, to: str, amount: str, memo: str = "") -> None:
        """Send ``amount``, such as ``"1.000 STEEM"``."""
        self.operation("transfer", **{"from": sender, "to": to, "amount": amount, "memo": memo})

    def custom_json(self, identity: str, payload: Any, *, by: str, active: bool = False) -> None:
        """Send a ``custom_json``, signed with ``by``'s posting or active key."""
        self.operation(
            "custom_json",
            required_auths=[by] if active else [],
            required_posting_auths=[] if active else [by],
            id=identity,
            json=payload if isinstance(payload, str) else _encode(payload).decode(),
        )

    def operation(self, kind: str, **value: Any) -> None:
        """Do anything else: an operation with this body, in a transaction of its own."""
        self._waiting.append((kind, value))

    # ---- time

    def next_block(self) -> BlockRef:
        """Make the next block, of what waits. Returns its number and id."""
        self.now += SLOT_S
        return self._seal()

    def seal_waiting(self) -> None:
        """Make a block if operations wait for one."""
        if self._waiting:
            self.next_block()

    def wait(self, seconds: float = SLOT_S) -> None:
        """Let time pass: what waits comes with the first block, the others are empty."""
        for _ in range(max(1, round(seconds / SLOT_S))):
            self.next_block()

    def miss(self, seconds: float) -> None:
        """Let time pass without blocks, as if witnesses missed their slots."""
        self.now += seconds - seconds % SLOT_S

    def fork(self, depth: int, *, again: bool = False) -> None:
        """Take back the newest blocks; another branch, longer by one block, replaces them.

        With ``again`` its first block holds the operations that were taken back, as it mostly is
        on the real chain; otherwise they are gone.
        """
        self.seal_waiting()
        if not 0 < depth < len(self._chain):
            raise ValueError(f"fork({depth}): 1 to {len(self._chain) - 1} blocks can be taken back")
        if depth > self._lag:
            raise ValueError(f"fork({depth}): all but {self._lag} blocks are irreversible")
        gone = self._chain[-depth:]
        del self._chain[-depth:]
        self.forks += 1
        self._removed |= {block.id: block for block in gone}
        if again:
            self._waiting = [
                (op.type, msgspec.json.decode(op.value))
                for block in gone
                for op in block.operations
            ]
        self.now -= SLOT_S * depth
        for _ in range(depth + 1):
            self.next_block()

    # ---- what the feed's session reads (feed.session.BlockSource)

    @property
    def head(self) -> BlockRef:
        """The newest block."""
        return self._chain[-1].ref

    @property
    def irreversible(self) -> int:
        """The number of the last irreversible block."""
        return max(self._first, self.head.num - self._lag)

    @property
    def oldest(self) -> int:
        """The number of the first block."""
        return self._first

    @property
    def first_wanted(self) -> int:
        """The number of the first block."""
        return self._first

    def id_at(self, num: int) -> str | None:
        """The id of the block of that number."""
        block = self.block(num)
        return None if block is None else block.id

    def block(self, num: int) -> Block | None:
        """The block of that number."""
        index = num - self._first
        return self._chain[index] if 0 <= index < len(self._chain) else None

    def older(self, num: int) -> Block | None:
        """Nothing is older than the first block."""
        raise LookupError(num)

    def removed(self, block_id: str) -> Block | None:
        """A block that a fork took back."""
        return self._removed.get(block_id)

    def began_behind(self, _block_id: str) -> bool:
        """No fork reaches below the first block."""
        return False

    # ---- within

    def _comment(
        self,
        author: str,
        permlink: str | None,
        *,
        parent: tuple[str, str],
        title: str,
        body: str,
        metadata: str | Mapping[str, Any],
    ) -> str:
        self._posts += 1
        name = f"{author}-{self._posts}" if permlink is None else permlink
        self.operation(
            "comment",
            parent_author=parent[0],
            parent_permlink=parent[1],
            author=author,
            permlink=name,
            title=title,
            body=body,
            json_metadata=metadata if isinstance(metadata, str) else _encode(metadata).decode(),
        )
        return name

    def _seal(self) -> BlockRef:
        previous = self._chain[-1] if self._chain else None
        num = self._first if previous is None else previous.num + 1
        before = f"{num - 1:08x}" + "0" * 32 if previous is None else previous.id
        digest = hashlib.blake2b(f"{num} {before} {self.forks}".encode(), digest_size=16)
        block_id = f"{num:08x}{digest.hexdigest()}"
        operations = tuple(
            RawOperation(
                type=kind,
                trx_in_block=index,
                op_in_trx=0,
                virtual_op=0,
                trx_id=hashlib.blake2b(f"{index} {block_id}".encode(), digest_size=20).hexdigest(),
                value=_encode(value),
            )
            for index, (kind, value) in enumerate(self._waiting)
        )
        self._waiting = []
        self._chain.append(Block.of(num, block_id, before, int(self.now), operations))
        return self.head
