"""Chains of blocks made up for tests: linked, forkable, with a few operations each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

import msgspec

from steembot.operation import Block, BlockRef, RawOperation, pack

TYPES = ("comment", "vote", "transfer", "custom_json")


def block_id(num: int, previous: str, salt: str = "") -> str:
    """An id as Steem makes them: begins with the number, the rest is a hash."""
    digest = hashlib.sha256(f"{num} {previous} {salt}".encode()).hexdigest()
    return f"{num:08x}{digest[:32]}"


def make_block(
    num: int, previous: str, salt: str = "", types: Sequence[str] = ("comment", "vote")
) -> Block:
    """One block with one operation of each of the types, two operations to a transaction."""
    identity = block_id(num, previous, salt)
    return Block.of(
        num,
        identity,
        previous,
        1_500_000_000 + 3 * num,
        [
            RawOperation(
                type=kind,
                trx_in_block=index // 2,
                op_in_trx=index % 2,
                virtual_op=0,
                trx_id=f"{num:08x}{index // 2:032x}",
                value=json.dumps({"n": f"{num}/{index}", "salt": salt}).encode(),
            )
            for index, kind in enumerate(types)
        ],
    )


def make_chain(
    first: int,
    count: int,
    *,
    previous: str | None = None,
    salt: str = "",
    types: Sequence[str] = ("comment", "vote"),
) -> list[Block]:
    """``count`` linked blocks from number ``first`` on."""
    before = previous if previous is not None else block_id(first - 1, "", "genesis")
    blocks: list[Block] = []
    for num in range(first, first + count):
        blocks.append(make_block(num, before, salt, types))
        before = blocks[-1].id
    return blocks


def fork(chain: Sequence[Block], depth: int, grow: int, salt: str) -> list[Block]:
    """The chain with its last ``depth`` blocks replaced by ``depth + grow`` others."""
    kept = list(chain[: len(chain) - depth])
    first = kept[-1].num + 1
    return kept + make_chain(first, depth + grow, previous=kept[-1].id, salt=salt)


def with_operations(block: Block, operations: Iterable[RawOperation]) -> Block:
    """The block with other operations, and the same id."""
    return msgspec.structs.replace(block, packed=pack(tuple(operations)))


def ref(block: Block) -> BlockRef:
    """A block's number and id."""
    return BlockRef(block.num, block.id)
