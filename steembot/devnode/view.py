"""What a node shows of its chain: all of it, or what faults leave and make of it. Pure.

A view stands before the chain, or before another view, and has what `Rpc` reads of a chain. So
several faults add up, each seeing what the one before it left.
"""

from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Protocol

from steembot.devnode import serialize
from steembot.devnode.chain import SLOT_SECONDS, Block, Chain
from steembot.devnode.errors import BlockError, ChainError
from steembot.devnode.fault_notation import Fault
from steembot.devnode.generate import GeneratedBlocks
from steembot.devnode.signing import Key

_LIAR = "mallory"
_REMEMBERED = 256  # blocks that altered() and other() made; made again when they fall out


class Shown(Protocol):
    """What is asked of a chain to answer about it; see `Chain` for what each is."""

    @property
    def hive(self) -> bool:
        """Whether it is Hive's, not Steem's."""

    @property
    def first_num(self) -> int:
        """The chain's first block."""

    @property
    def oldest_num(self) -> int:
        """The oldest block still held."""

    @property
    def irreversible_num(self) -> int:
        """The newest block that no fork replaces."""

    @property
    def head(self) -> Block:
        """The newest block, as announced."""

    @property
    def slots(self) -> int:
        """Slots from the oldest block held to the head."""

    def block(self, num: int) -> Block | None:
        """Return block `num`, or None when it is not there."""

    def newest(self, count: int) -> tuple[Block, ...]:
        """Return the newest blocks, newest first."""


class View:
    """A view that changes nothing. Subclasses say what they change."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self.hive = shown.hive
        self.first_num = shown.first_num
        self.oldest_num = shown.oldest_num
        self.irreversible_num = shown.irreversible_num
        self.head = shown.head

    @property
    def slots(self) -> int:
        """Slots from the oldest block held to the head."""
        lag_s = self._shown.head.timestamp - self.head.timestamp
        return self._shown.slots - lag_s // SLOT_SECONDS

    def block(self, num: int) -> Block | None:
        """Return block `num`, or None when it is not there."""
        return self._shown.block(num)

    def newest(self, count: int) -> tuple[Block, ...]:
        """Return the newest `count` blocks from the head on, newest first."""
        oldest = max(self.oldest_num, self.head.num - count + 1)
        # What a subclass hides has still happened: a head's slots are those of its chain.
        found = (self._shown.block(num) for num in range(self.head.num, oldest - 1, -1))
        return tuple(block for block in found if block is not None)


class Announced(View):
    """Another head, at an older block; with all blocks that the chain has."""

    def __init__(self, shown: Shown, head_num: int, irreversible_num: int) -> None:
        super().__init__(shown)
        head = shown.block(max(head_num, shown.oldest_num))
        assert head is not None  # noqa: S101 - the callers go down from a head
        self.head = head
        self.irreversible_num = max(self.first_num, irreversible_num)


class Behind(Announced):
    """The chain as it was when `head_num` was its head."""

    def block(self, num: int) -> Block | None:
        """Return block `num`, or None above the head."""
        return super().block(num) if num <= self.head.num else None


class Without(View):
    """Blocks are announced but not there."""

    def __init__(self, shown: Shown, first: int, last: int) -> None:
        super().__init__(shown)
        self._missing = range(first, last + 1)

    def block(self, num: int) -> Block | None:
        """Return block `num`, or None when it is kept back."""
        return None if num in self._missing else super().block(num)


class Replaced(View):
    """Some blocks are others. change: returns the one to be shown for one that is there."""

    def __init__(self, shown: Shown, change: Callable[[Block], Block]) -> None:
        super().__init__(shown)
        self._change = change
        self.head = change(shown.head)

    def block(self, num: int) -> Block | None:
        """Return block `num` as it is shown."""
        block = super().block(num)
        return self._change(block) if block else None


class Branch:
    """Another branch of a generated chain, as long and at the same times as the chain itself.

    It depends on seed, common block and name alone, not on when it is asked for.
    """

    def __init__(self, source: GeneratedBlocks, common: Block, name: str) -> None:
        self.common = common
        self.name = name
        self._source = source.branch(common, name)
        self._latest = common
        self._blocks: deque[Block] = deque()  # no older ones than the chain holds

    def of(self, block: Block) -> Block:
        """Return the branch's block in the place of the chain's, which must still be held."""
        return block if block.num <= self.common.num else self._blocks[block.num - self._oldest]

    @property
    def _oldest(self) -> int:
        return self._latest.num - len(self._blocks) + 1

    def grow(self, chain: Chain) -> None:
        """Make the blocks that are still missing up to the chain's head."""
        # Where nobody asked until the chain forgot blocks, their times are forgotten, too.
        while self._latest.num + 1 < chain.oldest_num:
            self._latest = self._source.next(1)
            self._blocks.clear()
        while block := chain.block(self._latest.num + 1):
            slots = (block.timestamp - self._latest.timestamp) // SLOT_SECONDS
            self._latest = self._source.next(max(1, slots))
            self._blocks.append(self._latest)
        while self._blocks and self._oldest < chain.oldest_num:
            self._blocks.popleft()


