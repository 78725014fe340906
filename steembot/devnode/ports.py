"""The devnode's ports: TCP listeners that can stop and begin again, or fail a TLS handshake."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from steembot.devnode.errors import HttpsError

BACKLOG = 128  # connections not yet accepted; the kernel lets further ones wait
_GARBAGE = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"  # no TLS record begins with H
_OPENSSL_SECONDS = 30.0
_CERTIFICATE_DAYS = 2

Factory = Callable[[], asyncio.BaseProtocol]


class Port:
    """One TCP port, bound as long as this object is open; it listens when it is told to.

    While it does not, connections are refused, and nobody else gets the port. host, port: 0 takes a
    free one. factory: makes the protocol of a connection. context: for TLS, or None.

    Raises OSError when the address cannot be bound. Needs a running event loop.
    """

    def __init__(
        self, host: str, port: int, factory: Factory, context: ssl.SSLContext | None = None
    ) -> None:
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._factory = factory
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = None
        self._accepting: set[asyncio.Task[object]] = set()
        self._spoilt: set[_NoTls] = set()
        self.no_tls: str | None = (
            None  # how handshakes fail: garbage, close, silent; None: they don't
        )
        # A second socket that never listens keeps the number while the first one is closed.
        self._holder = self._bound(host, port)
        self._address = self._holder.getsockname()
        self.number: int = self._address[1]
        try:
            self.listen()
        except OSError:
            self._holder.close()
            raise

    def _bound(self, host: str, port: int) -> socket.socket:
        bound = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, port))
        except OSError:
            bound.close()
            raise
        return bound

    def listen(self) -> None:
        """Take connections from now on. Raises OSError when it cannot."""
        if self._listener is not None:
            return
        listener = self._bound(self._address[0], self.number)
        try:
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        self._listener = listener
        self._loop.add_reader(listener, self._accept, listener)

    def refuse(self) -> None:
        """Refuse connections from now on; those that nobody accepted yet are reset."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def hang_up(self) -> None:
        """End what stands without being served: handshakes, and connections without TLS."""
        for task in list(self._accepting):
            task.cancel()
        for spoilt in list(self._spoilt):
            spoilt.close()

    async def close(self) -> None:
        """Give the port back."""
        self.refuse()
        self.hang_up()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        self._holder.close()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(BACKLOG):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._begin(connection))
            self._accepting.add(task)
            task.add_done_callback(partial(self._begun, connection))

    async def _begin(self, connection: socket.socket) -> object:
        factory, context = self._factory, self._context
        if self.no_tls is not None and context is not None:
            spoilt = _NoTls(self.no_tls, self._spoilt)
            factory, context = (lambda: spoilt), None
        try:
            return await self._loop.connect_accepted_socket(factory, connection, ssl=context)
        except OSError:
            connection.close()  # a handshake that failed is the client's to tell
            return None

    def _begun(self, connection: socket.socket, task: asyncio.Task[object]) -> None:
        self._accepting.discard(task)
        if task.cancelled():  # perhaps before it ran at all
            connection.close()


class _NoTls(asyncio.Protocol):
    """Answers the first bytes of a handshake, but not with TLS."""

    def __init__(self, how: str, open_ones: set["_NoTls"]) -> None:
        self._how = how
        self._open_ones = open_ones
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a stream socket; for mypy
        self._transport = transport
        self._open_ones.add(self)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - whatever came
        if self._transport is None or self._how == "silent":
            return
        if self._how == "garbage":
            self._transport.write(_GARBAGE)
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended
        self._open_ones.discard(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Certificate:
    """A self-signed certificate for loopback, in a temporary folder of its own.

    file: the certificate as PEM, for clients that shall trust it. Made by the openssl command.
    Raises HttpsError when that is not there or fails.
    """

    def __init__(self, host: str) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            raise HttpsError("HTTPS needs the openssl command, which is not installed")
        self._folder = tempfile.TemporaryDirectory(prefix="steembot-devnode-")
        self.file = Path(self._folder.name) / "certificate.pem"
        key = Path(self._folder.name) / "key.pem"
        command = [
            openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-noenc", "-days", str(_CERTIFICATE_DAYS), "-subj", "/CN=steembot-devnode",
            "-addext", f"subjectAltName=IP:{host},DNS:localhost",
            "-keyout", str(key), "-out", str(self.file),
        ]  # fmt: skip
        try:
            subprocess.run(  # noqa: S603 - no shell, and nothing of a stranger's
                command, check=True, capture_output=True, text=True, timeout=_OPENSSL_SECONDS
            )
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(self.file, key)
        except subprocess.CalledProcessError as error:
            self.close()
            said = error.stderr.strip().splitlines() or ["nothing said"]
            raise HttpsError(f"openssl made no certificate for {host!r}: {said[-1]}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            self.close()
            raise HttpsError(f"openssl made no certificate for {host!r}: {error}") from error

    def close(self) -> None:
        """Remove the folder."""
        with contextlib.suppress(OSError):  # what would be left is worth nothing, as its key is
            self._folder.cleanup()
