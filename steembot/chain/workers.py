"""Threads that each hold one request. A call that hangs costs a thread, never the program's end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

MOST = 64
"""Threads at once. Only calls that hang beyond their deadline ever need more than a few."""


class Workers:
    """Runs calls, each in a thread of its own that is used again. Not for several callers."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    def start(self, call: Callable[[], None]) -> None:
        """Run a call soon. It must not raise."""
        with self._lock:
            grow = self._idle == 0 and self._threads < MOST
            if grow:
                self._threads += 1
            else:
                self._idle -= 1  # one of them is as good as taken
        self._calls.put(call)
        if grow:
            # daemon: the interpreter must not wait at its end for a node that never answers.
            threading.Thread(target=self._work, name="node", daemon=True).start()

    def stop(self) -> None:
        """Let idle threads end; the others end after their call."""
        for _ in range(self._threads):
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # and what it holds
            with self._lock:
                self._idle += 1
