"""Machines with a real systemd, and steembot installed in one as an administrator would."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.machine import Machine, why_not
from tests.system.swarm import CHAINDATA, NODE, RECORDED, Steembot, blocks_of, links_of

REPOSITORY = Path(__file__).parents[2]
SOURCE = "/srv/steembot"
"""Where a machine sees the repository."""


def _chaindata() -> Path | None:
    """Return the folder with recorded blocks, or None."""
    named = os.environ.get("STEEMBOT_CHAINDATA", "")
    return Path(named) if named else None


def boot() -> Machine:
    """Return a machine that sees the repository; it boots on entering.

    Skips the test where no machine can run, but not in continuous integration as root: there,
    a skipped test would be one that nobody ever runs.
    """
    reason = why_not()
    if reason and os.environ.get("CI") and os.geteuid() == 0:
        pytest.fail(f"no systemd can be booted: {reason}")
    if reason:
        pytest.skip(f"no systemd can be booted: {reason}")
    recorded = _chaindata()
    return Machine({REPOSITORY: SOURCE} | ({recorded: CHAINDATA} if recorded else {}))


def make(machine: Machine, *argv: str) -> str:
    """Run make in the machine's view of the repository, and return what it printed."""
    return machine.run("make", "-C", SOURCE, "--no-print-directory", *argv, timeout_s=300).stdout


@pytest.fixture(scope="module")
def bare() -> Iterator[Machine]:
    """Lend a machine on which steembot was never installed."""
    with boot() as machine:
        yield machine


@pytest.fixture(scope="session")
def installed() -> Iterator[Machine]:
    """Lend a machine on which somebody ran ``make install``, nothing more."""
    with boot() as machine:
        make(machine, "install")
        yield machine


@pytest.fixture(scope="session")
def recorded(chaindata: Path) -> list[str]:
    """Return the links of the recorded chain's new posts, in chain order."""
    links = links_of(blocks_of(chaindata / RECORDED))
    assert len(links) > 50
    return links


@pytest.fixture
def steembot(installed: Machine) -> Iterator[Steembot]:
    """Lend an installed steembot as new, and make it so again afterwards."""
    yield Steembot(installed)
    installed.systemctl("stop", "steembot.target", NODE, check=False)
    installed.systemctl("reset-failed")
    installed.run("sh", "-c", "rm -rf /var/lib/steembot-*")
