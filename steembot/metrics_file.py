"""A process's file of metrics, in a folder that nobody else can write.

Processes of several users publish below one folder. Were it theirs to write, one could put a link
to another's file where that one is about to write (CWE-59). So each has a folder of its own there:
the one that its unit's ``RuntimeDirectory=`` made for it, or else one that it makes itself.

Standard library only. A process imports this module only if metrics are wanted.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

_NEW = ".new-"
"""What the name of an unfinished file begins with; the collector reads ``*.prom``."""


class File:
    """``steembot-NAME.prom`` in this process's own folder below ``shared``."""

    def __init__(self, shared: Path, name: str, environ: Mapping[str, str] = os.environ) -> None:
        by_unit = map(Path, filter(None, environ.get("RUNTIME_DIRECTORY", "").split(":")))
        given = next((folder for folder in by_unit if shared in folder.parents), None)
        self._folder = given or shared / name
        self._is_ours_to_make = given is None
        self._begun = False
        self.path = self._folder / f"steembot-{name}.prom"

    def write(self, text: str) -> None:
        """Replace the file: who reads it sees the old one or the new one, whole.

        Raises ``OSError``, also where another user owns or can write the folder.
        """
        with self._opened() as folder:
            if not self._begun:
                _remove_unfinished(folder)
                self._begun = True
            new = f"{_NEW}{secrets.token_hex(8)}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(new, flags, 0o600, dir_fd=folder)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    os.fchmod(descriptor, 0o644)  # whatever the umask: others read it
                    file.write(text)
                os.replace(new, self.path.name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                with contextlib.suppress(OSError):  # the first error tells what is wrong
                    os.unlink(new, dir_fd=folder)
                raise

    def remove(self) -> None:
        """Remove the file, if it could be written at all: an ended process has no values."""
        with contextlib.suppress(OSError), self._opened() as folder:
            os.unlink(self.path.name, dir_fd=folder)
        if self._is_ours_to_make:
            with contextlib.suppress(OSError):  # another process of this name may have one there
                self._folder.rmdir()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """Yield the folder itself, whatever is put in the place of its name meanwhile."""
        if self._is_ours_to_make:
            with contextlib.suppress(FileExistsError):
                self._folder.mkdir()
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(folder)
            if self._is_ours_to_make and status.st_uid == os.geteuid():
                os.fchmod(folder, 0o755)
            elif status.st_uid != os.geteuid() or status.st_mode & 0o022:
                raise PermissionError(
                    errno.EPERM, f"{self._folder} is not this user's alone", str(self._folder)
                )
            yield folder
        finally:
            os.close(folder)


def _remove_unfinished(folder: int) -> None:
    """Remove what a process left that was killed while it wrote."""
    for name in os.listdir(folder):
        if name.startswith(_NEW):
            os.unlink(name, dir_fd=folder)
