"""Run a command on a terminal, and see what it sends there."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

from tests.support.hostile import controls
from tests.support.processes import SCRIPTS

_OWN = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\r(?!\n)|\r(?=\n)")
"""Colours, and what a progress bar or a page that is shown anew needs."""


class Shown:
    """What a command sent to its terminal, and its exit status."""

    def __init__(self, data: bytes, status: int) -> None:
        self.raw = data
        self.status = status
        self.text = _OWN.sub("", data.decode("utf-8", "replace"))

    @property
    def controls(self) -> set[str]:
        """What of it controls a terminal and is not the command's own."""
        return controls(self.text)


def on_terminal(
    *command: str,
    env: Mapping[str, str],
    cwd: Path,
    until: str | None = None,
    timeout_s: float = 60.0,
) -> Shown:
    """Run a console script on a terminal to its end, or until it shows a text (then SIGINT)."""
    ours, theirs = pty.openpty()
    seen = b""
    try:
        process = subprocess.Popen(
            [SCRIPTS / command[0], *command[1:]],
            env={**env, "TERM": "xterm", "COLUMNS": "400"},
            cwd=cwd,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        guard = threading.Timer(timeout_s, process.kill)
        guard.start()
        asked = False
        with contextlib.suppress(OSError):  # the other end is closed
            while read := os.read(ours, 65536):
                seen += read
                if until is not None and until.encode() in seen and not asked:
                    asked = True
                    process.send_signal(2)
        status = process.wait()
        guard.cancel()
    finally:
        os.close(ours)
    return Shown(seen, status)
