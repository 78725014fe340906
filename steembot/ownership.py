"""Who may change a file: the user who runs a command, root, or somebody else."""

from __future__ import annotations

import grp
import os
import pwd
import stat


def foreign_owner(status: os.stat_result) -> str | None:
    """Name the owner where that is neither this process's user nor root.

    Root can make us do anything as it is.
    """
    return None if status.st_uid in (os.geteuid(), 0) else user_name(status.st_uid)


def others_write(status: os.stat_result) -> bool:
    """Tell whether somebody else than the owner may write it.

    A user's own group, with nobody else in it, does not count: their umask may be 002.
    """
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_private(status.st_gid, os.geteuid())


def user_name(uid: int) -> str:
    """Return a user's name, or say its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _is_private(gid: int, uid: int) -> bool:
    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    own = user.pw_gid == gid and group.gr_name == user.pw_name
    return own and {*group.gr_mem} <= {user.pw_name}
