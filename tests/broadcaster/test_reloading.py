"""What a reload takes up, and what it leaves alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from steembot import settings
from steembot.broadcaster.block_log import BlockLog
from steembot.broadcaster.following import Following
from steembot.broadcaster.history import History
from steembot.broadcaster.reloading import Reloading, node_of
from steembot.chain.node import Node
from steembot.chain.stream import ChainStream
from tests.support.waiting import wait_until


class Parts:
    """What a reload works on, without the process around it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.begun: list[tuple[list[Node], int]] = []

    def __enter__(self):
        given = settings.load()
        nodes = [node_of(url, given) for url in given.nodes]
        self.log = BlockLog(self._file.with_name("log.sqlite3"), chain="steem", keep_blocks=100)
        self.following = Following(nodes, given.quorum, self._begin, lambda: None)
        self.history = History(nodes, lambda: None)
        self._reloading = Reloading(given, nodes, self.following, self.history, self.log)
        self.following.start()
        return self

    def __exit__(self, *_):
        self.following.stop()
        self.log.close()

    def _begin(self, nodes, quorum) -> ChainStream:
        self.begun.append((list(nodes), quorum))
        return ChainStream(
            nodes,
            tip=self.log.head,
            irreversible=0,
            start=1,
            id_at=self.log.id_at,
            oldest=lambda: self.log.oldest,
            apply=self.log.apply,
            quorum=quorum,
        )

    def reload(self, **given: object) -> None:
        self._file.write_text("".join(f"STEEMBOT_{n}={v}\n" for n, v in given.items()))
        with logging_as_it_is():
            self._reloading.reload()


@contextmanager
def logging_as_it_is() -> Iterator[None]:
    """Undo what a process does to the log, which is this process's here."""
    loggers = [logging.getLogger(name) for name in (None, "urllib3", "beemapi")]
    handlers, levels = loggers[0].handlers[:], [logger.level for logger in loggers]
    try:
        yield
    finally:
        loggers[0].handlers[:] = handlers
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@pytest.fixture
def parts(tmp_path, monkeypatch, still_node) -> Iterator[Parts]:
    file = tmp_path / "steembot.env"
    file.write_text(f"STEEMBOT_NODES={still_node.url}\nSTEEMBOT_NODE_RATE=1\n")
    monkeypatch.setenv(settings.FILES, str(file))
    with Parts(file) as parts:
        yield parts


def test_the_same_nodes_go_on_undisturbed(parts, still_node):
    """Neither stream nor nodes are new, though the rate is."""
    stream = parts.following.stream
    ((node,), _), *_ = parts.begun
    parts.reload(NODES=still_node.url, NODE_RATE=1)
    parts.reload(NODES=f" {still_node.url}/ ", NODE_RATE=10_000)
    assert parts.following.stream is stream
    assert len(parts.begun) == 1
    # A hundred requests at one a second would wait for more than a minute.
    assert max(node._rate.reserve(1e9) for _ in range(100)) < 1


def test_a_node_that_stays_is_the_same_one(parts, still_node, moving_node):
    """It keeps its connections and pauses; the new one has the rate that is in force."""
    ((node,), _), *_ = parts.begun
    parts.reload(NODES=f"{moving_node.url},{still_node.url}", QUORUM=2, NODE_RATE=10_000)
    wait_until(lambda: len(parts.begun) == 2, "another stream")
    *_, ((new, old), quorum) = parts.begun
    assert (new.url, old, quorum) == (moving_node.url, node, 2)
    assert parts.history._nodes == [new, old]
    assert max(new._rate.reserve(1e9) for _ in range(100)) < 1
