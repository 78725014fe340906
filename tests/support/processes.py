"""Run the real console scripts as processes, and wait for what they say."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

SCRIPTS = Path(sys.executable).parent


def environment(**settings: object) -> dict[str, str]:
    """The test's own environment without any STEEMBOT_ setting, plus these."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith("STEEMBOT_")}
    return kept | {name: str(value) for name, value in settings.items()}


class Process:
    """A running console script. ``lines`` is all that it wrote, standard output and error."""

    def __init__(self, name: str, *arguments: str, env: Mapping[str, str], cwd: Path) -> None:
        self.name = name
        self.lines: list[str] = []
        self._news: queue.Queue[None] = queue.Queue()
        self._process = subprocess.Popen(
            [SCRIPTS / name, *arguments],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if error is not None and hasattr(error, "add_note"):
            error.add_note(f"--- {self.name} said:\n" + "\n".join(self.lines[-60:]))

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_for(
        self, condition: Callable[[list[str]], object], what: str = "", timeout_s: float = 30.0
    ) -> None:
        """Wait until the lines so far fulfil the condition."""
        deadline = time.monotonic() + timeout_s
        while not condition(self.lines):
            left = deadline - time.monotonic()
            if left <= 0 or (self._process.poll() is not None and not self._reader.is_alive()):
                if condition(self.lines):
                    return
                said = "\n".join(self.lines[-40:])
                raise AssertionError(
                    f"{self.name} never said {what or condition}; it said:\n{said}"
                )
            try:
                self._news.get(timeout=min(left, 0.2))
            except queue.Empty:
                continue

    def says(self, text: str, timeout_s: float = 30.0) -> None:
        """Wait until a line holds the text."""
        self.wait_for(lambda lines: any(text in line for line in lines), repr(text), timeout_s)

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def ended(self, timeout_s: float = 30.0) -> int:
        """Wait for the end, and for all that it wrote; returns the exit status."""
        status = self._process.wait(timeout_s)
        self._reader.join(timeout_s)
        assert not self._reader.is_alive(), f"{self.name} ended, and somebody writes on for it"
        return status

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
            self._news.put(None)
        self._news.put(None)
