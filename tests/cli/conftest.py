"""A broadcaster over a still chain, for commands to ask."""

from __future__ import annotations

import pytest

from steembot.chain.profiles import PROFILES
from tests.support.nodes import make_chain, serving
from tests.support.processes import Process, environment


@pytest.fixture
def settings(tmp_path, still_node) -> dict[str, str]:
    """The environment in which the broadcaster and the commands run."""
    return environment(
        STEEMBOT_NODES=still_node.url,
        STEEMBOT_START=1,
        STEEMBOT_SOCKET=tmp_path / "b.sock",
        STEEMBOT_STATE_DIR=tmp_path / "state",
    )


@pytest.fixture(scope="session")
def hive_node():
    """A node of Hive with 20 blocks whose head does not move."""
    with serving(make_chain("hive", ready=20, interval_s=3600), 1) as (node,):
        node.faults.set(f"wrong-chain:{PROFILES['hive'].chain_id}")
        yield node


@pytest.fixture
def broadcaster(tmp_path, settings):
    """A running broadcaster that has all 120 blocks."""
    with (
        Process("steembot-broadcaster", env=settings, cwd=tmp_path) as broadcaster,
        Process("steembot", "tail", "--from", "120", env=settings, cwd=tmp_path) as tail,
    ):
        tail.says(" 120 ")
        tail.signal(2)
        assert tail.ended() == 0
        yield broadcaster


@pytest.fixture
def steembot(tmp_path, settings):
    """Run a command to its end: ``steembot("status")`` gives (status, lines)."""

    def run(*arguments: str, **more: str) -> tuple[int, list[str]]:
        with Process("steembot", *arguments, env=settings | more, cwd=tmp_path) as process:
            status = process.ended(30)
        return status, process.lines

    return run
