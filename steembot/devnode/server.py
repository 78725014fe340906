"""The devnode's HTTP: one address that answers JSON-RPC about one chain.

A request goes three steps: its body is read, `Rpc.answer` makes the answer's body, the answer is
sent. Who wants the node to misbehave stands between the second and the third, or in front of the
first, as an aiohttp middleware: neither the chain nor the RPC has to know.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

from aiohttp import web

from steembot.devnode.chain import Chain
from steembot.devnode.rpc import Rpc

REQUEST_LIMIT_BYTES = 256 * 1024  # nginx's client_max_body_size in front of api.steemit.com: 413
SHUTDOWN_SECONDS = 1.0  # for requests still running; then their connections are cut

T = TypeVar("T")


class DevNode:
    """A node on loopback, in the running event loop; `async with` serves until its end.

    chain: what it shows; its clock must be `clock`'s. host, port: 0 picks a free port.
    latency_s: added to every HTTP request. clock: seconds, never going back.

    Raises OSError on entering when the address cannot be bound.
    """

    def __init__(
        self,
        chain: Chain,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        latency_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.chain = chain
        self.url = ""
        self.requests = 0
        self._host = host
        self._port = port
        self._latency_s = latency_s
        self._clock = clock
        self._rpc = Rpc(chain)
        self._runner: web.AppRunner | None = None

    def app(self) -> web.Application:
        """Return the HTTP application: `POST /` for JSON-RPC, `GET /health` as jussi has it."""
        app = web.Application(client_max_size=REQUEST_LIMIT_BYTES)
        app.router.add_post("/", self._json_rpc)
        app.router.add_get("/health", self._health)
        return app

    async def __aenter__(self) -> Self:
        # Bound by hand: aiohttp does not tell the port it got.
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, self._port), family=family)
        port = listener.getsockname()[1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"http://{host}:{port}"
        runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        self._runner = runner
        await runner.setup()
        await web.SockSite(runner, listener).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _json_rpc(self, request: web.Request) -> web.Response:
        self.requests += 1
        body = await request.read()
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        self.chain.advance(self._clock())
        answer = self._rpc.answer(body)
        return web.Response(body=answer, content_type="application/json")

    async def _health(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler
        self.chain.advance(self._clock())
        return web.json_response({"status": "OK", "jussi_num": self.chain.irreversible_num})

    @classmethod
    @contextmanager
    def running(
        cls,
        chain: Chain,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        latency_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> Iterator["RunningDevNode"]:
        """Serve from a thread of its own, for callers without an event loop.

        Raises OSError when the address cannot be bound.
        """
        node = cls(chain, host=host, port=port, latency_s=latency_s, clock=clock)
        loop = asyncio.new_event_loop()
        stop = asyncio.Event()
        started = threading.Event()
        failed: list[BaseException] = []

        async def serve() -> None:
            async with node:
                started.set()
                await stop.wait()

        def run() -> None:
            try:
                loop.run_until_complete(serve())
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                failed.append(error)
            finally:
                loop.close()
                started.set()

        thread = threading.Thread(target=run, name="devnode", daemon=True)
        thread.start()
        started.wait()
        if failed:
            raise failed[0]
        try:
            yield RunningDevNode(node, loop)
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
        if failed:
            raise failed[0]


class RunningDevNode:
    """A devnode in another thread. url: its address."""

    def __init__(self, node: DevNode, loop: asyncio.AbstractEventLoop) -> None:
        self.url = node.url
        self._node = node
        self._loop = loop

    @property
    def chain(self) -> Chain:
        """The chain itself. Reading is fine at any time; change it through `call` only."""
        return self._node.chain

    @property
    def requests(self) -> int:
        """HTTP requests for JSON-RPC so far."""
        return self._node.requests

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in the node's own thread, between two requests; return what it returns."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()
