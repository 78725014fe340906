"""One HTTP request to a node over beem, with one deadline for all of it. Alone imports beem.

requests' own timeouts begin anew with each address that is tried and with each byte that comes, and
its parts read status line and headers for as long as a node likes. So a deadline is kept from
outside: where it passes, the connection is shut down, in whatever phase the request is, and the
thread that waits for it comes back. Connecting goes to the next address of a name soon
(RFC 8305, section 5): a first one that drops packets costs :data:`NEXT_ADDRESS_S` alone.
"""

from __future__ import annotations

import heapq
import http.client
import ipaddress
import itertools
import os
import queue
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Self
from urllib.parse import urlsplit

import requests
import urllib3
import urllib3.connection
from beemapi.noderpc import NodeRPC
from requests.adapters import HTTPAdapter

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""Of one HTTP answer; the largest block that a chain allows (2 MiB packed) is well below it."""

NEXT_ADDRESS_S = 0.25
"""How long one address is tried before the next one is tried beside it (RFC 8305, section 8)."""

CONNECT_S = 5.0
"""For all addresses of a name together; the rest of the deadline is the answer's."""

RESOLVE_S = 5.0
INTERIM_RESPONSES = 5
"""``100 Continue`` and the like before the answer; a node has no reason for any."""

_resolving = threading.BoundedSemaphore(8)
"""getaddrinfo(3) cannot be interrupted; so many threads it may keep waiting."""

_local = threading.local()


class TooLongError(Exception):
    """An answer exceeds what we are willing to hold."""


class Rpc(NodeRPC):  # type: ignore[misc]  # beem ships no types
    """beem's connection to one node, with an end to the time that one request may take.

    For one thread at a time. ``proxy`` is the URL of an HTTP proxy; without one those of the
    environment count (``HTTPS_PROXY``, ``NO_PROXY``), as requests reads them.
    """

    def __init__(self, url: str, timeout_s: float, proxy: str | None = None) -> None:
        super().__init__(url, num_retries=0, num_retries_call=0, disable_chain_detection=True)
        self._timeout_s = timeout_s
        self._proxies: dict[str, str] = {}
        if proxy is not None and not _is_loopback(urlsplit(url).hostname or ""):
            self._proxies = {"http": proxy, "https": proxy}
        # beem shares one session between all of its connections; threads must not.
        self.session = requests.Session()
        self.session.trust_env = True
        for prefix in ("http://", "https://"):
            self.session.mount(prefix, _Adapter())

    def request_send(self, payload: bytes) -> requests.Response:
        """POST, and wait for the answer to begin. :meth:`exchange` does that and the rest."""
        response: requests.Response = self.session.post(
            self.url,
            data=payload,
            headers=self.headers,
            timeout=(self._timeout_s, self._timeout_s),
            stream=True,
            allow_redirects=False,
            proxies=self._proxies,
        )
        return response

    def exchange(self, payload: bytes) -> tuple[requests.Response, bytes]:
        """Send a request, and return the answer and its whole body.

        Raises what requests and urllib3 raise, :class:`TooLongError`, and in any case
        ``requests.exceptions.Timeout`` where the time is over.
        """
        with _watched(self._timeout_s) as request:
            try:
                response = self.request_send(payload)
                try:
                    body = b"".join(_chunks(response))
                except BaseException:
                    response.close()
                    raise
            except Exception as error:
                request.check(error)
                raise
        request.check()  # headers that were cut off look like headers that ended
        return response, body


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """Read a body as it comes: a fixed chunk size would wait for the chunk to be full."""
    size = 0
    while chunk := response.raw.read1(256 * 1024, decode_content=True):
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise TooLongError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        yield chunk


# ---- the deadline


class _Request:
    """A request under way: when its time is over, and the connection that it uses by now."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.connection: Any = None
        self.is_over = False
        self.is_done = False

    @property
    def left_s(self) -> float:
        return max(0.01, self.deadline - time.monotonic())

    def check(self, cause: Exception | None = None) -> None:
        """Raise ``requests.exceptions.Timeout`` where the time was over."""
        if self.is_over:
            raise requests.exceptions.Timeout("the deadline passed") from cause

    def end(self) -> None:
        """Shut the connection down; who waits for it comes back with an error."""
        self.is_over = True
        used = getattr(self.connection, "watched", None)
        try:
            if used is not None:
                used.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it was closed meanwhile

    def __enter__(self) -> Self:
        _local.request = self
        _watchdog.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.is_done = True
        self.connection = None  # the watchdog keeps the request for a while
        _local.request = None


class _Watchdog:
    """Ends requests whose time is over. One thread for all, made with the first request."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[tuple[float, int, _Request]] = []
        self._count = itertools.count()
        self._thread: threading.Thread | None = None

    def add(self, request: _Request) -> None:
        """Watch a request. From any thread."""
        with self._changed:
            heapq.heappush(self._requests, (request.deadline, next(self._count), request))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            if self._requests[0][2] is request:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._requests and self._requests[0][2].is_done:
                    heapq.heappop(self._requests)
                now = time.monotonic()
                if not self._requests or self._requests[0][0] > now:
                    wait_s = self._requests[0][0] - now if self._requests else None
                    self._changed.wait(wait_s)
                    continue
                _, _, request = heapq.heappop(self._requests)
            if not request.is_done:
                request.end()


