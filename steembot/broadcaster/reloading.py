"""What a reload takes up: other nodes, how many must agree, how often they are asked, log level.

Everything else is what the running process stands on, and is named where it changed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import msgspec

from steembot import events, service, settings
from steembot.broadcaster.block_log import BlockLog
from steembot.broadcaster.following import Following
from steembot.broadcaster.history import History
from steembot.chain.node import Node
from steembot.errors import SettingsError
from steembot.settings import Settings

log = logging.getLogger(__name__)

_OF_NODES = ("nodes", "quorum", "node_rate")
"""Settings that a reload takes up, besides the log level."""

_AT_START = (
    "chain",
    "chain_id",
    "proxy",
    "socket",
    "state_dir",
    "log_blocks",
    "virtual_ops",
    "metrics",
)
"""Settings that only a start takes up; ``start`` is one too while the block log is empty."""


class Reloading:
    """Takes up what a reload can: ``given`` are the settings in force, ``nodes`` theirs."""

    def __init__(
        self,
        given: Settings,
        nodes: Sequence[Node],
        following: Following,
        history: History,
        block_log: BlockLog,
    ) -> None:
        self._given = given
        self._nodes = dict(zip(given.nodes, nodes, strict=True))
        self._following = following
        self._history = history
        self._log = block_log

    def reload(self) -> None:
        """Read the settings anew. Where one is wrong, all stay as they were."""
        try:
            read = settings.load()
        except SettingsError as error:
            log.error(  # noqa: TRY400 (one line for a person)
                "settings kept as they were: %s", error, extra=events.SETTINGS_KEPT()
            )
            return
        old = self._given
        at_once, later = ["log_level", *_OF_NODES], [*_AT_START]
        if read.chain_key != old.chain_key:  # its nodes are of no use to ours
            at_once, later = ["log_level"], [*_AT_START, *_OF_NODES]
        if self._log.head is None:
            later.append("start")
        given = msgspec.structs.replace(old, **{name: getattr(read, name) for name in at_once})
        self._given = given
        service.set_up_logging("broadcaster", given.log_level)
        words = "; ".join([f"log level {given.log_level}", *self._take_nodes(old, given)])
        log.info("settings read again: %s", words, extra=events.SETTINGS_READ())
        if waiting := settings.changed(given, read, later):
            words = ", ".join(waiting)
            log.warning("not in force before a restart: %s", words, extra=events.SETTINGS_WAIT())

    def _take_nodes(self, old: Settings, given: Settings) -> Iterator[str]:
        """Change over to the nodes of the settings, and yield what is new, in words."""
        if given.node_rate != old.node_rate:
            for node in self._nodes.values():
                node.change_rate(given.node_rate)
            yield f"{given.node_rate} requests a second for each node"
        if (given.nodes, given.quorum) == (old.nodes, old.quorum):
            yield "nodes as before"
            return
        # One that stays keeps its connections, and what it said of how often it may be asked.
        self._nodes = {url: self._nodes.get(url) or node_of(url, given) for url in given.nodes}
        nodes = list(self._nodes.values())
        self._history.change_over(nodes)
        self._following.change_over(nodes, given.quorum)
        yield f"nodes {', '.join(map(str, nodes))}"
        if given.quorum != old.quorum:
            yield f"{given.quorum} of them must agree"


def node_of(url: str, given: Settings) -> Node:
    """Make a node as the settings want it."""
    return Node(
        url,
        virtual_ops=given.virtual_ops,
        profile=given.profile,
        proxy=given.proxy,
        requests_per_s=given.node_rate,
    )
