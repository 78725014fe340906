"""What a node answers: the shapes, and what is made of each. Pure.

Everything is decoded in one go into the shape that was asked for, with each operation's body left
as the bytes that the node wrote. What is not of that shape, not within the ranges that stand with
it, or not the block asked for, is a :class:`~steembot.errors.NodeAnswerError`: nothing of such an
answer goes any further.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from steembot.chain import lenient
from steembot.chain.appbase import converted
from steembot.errors import NodeAnswerError, NodeLimitError, NodeRpcError, UnknownShapeError
from steembot.operation import BLOCK_LEVEL, Block, RawOperation, pack

_BATCH_TOO_LARGE = 1600  # jussi's JsonRpcBatchSizeError

Decode = Callable[[bytes], Any]

# ---- the ranges of what nodes tell

_U32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
"""Block numbers, and places within a block: uint32_t in steemd and hived."""

_Signed = Annotated[int, msgspec.Meta(ge=-1, le=2**32 - 1)]
"""The same where some versions write -1 for the highest one."""

_Id = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}\Z")]
"""Ids of blocks: ripemd160, which fc writes in lower case."""

_ID_DIGITS = 40
_block_id = re.compile(r"[0-9a-f]{40}").fullmatch

_kind_name = re.compile(r"[a-z][a-z0-9_]{0,63}").fullmatch
"""The name of an operation's type; checked once for each name."""

_LAST_TIME = 2**32 - 1
"""fc::time_point_sec holds seconds since 1970 in 32 bits."""

_kinds_seen: set[str] = set()
_KINDS_KEPT = 1000
"""Names that need no second look; a chain has some hundred."""


class Head(msgspec.Struct, frozen=True):
    """Where a node says that its chain ends. ``timestamp`` is in seconds since 1970, UTC."""

    num: int
    id: str
    timestamp: int
    irreversible: int


class _Properties(msgspec.Struct):
    head_block_number: _U32
    head_block_id: _Id
    time: str
    last_irreversible_block_num: _U32


class _Transaction(msgspec.Struct):
    operations: list[tuple[str, msgspec.Raw]]


class _BlockHeader(msgspec.Struct):
    previous: str
    timestamp: str
    block_id: str
    transaction_ids: list[str]


class GivenBlock(_BlockHeader):
    """A block as ``condenser_api.get_block`` tells it."""

    transactions: list[_Transaction]


class _AppbaseOperation(msgspec.Struct):
    type: str
    value: msgspec.Raw


class _AppbaseTransaction(msgspec.Struct):
    operations: list[_AppbaseOperation]


class _AppbaseBlock(_BlockHeader):
    transactions: list[_AppbaseTransaction]


class GivenRange(msgspec.Struct):
    """Blocks as ``block_api.get_block_range`` tells them."""

    blocks: list[_AppbaseBlock]


class _Occurred(msgspec.Struct):
    """An operation as get_ops_in_block tells it."""

    trx_id: str
    trx_in_block: _Signed
    op_in_trx: _U32
    virtual_op: _U32 | bool
    op: tuple[str, msgspec.Raw]
    block: _U32 | None = None

    @property
    def place(self) -> tuple[int, int, int]:
        """Where it says that it stands."""
        return self.trx_in_block & BLOCK_LEVEL, int(self.virtual_op), self.op_in_trx


class _RpcError(msgspec.Struct):
    code: int = 0
    message: str = ""


class _AnyReply(msgspec.Struct):
    id: int | None = None
    error: _RpcError | None = None


class _Reply(_AnyReply):
    result: msgspec.Raw = msgspec.Raw(b"null")


class _BlockReply(_AnyReply):
    """The same for get_block, read in one go: most of a fetch's time is spent on it."""

    result: GivenBlock | None = None


class _RangeReply(_AnyReply):
    result: GivenRange | None = None


decode_replies: Decode = msgspec.json.Decoder(list[_Reply]).decode
decode_block_replies: Decode = msgspec.json.Decoder(list[_BlockReply]).decode
"""Read the answer to a batch, of any calls or of get_block."""

_decode_range_replies = msgspec.json.Decoder(list[_RangeReply]).decode
_decode_reply = msgspec.json.Decoder(_Reply).decode
_decode_properties = msgspec.json.Decoder(_Properties).decode
_decode_block = msgspec.json.Decoder(GivenBlock | None).decode
_decode_occurred = msgspec.json.Decoder(list[_Occurred]).decode
_decode_config = msgspec.json.Decoder(dict[str, Any]).decode


def decode_range_replies(body: bytes) -> list[Any]:
    """Read the answer to get_block_range.

    Raises :class:`~steembot.errors.UnknownShapeError` where it is JSON, but not told as expected.
    """
    try:
        return _decode_range_replies(body)
    except msgspec.ValidationError as error:
        raise UnknownShapeError(f"get_block_range: {error}") from error


