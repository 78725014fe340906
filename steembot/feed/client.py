"""A client's end of the feed: one DEALER socket that reconnects for ever.

The caller takes one event after the other with :meth:`FeedClient.receive` and is done with each
before it asks for the next. Each connection is a new socket, so nothing of an old one is ever
mixed in; the subscription begins where the caller says that it stands.
"""

from __future__ import annotations

import contextlib
import grp
import math
import os
import pwd
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
import zmq

from steembot.errors import FeedError, SocketError, WireError
from steembot.feed import wire
from steembot.feed.wire import ErrorCode

SILENCE_S = 10.0
"""A server that sends nothing for so long, not even a heartbeat, is taken for hung."""

FIRST_RETRY_S = 0.1
"""Pause before a new connection after a lost one."""

RETRY_S = 1.0
"""Pause before a new connection after a refused subscription."""

# zmq_socket_monitor(3): number and value of an event. Pyzmq's own reader would load asyncio.
_MONITOR_EVENT = struct.Struct("=HI")

CREDIT_BLOCKS = 64
"""Blocks that may be on the way; half of it is granted anew when used up."""


class Connected(msgspec.Struct, frozen=True):
    """The subscription stands."""

    subscribed: wire.Subscribed


class Disconnected(msgspec.Struct, frozen=True):
    """The subscription is over, for the reason given; a new connection is being tried."""

    reason: str


class Refused(msgspec.Struct, frozen=True):
    """The server refused the subscription; it is tried again. ``code`` as in ``ErrorCode``."""

    code: str
    text: str


Event = (
    Connected
    | Disconnected
    | Refused
    | wire.BlockMessage
    | wire.Undo
    | wire.Progress
    | wire.Heartbeat
    | wire.Status
)


