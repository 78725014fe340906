"""Fixtures that every test folder may use."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from steembot.devnode.chain import Chain
from steembot.devnode.generate import GeneratedBlocks
from steembot.devnode.server import DevNode
from steembot.devnode.thread import in_thread

SYSTEM = "tests/system/"
GENESIS = 1_600_000_002  # 2020-09-13T12:26:42, a multiple of 3


# Whoever starts the tests in the background has SIGINT ignored, and what the tests start would
# inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# How long an example takes says how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


class ByFile(LoadScopeScheduling):
    """A file is tested by one process, and so is a folder of tests that boot a systemd."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return file.rsplit("/", 1)[0] if file.startswith(SYSTEM) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    """Share the tests between processes."""
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with those that boot a systemd: they take the longest, and wait for most of it."""
    items.sort(key=lambda item: not item.nodeid.startswith(SYSTEM))


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


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 32 MiB: more than a slow run of the test writes."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", place],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)