_watchdog = _Watchdog()


def _watched(timeout_s: float) -> _Request:
    return _Request(time.monotonic() + timeout_s)


# ---- connections


class _Response(http.client.HTTPResponse):
    """Refuses interim responses without end; http.client reads on for as long as they come."""

    def _read_status(self) -> Any:
        self._statuses = getattr(self, "_statuses", 0) + 1
        if self._statuses > INTERIM_RESPONSES:
            raise http.client.HTTPException("interim responses without end")
        return super()._read_status()  # type: ignore[misc]  # http.client's own part


class _Watched(urllib3.connection.HTTPConnection):
    """A connection that the deadline's thread can shut down in any phase.

    ``watched`` is a socket of its own on the same connection: TLS takes the first one away.
    """

    response_class = _Response
    watched: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        made = _connected(self)
        self.watched = made.dup()
        return made

    def connect(self) -> None:
        _use(self)
        super().connect()

    def request(self, *args: Any, **kwargs: Any) -> None:
        _use(self)
        super().request(*args, **kwargs)

    def close(self) -> None:
        super().close()
        if self.watched is not None:
            self.watched.close()
            self.watched = None


class _Secure(_Watched, urllib3.connection.HTTPSConnection):
    pass


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Watched


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Secure


class _Adapter(HTTPAdapter):
    """Lets requests use our connections, through a proxy too."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
        return manager


def _use(connection: object) -> None:
    """Note that the request under way in this thread uses a connection."""
    request: _Request | None = getattr(_local, "request", None)
    if request is not None:
        request.connection = connection


def _connected(connection: Any) -> socket.socket:
    """Connect for urllib3, as its own ``_new_conn`` does, with quick changes of address."""
    request: _Request | None = getattr(_local, "request", None)
    left_s = CONNECT_S if request is None else min(CONNECT_S, request.left_s)
    host = connection._dns_host  # noqa: SLF001 (what its own method uses)
    try:
        made = connect(host, connection.port, left_s)
    except TimeoutError as error:
        raise urllib3.exceptions.ConnectTimeoutError(connection, str(error)) from error
    except OSError as error:
        raise urllib3.exceptions.NewConnectionError(connection, str(error)) from error
    made.settimeout(connection.timeout if isinstance(connection.timeout, int | float) else left_s)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def connect(
    host: str, port: int, timeout_s: float, resolve: Any = socket.getaddrinfo
) -> socket.socket:
    """Connect to the first address of a host that answers, in the order that the resolver gives.

    Each is tried :data:`NEXT_ADDRESS_S` after the one before, or at once when that one failed.
    Raises ``TimeoutError`` when the time is over, and what the last address gave otherwise.
    """
    deadline = time.monotonic() + timeout_s
    addresses = _addresses(host, port, min(timeout_s, RESOLVE_S), resolve)
    error: OSError = TimeoutError(f"no connection to {host} within {timeout_s:g} s")
    trying: dict[socket.socket, object] = {}
    next_at = 0.0
    with selectors.DefaultSelector() as selector:
        try:
            while addresses or trying:
                now = time.monotonic()
                if now >= deadline:
                    raise TimeoutError(f"no connection to {host} within {timeout_s:g} s")
                if addresses and (now >= next_at or not trying):
                    family, kind, protocol, _, address = addresses.pop(0)
                    next_at = now + NEXT_ADDRESS_S
                    try:
                        attempt = socket.socket(family, kind, protocol)
                        attempt.setblocking(False)
                        trying[attempt] = address
                        attempt.connect_ex(address)
                        selector.register(attempt, selectors.EVENT_WRITE)
                    except OSError as failed:
                        error = failed
                    continue
                until = min(deadline, next_at) if addresses else deadline
                for key, _ in selector.select(max(0.0, until - now)):
                    attempt = key.fileobj  # type: ignore[assignment]  # as registered
                    selector.unregister(attempt)
                    number = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    trying.pop(attempt)
                    if not number:
                        return attempt
                    attempt.close()
                    error = OSError(number, os.strerror(number))
                    next_at = 0.0
        finally:
            for rest in trying:
                rest.close()
    raise error


def _addresses(host: str, port: int, timeout_s: float, resolve: Any) -> list[Any]:
    late = TimeoutError(f"no address of {host} within {timeout_s:g} s")
    found: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found.put(list(resolve(host, port, 0, socket.SOCK_STREAM)))
        except OSError as error:
            found.put(error)
        except UnicodeError as error:  # a name that no name server could be asked for
            found.put(OSError(str(error)))
        finally:
            _resolving.release()

    if not _resolving.acquire(timeout=timeout_s):
        raise late
    # A daemon, so that no process waits for a name server when it is to end.
    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    try:
        answer = found.get(timeout=timeout_s)
    except queue.Empty:
        raise late from None
    if isinstance(answer, OSError):
        raise answer
    return answer
