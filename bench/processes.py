"""The contestants' processes: started, listened to, weighed, and always ended.

All of them die with the benchmark (prctl's PDEATHSIG through setpriv), however it ends. They write
figures as lines of JSON to standard output; what they write to standard error is kept for the
reason when something fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
SCRIPTS = Path(sys.executable).parent
PEERS = HERE / "peers"
ORIGINAL = HERE / "original"
NODE_MODULES = HERE / "node_modules"


class BenchError(Exception):
    """A contestant did not do what it was started for; the reason is for the report."""


def environment(**settings: object) -> dict[str, str]:
    """Return our environment without any setting of steembot's, plus these."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith("STEEMBOT_")}
    return kept | {name: str(value) for name, value in settings.items()}


def steembot(name: str) -> list[str]:
    """Return the command of one of steembot's console scripts."""
    return [str(SCRIPTS / name)]


def python(*arguments: object) -> list[str]:
    """Return the command that runs a module or script with our Python."""
    return [sys.executable, "-W", "ignore", *map(str, arguments)]


def node(script: Path, *arguments: object) -> list[str]:
    """Return the command that runs a JavaScript program."""
    return ["node", "--no-deprecation", str(script), *map(str, arguments)]


class Process:
    """A contestant's process.

    With ``log_too`` its standard error is listened to as well.

    ``listener`` is a listening socket that it inherits as from systemd; the environment has to say
    ``LISTEN_FDS`` and ``LISTEN_FDNAMES``.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path = REPOSITORY,
        log_too: bool = False,
        listener: socket.socket | None = None,
    ) -> None:
        self.name = Path(command[0]).name if len(command) == 1 else " ".join(command[-3:])
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        passed: tuple[int, ...] = ()
        if listener is not None:
            passed = (listener.fileno(),)
            # As systemd does it: descriptor 3, for the process of that id alone.
            activate = f'LISTEN_PID=$$ exec "$@" 3<&{passed[0]}'
            command = ["bash", "-c", activate, "bash", *command]
        self._popen = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            env=dict(environment() if env is None else env),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if log_too else self._errors,
            start_new_session=True,
            pass_fds=passed,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill it and let go of all that was held for it."""
        self.kill()
        self._reader.join(5)
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._errors.close()

    def kill(self) -> None:
        """Kill it, with all that it started, and wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    @property
    def pid(self) -> int:
        """Its id (setpriv becomes the command, so it is the command's)."""
        return self._popen.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to it alone."""
        self._popen.send_signal(number)

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(line.encode() + b"\n")
            self._popen.stdin.flush()
        except BrokenPipeError as error:
            raise BenchError(f"{self.name} ended: {self.complaint()}") from error

    def line(self, timeout_s: float) -> str:
        """Return the next line that it writes. Raises :class:`BenchError` where none comes."""
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise BenchError(f"{self.name} said nothing for {timeout_s:g} s") from None
        if line is None:
            raise BenchError(f"{self.name} ended: {self.complaint()}")
        return line

    def heard(self) -> list[str]:
        """Return the lines that came since the last time, without waiting."""
        lines = []
        with contextlib.suppress(queue.Empty):
            while (line := self._lines.get_nowait()) is not None:
                lines.append(line)
        return lines

    def expect(self, text: str, timeout_s: float = 30.0) -> None:
        """Wait for a line that is just this."""
        line = self.line(timeout_s)
        if line != text:
            raise BenchError(f"{self.name} said {line[:200]!r} and not {text!r}")

    def figures(self, timeout_s: float) -> dict[str, Any]:
        """Return the next line, which is a JSON object."""
        line = self.line(timeout_s)
        try:
            return dict(json.loads(line))
        except ValueError as error:
            raise BenchError(f"{self.name} said {line[:200]!r}") from error

    def complaint(self) -> str:
        """Return the line of its standard error that names an error, or else the last one."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        told = [line.strip() for line in lines if line.strip()]
        named = [line for line in told if re.match(r"[\w.]*(Error|Exception)\b", line)]
        return (named or told or [f"status {self._popen.poll()}"])[-1][:200]

    # ---- what it weighs

    @property
    def rss_mib(self) -> float:
        """Resident memory now."""
        return _status_kib(self.pid, "VmRSS") / 1024

    @property
    def peak_mib(self) -> float:
        """The most resident memory that it ever had."""
        return _status_kib(self.pid, "VmHWM") / 1024

    @property
    def cpu_s(self) -> float:
        """Processor time so far, in user and system mode."""
        text = Path(f"/proc/{self.pid}/stat").read_text()
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with contextlib.suppress(ValueError):  # closed while it was read
            for line in self._popen.stdout:
                self._lines.put(line.decode(errors="replace").rstrip("\n"))
        self._lines.put(None)


def _status_kib(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Lend a folder with a short path: a socket's name has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name:
        yield Path(name)


def wait_until(condition: Any, timeout_s: float, what: str) -> None:
    """Ask every 20 ms until something is so. Raises :class:`BenchError` when it never is."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.02)