class FeedClient:
    """Subscribes to the feed at ``path`` and stays subscribed.

    ``after`` is called at each new subscription and says where the caller stands: ``head``, a
    block number or a cursor, as text. ``clock`` gives monotonic seconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        types: Sequence[str],
        mode: str,
        after: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._name = name
        self._types = list(types)
        self._mode = mode
        self._after = after
        self._clock = clock
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self._wake: int | None = None
        self._poller = zmq.Poller()
        self._connected = False
        self._heard = 0.0
        self._retry_at = 0.0
        self._used = 0
        self._kept: deque[bytes] = deque()  # received by keep(), in order

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connected(self) -> bool:
        """Whether a subscription stands."""
        return self._connected

    def wake_by(self, descriptor: int) -> None:
        """Let :meth:`receive` end its wait when a descriptor becomes readable (signals)."""
        self._wake = descriptor
        self._poller.register(descriptor, zmq.POLLIN)

    def close(self) -> None:
        """Say goodbye and close the connection."""
        if self._socket is not None and self._connected:
            self._send(wire.Unsubscribe())
        self._hang_up(linger_ms=200)
        self._context.term()

    def receive(self, timeout_s: float) -> Event | None:
        """Return the next event, or ``None`` after the timeout or a wake-up.

        Whatever was received before is taken to be finished with: its credit is granted anew,
        and a new subscription begins behind it.
        """
        deadline = self._clock() + timeout_s
        while True:
            now = self._clock()
            if self._socket is None:
                if now >= self._retry_at:
                    self._dial(now)
            else:
                event = self._take(now)
                if event is not None:
                    return event
            wait_s = deadline - now
            if wait_s <= 0:
                return None
            if self._wait(min(wait_s, self._due(now))):
                return None

    def keep(self, timeout_s: float) -> wire.Heartbeat | Disconnected | None:
        """Wait while what was received last is still in hand, for hours if need be.

        What comes is kept for :meth:`receive`, and no credit is granted for it, which bounds it.
        Heartbeats are not kept: the newest is returned. A lost connection is told, and a new one
        is for :meth:`receive` to make, when the caller knows where it stands. Ends early when
        something came, and at a wake-up.
        """
        if self._wait(timeout_s):
            return None
        newest: wire.Heartbeat | None = None
        while self._socket is not None:
            try:
                frame = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return self._watch(self._clock()) or newest
            self._heard = self._clock()
            with contextlib.suppress(WireError):  # told by receive()
                reply = wire.decode_reply(frame)
                if isinstance(reply, wire.Heartbeat):
                    newest = reply
                    continue
            self._kept.append(frame)
        return newest

    # ---- one connection

    def _dial(self, now: float) -> None:
        explain = explain_permission(self._path)
        if explain is not None:
            raise SocketError(explain)
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)  # bounded by the credit that we grant
        self._socket.setsockopt(zmq.SNDHWM, 1000)
        self._socket.setsockopt(zmq.MAXMSGSIZE, wire.MAX_REPLY_BYTES)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 100)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        self._monitor = self._socket.get_monitor_socket(
            zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED
        )
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        self._socket.connect(f"ipc://{self._path}")
        self._used = 0
        self._heard = now
        # Waits in libzmq until there is a server to take it.
        self._send(
            wire.Subscribe(
                version=wire.VERSION,
                name=self._name,
                types=self._types,
                mode="irreversible" if self._mode == "irreversible" else "head",
                after=self._after(),
                credit=CREDIT_BLOCKS,
            )
        )

    def _hang_up(self, linger_ms: int = 0) -> None:
        if self._socket is None or self._monitor is None:
            return
        self._poller.unregister(self._socket)
        self._poller.unregister(self._monitor)
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(linger_ms)
        self._socket = self._monitor = None
        self._kept.clear()
        self._connected = False

    def _lose(self, now: float, reason: str, retry_s: float = FIRST_RETRY_S) -> Disconnected | None:
        was_connected = self._connected
        self._hang_up()
        self._retry_at = now + retry_s
        return Disconnected(reason) if was_connected else None

    def _reject(self, now: float, code: str, words: str) -> Disconnected | Refused:
        """Turn away from a server that can't be understood, and say so either way."""
        return self._lose(now, words, RETRY_S) or Refused(code, words)

    def _due(self, now: float) -> float:
        """Seconds until something must be done even if nothing comes."""
        if self._socket is None:
            return max(0.0, self._retry_at - now)
        return max(0.0, self._heard + SILENCE_S - now)

    def _wait(self, timeout_s: float) -> bool:
        """Wait for anything to happen. Returns whether it was a wake-up from outside."""
        ready = dict(self._poller.poll(max(0, int(timeout_s * 1000) + 1)))
        return self._wake in ready

    def _take(self, now: float) -> Event | None:
        assert self._socket is not None  # noqa: S101 (only called with one)
        if self._used * 2 >= CREDIT_BLOCKS:
            self._grant()
        try:
            frame = self._kept.popleft() if self._kept else self._socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            self._grant()  # the server tells our lag by it
            return self._watch(now)
        self._heard = now
        try:
            reply = wire.decode_reply(frame)
        except WireError as error:
            return self._reject(now, ErrorCode.BAD_MESSAGE, f"it sent nonsense: {error}")
        return self._interpret(reply, now)

    def _grant(self) -> None:
        """Tell the server which blocks are finished with, and take as many more."""
        if self._used:
            self._send(wire.Grant(self._used))
            self._used = 0

    def _interpret(self, reply: wire.Reply, now: float) -> Event | None:
        if isinstance(reply, wire.Subscribed):
            if reply.version != wire.VERSION:
                words = f"it speaks version {reply.version} of the feed, this client {wire.VERSION}"
                return self._reject(now, ErrorCode.VERSION, words)
            self._connected = True
            return Connected(reply)
        if isinstance(reply, wire.Error):
            if reply.code == ErrorCode.NOT_SUBSCRIBED:  # a new server, behind the same connection
                return self._lose(now, "the broadcaster was started anew")
            self._lose(now, reply.text, RETRY_S)
            return Refused(reply.code, reply.text)
        if isinstance(reply, wire.BlockMessage):
            self._used += 1
        return reply

    def _watch(self, now: float) -> Disconnected | None:
        """Look at the connection itself: it may be lost, or the server silent."""
        assert self._monitor is not None  # noqa: S101 (lives as long as the socket)
        while self._monitor is not None and self._monitor.poll(0):
            event, _ = _MONITOR_EVENT.unpack(self._monitor.recv_multipart()[0])
            if event == zmq.EVENT_DISCONNECTED:
                lost = self._lose(now, "the connection closed")
                if lost is not None:
                    return lost
            else:
                self._heard = now
        if self._socket is not None and now - self._heard > SILENCE_S:
            return self._lose(now, f"nothing heard for {SILENCE_S:g} s")
        return None

    def _send(self, request: wire.Request) -> None:
        assert self._socket is not None  # noqa: S101 (only called with one)
        # With a thousand unsent messages the server's silence is what ends this connection.
        with contextlib.suppress(zmq.Again):
            self._socket.send(wire.encode(request), zmq.NOBLOCK)


