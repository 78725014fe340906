"""Fixtures that every test folder may use."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from steembot.devnode.chain import Chain
from steembot.devnode.generate import GeneratedBlocks
from steembot.devnode.server import DevNode
from steembot.devnode.thread import in_thread

GENESIS = 1_600_000_002  # 2020-09-13T12:26:42, a multiple of 3


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes run the tests: a file is one's, and so are all that boot a systemd.

    Those come first. They take the longest, and wait for most of it.
    """
    items.sort(key=lambda item: "system" not in item.keywords)
    for item in items:
        group = "system" if "system" in item.keywords else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def chaindata() -> Path:
    """The folder of recorded chain data."""
    folder = os.environ.get("STEEMBOT_CHAINDATA")
    if not folder:
        pytest.skip("STEEMBOT_CHAINDATA does not name a folder of recorded chain data")
    return Path(folder)


@pytest.fixture(scope="session")
def still_node():
    """A node with 120 generated blocks whose head does not move during the tests."""
    source = GeneratedBlocks("tests", genesis_time=GENESIS)
    chain = Chain(source, start=time.monotonic(), ready=120, interval_s=3600)
    with in_thread(DevNode(chain)) as running:
        yield running


@pytest.fixture
def moving_node():
    """A node with 30 generated blocks that makes another one every 50 ms."""
    source = GeneratedBlocks("moving", genesis_time=GENESIS)
    chain = Chain(source, start=time.monotonic(), ready=30, interval_s=0.05)
    with in_thread(DevNode(chain)) as running:
        yield running
