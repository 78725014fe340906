"""One node, over beem. The only module of this package that imports beem.

beem carries the requests; what comes back is decoded here, because beem parses every body, tells
errors apart by searching the text for "500", and counts its retries over the process's life.
Nothing is retried here: one call, one answer or one :class:`~steembot.errors.NodeError`.

Two rules are kept here so that nobody can forget them: a node is never asked more often than it
may be (:mod:`~steembot.chain.rate`), and never for a block before its chain id was seen.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
import requests
import urllib3
from beemapi.exceptions import UnauthorizedError
from beemapi.noderpc import NodeRPC

from steembot.chain.profiles import PROFILES, ChainProfile, title_of
from steembot.chain.rate import DEFAULT_PAUSE_S, RateLimit, retry_after_s
from steembot.errors import (
    NodeAnswerError,
    NodeBusyError,
    NodeError,
    NodeLimitError,
    NodeRpcError,
    NodeStatusError,
    NodeTimeoutError,
    NodeUnreachableError,
    WrongChainError,
    without_passwords,
)
from steembot.operation import BLOCK_LEVEL, Block, RawOperation, pack

T = TypeVar("T")

MAX_BATCH = 50
"""Calls in one batch; jussi refuses more with error 1600 (steemit/jussi, JsonRpcBatchSizeError)."""

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""Of one HTTP answer; the largest block that a chain allows (2 MiB packed) is well below it."""

TIMEOUT_S = 10.0
"""For one whole answer."""

REQUESTS_PER_S = 30.0
"""Well below the 50 that the public nodes' nginx allows an address."""

_BATCH_TOO_LARGE = 1600  # jussi's JsonRpcBatchSizeError
_REFUSALS = (requests.codes.too_many_requests, requests.codes.service_unavailable)


class Head(msgspec.Struct, frozen=True):
    """Where a node says that its chain ends. ``timestamp`` is in seconds since 1970, UTC."""

    num: int
    id: str
    timestamp: int
    irreversible: int


class Fetched(msgspec.Struct, Generic[T], frozen=True):
    """What a batch brought, in the order asked for.

    ``size_bytes`` is the answer's size, ``seconds`` what it took, without waiting for our turn.
    """

    results: list[T]
    size_bytes: int
    seconds: float


class _Properties(msgspec.Struct):
    head_block_number: int
    head_block_id: str
    time: str
    last_irreversible_block_num: int


class _Transaction(msgspec.Struct):
    operations: list[tuple[str, msgspec.Raw]]


class _Block(msgspec.Struct):
    previous: str
    timestamp: str
    block_id: str
    transactions: list[_Transaction]
    transaction_ids: list[str]


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


class _Reply(msgspec.Struct):
    id: int | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _RpcError | None = None


class _BlockReply(msgspec.Struct):
    """The same for get_block, read in one go: most of a fetch's time is spent on it."""

    id: int | None = None
    result: _Block | None = None
    error: _RpcError | None = None


# Decoded one after the other: the threads take turns at it anyway, and half-decoded answers weigh
# the most.
_decoding = threading.Lock()

_decode_replies = msgspec.json.Decoder(list[_Reply]).decode
_decode_block_replies = msgspec.json.Decoder(list[_BlockReply]).decode
_decode_reply = msgspec.json.Decoder(_Reply).decode
_decode_properties = msgspec.json.Decoder(_Properties).decode
_decode_block = msgspec.json.Decoder(_Block | None).decode
_decode_occurred = msgspec.json.Decoder(list[_Occurred]).decode
_decode_config = msgspec.json.Decoder(dict[str, Any]).decode


class _Rpc(NodeRPC):  # type: ignore[misc]  # beem ships no types
    """beem's connection to one node, with an end to the time that one request may take."""

    def __init__(self, url: str, timeout_s: float) -> None:
        super().__init__(url, num_retries=0, num_retries_call=0, disable_chain_detection=True)
        self._timeout_s = timeout_s
        self._deadline = 0.0
        # beem shares one session between all of its connections; threads must not.
        self.session = requests.Session()
        self.session.trust_env = True

    def request_send(self, payload: bytes) -> requests.Response:
        """POST, and wait for the answer to begin; :meth:`read` gives the rest of it."""
        self._deadline = time.monotonic() + self._timeout_s
        response: requests.Response = self.session.post(
            self.url,
            data=payload,
            headers=self.headers,
            timeout=(min(self._timeout_s, 10.0), self._timeout_s),
            stream=True,
            allow_redirects=False,
        )
        return response

    def read(self, response: requests.Response) -> bytes:
        """Read the whole answer before the deadline.

        requests' own timeout begins anew with every byte, so a node that sends one byte a second
        would never run into it.
        """
        try:
            return b"".join(_until(self._deadline, response))
        except BaseException:
            response.close()
            raise