class Views:
    """Makes the views of one chain, and remembers what each fault found when it began."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._frozen = (chain.head.num, chain.irreversible_num)
        self._fork: Branch | None = None

    def begin(self, fault: Fault) -> None:
        """Prepare a fault that is about to be set. Raises ChainError when it is not possible."""
        chain = self._chain
        if fault.name == "frozen-head":
            self._frozen = (chain.head.num, chain.irreversible_num)
        elif fault.name == "fork-from":
            if not isinstance(chain.source, GeneratedBlocks):
                raise ChainError(f"fault {fault}: recorded blocks have no other branch")
            if fault.number() < chain.oldest_num:
                raise ChainError(
                    f"fault {fault}: the oldest block held is {chain.oldest_num}; "
                    "a branch begins there or later"
                )
            self._branch(fault)  # now, as the common block may be forgotten at the next request

    def of(self, faults: Iterable[Fault]) -> Shown:
        """Return what faults that were begun leave to be seen of the chain now."""
        shown: Shown = self._chain
        layers = [fault for fault in faults if fault.name in _LAYERS]
        for fault in sorted(layers, key=lambda each: _ORDER.index(each.name)):
            shown = _LAYERS[fault.name](self, shown, fault)
        return shown

    def frozen(self, shown: Shown, fault: Fault) -> Shown:  # noqa: ARG002 - as all layers
        """Return the chain as it was when the fault began."""
        return Behind(shown, *self._frozen)

    def forked(self, shown: Shown, fault: Fault) -> Shown:
        """Return the fault's branch in place of the chain."""
        branch = self._branch(fault)
        if branch is None:
            return shown
        forked = Replaced(shown, branch.of)
        forked.irreversible_num = min(shown.irreversible_num, branch.common.num)
        return forked

    def _branch(self, fault: Fault) -> Branch | None:
        """Return the branch of a fork-from, grown up to now; None before its common block is."""
        chain = self._chain
        branch = self._fork
        common = chain.block(fault.number())
        wanted = (fault.number(), fault.text(1))
        if (
            branch is None
            or (branch.common.num, branch.name) != wanted
            # A fork of the chain itself may have replaced it.
            or (common is not None and common.id != branch.common.id)
        ):
            if common is None:
                return None
            source = chain.source
            assert isinstance(source, GeneratedBlocks)  # noqa: S101 - `begin` saw to it
            branch = Branch(source, common, fault.text(1))
            self._fork = branch
        branch.grow(chain)
        return branch


@lru_cache(maxsize=_REMEMBERED)
def altered(block: Block) -> Block:
    """Return a block with the same id and another first operation; an empty one as it is."""
    contents = block.appbase_block()
    for transaction in contents["transactions"]:
        for operation in transaction["operations"]:
            if _alter(operation["value"]):
                return _with(block, contents)
    return block


def _alter(value: dict[str, Any]) -> bool:
    """Change the first member that is text: who votes, transfers, answers."""
    for key, member in value.items():
        if isinstance(member, str):
            value[key] = _LIAR
            return True
    return False


@lru_cache(maxsize=_REMEMBERED)
def other(block: Block) -> Block:
    """Return another block in a block's place: altered, with all hashes right, signed anew.

    Where a recorded operation's binary form is not known, the signature alone is another.
    """
    try:
        contents, root = _mended(altered(block).appbase_block())
    except BlockError:
        contents = block.appbase_block()
        root = contents["transaction_merkle_root"]
    key = Key("steembot devnode other block")
    header = serialize.header(block.previous, block.timestamp, block.witness, root)
    signature = key.sign(serialize.header_digest(header))
    contents["transaction_merkle_root"] = root
    contents["witness_signature"] = signature
    contents["signing_key"] = key.public
    contents["block_id"] = serialize.block_id(header, signature, block.num)
    return _with(block, contents)


def _with(block: Block, contents: dict[str, Any]) -> Block:
    """Return the block with other contents."""
    virtual = block.virtual_operations()
    return Block.of(block.num, block.timestamp, contents, virtual, hive=block.hive)


def _mended(contents: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Mend a block's transaction ids after its operations changed; return it and its root."""
    signed = []
    for index, transaction in enumerate(contents["transactions"]):
        data = serialize.transaction(transaction)
        contents["transaction_ids"][index] = serialize.transaction_id(data)
        signed.append(serialize.signed_transaction(data, transaction["signatures"]))
    return contents, serialize.merkle_root(signed)


def _behind(shown: Shown, fault: Fault) -> Shown:
    blocks = fault.number()
    return Behind(shown, shown.head.num - blocks, shown.irreversible_num - blocks)


def _announced(shown: Shown, fault: Fault) -> Shown:
    blocks = fault.number()
    return Announced(shown, shown.head.num - blocks, shown.irreversible_num - blocks)


def _altered(shown: Shown, fault: Fault) -> Shown:
    num = fault.arguments[0]
    return Replaced(shown, lambda block: altered(block) if num in (None, block.num) else block)


def _other(shown: Shown, fault: Fault) -> Shown:
    num = fault.arguments[0] or shown.head.num
    return Replaced(shown, lambda block: other(block) if block.num == num else block)


def _hole(shown: Shown, fault: Fault) -> Shown:
    return Without(shown, fault.number(), fault.number(1 if fault.arguments[1] else 0))


def _missing(shown: Shown, fault: Fault) -> Shown:
    return Without(shown, shown.head.num - fault.number() + 1, shown.head.num)


# From the chain outwards: which branch it is, how far it goes, what its blocks say, what is
# announced, and at last which blocks are there. Each counts from the head that it is left.
_LAYERS: dict[str, Callable[[Views, Shown, Fault], Shown]] = {
    "fork-from": Views.forked,
    "frozen-head": Views.frozen,
    "stale-head": lambda _, shown, fault: _behind(shown, fault),
    "altered-block": lambda _, shown, fault: _altered(shown, fault),
    "other-block": lambda _, shown, fault: _other(shown, fault),
    "head-back": lambda _, shown, fault: _announced(shown, fault),
    "hole": lambda _, shown, fault: _hole(shown, fault),
    "missing-block": lambda _, shown, fault: _missing(shown, fault),
}
_ORDER = list(_LAYERS)
