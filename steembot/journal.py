"""The log's way into the journal, with fields; a journal that stops reading stops nobody unasked.

journald's native protocol (systemd.io, "Native Journal Protocol") over a socket of our own. Not
systemd-python's: that blocks while journald does not read, with the interpreter's lock held, so
that not even another thread goes on.

An entry that journald does not take at once is kept, and a thread writes it as soon as journald
reads on, in order. Bound: :data:`KEPT_ENTRIES` and :data:`KEPT_BYTES`. When it is reached, the
least important entry is dropped, the oldest of its kind first, and an entry says how many were. At
exit :data:`FLUSH_S` are spent on what is kept; what journald does not take then is lost.

A process whose lines must not be lost waits instead: see :attr:`JournalHandler.patience`.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import select
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from steembot import events
from steembot.text import lines

SOCKET = Path("/run/systemd/journal/socket")

KEPT_ENTRIES = 1000
KEPT_BYTES = 1024 * 1024

FLUSH_S = 1.0
TURN_S = 0.25
"""How often a wait is looked up from, and how soon a socket that is gone is tried again."""

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_FIELD = re.compile(r"[A-Z][A-Z0-9_]{0,63}")  # systemd.journal-fields(7); journald drops others
_LENGTH = struct.Struct("<Q")
_GONE = {errno.ENOENT, errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE}
_TOO_LARGE = {errno.EMSGSIZE, errno.ENOBUFS}


class JournalHandler(logging.Handler):
    """Writes log records to journald as entries of ``process``, with ``fields`` in each.

    Values given as ``extra=`` become fields; names are put into upper case, as journald wants
    them. ``patience`` is ``None`` where an entry may be kept and dropped. Otherwise an entry that
    journald does not take is waited for, and ``patience()`` is called now and then meanwhile; it
    may raise to end the wait, and the entry is kept then.
    """

    def __init__(self, process: str, path: Path = SOCKET) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {
            "SYSLOG_IDENTIFIER": f"steembot-{process}",
            "STEEMBOT_PROCESS": process,
        }
        self._path = path
        self._socket: socket.socket | None = None
        self._kept: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0
        self._lost = 0
        self._thread: threading.Thread | None = None
        self.patience: Callable[[], None] | None = None
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write an entry, keep it, or wait, as the class says."""
        try:
            priority = _priority(record.levelno)
            entry = _encode(_fields(record, self.format(record), self.fields, priority))
        except Exception:  # noqa: BLE001 (as every handler: words that cannot be formatted)
            self.handleError(record)
            return
        if self._write_kept() and self._send(entry):
            return
        if self.patience is None:
            self._keep(priority, entry)
            return
        try:
            while not (self._write_kept() and self._send(entry)):
                self.patience()
                self._wait(TURN_S)
        except BaseException:
            self._keep(priority, entry)
            raise

    def flush(self) -> None:
        """Write what is kept, for :data:`FLUSH_S` at most."""
        deadline = time.monotonic() + FLUSH_S
        with self.lock or threading.RLock():
            while not self._write_kept() and time.monotonic() < deadline:
                self._wait(min(TURN_S, max(0.0, deadline - time.monotonic())))

    def close(self) -> None:
        """Close the socket. What is kept is lost."""
        with self.lock or threading.RLock():
            self._kept.clear()
            self._hang_up()
        super().close()

    # ---- what is kept; all with the handler's lock held

    def _keep(self, priority: int, entry: bytes) -> None:
        self._kept.append((priority, entry))
        self._kept_bytes += len(entry)
        while len(self._kept) > KEPT_ENTRIES or self._kept_bytes > KEPT_BYTES:
            self._drop_one()
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_later, name="journal", daemon=True)
            self._thread.start()

    def _drop_one(self) -> None:
        least = max(priority for priority, _ in self._kept)
        index = next(i for i, (priority, _) in enumerate(self._kept) if priority == least)
        self._kept_bytes -= len(self._kept[index][1])
        del self._kept[index]
        self._lost += 1
        self.dropped += 1

    def _write_kept(self) -> bool:
        """Write what is kept as far as journald takes it. Returns whether nothing is left."""
        if self._lost and not self._send(self._words_for_the_lost()):
            return False
        self._lost = 0
        while self._kept:
            if not self._send(self._kept[0][1]):
                return False
            self._kept_bytes -= len(self._kept.popleft()[1])
        return True

    def _words_for_the_lost(self) -> bytes:
        words = f"{self._lost} log entries were dropped while the journal took none"
        record = logging.makeLogRecord(
            {"msg": words, "name": __name__, **events.ENTRIES_LOST(STEEMBOT_DROPPED=self._lost)}
        )
        return _encode(_fields(record, words, self.fields, _priority(logging.WARNING)))

    def _write_later(self) -> None:
        """Write what is kept, in a thread that lives as long as something is."""
        while True:
            self._wait(TURN_S)
            with self.lock or threading.RLock():
                if self._write_kept():
                    self._thread = None
                    return

    # ---- the socket

    def _wait(self, seconds: float) -> None:
        """Wait until journald may take an entry."""
        sending = self._socket
        fd = -1 if sending is None else sending.fileno()
        if fd < 0:
            time.sleep(seconds)
            return
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        poll.poll(seconds * 1000)

    def _send(self, entry: bytes) -> bool:
        """Send an entry without waiting. Returns whether journald has it."""
        try:
            if self._socket is None:
                self._socket = self._connect()
            try:
                self._socket.send(entry)
            except OSError as error:
                if error.errno not in _TOO_LARGE:
                    raise
                _send_as_file(self._socket, entry)
        except BlockingIOError:
            return False
        except OSError as error:
            self._hang_up()
            # journald will not take this one any better later.
            return error.errno not in _GONE
        return True

    def _connect(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            made.setblocking(False)
            made.connect(os.fspath(self._path))
        except BaseException:
            made.close()
            raise
        return made

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _send_as_file(sending: socket.socket, entry: bytes) -> None:
    """Send what is too large for a datagram, as a sealed file in memory."""
    fd = os.memfd_create("steembot-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(fd, "wb", closefd=False) as file:
            file.write(entry)
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        socket.send_fds(sending, [], [fd])
    finally:
        os.close(fd)


def _priority(level: int) -> int:
    """Return syslog's priority, where 0 is the gravest (sd-daemon(3))."""
    for least, priority in ((50, 2), (40, 3), (30, 4), (20, 6)):
        if level >= least:
            return priority
    return 7


def _fields(
    record: logging.LogRecord, message: str, every: Mapping[str, Any], priority: int
) -> Mapping[str, Any]:
    fields = {
        "MESSAGE": message,
        "PRIORITY": priority,
        **every,
        "LOGGER": record.name,
        "CODE_FILE": record.pathname,
        "CODE_LINE": record.lineno,
        "CODE_FUNC": record.funcName,
        "THREAD_NAME": record.threadName,
    }
    for name, value in record.__dict__.items():
        if name not in _STANDARD and value is not None and _FIELD.fullmatch(name.upper()):
            fields.setdefault(name.upper(), value)
    return fields


def _encode(fields: Mapping[str, Any]) -> bytes:
    parts = []
    for name, value in fields.items():
        # journalctl shows a message with a control character as "blob data", and `-o cat` raw.
        data = lines(str(value), limit=sys.maxsize).encode()
        if b"\n" in data:
            parts += [name.encode(), b"\n", _LENGTH.pack(len(data)), data, b"\n"]
        else:
            parts += [name.encode(), b"=", data, b"\n"]
    return b"".join(parts)
