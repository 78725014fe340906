"""One node, over beem (:mod:`~steembot.chain.transport`).

beem carries the requests; what comes back is decoded by :mod:`~steembot.chain.answers`, because
beem parses every body, tells errors apart by searching the text for "500", and counts its retries
over the process's life. Nothing is retried here: one call, one answer or one
:class:`~steembot.errors.NodeError`. Only blocks that ``get_block_range`` does not give are asked
for in another way.

Two rules are kept here so that nobody can forget them: a node is never asked more often than it
may be (:mod:`~steembot.chain.rate`), and never for a block before its chain id was seen.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar
from urllib.parse import urljoin

import msgspec
import requests
import urllib3

from steembot.chain.answers import (
    Answers,
    Decode,
    Head,
    decode_block_replies,
    decode_range_replies,
    decode_replies,
)
from steembot.chain.profiles import PROFILES, ChainProfile, title_of
from steembot.chain.rate import DEFAULT_PAUSE_S, RateLimit, retry_after_s
from steembot.chain.transport import Rpc, TooLongError
from steembot.errors import (
    NodeAnswerError,
    NodeBusyError,
    NodeError,
    NodeLimitError,
    NodeRpcError,
    NodeStatusError,
    NodeTimeoutError,
    NodeUnreachableError,
    UnknownShapeError,
    WrongChainError,
    without_passwords,
)
from steembot.operation import Block

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_BATCH = 50
"""Calls in one batch; jussi refuses more with error 1600 (steemit/jussi, JsonRpcBatchSizeError)."""

MAX_RANGE = 200
"""Blocks in one range; hived gives 1000, but they may turn out to be heavy."""

TIMEOUT_S = 10.0
"""For one whole answer."""

REQUESTS_PER_S = 30.0
"""Well below the 50 that the public nodes' nginx allows an address."""

_REFUSALS = (requests.codes.too_many_requests, requests.codes.service_unavailable)

# steemd and hived, JSON-RPC itself (hivemind, hafah), jussi (InvalidNamespaceError and …APIError).
_UNKNOWN_METHOD = (-32002, -32601, 1200, 1300)


class Fetched(msgspec.Struct, Generic[T], frozen=True):
    """What a batch brought, in the order asked for.

    ``size_bytes`` is the answer's size, ``seconds`` what it took, without waiting for our turn.
    """

    results: list[T]
    size_bytes: int
    seconds: float

    def followed_by(self, more: Fetched[T]) -> Fetched[T]:
        """Return what both brought, one after the other."""
        return Fetched(
            self.results + more.results,
            self.size_bytes + more.size_bytes,
            self.seconds + more.seconds,
        )


# Decoded one after the other: the threads take turns at it anyway, and half-decoded answers weigh
# the most.
_decoding = threading.Lock()


