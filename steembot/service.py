"""A daemon's skeleton: signals, readiness, watchdog, inherited sockets, logging, exit status.

The only module that imports systemd; entries of the journal are :mod:`steembot.journal`'s. Without
systemd (a terminal, a test) everything here still works: notifications go nowhere, no socket is
inherited, the log is text on standard error.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Self

from systemd import daemon

from steembot import events
from steembot.errors import EXIT_CONFIG, SocketError, StartError, SteembotError
from steembot.journal import JournalHandler
from steembot.streams import visible, write_no_more
from steembot.text import one_line

log = logging.getLogger(__name__)

STATUS_CHARACTERS = 500
"""How many characters of a status are said to systemd: a person sees them on one line."""

MESSAGE_CHARACTERS = 64 * 1024
"""How long a message may be in a terminal's log."""

ALIVE_EVERY_S = 0.5
"""Progress within this time of the last one said is not said to systemd again."""

_LEVELS: Mapping[str, int] = logging.getLevelNamesMapping()


class Service:
    """One process's contact with whoever manages it. Use as a context manager, once a process.

    ``stopping`` turns true at SIGTERM and SIGINT, ``reload_wanted`` at SIGHUP. ``fileno()``
    becomes readable at each signal, so that a poll loop ends its wait at once.

    When the journal stops reading, nobody waits, and lines that are too many are dropped
    (:mod:`steembot.journal`). With ``log_interrupt`` none is: whoever logs waits, with the watchdog
    fed and ``STATUS=`` saying why, and is interrupted by that exception when the process is to end.
    """

    def __init__(self, *, log_interrupt: type[BaseException] | None = None) -> None:
        self._log_interrupt = log_interrupt
        self.stopping = False
        self.reload_wanted = False
        self._status = ""
        self._alive_said = float("-inf")
        self._handlers_before: dict[signal.Signals, Any] = {}
        self._wakeup_before = -1
        self._wakeup, self._signalled = socket.socketpair()
        self._wakeup.setblocking(False)
        self._signalled.setblocking(False)

    def __enter__(self) -> Self:
        self._wakeup_before = signal.set_wakeup_fd(
            self._signalled.fileno(), warn_on_full_buffer=False
        )
        for number, handler in (
            (signal.SIGTERM, self._stop),
            (signal.SIGINT, self._stop),
            (signal.SIGHUP, self._reload),
        ):
            self._handlers_before[number] = signal.signal(number, handler)
        self._let_log_wait(self._wait_for_journal if self._log_interrupt else None)
        return self

    def __exit__(self, *_: object) -> None:
        self._let_log_wait(None)
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        self._wakeup.close()
        self._signalled.close()

    def fileno(self) -> int:
        """Readable when a signal came; see :meth:`drain`."""
        return self._wakeup.fileno()

    def drain(self) -> None:
        """Take note of the signals that came, so that ``fileno()`` is quiet again."""
        try:
            while self._wakeup.recv(4096):
                pass
        except BlockingIOError:
            pass

    def ready(self, status: str) -> None:
        """Say that the process serves now."""
        self._status = status
        daemon.notify(f"READY=1\nSTATUS={_status(status)}")

    def status(self, words: str) -> None:
        """Say how the process is, in words for a person. Cheap when nothing changed."""
        if words != self._status:
            self._status = words
            daemon.notify(f"STATUS={_status(words)}")

    def alive(self) -> None:
        """Feed the watchdog. To be called for progress made, never from a timer of its own."""
        now = time.monotonic()
        if now - self._alive_said >= ALIVE_EVERY_S:
            self._alive_said = now
            daemon.notify("WATCHDOG=1")

    def reloading(self) -> None:
        """Say that settings are being read anew; :meth:`ready` ends it."""
        self.reload_wanted = False
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        daemon.notify(f"RELOADING=1\nMONOTONIC_USEC={now_us}")

    def bye(self) -> None:
        """Say that the process is about to end."""
        daemon.notify("STOPPING=1\nSTATUS=stopping")

    @staticmethod
    def _let_log_wait(patience: Callable[[], None] | None) -> None:
        handler = journal_handler()
        if handler is not None:
            handler.patience = patience

    def _wait_for_journal(self) -> None:
        if self.stopping and self._log_interrupt is not None:
            raise self._log_interrupt
        self.status("waiting for the journal, which takes no lines")
        self.alive()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        self.reload_wanted = True