class _TooLongError(Exception):
    """An answer exceeds what we are willing to hold."""


def _until(deadline: float, response: requests.Response) -> Iterator[bytes]:
    """Read a body as it comes: a fixed chunk size would wait for the chunk to be full."""
    size = 0
    while chunk := response.raw.read1(256 * 1024, decode_content=True):
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise _TooLongError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > deadline:
            raise requests.exceptions.ReadTimeout("the answer trickles in too slowly")
        yield chunk


class Node:
    """One node of the ``profile``'s chain. May be used by several threads at once.

    With ``virtual_ops`` each block also holds its virtual operations, which costs a call more.
    ``requests_per_s`` bounds what the node is sent; who comes too early waits here. Attribute
    ``url`` is what people and other programs may see: a password is left out of it.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float = TIMEOUT_S,
        *,
        virtual_ops: bool = False,
        profile: ChainProfile = PROFILES["steem"],
        requests_per_s: float = REQUESTS_PER_S,
    ) -> None:
        self._address = url
        self.url = without_passwords(url)
        self.timeout_s = timeout_s
        self._virtual_ops = virtual_ops
        self._profile = profile
        self._rate = RateLimit(requests_per_s)
        self._idle: deque[_Rpc] = deque()
        self._identified = False
        self._identifying = threading.Lock()

    def __str__(self) -> str:
        return self.url

    def change_rate(self, requests_per_s: float) -> None:
        """Send the node so many requests from now on, at most. May be called from any thread."""
        self._rate.change(requests_per_s)

    @property
    def max_blocks(self) -> int:
        """How many blocks one batch can ask for."""
        return MAX_BATCH // 2 if self._virtual_ops else MAX_BATCH

    def head(self) -> Head:
        """Ask where the chain ends. Raises :class:`~steembot.errors.NodeError`."""
        return self._ask([_PROPERTIES], build=lambda results: [self._head(results[0])]).results[0]

    def blocks(self, nums: Sequence[int], irreversible: int) -> list[Block | None]:
        """Fetch blocks by number, in that order; ``None`` where the node has no such block yet.

        At most :attr:`max_blocks` at a time. Virtual operations can be late at the head: a block
        above ``irreversible`` that seems to have none is not taken to be complete, since every
        block pays its witness. Raises :class:`~steembot.errors.NodeError`.
        """
        return self.fetch(nums, irreversible).results

    def fetch(self, nums: Sequence[int], irreversible: int) -> Fetched[Block | None]:
        """Do the same as :meth:`blocks`, and tell what it cost."""
        calls = [call for num in nums for call in self._block_calls(num)]
        if self._virtual_ops:
            return self._ask(calls, build=lambda given: self._blocks(nums, given, irreversible))
        return self._ask(
            calls,
            _decode_block_replies,
            lambda given: [
                None if block is None else self._block(num, block)
                for num, block in zip(nums, given, strict=True)
            ],
        )

    def raw_blocks(self, nums: Sequence[int]) -> list[bytes | None]:
        """Fetch blocks as :meth:`blocks` does, and return each as the node wrote it, in JSON."""
        calls = [("condenser_api.get_block", f"{num}") for num in nums]
        return self._ask(calls, build=lambda results: self._raw_blocks(nums, results)).results

    def _raw_blocks(
        self, nums: Sequence[int], results: Sequence[msgspec.Raw]
    ) -> list[bytes | None]:
        raw: list[bytes | None] = []
        for num, result in zip(nums, results, strict=True):
            given = self._decode(_decode_block, result)
            if given is None:
                raw.append(None)
            else:
                self._block(num, given)  # raises for what is not the block asked for
                raw.append(msgspec.json.format(bytes(result), indent=-1))
        return raw

    def poll(self, num: int) -> tuple[Head, Block | None]:
        """Ask for the head and, in the same request, for one block that may not be there yet."""

        def build(given: list[msgspec.Raw]) -> list[tuple[Head, Block | None]]:
            head = self._head(given[0])
            (block,) = self._blocks([num], given[1:], head.irreversible)
            return [(head, block)]

        return self._ask([_PROPERTIES, *self._block_calls(num)], build=build).results[0]

    def config(self) -> dict[str, Any]:
        """Ask for the chain's constants, the chain id among them."""
        config: dict[str, Any]
        (config,) = self._call(
            [("condenser_api.get_config", "")],
            build=lambda results: [self._decode(_decode_config, results[0])],
        ).results
        return config

    def _ask(
        self,
        calls: Sequence[tuple[str, str]],
        decode: Any = _decode_replies,
        build: Callable[[list[Any]], list[T]] = list,
    ) -> Fetched[T]:
        """Do as :meth:`_call` does, once the node is known to be one of our chain."""
        if not self._identified:
            with self._identifying:
                if not self._identified:
                    self._identify()
        return self._call(calls, decode, build)

    def _identify(self) -> None:
        profile = self._profile
        chain_id = profile.chain_id_of(self.config())
        if chain_id is None:
            raise NodeAnswerError(self.url, "get_config without a chain id")
        if chain_id != profile.chain_id:
            raise WrongChainError(
                self.url,
                f"its chain id is {chain_id[:80]} ({title_of(chain_id)}), and that of "
                f"{profile.title} is {profile.chain_id}; it is not used. Take it out of "
                "STEEMBOT_NODES, or set STEEMBOT_CHAIN",
            )
        self._identified = True

    def _block_calls(self, num: int) -> list[tuple[str, str]]:
        # condenser_api, because its assets are written as people write them: "1.000 STEEM".
        calls = [("condenser_api.get_block", f"{num}")]
        if self._virtual_ops:
            calls.append(("condenser_api.get_ops_in_block", f"{num},true"))
        return calls

    def _blocks(
        self, nums: Sequence[int], results: Sequence[msgspec.Raw], irreversible: int
    ) -> list[Block | None]:
        stride = 2 if self._virtual_ops else 1
        blocks: list[Block | None] = []
        for index, num in enumerate(nums):
            given = self._decode(_decode_block, results[index * stride])
            block = None if given is None else self._block(num, given)
            if block is not None and self._virtual_ops:
                occurred = self._decode(_decode_occurred, results[index * stride + 1])
                block = _joined(block, occurred, believe_none=num <= irreversible)
            blocks.append(block)
        return blocks

    def _call(
        self,
        calls: Sequence[tuple[str, str]],
        decode: Any = _decode_replies,
        build: Callable[[list[Any]], list[T]] = list,
    ) -> Fetched[T]:
        """Send one batch of (method, parameters), and return what ``build`` makes of the results.

        ``decode`` reads the list of replies. ``build`` is given the results in the batch's order,
        which must not outlive it: they are views of the whole answer.
        """
        payload = ",".join(
            f'{{"jsonrpc":"2.0","id":{i},"method":"{method}","params":[{params}]}}'
            for i, (method, params) in enumerate(calls)
        )
        self._wait_for_turn()
        begun = time.monotonic()
        # The one used last is the least likely to have been closed by the node meanwhile.
        rpc = self._idle.pop() if self._idle else _Rpc(self._address, self.timeout_s)
        with self._troubles():
            response = rpc.request_send(f"[{payload}]".encode())
            body = rpc.read(response)
        seconds = time.monotonic() - begun
        self._idle.append(rpc)
        if response.status_code != requests.codes.ok:
            raise self._refusal(response)
        with _decoding:
            return Fetched(build(self._results(calls, decode, body)), len(body), seconds)

    def _results(self, calls: Sequence[tuple[str, str]], decode: Any, body: bytes) -> list[Any]:
        """Decode the answer to a batch; return the results in the batch's order."""
        if body.lstrip()[:1] != b"[":
            # One bad call, or a refused batch, turns the whole answer into one error object.
            single: _Reply = self._decode(_decode_reply, body)
            if single.error is None:
                raise NodeAnswerError(self.url, "one answer to a batch of calls")
            if single.error.code == _BATCH_TOO_LARGE:
                raise NodeLimitError(self.url, single.error.message)
            raise NodeRpcError(self.url, single.error.code, single.error.message)
        replies: list[Any] = self._decode(decode, body)
        for reply in replies:
            if reply.error is not None:
                raise NodeRpcError(self.url, reply.error.code, reply.error.message)
        by_id = {reply.id: reply.result for reply in replies}
        if len(replies) != len(calls) or by_id.keys() != set(range(len(calls))):
            raise NodeAnswerError(
                self.url, f"{len(replies)} answers to a batch of {len(calls)} calls"
            )
        return [by_id[i] for i in range(len(calls))]

    @contextmanager
    def _troubles(self) -> Iterator[None]:
        """Say in our words what goes wrong on the way to the node and back."""
        try:
            yield
        except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise NodeTimeoutError(
                self.url, f"no whole answer within {self.timeout_s:g} s"
            ) from error
        except _TooLongError as error:
            raise NodeLimitError(self.url, str(error)) from error
        except requests.exceptions.SSLError as error:
            raise NodeUnreachableError(self.url, f"TLS failed: {_root(error)}") from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            raise NodeUnreachableError(self.url, _root(error)) from error
        except UnauthorizedError as error:
            raise NodeStatusError(self.url, 401, "Unauthorized") from error

    def _wait_for_turn(self) -> None:
        now = time.monotonic()
        paused_s = self._rate.paused_s(now)
        if paused_s > 0:
            raise NodeBusyError(self.url, f"wants no request for {paused_s:.0f} s more", paused_s)
        time.sleep(self._rate.reserve(now))

    def _refusal(self, response: requests.Response) -> NodeError:
        status, reason = response.status_code, response.reason or ""
        if status == requests.codes.request_entity_too_large:
            return NodeLimitError(self.url, f"HTTP {status} {reason}")
        if status not in _REFUSALS:
            return NodeStatusError(self.url, status, reason)
        wanted_s = retry_after_s(response.headers.get("Retry-After"), time.time())
        pause_s = DEFAULT_PAUSE_S if wanted_s is None else wanted_s
        self._rate.pause(time.monotonic(), pause_s)
        return NodeStatusError(self.url, status, reason, retry_after_s=pause_s)

    def _decode(self, decode: Any, body: bytes | msgspec.Raw) -> Any:
        try:
            return decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            start = bytes(body)[:60].decode("utf-8", "replace")
            raise NodeAnswerError(
                self.url, f"not the answer asked for ({error}): {start!r}"
            ) from error

    def _head(self, result: msgspec.Raw) -> Head:
        given: _Properties = self._decode(_decode_properties, result)
        return Head(
            num=given.head_block_number,
            id=given.head_block_id,
            timestamp=self._timestamp(given.time),
            irreversible=given.last_irreversible_block_num,
        )

    def _block(self, num: int, given: _Block) -> Block:
        if len(given.transaction_ids) != len(given.transactions):
            raise NodeAnswerError(
                self.url,
                f"block {num} with {len(given.transactions)} transactions "
                f"and {len(given.transaction_ids)} transaction ids",
            )
        for name, block_id, expected in (
            ("block_id", given.block_id, num),
            ("previous", given.previous, num - 1),
        ):
            # A block's id begins with its number: steemd, signed_block_header::num_from_id.
            if len(block_id) != 40 or not block_id.startswith(f"{expected:08x}"):
                raise NodeAnswerError(self.url, f"block {num} with {name} {block_id[:60]!r}")
        return Block.of(
            num,
            given.block_id,
            given.previous,
            self._timestamp(given.timestamp),
            # By position, as in RawOperation: keywords cost a third more here.
            [
                RawOperation(kind, trx_in_block, op_in_trx, 0, trx_id, bytes(value))
                for trx_in_block, (transaction, trx_id) in enumerate(
                    zip(given.transactions, given.transaction_ids, strict=True)
                )
                for op_in_trx, (kind, value) in enumerate(transaction.operations)
            ],
        )

    def _timestamp(self, text: str) -> int:
        # strptime takes as long as ten operations do.
        try:
            if len(text) != len("2016-03-24T16:05:00"):
                raise ValueError(text)
            return int(datetime.fromisoformat(text + "+00:00").timestamp())
        except ValueError as error:
            raise NodeAnswerError(self.url, f"a time that is none: {text[:40]!r}") from error


