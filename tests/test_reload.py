"""SIGHUP to real processes: settings are read anew while a client stays connected."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from steembot.devnode.chain import Chain
from steembot.feed import wire
from steembot.feed.client import Connected, Event, FeedClient, ask_status
from tests.support.nodes import Nodes, make_chain, serving
from tests.support.processes import Process, environment
from tests.support.waiting import PATIENCE_S

GOING_ON = wire.BlockMessage | wire.Progress | wire.Heartbeat

DEAD = "http://127.0.0.1:9"


class Reader:
    """A client that stays connected from its first block on, and gets one after the other."""

    def __init__(self, path: Path, chain: Chain) -> None:
        self._chain = chain
        self._client = FeedClient(path, name="reader", types=("*",), mode="head", after=lambda: "0")
        self._num = 0

    def __enter__(self):
        self._client.__enter__()
        return self

    def __exit__(self, *error):
        self._client.__exit__(*error)

    def _events(self) -> Iterator[Event | None]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            yield self._client.receive(1)
        raise TimeoutError

    def connect(self) -> None:
        assert any(isinstance(event, Connected) for event in self._events())

    def read(self, blocks: int) -> None:
        """Read so many blocks more, each the next one of the chain that has an operation."""
        for event in self._events():
            assert event is None or isinstance(event, GOING_ON), event
            if isinstance(event, wire.BlockMessage):
                assert (event.num, event.id) == self._next()
                blocks -= 1
            if not blocks:
                return

    def _next(self) -> tuple[int, str]:
        """Return number and id of what the chain itself has next."""
        self._num += 1
        while not (block := self._chain.block(self._num)).appbase_block()["transactions"]:
            self._num += 1
        return self._num, block.id


class Installation:
    """A broadcaster with a settings file that a test changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "b.sock"

    def settings(self, **settings: object) -> None:
        """Write the file: what every process here needs, and these."""
        settings = {
            "STEEMBOT_NODE_RATE": 1000,
            "STEEMBOT_START": 1,
            "STEEMBOT_SOCKET": self.socket,
            "STEEMBOT_STATE_DIR": self.folder / "state",
        } | settings
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        (self.folder / ".env").write_text(text)

    def process(self, name: str = "steembot-broadcaster") -> Process:
        return Process(name, env=environment(), cwd=self.folder)

    def reload(self, process: Process, says: str, **settings: object) -> None:
        """Change the file, reload, and wait for a line that was not there before."""
        self.settings(**settings)
        known = len(process.lines)
        process.signal(signal.SIGHUP)
        process.wait_for(lambda lines: any(says in line for line in lines[known:]), says)

    def nodes(self) -> list[str]:
        return [node.url for node in ask_status(self.socket, PATIENCE_S).nodes]


@pytest.fixture
def here(tmp_path) -> Installation:
    return Installation(tmp_path)


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    """Two nodes of one chain, with a block each 50 ms."""
    with serving(make_chain("reload", ready=30, interval_s=0.05), 2) as nodes:
        yield nodes


def begin_fault(nodes: Nodes, index: int, text: str) -> None:
    nodes.call(lambda: nodes[index].faults.set(text))


def test_nodes_are_replaced_under_a_connected_client(here, nodes):
    """Back and forth, and not a block is missing or doubled; the old node is done with."""
    first, second = nodes.urls
    here.settings(STEEMBOT_NODES=first, STEEMBOT_METRICS=here.folder / "metrics")
    (here.folder / "metrics").mkdir()
    with here.process() as broadcaster, Reader(here.socket, nodes.chain) as reader:
        reader.connect()
        reader.read(40)
        for url in (second, first, f"{first},{second}", second):
            here.reload(
                broadcaster,
                f"log level info; nodes {url.replace(',', ', ')}",
                STEEMBOT_NODES=url,
                STEEMBOT_METRICS=here.folder / "metrics",
            )
            reader.read(10)
        begin_fault(nodes, 0, "http-502")
        reader.read(50)
        assert here.nodes() == [second]
        published = here.folder / "metrics" / "broadcaster" / "steembot-broadcaster.prom"
        broadcaster.wait_for(
            lambda _: (
                f'steembot_node_up{{node="{second}"}} 1' in published.read_text()
                and first not in published.read_text()
            ),
            "metrics of the second node alone",
        )
        broadcaster.signal(signal.SIGTERM)
        assert broadcaster.ended() == 0
    assert not any("asking it again" in line for line in broadcaster.lines)
    assert sum("subscribed" in line for line in broadcaster.lines) == 1


def test_a_node_that_hangs_is_not_waited_for(here, nodes):
    """What is still asked of the old node is left alone, and nobody hears how it ends."""
    first, second = nodes.urls
    here.settings(STEEMBOT_NODES=first)
    with here.process() as broadcaster, Reader(here.socket, nodes.chain) as reader:
        reader.connect()
        reader.read(40)
        asked = nodes[0].requests
        begin_fault(nodes, 0, "hang")
        broadcaster.wait_for(lambda _: nodes[0].requests > asked, "a request that hangs")
        here.reload(broadcaster, f"nodes {second}", STEEMBOT_NODES=second)
        reader.read(50)
    assert not any(first in line for line in broadcaster.lines)