def explain_permission(path: Path) -> str | None:
    """Say which group to join when this process may not use the socket, else ``None``."""
    for place in (*reversed(path.parents), path):
        need, for_group = (os.R_OK | os.W_OK, 0o060) if place == path else (os.X_OK, 0o010)
        try:
            status = place.stat()
        except OSError:
            return None  # there is none, or it lies where the trouble is another one
        if os.access(place, need):
            continue
        if status.st_mode & for_group != for_group:
            owner = _name_of(pwd.getpwuid, status.st_uid)
            return f"no permission to use {path}: {place} is for the user {owner} alone"
        group = _name_of(grp.getgrgid, status.st_gid)
        return (
            f"no permission to use {path}: join the group {group} "
            f"(usermod --append --groups {group} USER, then log in again)"
        )
    return None


def _name_of(look_up: Callable[[int], Sequence[Any]], number: int) -> str:
    try:
        return str(look_up(number)[0])
    except KeyError:  # a user or group that has no name here
        return str(number)


def ask_status(path: Path, timeout_s: float) -> wire.Status:
    """Ask the broadcaster that serves ``path`` how it is.

    Raises :class:`~steembot.errors.SocketError` when nobody answers or we may not ask, and
    :class:`~steembot.errors.FeedError` when the answer is an error or can't be understood.
    """
    explain = explain_permission(path)
    if explain is not None:
        raise SocketError(explain)
    if not path.is_socket():
        what = "is no socket" if path.exists() else "does not exist"
        raise SocketError(
            f"the broadcaster cannot be asked, since {path} {what}; "
            "start it (systemctl start steembot.target), or set STEEMBOT_SOCKET to its socket"
        )
    with zmq.Context() as context, context.socket(zmq.DEALER) as asking:
        asking.setsockopt(zmq.LINGER, 0)
        asking.setsockopt(zmq.MAXMSGSIZE, wire.MAX_REPLY_BYTES)
        with asking.get_monitor_socket(zmq.EVENT_CONNECT_RETRIED) as monitor:
            try:
                asking.connect(f"ipc://{path}")
                asking.send(wire.encode(wire.AskStatus()))
                frame = _first_frame(asking, monitor, path, timeout_s)
            finally:
                asking.disable_monitor()
    try:
        reply = wire.decode_reply(frame)
    except WireError as error:
        raise FeedError(
            ErrorCode.BAD_MESSAGE, f"what serves {path} is no broadcaster of this version: {error}"
        ) from error
    if isinstance(reply, wire.Error):
        raise FeedError(reply.code, reply.text)
    if not isinstance(reply, wire.Status):
        raise FeedError(ErrorCode.BAD_MESSAGE, f"the broadcaster at {path} answered something else")
    return reply


def _first_frame(
    asking: zmq.Socket[bytes], monitor: zmq.Socket[bytes], path: Path, timeout_s: float
) -> bytes:
    poller = zmq.Poller()
    poller.register(asking, zmq.POLLIN)
    poller.register(monitor, zmq.POLLIN)
    ready = dict(poller.poll(math.ceil(timeout_s * 1000)))
    if asking in ready:
        return asking.recv()
    if monitor in ready:
        raise SocketError(
            f"nobody serves {path}: the broadcaster does not run; systemctl start steembot.target"
        )
    raise SocketError(
        f"the broadcaster at {path} did not answer within {timeout_s:g} s; "
        "journalctl -u steembot-broadcaster says how it is"
    )
