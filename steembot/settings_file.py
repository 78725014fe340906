"""A file of ``NAME=value`` lines, read once, by one set of rules; alone imports dotenv.

The rules are python-dotenv's: quotes in pairs, ``export`` before a name, ``#`` before a comment;
besides, a line that begins with ``;`` is a comment, as systemd takes it. A line that is none of
these is an error that shows it: it may be the second half of a value that somebody meant.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from dotenv.parser import parse_stream

from steembot import ownership
from steembot.errors import SettingsError, without_passwords
from steembot.text import one_line

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_LINE_CHARACTERS = 80


Refuse = Callable[[SettingsError], None]
"""Is told what is wrong: raises it, or takes note of it where a person only wants to look."""


def raise_it(error: SettingsError) -> None:
    """Refuse by raising."""
    raise error


def read(path: Path, *, trusted: bool, refuse: Refuse = raise_it) -> dict[str, str] | None:
    """Return the assignments of a file, later ones winning; ``None`` where there is no such file.

    ``trusted`` tells that somebody named this very file. A file that merely lies where a command
    was started is read only if it is the user's own or root's: nobody else can write it, and it is
    no symbolic link, so nobody else chose it (O_NOFOLLOW, open(2)).
    Raises :class:`SettingsError` that names the file; a line that cannot be read is refused.
    """
    # A FIFO would let us wait for ever: O_NONBLOCK.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if trusted else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None
            if not trusted:
                _refuse_foreign(path, status)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                text = file.read().decode("utf-8-sig")
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            remedy = "it is a symbolic link, which is not followed here; put the file itself there"
            raise SettingsError(str(path), None, remedy) from error
        remedy = "; run this as a user who may" if error.errno == errno.EACCES else ""
        words = f"cannot be read: {error.strerror}{remedy}"
        raise SettingsError(str(path), None, words) from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            str(path), None, f"cannot be read: {error}; save it as UTF-8"
        ) from error
    return _assignments(path, text, refuse)


def _assignments(path: Path, text: str, refuse: Refuse) -> dict[str, str]:
    values: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        written = binding.original.string
        line = written.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if (
            binding.error
            or binding.value is None
            or "\0" in written
            or not _NAME.fullmatch(binding.key or "")
        ):
            blank = written[: len(written) - len(written.lstrip())].count("\n")
            place = f"{_shown(path)}, line {binding.original.line + blank}"
            shown = one_line(without_passwords(line.partition("\n")[0]), _LINE_CHARACTERS)
            allowed = "allowed is NAME=value, with quotes in pairs, or a comment after #"
            refuse(SettingsError(place, shown, allowed))
            continue
        values[binding.key or ""] = binding.value
    return values


def _shown(path: Path) -> str:
    """Name a file as its owner knows it: systemd hands on a copy of a credential."""
    if path.is_relative_to(os.environ.get("CREDENTIALS_DIRECTORY") or "/nonexistent"):
        return f"{path.name} (the unit's LoadCredential=)"
    return str(path)


def _refuse_foreign(path: Path, status: os.stat_result) -> None:
    if (owner := ownership.foreign_owner(status)) is not None:
        raise SettingsError(
            str(path),
            None,
            f"it belongs to {owner} and not to you ({ownership.user_name(os.geteuid())}), so it is "
            "not read; make it yours (chown), or work in another folder",
        )
    if ownership.others_write(status):
        raise SettingsError(
            str(path), None, f"others can write it, so it is not read; run: chmod go-w {path}"
        )
