"""Files that a command writes: whole or not at all, and in the place of a plain file alone."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from steembot.errors import SteembotError

_NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_WRONLY


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is at ``path`` when the context ends well; then it replaces an older one.

    Raises :class:`~steembot.errors.SteembotError` where there is a device, a pipe or a link, which
    stays as it is, and :class:`OSError` with the file's name.
    """
    _check_plain(path)
    # Beside it, so that it is on the same disk; under a name that nobody can have put there.
    part = path.with_name(f".steembot-{secrets.token_hex(8)}.part")
    with _named(path, part), os.fdopen(os.open(part, _NEW, 0o666), "wb") as file:
        try:
            yield file
            file.flush()
            _check_plain(path)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def write_new(files: Mapping[Path, str]) -> None:
    """Write files that are not there yet, with the folders they need: all of them, or none.

    Raises :class:`~steembot.errors.SteembotError` where one exists, and :class:`OSError`.
    """
    for path in files:
        if os.path.lexists(path):
            raise SteembotError(f"{path} exists already; nothing was written")
    made: list[Path] = []
    try:
        for path, text in files.items():
            missing = [folder for folder in path.parents if not folder.exists()]
            for folder in reversed(missing):
                folder.mkdir()
                made.append(folder)
            with _named(path), os.fdopen(os.open(path, _NEW, 0o666), "w", encoding="utf-8") as file:
                made.append(path)
                file.write(text)
    except BaseException:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink()
        raise


def _check_plain(path: Path) -> None:
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        raise SteembotError(
            f"{path} is no plain file and stays as it is; name one that is, or a new one"
        )


@contextmanager
def _named(path: Path, part: Path | None = None) -> Iterator[None]:
    """Let an error in writing, which has no name with it, or that of the part, name the file."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename in (None, str(part)):
            error.filename, error.filename2 = str(path), None
        raise
