"""The broadcaster's memory: flat while a client sleeps and the chain goes on, and in its budget."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steembot.devnode.chain import Chain
from steembot.devnode.server import DevNode
from steembot.devnode.thread import in_thread
from tests.conftest import GENESIS
from tests.support.processes import Process, environment
from tests.support.template_blocks import TemplateBlocks

WARM_UP_BLOCKS = 4_000
LAST = WARM_UP_BLOCKS + 20_000
INTERVAL_S = 0.001
BUDGET_KIB = 64 * 1024
GROWTH_KIB = 6 * 1024

CLIENT = """
import os
import signal
import sys
from pathlib import Path
from steembot.feed import wire
from steembot.feed.client import Connected, FeedClient

path, name, sleeps_at = sys.argv[1:]
here = "0"
previous = "0" * 40
with FeedClient(Path(path), name=name, types=["*"], mode="head", after=lambda: here) as feed:
    while True:
        event = feed.receive(1.0)
        if isinstance(event, Connected):
            print("connected", flush=True)
        elif isinstance(event, wire.BlockMessage):
            assert event.previous == previous, (event.num, event.previous, previous)
            previous = event.id
            here = f"{event.num}-{event.id}-4294967295-4294967295-4294967295"
            if event.num % 1000 == 0:
                print("reached", event.num, flush=True)
            if event.num == int(sleeps_at):
                os.kill(os.getpid(), signal.SIGSTOP)
        else:
            assert not isinstance(event, wire.Undo | wire.Progress)
"""


def memory_kib(pid: int) -> dict[str, int]:
    """What a process has in memory now (proc_pid_smaps_rollup(5)), and has had at most."""
    files = [Path(f"/proc/{pid}/smaps_rollup"), Path(f"/proc/{pid}/status")]
    lines = [line.split() for file in files for line in file.read_text().splitlines()]
    wanted = ("Rss:", "Pss:", "VmHWM:")
    return {line[0][:-1]: int(line[1]) for line in lines if line[0] in wanted}


class Feed:
    """A running broadcaster, and clients that check what they get."""

    def __init__(self, tmp_path: Path, node_url: str) -> None:
        self._tmp_path = tmp_path
        (tmp_path / "client.py").write_text(CLIENT)
        self._env = environment(
            STEEMBOT_NODES=node_url,
            STEEMBOT_NODE_RATE=10_000,
            STEEMBOT_START=1,
            STEEMBOT_SOCKET=tmp_path / "b.sock",
            STEEMBOT_STATE_DIR=tmp_path,
        )

    def broadcaster(self) -> Process:
        return Process("steembot-broadcaster", env=self._env, cwd=self._tmp_path)

    def client(self, name: str, sleeps_at: int = 0) -> Process:
        """Run a client, which stops itself at that block until it is told to continue."""
        argv = ("client.py", str(self._tmp_path / "b.sock"), name, str(sleeps_at))
        return Process("python", *argv, env=self._env, cwd=self._tmp_path)


@contextmanager
def node(operations: int, ready: int, interval_s: float) -> Iterator[str]:
    """Run a node of cheap blocks, none of which it has to forget; yields its address."""
    source = TemplateBlocks("memory", genesis_time=GENESIS, operations=operations, last=LAST)
    chain = Chain(source, start=time.monotonic(), ready=ready, interval_s=interval_s)
    with in_thread(DevNode(chain)) as running:
        yield running.url


def test_memory_is_flat_while_a_client_is_stopped(tmp_path):
    """20,000 blocks pass by one that sleeps: no growth; it wakes and has all of them in order."""
    with node(operations=20, ready=WARM_UP_BLOCKS, interval_s=INTERVAL_S) as url:
        feed = Feed(tmp_path, url)
        with (
            feed.broadcaster() as broadcaster,
            feed.client("one") as one,
            feed.client("two") as two,
            feed.client("three", sleeps_at=WARM_UP_BLOCKS) as three,
        ):
            for each in (one, two, three):
                each.says(f"reached {WARM_UP_BLOCKS}")
            try:
                before = most = memory_kib(broadcaster.pid)
                print("before:", before)  # noqa: T201
                for num in range(2 * WARM_UP_BLOCKS, LAST + 1, WARM_UP_BLOCKS):
                    for each in (one, two):
                        each.says(f"reached {num}", timeout_s=60)
                    now = memory_kib(broadcaster.pid)
                    print(f"block {num:,}:", now)  # noqa: T201
                    most = max(most, now, key=lambda figures: figures["Rss"])
                assert not any(f"reached {2 * WARM_UP_BLOCKS}" in line for line in three.lines)
            finally:
                three.signal(signal.SIGCONT)
            three.says(f"reached {LAST}", timeout_s=60)
            after = memory_kib(broadcaster.pid)
            print("after the sleeper has caught up:", after)  # noqa: T201
    assert most["Rss"] - before["Rss"] < GROWTH_KIB
    assert after["Rss"] - before["Rss"] < GROWTH_KIB
    assert after["VmHWM"] < BUDGET_KIB


def test_memory_stays_in_its_budget_at_full_speed(tmp_path):
    """While it catches up over busy blocks, with all that is under way, it is below 64 MiB."""
    blocks = 8_000
    with node(operations=50, ready=blocks, interval_s=3.0) as url:
        feed = Feed(tmp_path, url)
        with feed.broadcaster() as broadcaster, feed.client("one") as one:
            one.says(f"reached {blocks}", timeout_s=60)
            figures = memory_kib(broadcaster.pid)
    print(figures)  # noqa: T201
    assert figures["VmHWM"] < BUDGET_KIB
