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
from typing import Any

import msgspec

from steembot.errors import RecordingError
from steembot.operation import Block, RawOperation

_SYMBOLS = {
    "steem": {"@@000000013": "SBD", "@@000000021": "STEEM", "@@000000037": "VESTS"},
    "hive": {"@@000000013": "HBD", "@@000000021": "HIVE", "@@000000037": "VESTS"},
}
_VARIANTS = {
    ("comment_options", "extensions"): ("comment_payout_beneficiaries",),
    ("pow2", "work"): ("pow2", "equihash_pow"),
}


class _Operation(msgspec.Struct):
    type: str
    value: dict[str, Any]


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
_encode = msgspec.json.Encoder().encode


def read(path: Path, chain: str) -> Iterator[Block]:
    """Yield the blocks of a file, in its order. Raises :class:`~steembot.errors.RecordingError`."""
    try:
        lines = path.open("rb")
    except OSError as error:
        raise RecordingError(str(path), 1, f"cannot be read: {error.strerror}") from error
    with lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield _block(line, chain)
                except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
                    raise RecordingError(str(path), number, f"is no block: {error}") from error


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
    kind = given.type.removesuffix("_operation")
    value = {
        member: _variants(kind, member, _with_assets_as_text(content, _SYMBOLS[chain]))
        for member, content in given.value.items()
    }
    return kind, _encode(value)


def _with_assets_as_text(value: Any, symbols: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_with_assets_as_text(item, symbols) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"amount", "precision", "nai"}:
        precision, amount = value["precision"], int(value["amount"])
        whole, fraction = divmod(abs(amount), 10**precision)
        sign = "-" if amount < 0 else ""
        return f"{sign}{whole}.{fraction:0{precision}d} {symbols[value['nai']]}"
    return {key: _with_assets_as_text(item, symbols) for key, item in value.items()}


def _variants(kind: str, member: str, value: Any) -> Any:
    names = _VARIANTS.get((kind, member))
    if names is None:
        return value
    items = value if isinstance(value, list) else [value]
    pairs = [
        [names.index(item["type"]), item["value"]]
        if isinstance(item, dict) and item.get("type") in names
        else item
        for item in items
    ]
    return pairs if isinstance(value, list) else pairs[0]
