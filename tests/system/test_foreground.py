"""``make demo``: the main job on a terminal, without systemd, root or network."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.conftest import REPOSITORY

LINK = re.compile(r" bot https://steemit\.com/@[a-z0-9.-]+/\S+$")


class Demo:
    """A running demo, in a session of its own as on a terminal of its own."""

    def __init__(self, log: Path):
        self._log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                ["make", "--no-print-directory", "demo"],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def printed(self) -> list[str]:
        """Return the lines so far."""
        return self._log.read_text().splitlines()

    def wait_until(self, holds: Callable[[], object], timeout_s: float) -> None:
        """Ask again and again until it holds; a demo that ends meanwhile has failed."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            try:
                status = self.process.wait(0.1)
            except subprocess.TimeoutExpired:
                status = None
            assert status is None, self.printed()
            assert time.monotonic() < deadline, self.printed()

    def links(self) -> list[str]:
        """Return the lines with links so far."""
        return [line.split()[-1] for line in self.printed() if LINK.search(line)]

    def pids(self, pattern: str = "") -> list[int]:
        """Return the session's processes whose command line matches."""
        listed = subprocess.run(
            ["ps", "-ww", "-s", str(self.process.pid), "-o", "pid=,args="],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        lines = (line.split(maxsplit=1) for line in listed.splitlines())
        return [int(pid) for pid, args in lines if re.search(pattern, args)]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """Lend a running demo, of which nothing is left afterwards."""
    demo = Demo(tmp_path / "log")
    yield demo
    for pid in demo.pids():
        with contextlib.suppress(ProcessLookupError):  # it may have ended with the one before
            os.kill(pid, signal.SIGKILL)
    demo.process.wait()


def test_prints_links_heals_and_ends(demo: Demo) -> None:
    """Links come; what is killed comes back, at most one link comes twice; Ctrl-C ends all."""
    demo.wait_until(lambda: len(demo.links()) > 10, timeout_s=60)
    (bot,) = demo.pids("python.*steembot-bot")
    os.kill(bot, signal.SIGKILL)
    seen = len(demo.links())
    demo.wait_until(lambda: demo.pids("python.*steembot-bot") not in ([], [bot]), timeout_s=60)
    demo.wait_until(lambda: len(demo.links()) > seen, timeout_s=60)
    doubled = len(demo.links()) - len(set(demo.links()))
    assert doubled <= 1, "more than the one in flight at the kill came twice"

    os.killpg(demo.process.pid, signal.SIGINT)
    demo.process.wait(timeout=60)
    assert demo.pids() == []
    assert "Traceback" not in "\n".join(demo.printed())