class Answers:
    """Reads one node's answers. ``node`` is what errors call it.

    One answer at a time: what :meth:`results` gives is read before the next one. ``symbols`` are
    the names of its chain's assets. All methods raise
    :class:`~steembot.errors.NodeAnswerError`.
    """

    def __init__(self, node: str, symbols: Mapping[str, str]) -> None:
        self._node = node
        self._symbols = symbols
        self._is_masked = False  # whether the answer that is being read is

    def results(self, body: bytes, decode: Decode, calls: int) -> list[Any]:
        """Read the answer to a batch of so many calls; return the results in the batch's order.

        They must not outlive it: they are views of the whole answer. Raises
        :class:`~steembot.errors.NodeRpcError` and :class:`~steembot.errors.NodeLimitError` too.
        """
        self._is_masked = False
        if body.lstrip()[:1] != b"[":
            # One bad call, or a refused batch, turns the whole answer into one error object.
            single: _Reply = self._decode(_decode_reply, body)
            if single.error is None:
                raise NodeAnswerError(self._node, "one answer to a batch of calls")
            if single.error.code == _BATCH_TOO_LARGE:
                raise NodeLimitError(self._node, single.error.message)
            raise NodeRpcError(self._node, single.error.code, single.error.message)
        replies: list[Any] = self._decode(decode, body)
        for reply in replies:
            if reply.error is not None:
                raise NodeRpcError(self._node, reply.error.code, reply.error.message)
        by_id = {reply.id: reply.result for reply in replies}
        if len(replies) != calls or by_id.keys() != set(range(calls)):
            raise NodeAnswerError(self._node, f"{len(replies)} answers to a batch of {calls} calls")
        return [by_id[i] for i in range(calls)]

    def head(self, result: msgspec.Raw) -> Head:
        """Read the chain's properties."""
        given: _Properties = self._decode(_decode_properties, result)
        if given.last_irreversible_block_num > given.head_block_number:
            raise NodeAnswerError(
                self._node,
                f"an irreversible block {given.last_irreversible_block_num} above its head, block "
                f"{given.head_block_number}",
            )
        return Head(
            num=given.head_block_number,
            id=given.head_block_id,
            timestamp=self._timestamp(given.time),
            irreversible=given.last_irreversible_block_num,
        )

    def config(self, result: msgspec.Raw) -> dict[str, Any]:
        """Read the chain's constants."""
        config: dict[str, Any] = self._decode(_decode_config, result)
        return config

    def blocks(self, nums: Sequence[int], given: Sequence[GivenBlock | None]) -> list[Block | None]:
        """Return the blocks of a batch of get_block; ``None`` where the node has no such block."""
        return [
            None if block is None else self._block(num, block)
            for num, block in zip(nums, given, strict=True)
        ]

    def block(self, num: int, result: msgspec.Raw) -> Block | None:
        """Read one block of a batch of several kinds of calls."""
        given: GivenBlock | None = self._decode(_decode_block, result)
        return None if given is None else self._block(num, given)

    def block_as_given(self, num: int, result: msgspec.Raw) -> bytes | None:
        """Return a block as the node wrote it, on one line."""
        if self.block(num, result) is None:  # raises for what is not the block asked for
            return None
        return lenient.unmasked(msgspec.json.format(bytes(result), indent=-1))

    def joined(self, block: Block, occurred: msgspec.Raw, *, believe_none: bool) -> Block | None:
        """Join a block with its virtual operations; ``None`` if they are not there yet."""
        virtual = self._virtual(block, self._decode(_decode_occurred, occurred))
        if not virtual and not believe_none:
            return None
        operations = sorted([*block.operations, *virtual], key=lambda op: op.within_block)
        return msgspec.structs.replace(block, packed=self._packed(block.num, operations))

    def _virtual(self, block: Block, rows: Sequence[_Occurred]) -> list[RawOperation]:
        """Return a block's virtual operations, each with a place of its own.

        A row that is there twice counts once. Some versions of steemd numbered all of them 0, and
        some nodes tell the transactions' own operations besides; where numbers do not tell virtual
        operations apart, they are numbered in the order given.
        """
        self._check_ids(block.num, [row.trx_id for row in rows])
        own = {(op.trx_in_block, op.op_in_trx, op.type) for op in block.operations}
        given: dict[tuple[Any, ...], _Occurred] = {}
        for row in rows:
            if row.block not in (None, block.num):
                raise NodeAnswerError(
                    self._node, f"an operation of block {row.block} among those of {block.num}"
                )
            trx, number, index = row.place
            if number or (trx, index, row.op[0]) not in own:
                given.setdefault((row.place, row.trx_id, row.op[0], bytes(row.op[1])), row)
        places = [row.place for row in given.values()]
        numbered = all(number for _, number, _ in places) and len(set(places)) == len(places)
        return [
            RawOperation(
                type=row.op[0],
                trx_in_block=row.place[0],
                op_in_trx=row.op_in_trx,
                virtual_op=row.place[1] if numbered else index,
                trx_id=row.trx_id,
                value=bytes(row.op[1]),
            )
            for index, row in enumerate(given.values(), 1)
        ]

    def ranged(self, nums: Sequence[int], given: GivenRange | None) -> list[Block]:
        """Return the blocks of a get_block_range; it may be fewer than asked for.

        Raises :class:`~steembot.errors.UnknownShapeError` for an operation that is not understood.
        """
        if given is None:
            raise UnknownShapeError("get_block_range without a result")
        if len(given.blocks) > len(nums):
            raise NodeAnswerError(
                self._node, f"{len(given.blocks)} blocks to a range of {len(nums)}"
            )
        blocks = []
        for num, block in zip(nums, given.blocks, strict=False):
            self._check(num, block)
            operations = []
            for trx, transaction in enumerate(block.transactions):
                trx_id = block.transaction_ids[trx]
                for index, each in enumerate(transaction.operations):
                    kind, value = converted(each.type, bytes(each.value), self._symbols)
                    operations.append(RawOperation(kind, trx, index, 0, trx_id, value))
            blocks.append(self._made(num, block, operations))
        return blocks

    def _block(self, num: int, given: GivenBlock) -> Block:
        self._check(num, given)
        # By position, as in RawOperation: keywords cost a third more here.
        operations = [
            RawOperation(kind, trx_in_block, op_in_trx, 0, trx_id, bytes(value))
            for trx_in_block, (transaction, trx_id) in enumerate(
                zip(given.transactions, given.transaction_ids, strict=True)
            )
            for op_in_trx, (kind, value) in enumerate(transaction.operations)
        ]
        return self._made(num, given, operations)

    def _check(self, num: int, given: GivenBlock | _AppbaseBlock) -> None:
        """See that it is the block asked for, with an id for each transaction."""
        if len(given.transaction_ids) != len(given.transactions):
            raise NodeAnswerError(
                self._node,
                f"block {num} with {len(given.transactions)} transactions "
                f"and {len(given.transaction_ids)} transaction ids",
            )
        self._check_ids(num, given.transaction_ids)
        for name, block_id, expected in (
            ("block_id", given.block_id, num),
            ("previous", given.previous, num - 1),
        ):
            # A block's id begins with its number: steemd, signed_block_header::num_from_id.
            if not _block_id(block_id) or not block_id.startswith(f"{expected:08x}"):
                raise NodeAnswerError(self._node, f"block {num} with {name} {block_id[:60]!r}")

    def _check_ids(self, num: int, ids: Sequence[str]) -> None:
        """See that transactions' ids are such; all at once, since a block has many."""
        digits = "".join(ids)
        try:
            # Of what else fromhex() takes, blanks would make it shorter.
            is_hex = len(bytes.fromhex(digits)) * 2 == len(digits) and digits == digits.lower()
        except ValueError:
            is_hex = False
        if not is_hex or {*map(len, ids)} - {_ID_DIGITS}:
            raise NodeAnswerError(self._node, f"block {num} with a transaction id that is none")

    def _made(self, num: int, given: _BlockHeader, operations: Sequence[RawOperation]) -> Block:
        timestamp = self._timestamp(given.timestamp)
        packed = self._packed(num, operations)
        return Block(num, given.block_id, given.previous, timestamp, packed)

    def _packed(self, num: int, operations: Sequence[RawOperation]) -> bytes:
        """Return a block's operations as it holds them; the names of their types are such."""
        for kind in {op.type for op in operations}:
            if kind not in _kinds_seen:
                if not _kind_name(kind):
                    raise NodeAnswerError(
                        self._node, f"block {num} with the operation type {kind[:60]!r}"
                    )
                if len(_kinds_seen) < _KINDS_KEPT:
                    _kinds_seen.add(kind)
        packed = pack(operations)
        if self._is_masked and lenient.is_masked(packed):
            return pack(
                [msgspec.structs.replace(op, value=lenient.unmasked(op.value)) for op in operations]
            )
        return packed

    def _timestamp(self, text: str) -> int:
        # strptime takes as long as ten operations do.
        try:
            if len(text) != len("2016-03-24T16:05:00"):
                raise ValueError(text)
            seconds = int(datetime.fromisoformat(text + "+00:00").timestamp())
        except (ValueError, OverflowError) as error:
            raise NodeAnswerError(self._node, f"a time that is none: {text[:40]!r}") from error
        if not 0 < seconds <= _LAST_TIME:
            raise NodeAnswerError(self._node, f"the time {text}, which 32 bits do not hold")
        return seconds

    def _decode(self, decode: Decode, body: bytes | msgspec.Raw) -> Any:
        try:
            return decode(body)
        except msgspec.ValidationError as error:
            reason: Exception = error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            reason = error
            odd = lenient.masked(bytes(body))
            if odd is not body:
                with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    result = decode(odd)
                    self._is_masked = True
                    return result
        start = bytes(body)[:60].decode("utf-8", "replace")
        raise NodeAnswerError(
            self._node, f"not the answer asked for ({reason}): {start!r}"
        ) from reason