def _joined(block: Block, occurred: list[_Occurred], *, believe_none: bool) -> Block | None:
    """Join a block with its virtual operations, or return ``None`` if they are not there yet."""
    virtual = [
        RawOperation(
            type=each.op[0],
            trx_in_block=each.trx_in_block & BLOCK_LEVEL,  # some versions write -1
            op_in_trx=each.op_in_trx,
            virtual_op=int(each.virtual_op),
            trx_id=each.trx_id,
            value=bytes(each.op[1]),
        )
        for each in occurred
        if each.virtual_op
    ]
    if not virtual and not believe_none:
        return None
    operations = sorted([*block.operations, *virtual], key=lambda op: op.within_block)
    return msgspec.structs.replace(block, packed=pack(operations))


_PROPERTIES = ("condenser_api.get_dynamic_global_properties", "")


def _root(error: BaseException) -> str:
    """Find the plain reason at the bottom of requests' and urllib3's wrappings."""
    reason: Any = error
    for _ in range(8):
        inner = getattr(reason, "reason", None) or (
            reason.args[-1] if reason.args and isinstance(reason.args[-1], Exception) else None
        )
        if not isinstance(inner, BaseException):
            break
        reason = inner
    return f"{type(reason).__name__}: {getattr(reason, 'strerror', None) or reason}"


__all__ = ["MAX_BATCH", "Fetched", "Head", "Node", "NodeError"]
