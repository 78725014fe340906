"""Stop one thread of a process while its others run on, which no signal can do: ptrace(2) can.

usage: stop_thread.py PID

The thread is the first one that the process itself started; libzmq's, which have names of their
own, do not count. It is stopped where it waits: so it holds none of the locks of the interpreter,
without which no other thread could run on. Prints a line then, and stays until the thread ends with
its process.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

SEIZE, INTERRUPT = 0x4206, 0x4207  # <linux/ptrace.h>
WALL = 0x40000000  # also threads: waitpid(2)

_libc = ctypes.CDLL(None, use_errno=True)


def _ptrace(request: int, thread: int) -> None:
    if _libc.ptrace(request, thread, None, None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _first_thread(pid: int) -> Path:
    tasks = sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name))
    main = (tasks[0] / "comm").read_text()
    return next(task for task in tasks[1:] if (task / "comm").read_text() == main)


def main() -> None:
    task = _first_thread(int(sys.argv[1]))
    thread = int(task.name)
    _ptrace(SEIZE, thread)
    while "futex" not in (task / "wchan").read_text():
        time.sleep(0.001)
    _ptrace(INTERRUPT, thread)
    os.waitpid(thread, WALL)
    print(f"stopped {thread}", flush=True)  # noqa: T201 (who started this waits for it)
    while True:
        _, status = os.waitpid(thread, WALL)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            return


if __name__ == "__main__":
    main()
