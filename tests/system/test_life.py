"""The life of an installation: upgraded while it runs, and there again after a reboot."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from steembot.devnode.chain import Chain
from steembot.devnode.recorded import RecordedBlocks
from steembot.devnode.server import DevNode
from steembot.devnode.thread import in_thread
from tests.system.conftest import copy, make, wheels
from tests.system.machine import Machine
from tests.system.swarm import HELD, RECORDED, UNITS, Steembot

pytestmark = pytest.mark.system

CHANGED = "/srv/changed"


@pytest.fixture
def changed(installed: Machine) -> Iterator[str]:
    """Lend a copy of the source that is another version."""
    copy(installed, CHANGED)
    installed.run("sed", "-i", 's/^version = .*/version = "99.1"/', f"{CHANGED}/pyproject.toml")
    yield CHANGED
    installed.run("rm", "-r", CHANGED)


def test_an_upgrade_of_what_runs_loses_nothing(
    steembot: Steembot, recorded: list[str], changed: str
) -> None:
    """The old version runs on until it is restarted; over both versions each link comes once."""
    machine = steembot.machine
    steembot.serve(interval_s=0.2, held=True)
    steembot.start()
    steembot.wait_until_held()
    before = steembot.lives()
    printed = make(machine, "install", wheels(), source=changed)
    assert "systemctl restart steembot.target" in printed
    assert steembot.lives() == before
    machine.systemctl("restart", "steembot.target", *UNITS)
    assert machine.run("steembot-bot", "--version").stdout == "steembot-bot 99.1\n"
    steembot.go_on()
    steembot.wait_for_links(len(recorded))
    assert steembot.links() == recorded


@pytest.fixture
def lasting_journal(installed: Machine) -> Iterator[None]:
    """Let the journal outlive a reboot, as it does where there is this folder."""
    installed.run("mkdir", "/var/log/journal")
    installed.run("journalctl", "--flush")
    yield
    installed.run("journalctl", "--relinquish-var")
    installed.run("rm", "-r", "/var/log/journal")


@pytest.mark.usefixtures("lasting_journal")
def test_starts_at_boot_when_enabled(
    steembot: Steembot, recorded: list[str], chaindata: Path
) -> None:
    """After a reboot it runs without anybody's doing, and no link is missing or double."""
    machine = steembot.machine
    blocks = RecordedBlocks(chaindata / RECORDED)
    chain = Chain(blocks, start=time.monotonic(), ready=HELD, interval_s=0.2)
    # Outside, since a node in the machine could find its port taken after the reboot.
    with in_thread(DevNode(chain, faults=["frozen-head"])) as node:
        steembot.use(node.url, chain.head.num)
        machine.systemctl("enable", "steembot.target")
        steembot.start()
        steembot.wait_until_held()
        machine.reboot()
        machine.wait_until(
            lambda: "inactive" not in machine.systemctl("is-active", *UNITS, check=False)
        )
        steembot.go_on()
        steembot.wait_for_links(len(recorded))
        assert steembot.links() == recorded
        machine.systemctl("disable", "steembot.target")
