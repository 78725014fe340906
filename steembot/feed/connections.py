"""Who is connected to a local socket: shares of users, silent ones, and when there are too many.

libzmq accepts whoever connects, and ends the process when no file descriptor is left. Its monitor
tells of each connection that it accepted and lost, by descriptor. Here they are counted, and those
that have to go are shut down: libzmq then sees their end and lets go of them.

Bounds: :data:`MAX_CONNECTIONS`. A user has at most half of what the others leave of them, so there
is always room for one more user. A connection without a subscription that said nothing for
:data:`SILENT_S` is closed. While :attr:`Connections.is_crowded`, the server accepts none, and they
wait in the socket's backlog.
"""

from __future__ import annotations

import os
import resource
import socket
import struct
from collections import Counter
from collections.abc import Container

import msgspec

from steembot.errors import StartError

MAX_CONNECTIONS = 1024
SILENT_S = 10.0

LEAST_DESCRIPTORS = 4096
DESCRIPTORS = 16384
"""What a server wants of RLIMIT_NOFILE: room for the connections that come in one turn, too."""

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7), SO_PEERCRED)


def share(most: int, others: int) -> int:
    """Return how many of ``most`` places one user may have while ``others`` are other users'.

    Half of what they leave, but one at least: each further user finds as much again.
    """
    return max(1, (most - others) // 2)


def raise_descriptor_limit() -> None:
    """Let this process have the descriptors that a server needs.

    Raises :class:`~steembot.errors.StartError` where that many are not allowed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= DESCRIPTORS:
        return
    wanted = max(hard, DESCRIPTORS) if os.geteuid() == 0 else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, DESCRIPTORS), wanted))
    except (OSError, ValueError):  # root without the right to it
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, DESCRIPTORS), hard))
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed < LEAST_DESCRIPTORS:
        raise StartError(
            f"this process may open {allowed} files, and clients need {LEAST_DESCRIPTORS}; raise "
            "the limit (ulimit -Hn on a terminal, LimitNOFILE= in a unit)"
        )


class _Connection(msgspec.Struct):
    uid: int
    heard: float
    identity: bytes | None = None


class Connections:
    """The connections of one listening socket, by descriptor. ``now`` is in monotonic seconds."""

    def __init__(self) -> None:
        self._open: dict[int, _Connection] = {}
        self._of_user: Counter[int] = Counter()
        self._shut: set[int] = set()

    @property
    def is_crowded(self) -> bool:
        """Whether so many are open that no more may be accepted for now."""
        return len(self._open) >= 2 * MAX_CONNECTIONS

    def accepted(self, descriptor: int, now: float) -> bool:
        """Note a new connection. Returns whether it may stay; else it is being closed."""
        uid = _uid_of(descriptor)
        self.closed(descriptor)
        self._open[descriptor] = _Connection(uid, now)
        self._of_user[uid] += 1
        mine = self._of_user[uid]
        if mine <= share(MAX_CONNECTIONS, len(self._open) - mine):
            return True
        self._shut_down(descriptor)
        return False

    def spoke(self, descriptor: int, identity: bytes, now: float) -> bool:
        """Note that a message came. Returns whether the connection is known here."""
        connection = self._open.get(descriptor)
        if connection is not None:
            connection.heard, connection.identity = now, identity
        return connection is not None

    def closed(self, descriptor: int) -> None:
        """Note that a connection is no more."""
        self._shut.discard(descriptor)
        connection = self._open.pop(descriptor, None)
        if connection is not None:
            self._of_user[connection.uid] -= 1
            if not self._of_user[connection.uid]:
                del self._of_user[connection.uid]

    def close_silent(self, clients: Container[bytes], now: float) -> int:
        """Close those that said nothing for too long and have no subscription; return how many."""
        silent = [
            descriptor
            for descriptor, connection in self._open.items()
            if now - connection.heard >= SILENT_S
            and connection.identity not in clients
            and descriptor not in self._shut
        ]
        for descriptor in silent:
            self._shut_down(descriptor)
        return len(silent)

    def _shut_down(self, descriptor: int) -> None:
        """End a connection: libzmq sees it as if the other end had closed it."""
        self._shut.add(descriptor)
        try:
            with socket.socket(fileno=os.dup(descriptor)) as connection:
                if connection.family == socket.AF_UNIX:
                    connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is gone already


def _uid_of(descriptor: int) -> int:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            given = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            _, uid, _ = _CREDENTIALS.unpack(given)
            return int(uid)
    except OSError:
        return -1  # it is gone already
