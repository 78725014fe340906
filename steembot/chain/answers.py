"""What a node answers: the shapes, and what is made of each. Pure.

Everything is decoded in one go into the shape that was asked for, with each operation's body left
as the bytes that the node wrote. What is not of that shape, or not the block asked for, is a
:class:`~steembot.errors.NodeAnswerError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from steembot.chain.appbase import converted
from steembot.errors import NodeAnswerError, NodeLimitError, NodeRpcError, UnknownShapeError
from steembot.operation import BLOCK_LEVEL, Block, RawOperation, pack

_BATCH_TOO_LARGE = 1600  # jussi's JsonRpcBatchSizeError

Decode = Callable[[bytes], Any]


class Head(msgspec.Struct, frozen=True):
    """Where a node says that its chain ends. ``timestamp`` is in seconds since 1970, UTC."""

    num: int
    id: str
    timestamp: int
    irreversible: int


class _Properties(msgspec.Struct):
    head_block_number: int
    head_block_id: str
    time: str
    last_irreversible_block_num: int


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
    trx_in_block: int
    op_in_trx: int
    virtual_op: int | bool
    op: tuple[str, msgspec.Raw]


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

    ``symbols`` are the names of its chain's assets. All methods raise
    :class:`~steembot.errors.NodeAnswerError`.
    """

    def __init__(self, node: str, symbols: Mapping[str, str]) -> None:
        self._node = node
        self._symbols = symbols

    def results(self, body: bytes, decode: Decode, calls: int) -> list[Any]:
        """Read the answer to a batch of so many calls; return the results in the batch's order.

        They must not outlive it: they are views of the whole answer. Raises
        :class:`~steembot.errors.NodeRpcError` and :class:`~steembot.errors.NodeLimitError` too.
        """
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
        return msgspec.json.format(bytes(result), indent=-1)

    def joined(self, block: Block, occurred: msgspec.Raw, *, believe_none: bool) -> Block | None:
        """Join a block with its virtual operations; ``None`` if they are not there yet."""
        virtual = [
            RawOperation(
                type=each.op[0],
                trx_in_block=each.trx_in_block & BLOCK_LEVEL,  # some versions write -1
                op_in_trx=each.op_in_trx,
                virtual_op=int(each.virtual_op),
                trx_id=each.trx_id,
                value=bytes(each.op[1]),
            )
            for each in self._decode(_decode_occurred, occurred)
            if each.virtual_op
        ]
        if not virtual and not believe_none:
            return None
        operations = sorted([*block.operations, *virtual], key=lambda op: op.within_block)
        return msgspec.structs.replace(block, packed=pack(operations))

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
        for name, block_id, expected in (
            ("block_id", given.block_id, num),
            ("previous", given.previous, num - 1),
        ):
            # A block's id begins with its number: steemd, signed_block_header::num_from_id.
            if len(block_id) != 40 or not block_id.startswith(f"{expected:08x}"):
                raise NodeAnswerError(self._node, f"block {num} with {name} {block_id[:60]!r}")

    def _made(self, num: int, given: _BlockHeader, operations: Sequence[RawOperation]) -> Block:
        timestamp = self._timestamp(given.timestamp)
        return Block.of(num, given.block_id, given.previous, timestamp, operations)

    def _timestamp(self, text: str) -> int:
        # strptime takes as long as ten operations do.
        try:
            if len(text) != len("2016-03-24T16:05:00"):
                raise ValueError(text)
            return int(datetime.fromisoformat(text + "+00:00").timestamp())
        except ValueError as error:
            raise NodeAnswerError(self._node, f"a time that is none: {text[:40]!r}") from error

    def _decode(self, decode: Decode, body: bytes | msgspec.Raw) -> Any:
        try:
            return decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            start = bytes(body)[:60].decode("utf-8", "replace")
            raise NodeAnswerError(
                self._node, f"not the answer asked for ({error}): {start!r}"
            ) from error
