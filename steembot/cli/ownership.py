"""A bot's files are opened as the user whose they are, never as root.

The folder belongs to the bot's user, so a handler gone bad may put there what it likes: links to
root's files, pipes, another folder in its place. A command with that user's rights alone can do no
more to them than the bot itself. (CWE-59: a check for links before the opening would come too early
or too late.)
"""

from __future__ import annotations

import ctypes
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from steembot.errors import StateError, SteembotError

_PR_SET_KEEPCAPS = 8  # prctl(2)
_CAP_DAC_READ_SEARCH = 2  # capabilities(7)
_CAPABILITY_VERSION_3 = 0x20080522  # capget(2)


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def become_owner(folder: Path) -> None:
    """Give up root's rights for good, for those of the user who owns a folder of bots' files.

    Nothing happens to a process that is not root's, or where the folder is root's own or missing.
    One right stays: to pass through folders and to read. What systemd makes for a dynamic user lies
    below ``/var/lib/private``, which is root's alone (systemd.exec(5), ``DynamicUser=``).
    Raises :class:`~steembot.errors.StateError`.
    """
    try:
        status = folder.stat()
    except OSError:
        return  # whoever opens a file there says what is wrong
    if os.geteuid() != 0 or status.st_uid == 0:
        return
    try:
        library = ctypes.CDLL(None, use_errno=True)
        _call(library.prctl, _PR_SET_KEEPCAPS, 1, 0, 0, 0)
        group = _group_of(status)
        os.umask(0o077)
        os.setgroups([group])
        os.setresgid(group, group, group)
        os.setresuid(status.st_uid, status.st_uid, status.st_uid)
        header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
        right = 1 << _CAP_DAC_READ_SEARCH
        data = (_CapabilityData * 2)(_CapabilityData(right, right, 0))
        _call(library.capset, ctypes.byref(header), ctypes.byref(data))
    except OSError as error:
        raise StateError(
            f"cannot become uid {status.st_uid}, whose {folder} is: {error.strerror}; "
            "run this as that user"
        ) from error


def as_owner(folder: Path, work: Callable[[], Any], kind: type[Any]) -> Any:
    """Return what ``work`` returns, a ``kind`` of msgspec's, run as the owner of a folder.

    In a process of its own where that is another user, since rights once given up do not come
    back. Raises :class:`~steembot.errors.StateError` with the words of what ``work`` raises.
    """
    if os.geteuid() != 0:
        return work()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _work_and_exit(writing, folder, work)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    os.waitpid(pid, 0)
    try:
        failure, made = msgspec.msgpack.decode(content, type=tuple[str, msgspec.Raw])
        result = None if failure else msgspec.msgpack.decode(made, type=kind)
    except msgspec.MsgspecError as error:
        raise StateError(f"what reads {folder} ended without an answer") from error
    if failure:
        raise StateError(failure)
    return result


def _work_and_exit(writing: int, folder: Path, work: Callable[[], Any]) -> None:
    """Do the work in a child process. Does not return, and runs nothing of the parent's."""
    status = 1
    try:
        try:
            become_owner(folder)
            answer: tuple[str, Any] = ("", work())
        except SteembotError as error:
            answer = (str(error), None)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(msgspec.msgpack.encode(answer))
        status = 0
    finally:
        os._exit(status)


def _group_of(status: os.stat_result) -> int:
    try:
        return pwd.getpwuid(status.st_uid).pw_gid
    except KeyError:  # a dynamic user whose bot does not run
        return status.st_gid


def _call(function: Any, *arguments: object) -> None:
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
