"""What the devnode's tests share: a small generated chain, recorded data, a running node."""

import os
import time
from pathlib import Path

import pytest

from steembot.devnode.chain import Chain
from steembot.devnode.generate import GeneratedBlocks
from steembot.devnode.server import DevNode

GENESIS = 1_600_000_002  # 2020-09-13T12:26:42, a multiple of 3


@pytest.fixture(scope="session")
def chaindata():
    """The folder of recorded chain data."""
    folder = os.environ.get("STEEMBOT_CHAINDATA")
    if not folder:
        pytest.skip("STEEMBOT_CHAINDATA does not name a folder of recorded chain data")
    return Path(folder)


@pytest.fixture(scope="session")
def generated():
    """The first 120 blocks of a generated chain."""
    source = GeneratedBlocks("tests", genesis_time=GENESIS)
    return [source.next(source.slots_to_next()) for _ in range(120)]


@pytest.fixture(scope="session")
def node():
    """A node with 120 generated blocks and no more in the time that the tests take."""
    source = GeneratedBlocks("tests", genesis_time=GENESIS)
    chain = Chain(source, start=time.monotonic(), ready=120, interval_s=3600)
    with DevNode.running(chain) as running:
        yield running
