"""Blocks older than the log: fetched for whom they are missing, delaying nobody."""

from __future__ import annotations

import threading
import time

import pytest

from steembot.broadcaster.history import KEPT_SPANS, History
from steembot.chain.node import Node
from tests.support.processes import Process, environment


def wait_for(history: History, news: threading.Event, num: int):
    """Ask for a block until it is here."""
    deadline = time.monotonic() + 20
    while (block := history.block(num)) is None:
        assert news.wait(deadline - time.monotonic())
        news.clear()
    return block


def test_blocks_come_when_they_are_fetched(still_node):
    """The first question returns nothing at once; the block is there when news comes."""
    news = threading.Event()
    with History([Node(still_node.url)], news.set) as history:
        assert history.block(70) is None
        for num in range(60, 121):
            block = wait_for(history, news, num)
            assert block.id == still_node.chain.block(num).id


def test_a_block_that_no_node_has_is_a_lookup_error(still_node):
    """What cannot be had is said, and is asked for anew the next time."""
    news = threading.Event()
    with History([Node(still_node.url)], news.set) as history:
        with pytest.raises(LookupError):
            wait_for(history, news, 130)
        with pytest.raises(LookupError):
            wait_for(history, news, 130)


def test_memory_is_bounded(still_node):
    """Reading on forgets what was read before."""
    news = threading.Event()
    with History([Node(still_node.url)], news.set) as history:
        history._span_blocks = 2
        for num in range(1, 121):
            wait_for(history, news, num)
            assert len(history._spans) <= KEPT_SPANS


def test_the_next_node_is_asked_where_one_fails(still_node):
    """A node that is away is no reason to wait."""
    news = threading.Event()
    nodes = [Node("http://127.0.0.1:9"), Node(still_node.url)]
    with History(nodes, news.set) as history:
        assert wait_for(history, news, 5).num == 5


@pytest.mark.parametrize("after", ["number", "cursor"])
def test_a_client_from_before_the_log_gets_everything(tmp_path, still_node, after):
    """Old blocks come from the chain, recent ones from the log, and there is no seam."""
    env = environment(
        STEEMBOT_NODES=still_node.url,
        STEEMBOT_START=106,  # what is older is irreversible
        STEEMBOT_SOCKET=tmp_path / "b.sock",
        STEEMBOT_STATE_DIR=tmp_path,
    )
    (tmp_path / "count.py").write_text(
        "from steembot.bot import Bot\n"
        "bot = Bot()\n"
        "@bot.on('*')\n"
        "def every(op, ctx): ctx.log.info('saw %s', op.cursor)\n"
    )
    bot_env = env | {"STEEMBOT_HANDLERS": "count", "STEEMBOT_START": "3"}
    if after == "cursor":
        with (
            Process("steembot-broadcaster", env=env | {"STEEMBOT_START": "1"}, cwd=tmp_path),
            Process("steembot-bot", env=bot_env | {"STEEMBOT_START": "1"}, cwd=tmp_path) as first,
        ):
            first.says(" saw 60-")
            first._process.kill()
            first.ended()
        for file in tmp_path.glob("block-log*"):
            file.unlink()
        seen = [line.split(" saw ")[1] for line in first.lines if " saw " in line]
    else:
        seen = []
    with (
        Process("steembot-broadcaster", env=env, cwd=tmp_path),
        Process("steembot-bot", env=bot_env, cwd=tmp_path) as bot,
    ):
        bot.says(" saw 120-")
    seen += [line.split(" saw ")[1] for line in bot.lines if " saw " in line]
    first_num = 1 if after == "cursor" else 3
    expected = [
        f"{num}-{still_node.chain.block(num).id}-{trx}-{op}-0"
        for num in range(first_num, 120)
        for trx, transaction in enumerate(
            still_node.chain.block(num).appbase_block()["transactions"]
        )
        for op, _ in enumerate(transaction["operations"])
    ]
    seen = [place for place in dict.fromkeys(seen) if not place.startswith("120-")]
    assert seen == expected
