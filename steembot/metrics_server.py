"""The local endpoint that Prometheus reads. Standard library only; loaded where it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from typing import Any

from steembot.errors import StartError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

REQUEST_TIMEOUT_S = 5.0


class Server(ThreadingHTTPServer):
    """Serves ``text()`` at ``/metrics``, each request in a thread of its own."""

    daemon_threads = True
    allow_reuse_address = True
    text: Callable[[], str]

    def handle_error(self, *_: Any) -> None:
        """Say nothing: whoever asked has gone."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    timeout = REQUEST_TIMEOUT_S
    server: Server

    def do_GET(self) -> None:
        """Answer with the metrics."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404, explain="The metrics are at /metrics.")
            return
        body = self.server.text().encode()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: each request would be a line."""


def serve(address: tuple[str, int], text: Callable[[], str]) -> Server:
    """Listen at an address. Raises :class:`~steembot.errors.StartError` where that cannot be."""
    host, port = address
    kind = type("Server", (Server,), {"address_family": AF_INET6 if ":" in host else AF_INET})
    try:
        server: Server = kind((host, port), Handler)
    except OSError as error:
        raise StartError(
            f"STEEMBOT_METRICS={host}:{port}: cannot listen there: {error.strerror}; "
            "name a port that is free"
        ) from error
    server.text = text
    return server
