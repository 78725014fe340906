"""Blocks in a file: JSON lines, a block a line, as a node answers ``get_block``.

Either shape of operations is read: ``["vote", {…}]`` with assets as text, or
``{"type": "vote_operation", "value": {…}}`` with assets as objects. A handler is given the first
one, as in service. A line may also be an object that holds the block as ``block``. This is what
``steembot record`` writes and ``steembot-devnode --blocks`` serves.
"""

from __future__ import annotations

from calendar import timegm
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from steembot.chain import appbase
from steembot.chain.profiles import PROFILES
from steembot.errors import RecordingError, UnknownShapeError
from steembot.operation import Block, RawOperation


class _Operation(msgspec.Struct):
    type: str
    value: msgspec.Raw


class _Transaction(msgspec.Struct):
    operations: list[msgspec.Raw]


class _Block(msgspec.Struct):
    block_id: str
    previous: str
    timestamp: str
    transactions: list[_Transaction]
    transaction_ids: list[str]


class _Line(msgspec.Struct):
    block: msgspec.Raw = msgspec.Raw()


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_block = msgspec.json.Decoder(_Block).decode
_decode_pair = msgspec.json.Decoder(tuple[str, msgspec.Raw]).decode
_decode_operation = msgspec.json.Decoder(_Operation).decode


def read(path: Path, chain: str) -> Iterator[Block]:
    """Yield the blocks of a file, in its order. Raises :class:`~steembot.errors.RecordingError`."""
    try:
        lines = path.open("rb")
    except OSError as error:
        raise RecordingError(str(path), 1, f"cannot be read: {error.strerror}") from error
    with lines:
        for number, line in enumerate(_lines(path, lines), 1):
            if line.strip():
                try:
                    yield _block(line, chain)
                except (msgspec.MsgspecError, ValueError, IndexError, UnknownShapeError) as error:
                    raise RecordingError(str(path), number, f"is no block: {error}") from error


def _lines(path: Path, file: BinaryIO) -> Iterator[bytes]:
    try:
        yield from file
    except OSError as error:
        raise RecordingError(str(path), 1, f"cannot be read: {error.strerror}") from error


def _block(line: bytes, chain: str) -> Block:
    given = _decode_block(_decode_line(line).block or line)
    operations: list[RawOperation] = []
    for trx, transaction in enumerate(given.transactions):
        for index, raw in enumerate(transaction.operations):
            kind, value = _named(raw, chain)
            operations.append(
                RawOperation(kind, trx, index, 0, given.transaction_ids[trx], bytes(value))
            )
    return Block.of(
        int(given.block_id[:8], 16),
        given.block_id,
        given.previous,
        timegm(datetime.fromisoformat(given.timestamp).timetuple()),
        operations,
    )


def _named(raw: msgspec.Raw, chain: str) -> tuple[str, bytes | msgspec.Raw]:
    if bytes(raw).lstrip()[:1] == b"[":
        return _decode_pair(raw)
    given = _decode_operation(raw)
    return appbase.converted(given.type, bytes(given.value), PROFILES[chain].symbols)
