"""How a command ends: its exit status, and what went wrong in words that control no terminal."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import traceback
from collections.abc import Callable

import click

from steembot.cli.console import say, say_error
from steembot.errors import EXIT_CONFIG, HandlersError, OutputError, StartError, SteembotError
from steembot.streams import visible, write_no_more

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_REMEDIES = {
    errno.ENOENT: "make it first, or name another place",
    errno.ENOTDIR: "name a place in a folder",
    errno.EISDIR: "name a file",
    errno.EACCES: "run this as a user who may, or name another place",
    errno.EPERM: "run this as a user who may, or name another place",
    errno.EROFS: "name a place that can be written",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ELOOP: "name no symbolic link",
} | dict.fromkeys(_NO_ROOM, "make room, or name a place on another disk")


def run(command: Callable[[], object]) -> int:
    """Run a command and return its exit status; say in one line what went wrong.

    An error that nobody expected is told with its traceback.
    """
    with visible():
        try:
            try:
                status = command()
            except Exception as error:  # noqa: BLE001 (told whole, so that its text is safe)
                return _tell(error)
        except KeyboardInterrupt:  # a second one
            return 1
        except BrokenPipeError:
            write_no_more()  # whoever read our output has enough
            return 1
        except OutputError as error:
            write_no_more()
            with contextlib.suppress(OutputError, OSError):  # the status tells it too
                say_error(str(error))
            return 1
    return status if isinstance(status, int) else 0


def _tell(error: Exception) -> int:
    """Say what went wrong, and return the exit status."""
    match error:
        case click.ClickException():
            page = io.StringIO()
            error.show(page)
            say(page.getvalue().rstrip("\n"), err=True)
            return error.exit_code
        case click.Abort():
            say("Aborted!", err=True)
        case BrokenPipeError() | OutputError():
            raise error
        case SteembotError():
            say_error(str(error))
            if isinstance(error, HandlersError) and error.__cause__ is not None:
                # The author's own code: only the traceback tells them where it fails.
                _say_traceback(error.__cause__)
            return EXIT_CONFIG if isinstance(error, StartError) else 1
        case OSError(filename=None, errno=number) if number in _NO_ROOM:
            raise OutputError("standard output", error.strerror or str(error)) from error
        case OSError():
            say_error(words(error))
        case _:
            _say_traceback(error)
    return 1


def _say_traceback(error: BaseException) -> None:
    say("".join(traceback.format_exception(error)).rstrip("\n"), err=True)


def words(error: OSError) -> str:
    """Say which file, what was wrong with it and what to do."""
    files = [os.fsdecode(name) for name in (error.filename, error.filename2) if name is not None]
    remedy = _REMEDIES.get(error.errno or 0, "")
    said = error.strerror or str(error)
    return ": ".join([*files, said]) + (f"; {remedy}" if files and remedy else "")
