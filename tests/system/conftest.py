"""Machines with a real systemd, and steembot installed in one as an administrator would."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import subprocess
import tempfile
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


def make(machine: Machine, *argv: str, source: str = SOURCE) -> str:
    """Run make in the machine's view of the repository, and return what it printed."""
    command = ["make", "-C", source, "--no-print-directory", *argv]
    return machine.run(*command, timeout_s=900).stdout


def copy(machine: Machine, to: str) -> None:
    """Copy into a new folder what an installation is made from.

    Without bytecode: who tests beside us writes some now and then, by way of passing files.
    """
    found = (
        "find Makefile *.md LICENSE pyproject.toml requirements*.lock deploy docs steembot tests "
        "-name __pycache__ -prune -o -type f -print0"
    )
    machine.run(
        *("bash", "-euo", "pipefail", "-c"),
        f"mkdir {to} && cd {SOURCE} && {found} | xargs -0 cp --parents -t {to}",
    )


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock that no other process holds; it ends with the process at the latest."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@functools.cache
def wheels() -> str:
    """Build what an installation needs, once for all tests; return where a machine sees it.

    They are kept in the repository's build folder until a requirement changes. Of several processes
    that test at once the first builds them, and the others wait.
    """
    locks = b"".join(path.read_bytes() for path in sorted(REPOSITORY.glob("requirements*.lock")))
    kept = REPOSITORY / "build" / f"wheels-{hashlib.sha256(locks).hexdigest()[:16]}"
    kept.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as work, _lock(kept.parent / "wheels.lock"):
        if not kept.exists():
            subprocess.run(
                ["make", "wheels", f"WHEELS={work}/wheels"],
                cwd=REPOSITORY,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            Path(f"{work}/wheels").rename(kept)
    return f"WHEELS={SOURCE}/build/{kept.name}"


@pytest.fixture(scope="session")
def installed() -> Iterator[Machine]:
    """Lend a machine on which somebody ran ``make install``, nothing more."""
    with boot() as machine:
        make(machine, "install", wheels())
        yield machine


@pytest.fixture(scope="session")
def recorded(chaindata: Path) -> list[str]:
    """Return the links of the recorded chain's new posts, in chain order."""
    links = links_of(blocks_of(chaindata / RECORDED))
    assert len(links) > 50
    return links


def forget(machine: Machine) -> None:
    """Remove all state. That of units with a DynamicUser lies in a folder of its own."""
    machine.run("sh", "-c", "rm -rf /var/lib/steembot-* /var/lib/private/steembot-*")


@pytest.fixture
def steembot(installed: Machine) -> Iterator[Steembot]:
    """Lend an installed steembot as new, and make it so again afterwards."""
    yield Steembot(installed)
    installed.systemctl("stop", "steembot.target", NODE, check=False)
    installed.systemctl("reset-failed")
    forget(installed)
