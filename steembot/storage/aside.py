"""A state file that cannot be used any more, kept under another name for whoever wants to look."""

from __future__ import annotations

import time
from pathlib import Path

from steembot.storage.database import COMPANIONS
from steembot.storage.files import unusable

KEPT = 2
"""How many are kept of one file; older ones are removed, for the disk's sake."""


def set_aside(path: Path) -> Path:
    """Rename a file with its companions, and return the new name.

    Raises :class:`~steembot.errors.StateError` or :class:`~steembot.errors.DiskError` where that
    is not possible.
    """
    # A number above all others: the oldest is told by it.
    number = max(time.time_ns() // 10**9, *(old + 1 for old in _numbers(path)), 0)
    aside = path.with_name(f"{path.name}.set-aside-{number}")
    try:
        for suffix in ("", *COMPANIONS):
            companion = path.with_name(path.name + suffix)
            if companion.exists():
                companion.replace(aside.with_name(aside.name + suffix))
        _remove_old(path)
    except OSError as error:
        raise unusable(path, error) from error
    return aside


def rename(path: Path, name: Path) -> None:
    """Give a closed file, which has no companions, another name."""
    try:
        path.replace(name)
    except OSError as error:
        raise unusable(name, error) from error


def remove(path: Path) -> None:
    """Remove a file with its companions, or those that somebody left who removed it alone."""
    try:
        for suffix in ("", *COMPANIONS):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise unusable(path, error) from error


def _numbers(path: Path) -> list[int]:
    begin = f"{path.name}.set-aside-"
    names = {entry.name for entry in path.parent.iterdir() if entry.name.startswith(begin)}
    return sorted(int(end) for name in names if (end := name.removeprefix(begin)).isdecimal())


def _remove_old(path: Path) -> None:
    for number in _numbers(path)[:-KEPT]:
        for suffix in ("", *COMPANIONS):
            path.with_name(f"{path.name}.set-aside-{number}{suffix}").unlink(missing_ok=True)
