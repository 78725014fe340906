"""What the broadcaster counts for its metrics. Loaded only when they are wanted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from steembot import metrics, service
from steembot.broadcaster.block_log import BlockLog
from steembot.chain.follower import Change
from steembot.chain.stream import ChainStream
from steembot.feed.wire import ClientStatus
from steembot.metrics import Metric, Sample


class Meters:
    """Counts what the chain's thread did, and collects it with how everything is.

    ``stream()`` is the one that runs now.
    """

    def __init__(self, block_log: BlockLog, stream: Callable[[], ChainStream]) -> None:
        self._log = block_log
        self._stream = stream
        self._begun = time.time()
        self._blocks = self._undone = 0
        self._operations = metrics.Counts()
        self.clients: Sequence[ClientStatus] = ()

    def applied(self, change: Change) -> None:
        """Count a change that is in the block log now. From the chain's thread."""
        self._undone += len(change.removed)
        self._blocks += len(change.appended)
        for block in change.appended:
            for operation in block.operations:
                self._operations.add(operation.type)

    def collect(self) -> Iterator[Metric]:
        """Give all metrics. From any thread."""
        handler = service.journal_handler()
        yield from metrics.of_process(
            {"process": "broadcaster"}, self._begun, 0 if handler is None else handler.dropped
        )
        yield from self._chain()
        yield from self._nodes()
        clients = list(self.clients)
        lags: dict[str, int] = {}
        for client in clients:
            lags[client.name] = max(client.lag, lags.get(client.name, 0))
        yield _gauge("steembot_clients", "Subscribed clients.", [Sample(len(clients))])
        yield _gauge(
            "steembot_client_lag_blocks",
            "Blocks between a client and the head; of several of one name, the most.",
            [Sample(lag, {"client": name}) for name, lag in lags.items()],
        )

    def _chain(self) -> Iterator[Metric]:
        head, timestamp = self._log.head, self._log.head_timestamp
        if head is not None:
            lag_s = max(0.0, time.time() - timestamp)
            yield _gauge("steembot_head_block", "The newest block held.", [Sample(head.num)])
            yield _gauge(
                "steembot_head_timestamp_seconds",
                "When the newest block held was made, since 1970.",
                [Sample(timestamp)],
            )
            yield _gauge(
                "steembot_head_lag_seconds",
                "Age of the newest block held; blocks come every 3 seconds.",
                [Sample(round(lag_s, 3))],
            )
            yield _gauge(
                "steembot_irreversible_block",
                "The last irreversible block.",
                [Sample(self._log.irreversible)],
            )
            yield _gauge(
                "steembot_oldest_block",
                "The oldest block in the block log.",
                [Sample(self._log.oldest or 0)],
            )
        yield _gauge(
            "steembot_behind_blocks",
            "Blocks between the newest one held and the nodes' head.",
            [Sample(self._stream().situation.behind)],
        )
        yield _counter("steembot_blocks_total", "Blocks followed.", [Sample(self._blocks)])
        yield _counter(
            "steembot_undone_blocks_total", "Blocks that forks removed.", [Sample(self._undone)]
        )
        yield _counter("steembot_forks_total", "Forks followed.", [Sample(self._log.forks)])
        yield _counter(
            "steembot_operations_total", "Operations followed.", self._operations.samples("type")
        )

    def _nodes(self) -> Iterator[Metric]:
        states = self._stream().nodes()
        yield _gauge(
            "steembot_node_up",
            "Whether a node answers as it should.",
            [Sample(int(each.health.state == "well"), {"node": each.url}) for each in states],
        )
        yield _gauge(
            "steembot_node_head_block",
            "The head that a node announced.",
            [Sample(each.health.head, {"node": each.url}) for each in states],
        )
        yield _gauge(
            "steembot_node_latency_seconds",
            "How long a node's answers take on average.",
            [
                Sample(round(latency_s, 6), {"node": each.url})
                for each in states
                if (latency_s := each.health.latency_s) is not None
            ],
        )
        yield _counter(
            "steembot_node_errors_total",
            "Failures of nodes.",
            [
                Sample(count, {"kind": kind, "node": each.url})
                for each in states
                for kind, count in each.errors.items()
            ],
        )


def _gauge(name: str, words: str, samples: Sequence[Sample]) -> Metric:
    return Metric(name, "gauge", words, samples)


def _counter(name: str, words: str, samples: Sequence[Sample]) -> Metric:
    return Metric(name, "counter", words, samples)
