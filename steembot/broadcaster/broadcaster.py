"""The broadcaster's wiring: one thread follows the chain, the main thread serves the feed."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from steembot import events, service, settings
from steembot.broadcaster.block_log import BlockLog
from steembot.broadcaster.following import Following
from steembot.broadcaster.history import History
from steembot.broadcaster.reloading import Reloading, node_of
from steembot.chain.follower import Change
from steembot.chain.node import Node
from steembot.chain.progress import duration
from steembot.chain.stream import ChainStream, NodeState
from steembot.errors import DiskError
from steembot.feed.connections import raise_descriptor_limit
from steembot.feed.server import FeedServer
from steembot.feed.wire import NodeStatus
from steembot.repeats import Repeats
from steembot.settings import Settings

if TYPE_CHECKING:
    from steembot.broadcaster.meters import Meters

log = logging.getLogger(__name__)

LOG_FILE = "block-log.sqlite3"

DISK_RETRY_S = 1.0

STUCK_S = 30.0
"""A chain thread that finished no request for so long does not feed the watchdog any more."""


class Broadcaster:
    """Follows the chain named by the settings and serves it until a signal ends it."""

    def __init__(self) -> None:
        self._changed = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = threading.Event()
        self._disk_trouble = ""
        self._meters: Meters | None = None

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises :class:`~steembot.errors.SteembotError`."""
        given = settings.load()
        service.set_up_logging("broadcaster", given.log_level)
        raise_descriptor_limit()
        listener = service.inherited_socket("broadcaster", given.socket)
        path = service.state_file(given.state_dir, LOG_FILE)
        nodes = [node_of(url, given) for url in given.nodes]
        with (
            service.Service() as daemon,
            History(nodes, self._wake) as history,
            BlockLog(
                path,
                chain=given.chain_key,
                keep_blocks=given.log_blocks,
                older=history.block,
                rejected=history.reject,
            ) as block_log,
        ):
            # After a loss bots may be far above the first block ever wanted: begin at the head.
            block_log.first_wanted = None if block_log.was_lost else given.start
            _say_beginning(block_log)
            following = Following(
                nodes,
                given.quorum,
                lambda nodes, quorum: self._stream(nodes, quorum, block_log),
                self._wake,
            )
            reloading = Reloading(given, nodes, following, history, block_log)
            with (
                FeedServer(
                    block_log,
                    chain=given.chain_key,
                    path=given.socket,
                    listener=listener,
                    words=lambda: self._words(block_log, following, None),
                    head_timestamp=lambda: block_log.head_timestamp,
                    chain_time=lambda: self._chain_time(block_log, following),
                    nodes=lambda: [_node_status(state) for state in following.stream.nodes()],
                ) as server,
                self._published(given, block_log, following),
            ):
                following.start()
                try:
                    self._serve(daemon, server, block_log, following, reloading)
                finally:
                    daemon.bye()
                    self._stopping.set()
                    following.stop()
        if following.failure is not None and not self._disk_trouble:
            raise following.failure
        log.info("stopped", extra=events.STOPPED())

    @contextmanager
    def _published(
        self, given: Settings, block_log: BlockLog, following: Following
    ) -> Iterator[None]:
        """Publish metrics while the context lasts, where the settings want it."""
        if given.metrics is None:
            yield
            return
        from steembot.broadcaster.meters import Meters  # noqa: PLC0415 (only where wanted)
        from steembot.metrics import Publisher  # noqa: PLC0415

        self._meters = Meters(block_log, lambda: following.stream)
        with Publisher(given.metrics, "broadcaster", self._meters.collect):
            yield

    def _wake(self) -> None:
        """Let the main thread look for what there is to send. From any thread."""
        os.eventfd_write(self._changed, 1)

    def _stream(self, nodes: Sequence[Node], quorum: int, block_log: BlockLog) -> ChainStream:
        """Make a stream that goes on where the block log ends."""

        def apply(change: Change, irreversible: int) -> None:
            self._write(block_log, change, irreversible)
            if self._meters is not None:
                self._meters.applied(change)
            self._wake()

        return ChainStream(
            nodes,
            tip=block_log.head,
            irreversible=block_log.irreversible,
            start=block_log.first_wanted,
            id_at=block_log.id_at,
            oldest=lambda: block_log.oldest,
            apply=apply,
            quorum=quorum,
        )

    def _write(self, block_log: BlockLog, change: Change, irreversible: int) -> None:
        """Write to the log for as long as it takes: on a full disk the feed stands still."""
        repeats = Repeats()
        while True:
            try:
                block_log.apply(change, irreversible)
            except DiskError as error:
                self._disk_trouble = str(error)
                if repeats.is_due("full", time.monotonic()):
                    log.error(  # noqa: TRY400 (one line for a person)
                        "%s; nothing is lost: the feed stands still and goes on when it can",
                        error,
                        extra=events.DISK_FULL(),
                    )
                if self._stopping.wait(DISK_RETRY_S):
                    raise
            else:
                if self._disk_trouble:
                    self._disk_trouble = ""
                    log.info("the block log can be written again", extra=events.DISK_BACK())
                return

    @staticmethod
    def _chain_time(block_log: BlockLog, following: Following) -> int:
        """When the newest block was made, while no node has announced a much newer one."""
        situation = following.stream.situation
        at_head = situation.head and situation.behind <= 1
        return block_log.head_timestamp if at_head else 0

    def _serve(
        self,
        daemon: service.Service,
        server: FeedServer,
        block_log: BlockLog,
        following: Following,
        reloading: Reloading,
    ) -> None:
        wakers = (daemon.fileno(), self._changed)
        daemon.ready("serving; no block yet")
        patience_s = service.watchdog_interval_s() or STUCK_S
        words_due = 0.0
        while not daemon.stopping and following.failure is None:
            now = time.monotonic()
            wait_s = server.turn(now)
            if now >= words_due:
                words_due = now + 1.0
                daemon.status(self._words(block_log, following, server.clients))
                if self._meters is not None:
                    self._meters.clients = server.status().clients
                # Waiting for room on the disk is no reason to be restarted.
                stuck_s = now - following.stream.situation.attempted
                if stuck_s < max(patience_s, STUCK_S) or self._disk_trouble:
                    daemon.alive()
            ready = server.wait(wakers, min(wait_s, words_due - now))
            if self._changed in ready:
                os.eventfd_read(self._changed)
            if daemon.fileno() in ready:
                daemon.drain()
            if daemon.reload_wanted:
                daemon.reloading()
                reloading.reload()
                daemon.ready(self._words(block_log, following, server.clients))

    def _words(self, block_log: BlockLog, following: Following, clients: int | None) -> str:
        situation = following.stream.situation
        head = block_log.head
        words = ["no block yet" if head is None else f"block {head.num:,}"]
        if head is not None:
            if situation.behind > 1:
                words.append(f"{situation.behind:,} blocks behind")
                if situation.speed:
                    words.append(f"{situation.speed:,.0f} blocks/s")
                    words.append(f"{duration(situation.behind / situation.speed)} left")
            else:
                words.append(f"{max(0, int(time.time()) - block_log.head_timestamp):,} s behind")
        if clients is not None:
            words.append(f"{clients} client{'' if clients == 1 else 's'}")
        if self._disk_trouble:
            words.append(self._disk_trouble)
        elif situation.trouble:
            words.append(situation.trouble)
        elif situation.node:
            ill = f" ({situation.ill} of {situation.nodes} ill)" if situation.ill else ""
            words.append(f"node {situation.node.split('://', 1)[-1]}{ill}")
        return ", ".join(words)


def _say_beginning(block_log: BlockLog) -> None:
    if block_log.head is not None:
        log.info(
            "going on after block %s of the block log",
            block_log.head,
            extra=events.GOING_ON(STEEM_BLOCK=block_log.head.num),
        )
    elif block_log.first_wanted is not None:
        log.info(
            "beginning with block %d",
            block_log.first_wanted,
            extra=events.BEGINNING(STEEM_BLOCK=block_log.first_wanted),
        )


def _node_status(state: NodeState) -> NodeStatus:
    health = state.health
    return NodeStatus(
        url=state.url,
        state=health.state,
        head=health.head,
        rests_s=round(health.rests_s, 1),
        latency_ms=None if health.latency_s is None else round(health.latency_s * 1000, 1),
        errors=state.errors,
        trouble=state.trouble,
    )
