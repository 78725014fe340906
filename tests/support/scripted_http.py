"""An HTTP server that answers what the test tells it, byte by byte if need be."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Script = Callable[[socket.socket, bytes], None]
"""Answers on the connection; it is given the whole request, head and body."""


def http(body: bytes, status: str = "200 OK", content_type: str = "application/json") -> Script:
    """Answer a whole HTTP response."""

    def play(connection: socket.socket, _request: bytes) -> None:
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(head.encode() + body)

    return play


def raw(data: bytes) -> Script:
    """Answer these bytes and close the connection."""

    def play(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(data)

    return play


def reset(connection: socket.socket, _request: bytes) -> None:
    """Cut the connection in the middle of a body."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{")
    linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def drip(stop: threading.Event) -> Script:
    """Send a long body one byte at a time, each well within any timeout between two bytes."""

    def play(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not stop.wait(0.05):
            connection.sendall(b" ")

    return play


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """Serve every request with the script; yields the URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(connection: socket.socket) -> None:
        with connection:
            request = b""
            try:
                while b"\r\n\r\n" not in request:
                    request += connection.recv(65536) or b"\r\n\r\n"
                head = request.partition(b"\r\n\r\n")[0]
                for line in head.lower().splitlines():
                    if line.startswith(b"content-length:"):
                        whole = len(head) + 4 + int(line.split(b":")[1])
                        while len(request) < whole:
                            request += connection.recv(65536)
                script(connection, request)
            except OSError:
                pass  # the client hung up first, which some tests want

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
