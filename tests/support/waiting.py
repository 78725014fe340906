"""Wait for what nobody announces: what another process or thread wrote down, or a clock shows."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 20.0


def wait_until(
    holds: Callable[[], object], what: str = "it", *, timeout_s: float = PATIENCE_S
) -> None:
    """Ask again and again until it holds; an ``AssertionError`` if it never does.

    Where something announces it, wait for that instead: a line of a process, a queue, a socket.
    """
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain for {what}"
        time.sleep(0.01)  # between two looks; nothing rests on how long it is
