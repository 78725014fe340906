"""Run small programs in processes of their own, without what systemd said to this one."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from contextlib import contextmanager

PATIENCE_S = 20.0
"""How long a test waits for what must come; a healthy run needs a fraction of a second."""

SYSTEMD_VARIABLES = (
    "NOTIFY_SOCKET",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "JOURNAL_STREAM",
)


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without systemd's variables, and with these."""
    return {n: v for n, v in os.environ.items() if n not in SYSTEMD_VARIABLES} | variables


def python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=environment(**variables),
        check=False,
    )


@contextmanager
def running(code: str):
    """Run a program that says a line when it is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
