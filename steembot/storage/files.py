"""The files beside a state file, opened without following a link, and the lock of the state."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from steembot.errors import DiskError, StateError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def open_beside(path: Path, flags: int) -> int:
    """Open a file that lies beside a state file, made if there is none; return its descriptor.

    Raises :class:`~steembot.errors.StateError` where that is not possible, also for anything but a
    plain file with one name: a link or a pipe in its place is somebody's trap.
    Raises :class:`~steembot.errors.DiskError` where the disk is full.
    """
    # O_NONBLOCK: to open a FIFO would wait for whoever writes to it.
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o640)
        except FileExistsError:
            descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StateError(f"{path} is a link, and must be a plain file; remove it") from error
        raise unusable(path, error) from error
    try:
        _check_plain(path, os.fstat(descriptor))
    except OSError as error:
        os.close(descriptor)
        raise unusable(path, error) from error
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def exists(path: Path) -> bool:
    """Tell whether there is something. Raises :class:`~steembot.errors.StateError`."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        words = f"{path} cannot be looked at: {error.strerror}"
        raise StateError(f"{words}; run this as the user whose folder it is") from error
    return True


def check_plain(path: Path) -> None:
    """Raise :class:`~steembot.errors.StateError` if there is something that is no plain file."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise unusable(path, error) from error
    _check_plain(path, status)


def _check_plain(path: Path, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise StateError(f"{path} is a link, and must be a plain file; remove it")
    if not stat.S_ISREG(status.st_mode):
        raise StateError(f"{path} is no plain file; remove it")
    if status.st_nlink > 1:
        raise StateError(f"{path} has a second name (a hard link); remove one of the two")


def unusable(path: Path, error: OSError) -> DiskError | StateError:
    """Say which file cannot be used, why, and what to do about it."""
    words = f"{path} cannot be opened or written: {error.strerror}"
    if error.errno == errno.EFBIG:
        return DiskError(f"{words}; allow this process larger files (LimitFSIZE=, ulimit -f)")
    if error.errno in _NO_ROOM:
        return DiskError(f"{words}; make room on that disk, or check it")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        words += f"; {writable(path)}"
    return StateError(words)


def writable(path: Path) -> str:
    """Say what has to be done so that a file can be written."""
    return f"let the user of this process write to the folder {path.parent} and the files in it"


class Lock:
    """Keeps a second process away from a state file. The end of a process gives it back, always.

    ``place`` is a file of its own: closing any descriptor of SQLite's would undo SQLite's locks
    (sqlite.org, "How To Corrupt An SQLite Database File", 2.2). Raises
    :class:`~steembot.errors.StateError` with the words ``taken`` while another process has it.
    """

    def __init__(self, place: Path, taken: str) -> None:
        self._descriptor: int | None = open_beside(place, os.O_RDONLY)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise StateError(taken) from error
        except OSError as error:
            self.release()
            raise unusable(place, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let another process have the state."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