def _status(words: str) -> str:
    """Take line ends out: in sd_notify(3) the next line would be another assignment.

    What else controls is made visible (a NUL would be an error), and the length is bounded.
    """
    return one_line(" ".join(words[:STATUS_CHARACTERS].split()), STATUS_CHARACTERS)


def inherited_socket(name: str, path: Path | None = None) -> int | None:
    """Return the listening AF_UNIX descriptor that systemd passed on under that name.

    With ``path`` it must listen there: clients look for it where the setting says.

    ``None`` without systemd. Under systemd a missing or wrong descriptor is a
    :class:`SocketError`: binding the path ourselves would steal it from systemd in silence.
    (sd_listen_fds(3); the order of descriptors need not follow the unit, so the name decides.)
    """
    try:
        passed = daemon.listen_fds_with_names(unset_environment=True)
    except OSError as error:
        raise SocketError(
            f"the descriptors that LISTEN_FDS announces cannot be used: {error.strerror}"
        ) from error
    descriptors: dict[str, int] = {n: fd for fd, n in passed.items()}
    fd = descriptors.get(name)
    if fd is None:
        if descriptors or _under_systemd():
            raise SocketError(
                f"systemd passed no socket named {name!r} "
                f"(it passed: {', '.join(sorted(descriptors)) or 'none'}); start the service "
                f"through its socket unit: systemctl start steembot-{name}.socket"
            )
        return None
    if not daemon.is_socket_unix(fd, socket.SOCK_STREAM, 1):
        raise SocketError(
            f"the descriptor {fd} named {name!r} is no listening AF_UNIX stream socket; "
            f"steembot-{name}.socket must have ListenStream= with a path"
        )
    if path is not None and not daemon.is_socket_unix(fd, socket.SOCK_STREAM, 1, str(path)):
        raise SocketError(
            f"STEEMBOT_SOCKET={str(path)!r}, and systemd's socket named {name!r} is elsewhere, so "
            "no client would find it; set ListenStream= of "
            f"steembot-{name}.socket to the same path"
        )
    os.set_blocking(fd, False)
    return fd


def _under_systemd() -> bool:
    """Tell whether this process is a unit's own, not just run from somebody's login shell."""
    return "NOTIFY_SOCKET" in os.environ


def set_up_logging(process: str, level: str, **fields: str) -> None:
    """Log to the journal when standard error leads there, else as text to standard error.

    ``fields`` are in every entry from now on, besides ``STEEMBOT_PROCESS``.
    """
    root = logging.getLogger()
    root.setLevel(_LEVELS[level.upper()])
    if journal_handler() is None:  # the one that there is may still have lines to write
        root.handlers.clear()
        handler: logging.Handler
        if _stderr_is_journal():
            handler = JournalHandler(process)
        else:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(_TerminalFormatter(process))
        root.addHandler(handler)
    if (to_journal := journal_handler()) is not None:
        to_journal.fields.update(fields)
    # What beem's HTTP library says about every connection is of no use to an administrator.
    logging.getLogger("urllib3").setLevel(max(root.level, logging.ERROR))
    logging.getLogger("beemapi").setLevel(max(root.level, logging.ERROR))