def test_a_wrong_first_node_is_mended_by_a_reload(here, nodes):
    """Nothing was followed yet, and it begins at the head of the node that was named then."""
    here.settings(STEEMBOT_NODES=DEAD, STEEMBOT_START="head")
    with here.process() as broadcaster, Reader(here.socket, nodes.chain) as reader:
        broadcaster.says("refused")
        here.reload(broadcaster, "nodes", STEEMBOT_NODES=nodes.urls[0], STEEMBOT_START="head")
        broadcaster.says("beginning there")
        reader.connect()
        reader.read(10)


def test_the_quorum_changes(here, nodes):
    """Two are to agree and one answers: the feed stands still, and goes on when one is enough."""
    url = nodes.urls[0]
    here.settings(STEEMBOT_NODES=url)
    with here.process() as broadcaster, Reader(here.socket, nodes.chain) as reader:
        reader.connect()
        reader.read(40)
        both = f"{url},{DEAD}"
        here.reload(broadcaster, "2 of them must agree", STEEMBOT_NODES=both, STEEMBOT_QUORUM=2)
        broadcaster.says("2 nodes must agree, and 1 of 2 answer")
        here.reload(broadcaster, "1 of them must agree", STEEMBOT_NODES=both, STEEMBOT_QUORUM=1)
        reader.read(50)


def test_a_wrong_file_changes_nothing(here, nodes):
    """It is refused by name, and what was in force stays in force, also the log level."""
    url = nodes.urls[0]
    here.settings(STEEMBOT_NODES=url)
    with here.process() as broadcaster, Reader(here.socket, nodes.chain) as reader:
        reader.connect()
        reader.read(40)
        here.reload(
            broadcaster,
            "error: settings kept as they were: STEEMBOT_NODES='ftp://elsewhere'",
            STEEMBOT_LOG_LEVEL="error",
            STEEMBOT_NODES="ftp://elsewhere",
        )
        reader.read(10)
        here.reload(
            broadcaster,
            "settings kept as they were: STEEMBOT_QUORUM='2'",
            STEEMBOT_NODES=nodes.urls[1],
            STEEMBOT_QUORUM=2,
        )
        reader.read(10)
        assert here.nodes() == [url]
        # Said at level info, which is still logged.
        here.reload(broadcaster, "log level info; nodes as before", STEEMBOT_NODES=url)
        reader.read(10)


def test_what_needs_a_restart_is_named(here, nodes):
    """The chain with its nodes, socket, folder and so on stay, and the warning names them."""
    first, second = nodes.urls
    here.settings(STEEMBOT_NODES=first)
    with here.process() as broadcaster, Reader(here.socket, nodes.chain) as reader:
        reader.connect()
        reader.read(40)
        here.reload(
            broadcaster,
            "warning: not in force before a restart: STEEMBOT_SOCKET, STEEMBOT_LOG_BLOCKS, "
            "STEEMBOT_VIRTUAL_OPS",
            STEEMBOT_NODES=second,
            STEEMBOT_SOCKET=here.folder / "other.sock",
            STEEMBOT_LOG_BLOCKS=100,
            STEEMBOT_VIRTUAL_OPS=1,
            STEEMBOT_MODE="irreversible",  # of no concern to a broadcaster
        )
        reader.read(10)
        assert here.nodes() == [second]
        here.reload(
            broadcaster,
            "not in force before a restart: STEEMBOT_CHAIN, STEEMBOT_NODES, STEEMBOT_NODE_RATE",
            STEEMBOT_CHAIN="hive",
            STEEMBOT_NODES=DEAD,
            STEEMBOT_NODE_RATE=20,
        )
        reader.read(10)
        assert here.nodes() == [second]


def test_a_bot_rereads_its_log_level_and_names_the_rest(here, nodes):
    """It stays connected, goes on, and says what it does not take up."""
    here.settings(STEEMBOT_NODES=nodes.urls[0])
    with here.process(), here.process("steembot-bot") as bot:
        bot.says("https://steemit.com/@")
        here.reload(
            bot,
            "not in force before a restart: STEEMBOT_HANDLERS, STEEMBOT_MODE",
            STEEMBOT_LOG_LEVEL="warning",
            STEEMBOT_HANDLERS="elsewhere",
            STEEMBOT_MODE="irreversible",
            STEEMBOT_NODES=DEAD,  # of no concern to a bot
        )
        here.reload(bot, "settings kept as they were: STEEMBOT_MODE='loud'", STEEMBOT_MODE="loud")
        here.reload(bot, "settings read again: log level info")
        known = len(bot.lines)
        bot.wait_for(lambda lines: any("https://steemit.com/@" in s for s in lines[known:]))
    assert not any("disconnected" in line for line in bot.lines)
