"""The broadcaster's end of the feed: one ROUTER socket, many clients.

Nothing is pushed that was not asked for. Each client has a :class:`~steembot.feed.session.Session`
that reads the block log at the client's own pace, so a slow client delays nobody. Bytes that are
no message, too much credit or a wrong version end that client's session with an ``error`` and
touch nobody else's.

Bounds: :data:`MAX_CLIENTS` sessions, of which a user has a share, as of the connections
(:mod:`~steembot.feed.connections`); per client at most its credit of messages in libzmq's queue
(then ``EAGAIN``: the session waits for room); :data:`TURN_BLOCKS` messages to one client before the
next one's turn.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import socket
import stat
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

import zmq

from steembot import events
from steembot.errors import FeedError, SocketError, WireError
from steembot.feed import wire
from steembot.feed.connections import Connections, share
from steembot.feed.session import BlockSource, Session
from steembot.feed.wire import ErrorCode
from steembot.repeats import Repeats

log = logging.getLogger(__name__)

_MONITOR = "inproc://connections"
_MONITOR_EVENT = struct.Struct("=HI")  # zmq_socket_monitor(3)

HEARTBEAT_S = 2.0
"""How often every client hears that the server lives, and the server whether the client does."""

GONE_S = 30.0
"""A client that answers nothing for so long is let go; it subscribes again when it wakes."""

GONE_AGAIN_S = 0.05
"""After a connection closed: when to look a second time who is gone."""

MAX_CLIENTS = 512
"""Subscriptions; one user has at most half of what the others leave of them."""

BACKLOG = 256
TURN_BLOCKS = 16
TURN_REQUESTS = 256
QUEUE_MESSAGES = wire.MAX_CREDIT + 256


class _Client:
    """A client that sent something valid: who it is, and its session once it subscribed."""

    def __init__(self, session: Session, pid: int, uid: int) -> None:
        self.session = session
        self.pid = pid
        self.uid = uid

    def __str__(self) -> str:
        return f"client {self.session.name} ({_words_for(self.pid, self.uid)})"


class FeedServer:
    """Serves ``source`` to clients. One thread calls :meth:`turn`; nothing here blocks.

    ``listener`` is the descriptor that systemd holds, or ``None`` to bind ``path`` ourselves.
    ``chain_time`` gives the time of the newest block, 0 while the chain is further.
    ``words`` gives the broadcaster's status in words, ``nodes`` how the chain's nodes are.
    """

    def __init__(
        self,
        source: BlockSource,
        *,
        chain: str,
        path: Path,
        listener: int | None,
        words: Callable[[], str] = lambda: "",
        head_timestamp: Callable[[], int] = lambda: 0,
        chain_time: Callable[[], int] = lambda: 0,
        nodes: Callable[[], list[wire.NodeStatus]] = list,
    ) -> None:
        self._source = source
        self._chain = chain
        self._words = words
        self._head_timestamp = head_timestamp
        self._chain_time = chain_time
        self._nodes = nodes
        self.session_id = secrets.token_hex(8)
        self._clients: dict[bytes, _Client] = {}
        self._heartbeat_due = 0.0
        self._bound: Path | None = None
        self._now = 0.0
        self._refusals = Repeats()
        # Connections that sent something and have no session, and how many closed that are not
        # accounted for yet: a connection is a client's, a stranger's, or never said a word to us.
        self._strangers: set[bytes] = set()
        self._closed = 0
        self._account_due = float("inf")
        self._mute = 0
        self._watched: set[int] = set()
        self._connections = Connections()
        self._closed_now = self._refused = 0
        self._path = path
        self._listener = -1
        self._is_listening = False
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.SNDHWM, QUEUE_MESSAGES)
        self._socket.setsockopt(zmq.RCVHWM, TURN_REQUESTS)
        self._socket.setsockopt(zmq.MAXMSGSIZE, wire.MAX_FRAME_BYTES)
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, 5_000)
        self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, int(GONE_S * 1000))
        # pyzmq's own get_monitor_socket() keeps 2000 events, and a connection of which nothing was
        # told could not be closed.
        self._socket.monitor(_MONITOR, zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self._monitor = self._context.socket(zmq.PAIR)
        self._monitor.setsockopt(zmq.RCVHWM, 0)
        self._monitor.connect(_MONITOR)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        try:
            self._bind(path, listener)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the sockets. A path that we bound ourselves is removed, one of systemd's stays."""
        if self._socket.closed:
            return
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
        self._context.term()
        if self._bound is not None:
            self._bound.unlink(missing_ok=True)
            os.close(self._listener)
            self._bound = None

    def wait(self, descriptors: Iterable[int], timeout_s: float) -> set[int]:
        """Wait until there is something for :meth:`turn`, or one of the descriptors is readable.

        Returns those of the descriptors that are.
        """
        wanted = set(descriptors)
        for gone in self._watched - wanted:
            self._poller.unregister(gone)
        for new in wanted - self._watched:
            self._poller.register(new, zmq.POLLIN)
        self._watched = wanted
        ready = dict(self._poller.poll(math.ceil(max(0.0, timeout_s) * 1000)))
        return wanted & ready.keys()

    @property
    def clients(self) -> int:
        """How many clients are subscribed."""
        return len(self._clients)

    def turn(self, now: float) -> float:
        """Do what is to be done now; return for how many seconds nothing else will be due.

        ``now`` is in monotonic seconds.
        """
        self._now = now
        more = self._receive()
        self._watch_connections()
        if now >= self._heartbeat_due:
            self._heartbeat_due = now + HEARTBEAT_S
            self._beat()
            self._connections.close_silent(self._clients, now)
        for identity in list(self._clients):
            more = self._pump(identity) or more
        return 0.0 if more else min(self._heartbeat_due, self._account_due) - now

    def status(self) -> wire.Status:
        """How the broadcaster is."""
        source = self._source
        return wire.Status(
            version=wire.VERSION,
            session=self.session_id,
            chain=self._chain,
            head=source.head,
            head_timestamp=self._head_timestamp(),
            irreversible=source.irreversible,
            oldest=source.oldest,
            words=self._words(),
            clients=[
                wire.ClientStatus(
                    name=client.session.name,
                    pid=client.pid,
                    uid=client.uid,
                    types=list(client.session.types),
                    mode=client.session.mode,
                    lag=client.session.lag,
                    credit=client.session.credit,
                )
                for client in self._clients.values()
            ],
            nodes=self._nodes(),
        )

    # ---- the socket

    def _bind(self, path: Path, listener: int | None) -> None:
        if listener is None:
            _make_way(path)
            self._listener = _listen(path)
            self._bound = path
        else:
            self._listener = listener
        self._go_on_listening()

    def _go_on_listening(self) -> None:
        # libzmq closes the descriptor that it is given when it stops to listen, so it gets a copy.
        self._socket.setsockopt(zmq.USE_FD, os.dup(self._listener))
        try:
            self._socket.bind(f"ipc://{self._path}")
        except zmq.ZMQError as error:
            words = zmq.strerror(error.errno or 0)
            raise SocketError(f"cannot listen on {self._path}: {words}") from error
        self._is_listening = True

    def _receive(self) -> bool:
        """Take a bounded number of requests. Returns whether there may be more."""
        for _ in range(TURN_REQUESTS):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return False
            identity = frames[0].bytes
            peer = _peer(frames[-1])
            self._note_speaker(_descriptor(frames[-1]), identity)
            if identity not in self._clients:
                self._strangers.add(identity)
            if len(frames) != 2:
                self._refuse(
                    identity,
                    FeedError(
                        ErrorCode.BAD_MESSAGE, f"a message of {len(frames) - 1} frames, not 1"
                    ),
                    peer,
                )
                continue
            try:
                self._handle(identity, wire.decode_request(frames[1].buffer), peer)
            except WireError as error:
                self._refuse(identity, FeedError(ErrorCode.BAD_MESSAGE, str(error)), peer)
            except FeedError as error:
                self._refuse(identity, error, peer)
        return True

    def _note_speaker(self, descriptor: int, identity: bytes) -> None:
        """Note that a connection is no silent one."""
        if not self._connections.spoke(descriptor, identity, self._now):
            # It is told of before its first message comes, but not yet heard of.
            self._closed_now = self._hear_of_connections()
            self._connections.spoke(descriptor, identity, self._now)

    def _handle(self, identity: bytes, request: wire.Request, peer: tuple[int, int]) -> None:
        client = self._clients.get(identity)
        match request:
            case wire.Subscribe():
                if client is None:
                    self._check_share(peer[1])
                session = Session(request, self._source)
                self._clients[identity] = client = _Client(session, *peer)
                self._strangers.discard(identity)
                log.info(
                    "%s subscribed to %s, mode %s, after %s",
                    client,
                    ", ".join(session.types),
                    session.mode,
                    request.after,
                    extra=events.CLIENT_SUBSCRIBED(),
                )
                self._send(identity, self._subscribed(session))
            case wire.Grant():
                if client is None:
                    raise FeedError(
                        ErrorCode.NOT_SUBSCRIBED, "credit without a subscription; subscribe first"
                    )
                client.session.grant(request.blocks)
            case wire.Unsubscribe():
                if self._drop(identity, "it said goodbye"):
                    self._strangers.add(identity)
            case wire.AskStatus():
                self._send(identity, self.status())

    def _check_share(self, uid: int) -> None:
        """Refuse a subscription that would leave too little for other users."""
        mine = sum(client.uid == uid for client in self._clients.values())
        most = share(MAX_CLIENTS, len(self._clients) - mine)
        if mine >= most:
            raise FeedError(
                ErrorCode.TOO_MANY_CLIENTS,
                f"uid {uid} has {mine} subscriptions already, and {most} are its share now",
            )

    def _subscribed(self, session: Session) -> wire.Subscribed:
        source = self._source
        after = session.position
        return wire.Subscribed(
            version=wire.VERSION,
            session=self.session_id,
            chain=self._chain,
            head=source.head,
            irreversible=source.irreversible,
            oldest=source.oldest,
            after=after if after is not None and after.block_id else None,
            chain_time=self._chain_time(),
        )

    def _pump(self, identity: bytes) -> bool:
        """Send a client what it has credit for. Returns whether its turn ended before that."""
        client = self._clients[identity]
        session = client.session
        for _ in range(TURN_BLOCKS):
            try:
                step = session.next()
            except FeedError as error:
                self._refuse(identity, error, (client.pid, client.uid))
                return False
            if step is None:
                return False
            if not self._send(identity, step.message):
                return False
            session.take(step)
        return True

    def _send(self, identity: bytes, message: wire.Message) -> bool:
        """Queue a message. False when the client's queue is full, or the client is gone."""
        try:
            self._socket.send_multipart((identity, wire.encode(message)), zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            if self._drop(identity, "its connection closed"):
                self._closed -= 1
            return False
        return True

    def _refuse(self, identity: bytes, error: FeedError, peer: tuple[int, int]) -> None:
        client = self._clients.pop(identity, None)
        self._strangers.add(identity)
        who = f"a client ({_words_for(*peer)})" if client is None else str(client)
        if self._is_news(who, error.code):
            log.warning("%s dropped: %s", who, error, extra=events.CLIENT_REFUSED())
        self._send(identity, wire.Error(code=error.code, text=error.text))

    def _is_news(self, who: str, code: str) -> bool:
        """Tell whether a refusal is to be said; a client that tries again and again is no news."""
        few = self._refusals.forget_old(self._now) < MAX_CLIENTS
        return few and self._refusals.is_due((who, code), self._now)

    def _drop(self, identity: bytes, why: str) -> bool:
        client = self._clients.pop(identity, None)
        if client is None:
            return False
        log.info("%s left: %s", client, why, extra=events.CLIENT_LEFT())
        return True

    def _beat(self) -> None:
        beat = wire.Heartbeat(
            head=self._source.head,
            irreversible=self._source.irreversible,
            chain_time=self._chain_time(),
        )
        for identity in list(self._clients):
            self._send(identity, beat)

    def _watch_connections(self) -> None:
        """Find out at once who left, and say how many left without ever being understood."""
        closed = self._hear_of_connections()
        if self._refused and self._is_news("share", "connections"):
            log.warning(
                "connections refused of users that have their share of them already",
                extra=events.STRANGERS(),
            )
        self._refused = 0
        self._listen_or_not()
        if closed:
            self._closed += closed
            self._beat()  # finds those who are gone
            self._account_due = self._now + GONE_AGAIN_S
        elif self._now >= self._account_due:
            # libzmq tells of a lost connection a moment before it takes the client's address away.
            self._account_due = float("inf")
            self._beat()
            self._account()

    def _hear_of_connections(self) -> int:
        """Take what libzmq tells of connections; return how many closed since the last turn."""
        while self._monitor.poll(0):
            event, descriptor = _MONITOR_EVENT.unpack(self._monitor.recv_multipart()[0])
            if event == zmq.EVENT_ACCEPTED:
                self._refused += not self._connections.accepted(descriptor, self._now)
            else:
                self._connections.closed(descriptor)
                self._closed_now += 1
        closed, self._closed_now = self._closed_now, 0
        return closed

    def _listen_or_not(self) -> None:
        """Leave connections in the backlog while there are too many: libzmq aborts in the end."""
        if self._connections.is_crowded and self._is_listening:
            self._socket.unbind(f"ipc://{self._path}")
            self._is_listening = False
        elif not self._connections.is_crowded and not self._is_listening:
            self._go_on_listening()

    def _account(self) -> None:
        for _ in range(min(self._closed, len(self._strangers))):
            self._strangers.pop()  # whichever: each stands for one connection
            self._closed -= 1
        if self._closed > 0:
            self._mute += self._closed
            self._closed = 0
            if self._is_news("mute", "closed"):
                log.warning(
                    "%d connection(s) dropped that sent no message of the feed",
                    self._mute,
                    extra=events.STRANGERS(),
                )
                self._mute = 0


def _words_for(pid: int, uid: int) -> str:
    return f"pid {pid}, uid {uid}" if pid else "of an unknown process"


def _descriptor(frame: zmq.Frame) -> int:
    """Return the descriptor of the connection that a frame came over; -1 if it is not known."""
    try:
        return int(frame.get(zmq.SRCFD))
    except zmq.ZMQError:
        return -1


def _peer(frame: zmq.Frame) -> tuple[int, int]:
    """Return pid and uid of the process that sent a frame (libzmq: host:uid:gid:pid)."""
    try:
        _, uid, _, pid = str(frame.get("Peer-Address")).rsplit(":", 3)
        return int(pid), int(uid)
    except (zmq.ZMQError, ValueError):
        return 0, -1


def _listen(path: Path) -> int:
    """Make a listening socket for its user and group, and return its descriptor."""
    old_mask = os.umask(0o117)  # 0660
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(BACKLOG)
            listener.setblocking(False)
            return listener.detach()
    except OSError as error:
        raise SocketError(f"cannot listen on {path}: {error.strerror or error}") from error
    finally:
        os.umask(old_mask)


def _make_way(path: Path) -> None:
    """Remove a socket that nobody serves any more; refuse to take one that somebody does."""
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        status = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise SocketError(f"cannot listen on {path}: {error.strerror}: {error.filename}") from error
    if not stat.S_ISSOCK(status.st_mode):
        raise SocketError(f"cannot listen on {path}: there is a file that is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise SocketError(f"cannot listen on {path}: {error.strerror}") from error
    raise SocketError(
        f"another process serves {path} already; stop it, or set STEEMBOT_SOCKET to another path"
    )
