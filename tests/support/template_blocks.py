"""A chain of many blocks of real size that costs next to nothing to make."""

from __future__ import annotations

import time

from steembot.devnode.chain import SLOT_SECONDS, Block, _compress
from steembot.devnode.generate import GeneratedBlocks

KINDS = 50


class TemplateBlocks:
    """Generated blocks, repeated under new numbers; a ``steembot.devnode.chain.Source``.

    A generated block is signed, which takes a millisecond. Here just its number, its ids and its
    time are new, and it is known in the ``condenser_api`` shape alone. None is without operations.
    The last one has the number ``last``, or there is none.
    """

    def __init__(
        self, seed: str, *, genesis_time: int, operations: int, last: int | None = None
    ) -> None:
        made = GeneratedBlocks(seed, genesis_time=genesis_time, operations=operations)
        self.first_num = 1
        self.hive = False
        blocks = [made.next(1) for _ in range(KINDS)]
        self._templates = [
            (block, text)
            for block, text in ((each, each.condenser_json()) for each in blocks)
            if b'"transactions":[]' not in text
        ]
        self._genesis_time = genesis_time
        self._num = 0
        self._last = last

    def slots_to_next(self) -> int | None:
        return None if self._num == self._last else 1

    def next(self, slots: int) -> Block:
        self._num += 1
        num = self._num
        old, text = self._templates[num % len(self._templates)]
        timestamp = self._genesis_time + SLOT_SECONDS * num
        condenser = text
        for before, after in (
            (old.id, _id(num)),
            (old.previous, _id(num - 1)),
            (_time(old.timestamp), _time(timestamp)),
        ):
            condenser = condenser.replace(f'"{before}"'.encode(), f'"{after}"'.encode())
        return Block(
            num=num,
            id=_id(num),
            previous=_id(num - 1),
            timestamp=timestamp,
            witness=old.witness,
            appbase=b"",
            condenser=_compress(condenser),
            virtual=b"",
        )

    def rewind(self, common: Block) -> None:
        raise NotImplementedError


def _id(num: int) -> str:
    return f"{num:08x}{num:032x}"


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