class Node:
    """One node of the ``profile``'s chain. May be used by several threads at once.

    With ``virtual_ops`` each block also holds its virtual operations, which costs a call more.
    ``requests_per_s`` bounds what the node is sent; who comes too early waits here. ``proxy`` is
    the URL of an HTTP proxy, which a node on this machine does not need. Attribute
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
        proxy: str | None = None,
    ) -> None:
        self._address = url
        self._proxy = proxy
        self.url = without_passwords(url)
        self.timeout_s = timeout_s
        self._virtual_ops = virtual_ops
        self._profile = profile
        self._answers = Answers(self.url, profile.symbols)
        self._rate = RateLimit(requests_per_s)
        self._idle: deque[Rpc] = deque()
        self._learning = threading.Lock()  # about the node, which is:
        self._identified = False
        self._gives_ranges = profile.block_range and not virtual_ops

    def __str__(self) -> str:
        return self.url

    @property
    def profile(self) -> ChainProfile:
        """What is known of its chain."""
        return self._profile

    def change_rate(self, requests_per_s: float) -> None:
        """Send the node so many requests from now on, at most. May be called from any thread."""
        self._rate.change(requests_per_s)

    @property
    def max_blocks(self) -> int:
        """How many blocks one request can ask for, of whatever numbers."""
        return MAX_BATCH // 2 if self._virtual_ops else MAX_BATCH

    @property
    def max_adjacent(self) -> int:
        """How many adjacent ones, for who sees to it that the answer is not too large.

        It becomes less once the node turns out to give no ranges.
        """
        return MAX_RANGE if self._gives_ranges else self.max_blocks

    def head(self) -> Head:
        """Ask where the chain ends. Raises :class:`~steembot.errors.NodeError`."""
        return self._ask(
            [_PROPERTIES], build=lambda results: [self._answers.head(results[0])]
        ).results[0]

    def blocks(self, nums: Sequence[int], irreversible: int) -> list[Block | None]:
        """Fetch blocks by number, in that order; ``None`` where the node has no such block yet.

        At most :attr:`max_blocks` at a time, of adjacent ones :attr:`max_adjacent`. Virtual
        operations can be late at the head: a block above ``irreversible`` that seems to have none
        is not taken to be complete, since every block pays its witness. Raises
        :class:`~steembot.errors.NodeError`.
        """
        return self.fetch(nums, irreversible).results

    def fetch(self, nums: Sequence[int], irreversible: int) -> Fetched[Block | None]:
        """Do the same as :meth:`blocks`, and tell what it cost.

        Adjacent blocks are asked for as a range where the node gives them. What a range does not
        bring is asked for block by block: only what the node does not have then either is missing,
        and only what fails then too is the node's failure.
        """
        if not (self._gives_ranges and len(nums) > 1 and nums[-1] - nums[0] == len(nums) - 1):
            return self._fetch_each(nums, irreversible)
        try:
            fetched = self._fetch_range(nums)
        except (NodeRpcError, NodeStatusError, UnknownShapeError) as error:
            if isinstance(error, NodeStatusError) and not _is_unknown_method(error):
                raise
            each = self._fetch_each(nums, irreversible)
            self._take_refusal(error)
            return each
        missing = nums[len(fetched.results) :]
        # A front can have ranges from another server than single blocks, and that one can lag.
        return fetched.followed_by(self._fetch_each(missing, irreversible)) if missing else fetched

    def _fetch_range(self, nums: Sequence[int]) -> Fetched[Block | None]:
        arguments = f'{{"starting_block_num":{nums[0]},"count":{len(nums)}}}'
        return self._ask(
            [("block_api.get_block_range", arguments)],
            decode_range_replies,
            lambda given: list(self._answers.ranged(nums, given[0])),
        )

    def _take_refusal(self, error: Exception) -> None:
        """Note that the node gave blocks one by one, and not as a range."""
        if not _is_unknown_method(error):
            log.debug("%s gave no range of blocks (%s), but each of them", self, error)
            return
        with self._learning:
            if self._gives_ranges:
                self._gives_ranges = False
                log.info("%s gives no ranges of blocks (%s); asking it for each", self, error)

    def _fetch_each(self, nums: Sequence[int], irreversible: int) -> Fetched[Block | None]:
        if len(nums) > self.max_blocks:  # of a range that did not come
            first, rest = nums[: self.max_blocks], nums[self.max_blocks :]
            fetched = self._fetch_each(first, irreversible)
            return fetched.followed_by(self._fetch_each(rest, irreversible))
        calls = [call for num in nums for call in self._block_calls(num)]
        if self._virtual_ops:
            return self._ask(calls, build=lambda given: self._blocks(nums, given, irreversible))
        return self._ask(
            calls, decode_block_replies, lambda given: self._answers.blocks(nums, given)
        )

    def raw_blocks(self, nums: Sequence[int]) -> list[bytes | None]:
        """Fetch blocks as :meth:`blocks` does, and return each as the node wrote it, in JSON."""
        return self._ask(
            [_get_block(num) for num in nums],
            build=lambda results: [
                self._answers.block_as_given(num, result)
                for num, result in zip(nums, results, strict=True)
            ],
        ).results

    def poll(self, num: int) -> tuple[Head, Block | None]:
        """Ask for the head and, in the same request, for one block that may not be there yet."""

        def build(given: list[msgspec.Raw]) -> list[tuple[Head, Block | None]]:
            head = self._answers.head(given[0])
            (block,) = self._blocks([num], given[1:], head.irreversible)
            return [(head, block)]

        return self._ask([_PROPERTIES, *self._block_calls(num)], build=build).results[0]

    def config(self) -> dict[str, Any]:
        """Ask for the chain's constants, the chain id among them."""
        return self._call(
            [("condenser_api.get_config", "[]")],
            build=lambda results: [self._answers.config(results[0])],
        ).results[0]

    def _ask(
        self,
        calls: Sequence[tuple[str, str]],
        decode: Decode = decode_replies,
        build: Callable[[list[Any]], list[T]] = list,
    ) -> Fetched[T]:
        """Do as :meth:`_call` does, once the node is known to be one of our chain."""
        if not self._identified:
            with self._learning:
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
        calls = [_get_block(num)]
        if self._virtual_ops:
            calls.append(("condenser_api.get_ops_in_block", f"[{num},true]"))
        return calls

    def _blocks(
        self, nums: Sequence[int], results: Sequence[msgspec.Raw], irreversible: int
    ) -> list[Block | None]:
        stride = 2 if self._virtual_ops else 1
        blocks: list[Block | None] = []
        for index, num in enumerate(nums):
            block = self._answers.block(num, results[index * stride])
            if block is not None and self._virtual_ops:
                occurred = results[index * stride + 1]
                block = self._answers.joined(block, occurred, believe_none=num <= irreversible)
            blocks.append(block)
        return blocks

    def _call(
        self,
        calls: Sequence[tuple[str, str]],
        decode: Decode = decode_replies,
        build: Callable[[list[Any]], list[T]] = list,
    ) -> Fetched[T]:
        """Send one batch of (method, parameters), and return what ``build`` makes of the results.

        ``decode`` reads the list of replies. ``build`` is given the results in the batch's order,
        which must not outlive it: they are views of the whole answer.
        """
        payload = ",".join(
            f'{{"jsonrpc":"2.0","id":{i},"method":"{method}","params":{params}}}'
            for i, (method, params) in enumerate(calls)
        )
        self._wait_for_turn()
        begun = time.monotonic()
        # The one used last is the least likely to have been closed by the node meanwhile.
        rpc = self._idle.pop() if self._idle else Rpc(self._address, self.timeout_s, self._proxy)
        with self._troubles():
            response, body = rpc.exchange(f"[{payload}]".encode())
        seconds = time.monotonic() - begun
        self._idle.append(rpc)
        if response.status_code != requests.codes.ok:
            raise self._refusal(response)
        with _decoding:
            results = self._answers.results(body, decode, len(calls))
            return Fetched(build(results), len(body), seconds)

    @contextmanager
    def _troubles(self) -> Iterator[None]:
        """Say in our words what goes wrong on the way to the node and back."""
        try:
            yield
        except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise NodeTimeoutError(
                self.url, f"no whole answer within {self.timeout_s:g} s"
            ) from error
        except TooLongError as error:
            raise NodeLimitError(self.url, str(error)) from error
        except requests.exceptions.SSLError as error:
            raise NodeUnreachableError(self.url, f"TLS failed: {_root(error)}") from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            raise NodeUnreachableError(self.url, without_passwords(_root(error))) from error

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
        if 300 <= status < 400:
            return NodeStatusError(self.url, status, f"{reason}: {self._redirection(response)}")
        if status not in _REFUSALS:
            return NodeStatusError(self.url, status, reason)
        wanted_s = retry_after_s(response.headers.get("Retry-After"), time.time())
        pause_s = DEFAULT_PAUSE_S if wanted_s is None else wanted_s
        self._rate.pause(time.monotonic(), pause_s)
        return NodeStatusError(self.url, status, reason, retry_after_s=pause_s)

    def _redirection(self, response: requests.Response) -> str:
        """Say where a node sends us. We do not go: who is asked is for the settings to say."""
        location = response.headers.get("Location", "")
        if not location:
            return "it redirects to nowhere"
        target = without_passwords(urljoin(self.url, location))
        return f"it redirects to {target}; if that is the node, write it into STEEMBOT_NODES"


_PROPERTIES = ("condenser_api.get_dynamic_global_properties", "[]")


def _get_block(num: int) -> tuple[str, str]:
    return "condenser_api.get_block", f"[{num}]"


def _is_unknown_method(error: Exception) -> bool:
    """Tell whether a node, or the front before it, says that it knows no such method."""
    if isinstance(error, NodeStatusError):
        return 400 <= error.status < 500 and error.status not in _REFUSALS
    return isinstance(error, NodeRpcError) and error.code in _UNKNOWN_METHOD


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