def journal_handler() -> JournalHandler | None:
    """Return what writes this process's log to the journal, or ``None`` in a terminal."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, JournalHandler):
            return handler
    return None


def _stderr_is_journal() -> bool:
    # systemd.exec(5), $JOURNAL_STREAM: device and inode of the stream that leads to the journal.
    stream = os.environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


class _TerminalFormatter(logging.Formatter):
    """A message is one line, a traceback lines; neither holds what controls a terminal."""

    def __init__(self, process: str) -> None:
        super().__init__(f"%(asctime)s {process} %(message)s", datefmt="%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's own name)
        record.message = one_line(record.message, MESSAGE_CHARACTERS)
        if record.levelno >= logging.WARNING:
            record.message = f"{record.levelname.lower()}: {record.message}"
        return super().formatMessage(record)


def run(process: str, body: Callable[[], None]) -> int:
    """Run a process's body and return its exit status.

    An error that we know gets one line and, where it was wrong from the start,
    :data:`~steembot.errors.EXIT_CONFIG`; one that we don't know gets its traceback and status 1,
    and systemd starts a clean process. Whatever the body prints controls no terminal,
    and leaves the process at once.
    """
    with visible():
        return _run(process, body)


def _run(process: str, body: Callable[[], None]) -> int:
    set_up_logging(process, "info")
    try:
        body()
    except StartError as error:
        cause = error.__cause__
        log.critical(
            "%s",
            error,
            exc_info=cause if _wants_traceback(error) else None,
            extra=events.START_REFUSED(),
        )
        return EXIT_CONFIG
    except SteembotError as error:
        log.critical("%s", error, extra=events.FAILED())
        return 1
    except Exception:
        log.critical(
            "an error nobody expected; the process ends and is started anew",
            exc_info=True,
            extra=events.CRASHED(),
        )
        return 1
    return 0


def _wants_traceback(error: StartError) -> bool:
    # A handlers module is its author's code: only the traceback tells them where it fails.
    from steembot.errors import HandlersError  # noqa: PLC0415

    return isinstance(error, HandlersError) and error.__cause__ is not None


def watchdog_interval_s(environ: Mapping[str, str] = os.environ) -> float | None:
    """Half of the watchdog's patience in seconds (sd_watchdog_enabled(3)), or ``None``."""
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 2e6 if text.isdecimal() else None


def answer_flags(
    process: str, arguments: list[str], summary: str, load_settings: Callable[[], object]
) -> None:
    """Answer ``--help``, ``--version`` and ``--check-settings``; refuse any other argument.

    A unit checks settings before it sends SIGHUP: systemctl then says that the reload failed.
    Ends the process with ``SystemExit`` where there was an argument.
    """
    if not arguments:
        return
    if arguments[0] in ("-h", "--help"):
        _print(process, summary.strip())
        raise SystemExit(0)
    if arguments[0] == "--version":
        from importlib.metadata import version  # noqa: PLC0415 (slow, and rarely asked for)

        _print(process, f"steembot-{process} {version('steembot')}")
        raise SystemExit(0)
    if arguments[0] == "--check-settings":
        raise SystemExit(_check_settings(process, load_settings))
    raise SystemExit(
        f"steembot-{process}: unknown argument {arguments[0]!r}; it takes none but --help, "
        "--version and --check-settings: its settings are environment variables"
    )


def _print(process: str, text: str) -> None:
    try:
        print(text, flush=True)  # noqa: T201
    except OSError as error:
        write_no_more()
        if isinstance(error, BrokenPipeError):  # whoever read it has enough
            raise SystemExit(1) from error
        raise SystemExit(
            f"steembot-{process}: standard output cannot be written: {error.strerror}"
        ) from error


def _check_settings(process: str, load_settings: Callable[[], object]) -> int:
    set_up_logging(process, "info")
    try:
        load_settings()
    except StartError as error:
        log.error("settings kept as they were: %s", error, extra=events.SETTINGS_KEPT())  # noqa: TRY400 (one line for a person)
        return EXIT_CONFIG
    return 0


def state_file(directory: Path, name: str) -> Path:
    """Return a file's path in the state directory, which is made if it is missing."""
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(
            f"the state directory {directory} cannot be made: {error.strerror}; "
            "set STEEMBOT_STATE_DIR to a folder that this user may write"
        ) from error
    return directory / name
